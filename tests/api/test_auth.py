"""Who asks: keys that expire, are bound or revoked, tokens, browser sessions and their forms, links that work once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest

from softprompt.api import auth
from softprompt.api.context import token_secret
from softprompt.storage import dump
from softprompt.storage.people import ApiKey, AuditEntry, User
from softprompt.storage.types import now
from softprompt.studio import people, projects
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

from .studio.conftest import message, ok, unique

PASSWORD = "correct horse battery"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStudio]:
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend(), tls=True) as running:
        yield running


@pytest.fixture(autouse=True)
def many_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests share one address; how many tries it has is a test of its own."""
    monkeypatch.setattr("softprompt.api.studio.sign_in.TRIES", 10_000)


@pytest.fixture
def browser(studio: LiveStudio) -> Iterator[httpx.Client]:
    """A client without a key that keeps cookies."""
    with httpx.Client(base_url=studio.url, timeout=30) as client:
        yield client


def with_key(studio: LiveStudio, key: str | None = None) -> httpx.Client:
    return httpx.Client(base_url=studio.url, headers={"authorization": f"Bearer {key or studio.key}"}, timeout=30)


def new_user(studio: LiveStudio, *, password: str | None = PASSWORD, admin: bool = False) -> User:
    with studio.office.unit(SYSTEM) as unit:
        return people.create_user(unit, unique("user"), password=password, admin=admin)


def sign_in(browser: httpx.Client, user: User, password: str = PASSWORD) -> dict[str, Any]:
    """Signed in; from now on the client sends the token of its forms."""
    found = ok(browser.post("/api/sign-in", json={"name": user.name, "password": password}))
    browser.headers["x-csrf-token"] = found["csrf"]
    return dict(found)


# Keys


def test_a_key_is_shown_once_and_stored_nowhere(studio: LiveStudio) -> None:
    with with_key(studio) as client:
        made = ok(client.post("/api/keys", json={"name": unique("key"), "days": 1}), 201)
        listed = ok(client.get("/api/keys", params={"search": made["name"]}))["items"]
        assert "key" not in listed[0]
        assert listed[0]["prefix"] == made["key"][:9]
        refused = client.post("/api/keys", json={"name": "x"}, headers={"idempotency-key": "y"})
        assert "the answer holds a secret" in message(refused, 400)
    with studio.office.unit(SYSTEM, write=False) as unit:
        row = unit.rows.get(ApiKey, made["id"])
        assert row is not None
        assert made["key"] not in str(vars(row))


def test_a_password_cannot_be_guessed_from_what_is_stored_of_a_create(studio: LiveStudio) -> None:
    body = {"name": unique("user"), "password": unique("password"), "admin": False}
    headers = {"idempotency-key": unique()}
    with with_key(studio) as client:
        made = ok(client.post("/api/users", json=body, headers=headers), 201)
        assert ok(client.post("/api/users", json=body, headers=headers), 201) == made
        other = client.post("/api/users", json={**body, "password": unique("password")}, headers=headers)
        assert "with another body" in message(other, 409)
    with studio.office.database.snapshot() as connection:
        stored = b"".join(line for table in dump.tables(connection).values() for line in dump.lines(connection, table))
    assert made["id"].encode() in stored
    spellings = [
        json.dumps(words, sort_keys=ordered, separators=marks)
        for words in (body, body["password"], {"password": body["password"]})
        for ordered in (True, False)
        for marks in (None, (",", ":"))
    ]
    for text in [*spellings, str(body["password"])]:
        for way in sorted(hashlib.algorithms_guaranteed - {"shake_128", "shake_256"}):
            assert hashlib.new(way, text.encode()).hexdigest().encode() not in stored, (way, text)


def test_a_key_that_may_less_than_its_user_is_told_so(studio: LiveStudio) -> None:
    with with_key(studio) as client:
        reads = ok(client.post("/api/keys", json={"name": unique("key"), "role": "viewer"}), 201)
        body = {"name": unique("key"), "role": "admin", "project": studio.project.id}
        bound = ok(client.post("/api/keys", json=body), 201)
    with with_key(studio, reads["key"]) as client:
        who = "the API key of admin has the role viewer."
        told = message(client.delete(f"/api/projects/{studio.project.id}"), 403)
        assert told == f"This needs the role admin, and {who}"
        assert message(client.get("/api/users"), 403) == f"This needs an admin of the whole studio, and {who}"
    with with_key(studio, bound["key"]) as client:
        assert message(client.get("/api/users"), 403).endswith("the API key of admin is for one project or space only.")


def test_an_expired_key_is_refused(studio: LiveStudio) -> None:
    with with_key(studio) as client:
        made = ok(client.post("/api/keys", json={"name": unique("key"), "days": 1}), 201)
    with with_key(studio, made["key"]) as client:
        assert ok(client.get("/api/me"))["key_id"] == made["id"]
        with studio.office.unit(SYSTEM) as unit:
            unit.rows.change(ApiKey, {"expires_at": now() - timedelta(seconds=1)}, id=made["id"])
        assert "has expired" in message(client.get("/api/me"), 401)


def test_revoking_a_key_ends_it_and_its_tokens(studio: LiveStudio) -> None:
    with with_key(studio) as client:
        made = ok(client.post("/api/keys", json={"name": unique("key")}), 201)
        token, _ = auth.make_token(
            token_secret(studio.data_dir), user_id=made["user_id"], key_id=made["id"], mode="cpd"
        )
        for credential in (made["key"], token):
            with with_key(studio, credential) as other:
                ok(other.get("/api/me"))
        ok(client.delete(f"/api/keys/{made['id']}"))
        for credential in (made["key"], token):
            with with_key(studio, credential) as other:
                assert "was revoked" in message(other.get("/api/me"), 401)


def test_disabling_a_user_ends_keys_tokens_and_sessions(studio: LiveStudio, browser: httpx.Client) -> None:
    user = new_user(studio)
    sign_in(browser, user)
    made = ok(browser.post("/api/keys", json={"name": "mine"}), 201)
    token, _ = auth.make_token(token_secret(studio.data_dir), user_id=user.id, key_id=None, mode="cpd")
    with with_key(studio) as client:
        ok(client.post(f"/api/users/{user.id}/disable"))
    assert browser.get("/api/me").status_code == 401
    for credential in (made["key"], token):
        with with_key(studio, credential) as other:
            assert "disabled" in message(other.get("/api/me"), 401)


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer sp-nonsense", "Bearer a.b.c", "Basic !!", "nothing"])
def test_credentials_that_are_none_are_refused(studio: LiveStudio, header: str) -> None:
    answer = httpx.get(f"{studio.url}/api/me", headers={"authorization": header})
    assert answer.headers["www-authenticate"] == "Bearer"
    message(answer, 401)


def test_a_token_of_another_studio_is_refused(studio: LiveStudio) -> None:
    token, _ = auth.make_token("x" * 48, user_id="somebody", key_id=None, mode="cpd")
    with with_key(studio, token) as client:
        assert "was not made by this studio" in message(client.get("/api/me"), 401)


def test_a_bound_key_works_in_its_project_and_nowhere_else(studio: LiveStudio) -> None:
    with with_key(studio) as client:
        mine, other = (ok(client.post("/api/projects", json={"name": unique("p")}), 201) for _ in range(2))
        key = ok(client.post("/api/keys", json={"name": "bound", "role": "admin", "project": mine["id"]}), 201)["key"]
    with with_key(studio, key) as bound:
        assert [item["id"] for item in ok(bound.get("/api/projects"))["items"]] == [mine["id"]]
        ok(bound.post("/api/experiments", json={"project": mine["id"], "name": "E"}), 201)
        message(bound.get(f"/api/projects/{other['id']}"), 404)
        message(bound.post("/api/experiments", json={"project": other["id"], "name": "E"}), 404)
        message(bound.post("/api/projects", json={"name": unique("p")}), 403)
        message(bound.get("/api/users"), 403)
        message(bound.get("/api/audit"), 403)
        message(bound.post("/api/keys", json={"name": "wider"}), 403)
        message(bound.delete(f"/api/keys/{'nobody'}"), 404)


def test_a_key_cannot_make_what_outdoes_it(studio: LiveStudio) -> None:
    user = new_user(studio, admin=True)
    with studio.office.unit(SYSTEM) as unit:
        key = people.create_key(unit, "short", role="editor", user=user, days=1)[1]
    with with_key(studio, key) as client:
        assert "cannot make one with the role admin" in message(
            client.post("/api/keys", json={"name": "more", "role": "admin"}), 403
        )
        made = ok(client.post("/api/keys", json={"name": "longer", "days": 300}), 201)
        assert made["expires_at"] < (now() + timedelta(days=2)).isoformat()
        message(client.post("/api/keys", json={"name": "other", "user": "admin"}), 403)
        message(client.put("/api/me/password", json={"new": PASSWORD}), 403)
        assert {item["user_id"] for item in ok(client.get("/api/keys"))["items"]} == {user.id}


def test_a_revoked_key_ends_all_that_it_made(studio: LiveStudio, browser: httpx.Client) -> None:
    user = new_user(studio, admin=True)
    sign_in(browser, user)

    def made(client: httpx.Client, **words: Any) -> dict[str, Any]:
        return dict(ok(client.post("/api/keys", json={"name": unique("key"), "role": "viewer", **words}), 201))

    mine, leaked = made(browser), made(browser, role="admin")
    assert (mine["made_by"], leaked["made_by"]) == (None, None)
    with with_key(studio, leaked["key"]) as client:
        below, of_another = made(client), made(client, user="admin")
    assert below["made_by"] == of_another["made_by"] == leaked["id"]
    with with_key(studio, below["key"]) as client:
        refused = client.post("/api/keys", json={"name": "more", "role": "viewer"})
        assert "was made with a key and makes none" in message(refused, 403)
    token, _ = auth.make_token(token_secret(studio.data_dir), user_id=user.id, key_id=leaked["id"], mode="cpd")
    with with_key(studio, token) as client:  # a token is its key
        by_token = made(client)
    assert by_token["made_by"] == leaked["id"]
    ended = [leaked, below, of_another, by_token]
    for key in [*ended, mine]:
        with with_key(studio, key["key"]) as client:
            ok(client.get("/api/me"))
    ok(browser.delete(f"/api/keys/{leaked['id']}"))
    for secret in [*(key["key"] for key in ended), token]:
        with with_key(studio, secret) as client:
            assert "was revoked" in message(client.get("/api/me"), 401)
    with with_key(studio, mine["key"]) as client:
        ok(client.get("/api/me"))
    with studio.office.unit(SYSTEM, write=False) as unit:
        told = {entry.noun_id for entry in unit.rows.all(AuditEntry, action="revoke", user_id=user.id, sort="id")}
    assert told == {key["id"] for key in ended}


# Browsers


def test_a_link_signs_in_once(studio: LiveStudio, browser: httpx.Client) -> None:
    user = new_user(studio, password=None)
    with with_key(studio) as client:
        link = ok(client.post(f"/api/users/{user.name}/link"), 201)["link"]
    assert link.startswith(f"{studio.url}/sign-in?link=")
    answer = browser.get(link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Secure" not in cookie, "the request came by plain HTTP"
    assert ok(browser.get("/api/me"))["user"]["name"] == user.name
    secret = link.split("link=")[1]
    assert "was used already" in message(browser.post("/api/sign-in/link", json={"link": secret}), 401)


def test_over_tls_the_cookie_is_for_tls_only(studio: LiveStudio) -> None:
    import ssl

    user = new_user(studio)
    trust = ssl.create_default_context(cafile=str(studio.cert))
    with httpx.Client(base_url=str(studio.tls), verify=trust) as browser:
        answer = browser.post("/api/sign-in", json={"name": user.name, "password": PASSWORD})
        assert "Secure" in answer.headers["set-cookie"]
        assert ok(browser.get("/api/me"))["user"]["name"] == user.name


def test_secrets_are_not_kept_for_a_repeat(studio: LiveStudio) -> None:
    user, headers = new_user(studio), {"idempotency-key": unique()}
    with with_key(studio) as admin:
        links = ((f"/api/users/{user.id}/{word}", None) for word in ("link", "reset"))
        for path, body in (*links, ("/api/keys", {"name": unique("key")})):
            assert "the answer holds a secret" in message(admin.post(path, json=body, headers=headers), 400)
            ok(admin.post(path, json=body), 201)


def test_two_who_follow_one_link_at_once_are_one_who_gets_in(studio: LiveStudio) -> None:
    from concurrent.futures import ThreadPoolExecutor

    user = new_user(studio, password=None)
    with studio.office.unit(SYSTEM) as unit:
        secret = people.sign_in_link(unit, user)
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: httpx.post(f"{studio.url}/api/sign-in/link", json={"link": secret}), range(8))
        )
    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


def test_a_password_signs_in_and_another_does_not(studio: LiveStudio, browser: httpx.Client) -> None:
    user = new_user(studio)
    wrong = browser.post("/api/sign-in", json={"name": user.name, "password": "wrong horse"})
    nobody = browser.post("/api/sign-in", json={"name": "nobody", "password": "wrong horse"})
    assert message(wrong, 401) == message(nobody, 401), "whether there is such a user is not told"
    assert "set-cookie" not in wrong.headers
    assert sign_in(browser, user)["user"]["id"] == user.id
    with studio.office.unit(SYSTEM, write=False) as unit:
        assert unit.rows.first(AuditEntry, action="sign in", noun_id=user.id) is not None


def test_what_changes_something_needs_the_token_of_the_session(studio: LiveStudio, browser: httpx.Client) -> None:
    sign_in(browser, new_user(studio))
    token = browser.headers.pop("x-csrf-token")
    body = {"name": unique("p")}
    assert "x-csrf-token" in message(browser.post("/api/projects", json=body), 403)
    assert "x-csrf-token" in message(browser.post("/api/projects", json=body, headers={"x-csrf-token": "x"}), 403)
    ok(browser.post("/api/projects", json=body, headers={"x-csrf-token": token}), 201)
    ok(browser.get("/api/projects"))


def test_signing_out_ends_the_session_although_the_cookie_is_kept(studio: LiveStudio, browser: httpx.Client) -> None:
    sign_in(browser, new_user(studio))
    kept = browser.cookies[auth.COOKIE]
    ok(browser.post("/api/sign-out"), 204)
    assert auth.COOKIE not in browser.cookies
    answer = httpx.get(f"{studio.url}/api/me", cookies={auth.COOKIE: kept})
    assert "not signed in any more" in message(answer, 401)


def test_a_new_password_ends_all_other_sessions(studio: LiveStudio, browser: httpx.Client) -> None:
    user = new_user(studio)
    with httpx.Client(base_url=studio.url) as other:
        sign_in(other, user)
        sign_in(browser, user)
        message(browser.put("/api/me/password", json={"old": "wrong", "new": "another horse battery"}), 401)
        assert "at least 10" in message(browser.put("/api/me/password", json={"old": PASSWORD, "new": "short"}), 400)
        ok(browser.put("/api/me/password", json={"old": PASSWORD, "new": "another horse battery"}))
        ok(browser.get("/api/me"))
        message(other.get("/api/me"), 401)
    message(browser.post("/api/sign-in", json={"name": user.name, "password": PASSWORD}), 401)


def test_tries_to_sign_in_are_counted(
    studio: LiveStudio, browser: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("softprompt.api.studio.sign_in.TRIES", 3)
    answers = [browser.post("/api/sign-in/link", json={"link": "x"}) for _ in range(30)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert refused
    assert int(refused[0].headers["retry-after"]) >= 1


# Memberships


def test_roles_are_given_changed_and_taken_away(studio: LiveStudio, browser: httpx.Client) -> None:
    user = new_user(studio)
    sign_in(browser, user)
    with with_key(studio) as client:
        project = ok(client.post("/api/projects", json={"name": unique("p")}), 201)
        members = f"/api/projects/{project['id']}/members"
        for role, status in (("viewer", 403), ("editor", 201)):
            assert ok(client.put(f"{members}/{user.name}", json={"role": role}))["role"] == role
            answer = browser.post("/api/experiments", json={"project": project["id"], "name": unique("e")})
            assert answer.status_code == status
        assert {item["user"]: item["role"] for item in ok(browser.get(members))["items"]}[user.name] == "editor"
        message(browser.put(f"{members}/{user.name}", json={"role": "admin"}), 403)
        ok(client.delete(f"{members}/{user.name}"), 204)
    message(browser.get(f"/api/projects/{project['id']}"), 404)


def test_names_of_what_one_may_not_see_are_not_confirmed(studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        hidden = projects.create(unit, unique("hidden")).name
    with with_key(studio, studio.new_key(unique("user"), "admin")) as stranger:
        there = message(stranger.get(f"/api/projects/{hidden}"), 404)
        nowhere = message(stranger.get("/api/projects/nowhere"), 404)
    assert there.replace(hidden, "nowhere") == nowhere


def test_the_only_admin_cannot_be_disabled(studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM, write=False) as unit:
        admins = unit.rows.all(User, admin=True, disabled_at=None)
    with with_key(studio) as client:
        answers = [client.post(f"/api/users/{user.id}/disable") for user in admins if user.name != "admin"]
        assert all(answer.status_code == 200 for answer in answers)
        first = next(user for user in admins if user.name == "admin")
        assert "is the only admin" in message(client.post(f"/api/users/{first.id}/disable"), 409)
