"""Users as admins of the studio change them; one's own name and browsers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from softprompt.testing.live import LiveStudio

from .conftest import Clients, message, ok, unique

PASSWORD = "correct horse battery"
Browsers = Any


@pytest.fixture(autouse=True)
def many_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests share one address; how many tries it has is tested elsewhere."""
    monkeypatch.setattr("softprompt.api.studio.sign_in.TRIES", 10_000)


@pytest.fixture
def user(admin: httpx.Client) -> dict[str, Any]:
    return dict(ok(admin.post("/api/users", json={"name": unique("user"), "password": PASSWORD}), 201))


@pytest.fixture
def browsers(studio: LiveStudio) -> Iterator[Browsers]:
    """`browsers(name)`: a browser of its own that signed in."""
    made: list[httpx.Client] = []

    def browser(name: str) -> httpx.Client:
        client = httpx.Client(base_url=studio.url, timeout=30)
        made.append(client)
        found = ok(client.post("/api/sign-in", json={"name": name, "password": PASSWORD}))
        client.headers["x-csrf-token"] = found["csrf"]
        return client

    yield browser
    for each in made:
        each.close()


def test_a_user_is_shown_with_roles_and_browsers(
    admin: httpx.Client, studio: LiveStudio, user: dict[str, Any], browsers: Browsers
) -> None:
    fresh = ok(admin.get(f"/api/users/{user['id']}"))
    assert (fresh["seen_at"], fresh["sessions"], fresh["places"]) == (None, 0, [])
    address = f"/api/projects/{studio.project.id}/members/{user['name']}"
    ok(admin.put(address, json={"role": "viewer"}))
    browsers(user["name"])
    found = ok(admin.get(f"/api/users/{user['name']}"))
    place = {"container_id": studio.project.id, "noun": "project", "name": studio.project.name, "role": "viewer"}
    assert (found["sessions"], found["places"], found["seen_at"] is None) == (1, [place], False)


def test_a_user_is_renamed_and_made_an_admin(admin: httpx.Client, user: dict[str, Any]) -> None:
    name = unique("user")
    changed = ok(admin.patch(f"/api/users/{user['id']}", json={"name": name, "admin": True}))
    assert (changed["id"], changed["name"], changed["admin"]) == (user["id"], name, True)
    assert ok(admin.patch(f"/api/users/{name}", json={"admin": False}))["admin"] is False
    assert "already" in message(admin.patch(f"/api/users/{name}", json={"name": "admin", "admin": True}), 409)
    assert ok(admin.get(f"/api/users/{name}"))["admin"] is False, "all of it, or nothing"
    assert "is the only admin" in message(admin.patch("/api/users/admin", json={"admin": False}), 409)
    assert "There is no user" in message(admin.patch("/api/users/nobody", json={"admin": True}), 404)
    assert "role" in message(admin.patch(f"/api/users/{name}", json={"role": "admin"}), 400)


def test_who_was_disabled_is_let_in_again(
    admin: httpx.Client, studio: LiveStudio, user: dict[str, Any], browsers: Browsers
) -> None:
    assert ok(admin.post(f"/api/users/{user['name']}/disable"))["disabled"]
    credentials = {"name": user["name"], "password": PASSWORD}
    message(httpx.post(f"{studio.url}/api/sign-in", json=credentials), 401)
    assert not ok(admin.post(f"/api/users/{user['name']}/enable"))["disabled"]
    ok(browsers(user["name"]).get("/api/me"))


def test_browsers_are_signed_out_and_a_password_is_taken_away(
    admin: httpx.Client, studio: LiveStudio, user: dict[str, Any], browsers: Browsers
) -> None:
    one, other = browsers(user["name"]), browsers(user["name"])
    assert ok(admin.delete(f"/api/users/{user['id']}/sessions")) == {"ended": 2}
    message(one.get("/api/me"), 401)
    message(other.get("/api/me"), 401)
    link = ok(admin.post(f"/api/users/{user['id']}/reset"), 201)["link"].partition("link=")[2]
    credentials = {"name": user["name"], "password": PASSWORD}
    message(httpx.post(f"{studio.url}/api/sign-in", json=credentials), 401)
    ok(httpx.post(f"{studio.url}/api/sign-in/link", json={"link": link}))
    ok(admin.post(f"/api/users/{user['id']}/disable"))
    assert "was deactivated" in message(admin.post(f"/api/users/{user['id']}/reset"), 409)


def test_users_are_for_admins_of_the_studio(clients: Clients, studio: LiveStudio, user: dict[str, Any]) -> None:
    member = clients(studio.new_key(unique(), "admin", member="admin"))
    address = f"/api/users/{user['id']}"
    refused = [member.get(address), member.patch(address, json={"admin": True}), member.delete(f"{address}/sessions")]
    refused += [member.post(f"{address}/{word}") for word in ("enable", "reset")]
    for answer in refused:
        assert "an admin of the whole studio" in message(answer, 403)


def test_one_renames_oneself_and_leaves_other_browsers(
    admin: httpx.Client, user: dict[str, Any], browsers: Browsers
) -> None:
    here, there = browsers(user["name"]), browsers(user["name"])
    shown = ok(here.get("/api/me/sessions"))
    assert (shown["total"], [each["current"] for each in shown["items"]]) == (2, [False, True])
    assert ok(here.delete("/api/me/sessions")) == {"ended": 1}
    message(there.get("/api/me"), 401)
    assert [each["current"] for each in ok(here.get("/api/me/sessions"))["items"]] == [True]
    name = unique("user")
    assert ok(here.patch("/api/me", json={"name": name}))["name"] == name
    assert ok(here.get("/api/me"))["user"]["name"] == name
    assert "already" in message(here.patch("/api/me", json={"name": "admin"}), 409)
    for refused in (admin.patch("/api/me", json={"name": name}), admin.delete("/api/me/sessions")):
        assert "not with an API key" in message(refused, 403)
