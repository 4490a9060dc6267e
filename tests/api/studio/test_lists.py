"""One rule for all lists: every one that the document knows is cut, paged and refuses words that it does not know.

What each list holds and filters by is tested with its noun.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from softprompt.config import Settings
from softprompt.storage.people import BrowserSession, Membership, User
from softprompt.storage.tables import TunedPrompt
from softprompt.storage.types import now
from softprompt.studio import model_pulls
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import MODEL, message, ok, rows, unique
from .test_model_pulls import FLAN, GRANITE, SMOLLM2, put

ITEMS = 3
"""Of every list at least."""


@pytest.fixture(scope="module")
def filled(admin: httpx.Client, studio: LiveStudio, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """At least `ITEMS` of everything; ids for the places in addresses."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOFTPROMPT_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield _fill(admin, studio, Settings.from_environment())


def _fill(admin: httpx.Client, studio: LiveStudio, cache: Settings) -> dict[str, str]:
    for model_id in (FLAN, GRANITE, SMOLLM2):
        put(model_id, cache)
        model_pulls.write(model_pulls.Pull(model_id, "here", now(), now()), cache)
    for _ in range(ITEMS):
        dataset = ok(admin.post("/api/datasets?name=complaints", content=rows()), 201)["id"]
        gone = ok(admin.post("/api/experiments", json={"name": unique()}), 201)["id"]
        ok(admin.delete(f"/api/experiments/{gone}"), 204)
        for noun in ("projects", "users", "sessions", "keys"):
            ok(admin.post(f"/api/{noun}", json={"name": unique()}), 201)
        space = ok(admin.post("/api/spaces", json={"name": unique(), "stage": "testing"}), 201)["id"]
        ok(admin.post("/api/runs", json={"experiment": "Routing", "model": MODEL, "dataset": dataset}), 201)
        ok(admin.post("/api/experiments", json={"name": unique()}), 201)
        deployment = ok(admin.post("/api/deployments", json={"model": MODEL, "serving_name": unique()}), 201)["id"]
        proof = {"name": unique(), "model": MODEL, "dataset": dataset, "methods": ["zero-shot"]}
        ok(admin.post("/api/evaluations", json=proof), 201)
        ok(admin.post("/api/backups"), 201)
    for text in ("one", "two", "three"):
        ok(admin.patch(f"/api/deployments/{deployment}", json={"description": text}))
    with studio.office.unit(SYSTEM) as unit:
        for user in unit.rows.all(User, limit=ITEMS):
            for place in (studio.project.id, space):
                if not unit.rows.first(Membership, user_id=user.id, container_id=place):
                    unit.rows.add(Membership(user_id=user.id, container_id=place, role="viewer"))
            unit.rows.add(TunedPrompt(project_id=studio.project.id, name="Routing (1)", model_id=MODEL, key=unique()))
        own = unit.rows.first(User, name="admin")
        assert own is not None
        for _ in range(ITEMS):
            late = now() + timedelta(hours=1)
            unit.rows.add(BrowserSession(digest=unique(), user_id=own.id, csrf="x", expires_at=late))
    for _ in range(ITEMS):
        page = {"tries": [{"input": "Hello"}], "columns": [{"subject": f"model:{MODEL}"}]}
        ok(admin.post("/api/lab/generate", json=page))
    return {
        "project_id": studio.project.id,
        "space_id": space,
        "dataset_id": dataset,
        "deployment_id": deployment,
        "run_id": "Routing (1)",
    }


@pytest.fixture(scope="module")
def lists(admin: httpx.Client, filled: dict[str, str]) -> list[str]:
    """Addresses of all lists: whatever answers with items and the address of more of them.

    Answers to test rows are left to `test_outcomes`: they come in the order of the rows, as those of a dataset do.
    """
    document = ok(admin.get("/api/openapi.json"))
    found = []
    for path, methods in document["paths"].items():
        if path.startswith("/api/") and "get" in methods:
            answer = methods["get"]["responses"]["200"].get("content", {}).get("application/json", {}).get("schema", {})
            shape = document["components"]["schemas"].get(answer.get("$ref", "").split("/")[-1], {})
            if {"items", "next"} <= set(shape.get("properties", ())) and not path.endswith("/answers"):
                found.append(path.format(**filled))
    return found


def test_all_lists_are_found(lists: list[str]) -> None:
    for noun in ("models", "projects", "trash", "jobs", "pulls", "backups", "me/sessions", "audit", "model-files"):
        assert f"/api/{noun}" in lists
    assert sum(path.endswith(("/members", "/versions", "/rows", "/history")) for path in lists) == 6


def test_every_list_gives_each_item_once_page_by_page(admin: httpx.Client, lists: list[str]) -> None:
    for path in lists:
        whole = ok(admin.get(path, params={"limit": 500}))
        assert len(whole["items"]) >= ITEMS, path
        assert whole["next"] is None, path
        seen: list[Any] = []
        following: str | None = f"{path}?limit=2"
        while following:
            page = ok(admin.get(following))
            assert 0 < len(page["items"]) <= 2, path
            assert page.get("total") == whole.get("total"), path
            seen += page["items"]
            following = page["next"]
        assert seen == whole["items"], path


def test_every_list_can_be_turned_round(admin: httpx.Client, lists: list[str]) -> None:
    document = ok(admin.get("/api/openapi.json"))
    for path in lists:
        if path.endswith("/rows"):  # in the order of the file
            continue
        words = document["paths"].get(path) or next(
            methods for known, methods in document["paths"].items() if known.split("/")[-1] == path.split("/")[-1]
            and known.split("/")[2] == path.split("/")[2]
        )  # fmt: skip
        sort = next(word["schema"] for word in words["get"]["parameters"] if word["name"] == "sort")
        known = sort.get("enum") or sort["anyOf"][0]["enum"]
        for word in known:
            if word.startswith("-"):
                there = [str(item) for item in _all(admin, f"{path}?limit=2&sort={word.lstrip('-')}")]
                back = [str(item) for item in _all(admin, f"{path}?limit=2&sort={word}")]
                assert there == back[::-1], (path, word)


def test_every_list_refuses_a_word_that_it_does_not_know(admin: httpx.Client, lists: list[str]) -> None:
    for path in lists:
        words = message(admin.get(f"{path}?foo=1"), 400)
        assert words.startswith("foo: this address knows no such word."), path
        assert "limit" in words, path
    assert "It knows none at all" in message(admin.get("/api/me?foo=1"), 400)
    for path in lists:
        assert "limit" in message(admin.get(f"{path}?limit=0"), 400), path


def test_cursors_that_nobody_gave_out_are_refused(admin: httpx.Client, lists: list[str]) -> None:
    for path in lists:
        for cursor in ("x", "W1sxXSwyXQ", "WyJhIiwgMV0", "W251bGwsICJhIl0"):
            if not path.endswith("/rows"):
                assert "cursor" in message(admin.get(f"{path}?cursor={cursor}"), 400), path


def test_lists_are_searched_by_name(admin: httpx.Client, filled: dict[str, str]) -> None:
    for path, text, field, found in (
        ("/api/models", "TINY", "id", [MODEL]),
        ("/api/pulls", "flan", "model_id", [FLAN]),
        ("/api/model-files", "granite", "model_id", [GRANITE]),
        (f"/api/projects/{filled['project_id']}/members", "admin", "user", ["admin"]),
        ("/api/jobs", "routing (2", "name", ["Routing (2)"]),
    ):
        page = ok(admin.get(path, params={"search": text}))
        assert [item[field] for item in page["items"]] == found, path
        assert page["total"] == len(found)
    made = ok(admin.post("/api/projects", json={"name": "Größe"}), 201)
    ok(admin.delete(f"/api/projects/{made['id']}"), 204)
    assert [item["id"] for item in ok(admin.get("/api/trash?search=größe"))["items"]] == [made["id"]]
    assert {item["noun_id"] for item in ok(admin.get("/api/audit?search=Größe"))["items"]} == {made["id"]}


def test_filters_take_names_for_ids(admin: httpx.Client, filled: dict[str, str]) -> None:
    for query, total in (
        ("runs?experiment=Routing", 3),
        ("runs?dataset=complaints", 3),
        (f"runs?dataset={filled['dataset_id']}", 1),
        (f"runs?model={MODEL}", 3),
        ("prompts?model=smollm2-135m-instruct", 0),
        ("prompts?run=Routing (1)", 0),
        ("deployments?prompt=Routing (1)", 0),
        (f"deployments?model={MODEL}", 3),
        ("audit?user=admin&action=swap", 0),
    ):
        assert ok(admin.get(f"/api/{query}"))["total"] == total, query


def test_filters_that_name_nothing_are_refused(admin: httpx.Client, filled: dict[str, str]) -> None:
    for query, words in (
        ("runs?dataset=moon", "dataset: there is no dataset 'moon'"),
        ("runs?experiment=moon", "experiment: there is no tuning experiment 'moon'"),
        ("runs?model=moon", "There is no foundation model 'moon'"),
        ("prompts?model=moon", "There is no foundation model 'moon'"),
        ("prompts?run=moon", "run: there is no tuning run 'moon'"),
        ("deployments?prompt=moon", "prompt: there is no tuned prompt 'moon'"),
        ("deployments?model=moon", "There is no foundation model 'moon'"),
        ("audit?user=moon", "user: there is no user 'moon'"),
        ("audit?container=moon", "container: there is no project or space 'moon'"),
    ):
        assert words in message(admin.get(f"/api/{query}"), 404), query


def test_what_was_deleted_is_still_found_by_its_id(admin: httpx.Client) -> None:
    dataset = ok(admin.post("/api/datasets", params={"name": unique()}, content=rows()), 201)["id"]
    run = ok(admin.post("/api/runs", json={"experiment": unique(), "model": MODEL, "dataset": dataset}), 201)["id"]
    ok(admin.post(f"/api/runs/{run}/cancel"))
    ok(admin.delete(f"/api/datasets/{dataset}"), 204)
    assert [item["id"] for item in ok(admin.get(f"/api/runs?dataset={dataset}"))["items"]] == [run]


def _all(admin: httpx.Client, following: str | None) -> list[Any]:
    found: list[Any] = []
    while following:
        page = ok(admin.get(following))
        found += page["items"]
        following = page["next"]
    return found
