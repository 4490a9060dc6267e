"""Spaces as a browser without scripts sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from softprompt.errors import Unavailable
from softprompt.storage.tables import Space, TunedPrompt
from softprompt.studio import people, spaces
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio

from .test_deployments import words

Post = Callable[..., httpx.Response]


class WakingBackend(EchoBackend):
    """A serving host that is being started until somebody says otherwise."""

    awake = True

    async def status(self) -> dict[str, Any]:
        if not self.awake:
            raise Unavailable("Not yet.")
        return {"state": "running", "backend": "host"}


@pytest.fixture
def backend() -> WakingBackend:
    return WakingBackend()


@pytest.fixture
def space(post: Post) -> str:
    """The address of the page of a space."""
    given = {"name": "Live <b>", "stage": "production", "description": "For customers", "tags": "eu, night"}
    return post("/spaces/new", given, page="/spaces/new").url.path


def test_a_new_space_is_ready_and_stands_in_the_list(browser: httpx.Client, space: str) -> None:
    page = browser.get(f"{space}?made=1")
    assert "Live &lt;b&gt;" in page.text
    assert "<b>" not in page.text.split("<main")[1].replace("<b>1</b>", "").replace("<b>0</b>", "")
    assert "The space is ready." in words(page)
    assert "Nothing is deployed here yet" in words(page)
    listed = words(browser.get("/spaces?stage=production"))
    assert "For customers" in listed
    assert "Nothing fits" in words(browser.get("/spaces?stage=testing"))
    assert "Nothing fits" in words(browser.get("/spaces?search=zebra"))


def test_without_any_the_list_says_what_a_space_is_for(browser: httpx.Client) -> None:
    assert "No space yet" in words(browser.get("/spaces"))


def test_while_the_serving_host_starts_it_is_being_prepared(
    browser: httpx.Client, space: str, studio: LiveStudio
) -> None:
    studio.backend.awake = False
    page = browser.get(space)
    assert "The space is being prepared." in words(page)
    assert 'http-equiv="refresh"' in page.text
    assert browser.get(f"{space}/state").json()["ready"] is False
    studio.backend.awake = True
    assert browser.get(f"{space}/state").json() == {"ready": True, "words": "The space is ready.", "waits_for": ""}


def test_names_and_stages_are_checked(post: Post, space: str) -> None:
    taken = post("/spaces/new", {"name": "Live <b>", "description": "kept"}, page="/spaces/new")
    assert taken.status_code == 409
    assert "There is a space 'Live <b>' already" in words(taken)
    assert "kept" in taken.text
    wrong = post("/spaces/new", {"name": "x", "stage": "moon"}, page="/spaces/new")
    assert "stage: 'moon' is not one of development, testing, production." in words(wrong)


def test_a_space_is_changed(browser: httpx.Client, post: Post, space: str) -> None:
    assert 'value="eu, night"' in browser.get(f"{space}/edit").text
    page = words(post(f"{space}/edit", {"name": "Live", "stage": "testing", "tags": "us"}, page=space))
    assert "testing" in page
    assert "us" in page
    assert "night" not in page


def test_members_come_and_go(browser: httpx.Client, post: Post, space: str, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        people.create_user(unit, "ada lovelace")
    assert "ada lovelace" in words(post(f"{space}/members", {"user": "ada lovelace", "role": "editor"}, page=space))
    unknown = post(f"{space}/members", {"user": "nobody", "role": "editor"}, page=space)
    assert unknown.status_code == 404
    assert "There is no user 'nobody'" in words(unknown)
    odd = post(f"{space}/members", {"user": "ada lovelace", "role": "king"}, page=space)
    assert "is not one of viewer, editor, admin" in words(odd)
    left = words(post(f"{space}/members/ada%20lovelace/remove", page=space))
    assert "ada lovelace" not in left


def test_in_use_it_is_not_deleted_and_says_by_what(
    browser: httpx.Client, post: Post, space: str, studio: LiveStudio
) -> None:
    key = space.rsplit("/", 1)[-1]
    with studio.office.unit(SYSTEM) as unit:
        row = TunedPrompt(project_id=studio.project.id, name="P", model_id="m", key="prompts/p")
        prompt = unit.rows.add(row).id
    given = {"prompt": prompt, "name": "Router", "space": key}
    deployment = post("/deployments/new", given, page="/deployments/new").url.path
    assert "It cannot be deleted while something answers in it: Router." in words(browser.get(space))
    refused = post(f"{space}/delete", page=space)
    assert refused.status_code == 409
    assert "deployment 'Router' is in it. Delete that first." in words(refused)
    post(f"{deployment}/delete", page=deployment)
    assert "Live <b> is deleted." in words(post(f"{space}/delete", page=space))
    stranded = post(f"{deployment}/restore")
    assert stranded.status_code == 409
    assert "Bring that back first" in words(stranded)


def test_what_went_with_a_space_comes_back_with_it(
    browser: httpx.Client, post: Post, space: str, studio: LiveStudio
) -> None:
    key = space.rsplit("/", 1)[-1]
    with studio.office.unit(SYSTEM) as unit:
        for name in ("before", "with"):
            unit.rows.add(TunedPrompt(space_id=key, name=name, model_id="m", key=f"prompts/{name}"))
        unit.delete(unit.rows.first(TunedPrompt, name="before"))
    post(f"{space}/delete", page=space)
    assert browser.get(space).status_code == 404
    assert post(f"{space}/restore").url.path == space
    with studio.office.unit(SYSTEM, write=False) as unit:
        assert [row.name for row in unit.rows.all(TunedPrompt, space_id=key)] == ["with"]


def test_a_name_taken_meanwhile_keeps_a_space_from_coming_back(post: Post, space: str, studio: LiveStudio) -> None:
    post(f"{space}/delete", page=space)
    with studio.office.unit(SYSTEM) as unit:
        spaces.create(unit, "Live <b>")
    refused = post(f"{space}/restore")
    assert refused.status_code == 409
    with studio.office.unit(SYSTEM, write=False) as unit:
        assert unit.rows.count(Space) == 1
