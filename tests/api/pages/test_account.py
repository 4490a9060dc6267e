"""One's own account: keys, name, password, browsers that are signed in."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta

import httpx
import pytest

from softprompt.storage.people import ApiKey, User
from softprompt.storage.types import now
from softprompt.studio import people
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

Post = Callable[..., httpx.Response]


def words(answer: httpx.Response) -> str:
    """What a person reads, without the marks."""
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", answer.text).split()))


def secret_in(text: str) -> str:
    found = re.search(r"sp-[\w-]{30,}", text)
    assert found
    return found[0]


def asks(studio: LiveStudio, key: str) -> int:
    return httpx.get(f"{studio.url}/api/me", headers={"authorization": f"Bearer {key}"}).status_code


def test_a_key_is_made_shown_once_used_and_revoked(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    given = {"name": "Pipeline", "role": "viewer", "days": "30", "place": studio.project.id}
    made = post("/account/keys", given, page="/account")
    assert "Copy it now" in made.text
    key = secret_in(made.text)
    assert asks(studio, key) == 200
    page = browser.get("/account")
    assert key not in page.text
    shown = words(page)
    assert "Viewer only in Project Sandbox just now expires in 30 days" in shown
    assert "Programs that use “Pipeline” are refused from their next request on." in shown
    with studio.office.unit(SYSTEM) as unit:
        row = unit.rows.first(ApiKey, name="Pipeline")
        assert row is not None
        assert (row.role, row.project_id) == ("viewer", studio.project.id)
    gone = post(f"/account/keys/{row.id}/revoke", page="/account")
    assert "The key was revoked." in words(gone)
    assert "that works no longer" in words(gone)
    assert asks(studio, key) == 401


def test_an_expired_key_is_among_those_that_work_no_longer(browser: httpx.Client, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        key = unit.rows.first(ApiKey)
        assert key is not None
        key.expires_at = now() - timedelta(days=2)
    assert "expired 2 days ago" in words(browser.get("/account"))


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": " "}, "is no name"),
        ({"name": "x", "days": "0"}, "days: '0' is not between 1 and 3650"),
        ({"name": "x", "days": "many"}, "days: 'many' is not between"),
        ({"name": "x", "place": "nowhere"}, "There is no project or space 'nowhere' here."),
        ({"name": "x", "role": "king"}, "role: 'king' is not one of viewer, editor, admin"),
    ],
)
def test_what_is_wrong_with_a_key_is_said(post: Post, given: dict[str, object], told: str) -> None:
    answer = post("/account/keys", given, page="/account")
    assert answer.status_code in (400, 404)
    assert told in words(answer)


def test_a_password_is_asked_before_it_is_changed_and_this_browser_stays(
    browser: httpx.Client, post: Post, studio: LiveStudio
) -> None:
    assert "You have no password yet." in words(browser.get("/account"))
    first = post("/account/password", {"password": "correct horse"}, page="/account")
    assert "Your password was set." in words(first)
    wrong = post("/account/password", {"password": "battery staple", "old": "wrong horse"}, page="/account")
    assert wrong.status_code == 400
    assert "Current password: it does not fit." in words(wrong)
    short = post("/account/password", {"password": "short", "old": "correct horse"}, page="/account")
    assert "5 characters given; at least 10 are needed" in words(short)
    right = post("/account/password", {"password": "battery staple", "old": "correct horse"}, page="/account")
    assert right.url.path == "/account"
    assert httpx.post(f"{studio.url}/sign-in", data={"name": "admin", "password": "battery staple"}).status_code == 303


def test_a_name_is_changed_unless_it_is_taken(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    studio.new_key("kim")
    assert "There is a user 'kim' already" in words(post("/account/profile", {"name": "kim"}, page="/account"))
    changed = post("/account/profile", {"name": "Robin <b>"}, page="/account")
    assert "Signed in as Robin <b> , admin" in words(changed)
    assert "Robin &lt;b&gt;" in changed.text


def test_browsers_are_signed_out(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        admin = unit.rows.first(User, admin=True)
        assert admin is not None
        links = [people.sign_in_link(unit, admin) for _ in range(2)]
    with httpx.Client(base_url=studio.url, follow_redirects=True, headers={"accept": "text/html"}) as other:
        other.get(f"/sign-in?link={links[0]}")
        shown = words(browser.get("/account"))
        assert (shown.count("This browser"), shown.count("Another browser")) == (1, 1)
        post("/account/sessions/end", {"which": "others"}, page="/account")
        assert other.get("/account").url.path == "/sign-in"
        assert browser.get("/account").url.path == "/account"
        assert "Sign out everywhere else" not in browser.get("/account").text
        assert post("/account/sessions/end", {"which": "all"}, page="/account").url.path == "/sign-in"
        assert browser.get("/account").url.path == "/sign-in"


def test_somebody_without_any_place_hears_what_to_do(studio: LiveStudio) -> None:
    key = studio.new_key("kim")
    page = httpx.get(f"{studio.url}/account", headers={"authorization": f"Bearer {key}", "accept": "text/html"})
    assert "You are in no project or space yet. An admin of the studio can let you in." in words(page)


def test_a_key_cannot_change_the_person_behind_it(studio: LiveStudio) -> None:
    headers = {"authorization": f"Bearer {studio.key}"}
    for path in ("/account/password", "/account/profile", "/account/sessions/end"):
        answer = httpx.post(f"{studio.url}{path}", headers=headers, data={"password": "correct horse", "name": "x"})
        assert answer.status_code in (400, 403), path
        assert "not with an API key" in answer.text
