"""People: invitations, roles, links, deactivating; members of a project; what others see of it."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from softprompt.storage.people import Membership, User
from softprompt.studio import people
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import Forms
from .test_account import asks, words

Post = Callable[..., httpx.Response]
ADMIN_PAGES = ("/admin/people", "/admin/jobs", "/admin/health", "/admin/settings", "/admin/audit")


def user(studio: LiveStudio, name: str) -> User:
    with studio.office.unit(SYSTEM) as unit:
        found = unit.rows.first(User, name=name)
        assert found is not None
        return found


@contextmanager
def signed_in(studio: LiveStudio, name: str) -> Iterator[httpx.Client]:
    """A browser of somebody else."""
    with studio.office.unit(SYSTEM) as unit:
        found = unit.rows.first(User, name=name)
        assert found is not None
        link = people.sign_in_link(unit, found)
    with httpx.Client(base_url=studio.url, follow_redirects=True, headers={"accept": "text/html"}) as client:
        client.get(f"/sign-in?link={link}")
        yield client


def send(client: httpx.Client, path: str, page: str, **data: str) -> httpx.Response:
    token = Forms.of(client.get(page).text).token
    return client.post(path, data={"csrf": token, **data})


def link_in(page: httpx.Response) -> str:
    found = re.search(r"https?://[^\s<]+/sign-in\?link=[\w-]+", html.unescape(page.text))
    assert found
    return found[0]


def test_somebody_is_invited_and_comes_in(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    given = {"name": "kim", "place": studio.project.id, "role": "editor"}
    page = post("/admin/people", given, page="/admin/people")
    assert "The link for kim" in words(page)
    link = link_in(page)
    assert "invited" in words(browser.get("/admin/people"))
    with httpx.Client(follow_redirects=True, headers={"accept": "text/html"}) as kim:
        assert kim.get(link).status_code == 200
        account = kim.get(f"{studio.url}/account")
        assert "Signed in as kim" in words(account)
        assert "editor of the project" in words(account)
        assert "used already" in kim.get(link).text
    assert "active" in words(browser.get(f"/admin/people/{user(studio, 'kim').id}"))


def test_a_name_that_is_taken_is_refused_and_what_was_typed_stays(post: Post, studio: LiveStudio) -> None:
    page = post("/admin/people", {"name": "admin", "role": "viewer"}, page="/admin/people")
    assert page.status_code == 409
    assert "There is a user 'admin' already" in words(page)
    assert '<option value="viewer" selected>' in page.text


def test_roles_are_changed_and_taken_away(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    studio.new_key("kim", member="viewer")
    kim = user(studio, "kim")
    here = f"/admin/people/{kim.id}"
    post(f"{here}/roles", {"place": studio.project.id, "role": "admin"}, page=here)
    with studio.office.unit(SYSTEM) as unit:
        member = unit.rows.first(Membership, user_id=kim.id)
        assert member is not None
        assert member.role == "admin"
    page = post(f"{here}/roles", {"place": studio.project.id}, page=here)
    assert "In no project or space yet." in words(page)


def test_the_last_admin_stays(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    here = f"/admin/people/{user(studio, 'admin').id}"
    assert "The only admin: make somebody else one first." in words(browser.get(here))
    refused = post(f"{here}/admin", {"admin": "no"}, page=here)
    assert (refused.status_code, "is the only admin" in words(refused)) == (409, True)
    assert "is the only admin" in words(post(f"{here}/disable", page=here))
    studio.new_key("kim")
    post(f"/admin/people/{user(studio, 'kim').id}/admin", {"admin": "yes"}, page=here)
    assert post(f"{here}/admin", {"admin": "no"}, page=here).status_code == 403, "no admin any more, so no page"
    assert not user(studio, "admin").admin


def test_a_new_link_ends_the_old_password(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    studio.new_key("kim")
    with studio.office.unit(SYSTEM) as unit:
        found = unit.rows.first(User, name="kim")
        assert found is not None
        people.set_password(unit, found, "correct horse")
    here = f"/admin/people/{found.id}"
    with signed_in(studio, "kim") as kim:
        link = link_in(post(f"{here}/link", page=here))
        assert kim.get("/account").url.path == "/sign-in"
        entry = {"name": "kim", "password": "correct horse"}
        assert httpx.post(f"{studio.url}/sign-in", data=entry).status_code == 401
        assert kim.get(link).url.path == "/"
    own = f"/admin/people/{user(studio, 'admin').id}"
    assert "set your own password under Account" in words(post(f"{own}/link", page=own))


def test_whoever_is_deactivated_is_out_at_once_and_can_come_back(
    browser: httpx.Client, post: Post, studio: LiveStudio
) -> None:
    key = studio.new_key("kim", member="viewer")
    here = f"/admin/people/{user(studio, 'kim').id}"
    with signed_in(studio, "kim") as kim:
        page = post(f"{here}/disable", page=here)
        assert "Deactivated: keys and browsers open nothing any more." in words(page)
        assert kim.get("/account").url.path == "/sign-in"
        assert asks(studio, key) == 401
        refused = post(f"{here}/link", page=here)
        assert (refused.status_code, "Let them in again first" in words(refused)) == (409, True)
    assert "Let in again." in words(post(f"{here}/enable", page=here))
    assert asks(studio, key) == 200


def test_keys_of_others_are_revoked(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    key = studio.new_key("kim")
    here = f"/admin/people/{user(studio, 'kim').id}"
    where = re.search(rf"{here}/keys/[\w-]+/revoke", browser.get(here).text)
    assert where
    assert "No key that works." in words(post(where[0], page=here))
    assert asks(studio, key) == 401


def test_people_are_found_and_paged(browser: httpx.Client, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        for number in range(60):
            people.create_user(unit, f"person {number:02d}")
    first = browser.get("/admin/people")
    assert "61 people; 1 is admin" in words(first)
    assert "person 59" not in words(first)
    following = next(link for link in Forms.of(first.text).links if "cursor=" in link)
    assert "person 59" in words(browser.get(following))
    found = words(browser.get("/admin/people?search=son 07"))
    assert "person 07" in found
    assert "person 08" not in found
    assert "No name holds “zebra”" in words(browser.get("/admin/people?search=zebra"))


@pytest.mark.parametrize("path", ADMIN_PAGES)
def test_others_hear_whom_to_ask(studio: LiveStudio, path: str) -> None:
    studio.new_key("kim", member="admin")
    with signed_in(studio, "kim") as kim:
        page = kim.get(path)
    assert page.status_code == 403
    told = words(page)
    assert "is for admins of the whole studio; you are signed in as kim." in told
    assert "Ask admin ." in told


# --- members ----------------------------------------------------------------------------------------------------------
def test_an_admin_of_the_project_keeps_its_members(studio: LiveStudio) -> None:
    studio.new_key("kim", member="admin")
    studio.new_key("lee")
    with signed_in(studio, "kim") as kim:
        here = f"/members/{studio.project.id}"
        assert kim.get("/members").url.path == here
        added = send(kim, here, here, user="lee", role="editor")
        assert "The members were changed." in words(added)
        nobody = send(kim, here, here, user="zoe", role="editor")
        assert (nobody.status_code, "There is no user 'zoe'" in words(nobody)) == (404, True)
        last = send(kim, here, here, user="kim", role="viewer")
        assert (last.status_code, "kim is the only admin of 'Sandbox'" in words(last)) == (409, True)
        send(kim, here, here, user="lee", role="admin")
        assert send(kim, here, here, user="kim").url.path == "/account", "out of it, there is nothing to see any more"
        assert kim.get(here).status_code == 404


def test_members_see_each_other_and_whom_to_ask(studio: LiveStudio) -> None:
    studio.new_key("kim", member="admin")
    studio.new_key("lee", member="viewer")
    with signed_in(studio, "lee") as lee:
        here = f"/members/{studio.project.id}"
        page = lee.get(here)
        assert "An admin of the project adds people and changes roles. Ask kim ." in words(page)
        assert "Add somebody" not in page.text
        assert send(lee, here, "/account", user="lee", role="admin").status_code == 403
