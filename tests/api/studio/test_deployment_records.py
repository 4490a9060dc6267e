"""Usage and history of a deployment; promoting it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from softprompt.storage.tables import TunedPrompt
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import MODEL, Clients, message, ok, unique


@pytest.fixture
def deployment(admin: httpx.Client) -> dict[str, Any]:
    return dict(ok(admin.post("/api/deployments", json={"model": MODEL, "serving_name": unique("serving")}), 201))


@pytest.fixture
def space(admin: httpx.Client) -> str:
    return str(ok(admin.post("/api/spaces", json={"name": unique("space")}), 201)["id"])


def prompt(studio: LiveStudio) -> str:
    with studio.office.unit(SYSTEM) as unit:
        row = TunedPrompt(project_id=studio.project.id, name=unique("prompt"), model_id=MODEL, key="prompts/none")
        return unit.rows.add(row).id


def test_what_was_asked_is_counted(admin: httpx.Client, deployment: dict[str, Any]) -> None:
    serving = deployment["serving_name"]
    for _ in range(2):
        ok(admin.post("/api/generate", json={"deployment": serving, "input": "Hello you"}))
    message(admin.post("/api/generate", json={"deployment": serving, "input": "!busy"}), 429)
    found = ok(admin.get(f"/api/deployments/{serving}/usage", params={"span": "hour"}))
    whole = found["whole"]
    assert (found["span"], found["step_seconds"], len(found["points"])) == ("hour", 60, 60)
    assert (whole["requests"], whole["errors"], whole["input_tokens"]) == (3, 1, 4)
    assert 0 < whole["p50"] <= whole["p95"]
    assert sum(point["requests"] for point in found["points"]) == 3
    assert ok(admin.get(f"/api/deployments/{serving}/usage"))["span"] == "day"
    assert "span" in message(admin.get(f"/api/deployments/{serving}/usage", params={"span": "year"}), 400)


def test_what_happened_is_told_with_the_way_back(admin: httpx.Client, studio: LiveStudio) -> None:
    first, second = prompt(studio), prompt(studio)
    made = ok(admin.post("/api/deployments", json={"prompt": first, "serving_name": unique("serving")}), 201)
    address = f"/api/deployments/{made['id']}"
    ok(admin.patch(address, json={"prompt": second}))
    ok(admin.patch(address, json={"online": False}))
    found = ok(admin.get(f"{address}/history"))
    assert [each["action"] for each in found["items"]] == ["take offline", "swap", "deploy"]
    assert {each["user"] for each in found["items"]} == {"admin"}
    assert found["items"][1]["data"]["to"]["id"] == second
    assert [(each["id"], each["there"]) for each in found["earlier_prompts"]] == [(first, True)]


def test_a_deployment_is_promoted_with_a_name_or_with_its_own(
    admin: httpx.Client, deployment: dict[str, Any], space: str
) -> None:
    address, headers = f"/api/deployments/{deployment['serving_name']}/promote", {"idempotency-key": unique()}
    body = {"space": space, "serving_name": unique("serving")}
    made = ok(admin.post(address, json=body, headers=headers), 201)
    assert (made["space_id"], made["serving_name"], made["model_id"]) == (space, body["serving_name"], MODEL)
    assert ok(admin.post(address, json=body, headers=headers), 201) == made
    moved = ok(admin.post(address, json={"space": space, "move_name": True}), 201)
    assert moved["serving_name"] == deployment["serving_name"]
    assert ok(admin.get(f"/api/deployments/{deployment['id']}"))["serving_name"] is None
    assert "not both" in message(admin.post(address, json={**body, "move_name": True}), 400)
    assert "is in space" in message(admin.post(address, json={"space": space}), 400)
    assert "There is no space" in message(admin.post(address, json={"space": "nowhere"}), 404)


def test_readers_look_and_strangers_see_nothing(
    admin: httpx.Client, clients: Clients, studio: LiveStudio, deployment: dict[str, Any], space: str
) -> None:
    reader = clients(studio.new_key(unique(), "admin", member="viewer"))
    stranger = clients(studio.new_key(unique(), "admin"))
    address = f"/api/deployments/{deployment['id']}"
    for word in ("usage", "history"):
        ok(reader.get(f"{address}/{word}"))
        assert "There is no deployment" in message(stranger.get(f"{address}/{word}"), 404)
    assert "it needs the role editor" in message(reader.post(f"{address}/promote", json={"space": space}), 403)


def test_a_swap_asks_first(admin: httpx.Client, studio: LiveStudio, deployment: dict[str, Any]) -> None:
    first, second = prompt(studio), prompt(studio)
    made = ok(admin.post("/api/deployments", json={"prompt": first, "serving_name": unique("serving")}), 201)
    address = f"/api/deployments/{made['serving_name']}"
    asked = len(studio.backend.works)  # type: ignore[attr-defined]
    answer = admin.post(f"{address}/swap", json={"prompt": second})
    assert ok(answer)["tuned_prompt_id"] == second
    assert len(studio.backend.works) == asked + 1  # type: ignore[attr-defined]
    assert answer.headers["etag"] == f'"{made["revision"] + 1}"'
    stale = admin.post(f"{address}/swap", json={"prompt": first}, headers={"if-match": '"1"'})
    message(stale, 412)
    assert len(studio.backend.works) == asked + 1, "nobody is asked for what is refused"  # type: ignore[attr-defined]
    message(admin.post(f"{address}/swap", json={"prompt": "no-such"}), 404)
    assert ok(admin.get(address))["tuned_prompt_id"] == second


def test_a_prompt_that_does_not_answer_is_not_swapped_in(
    admin: httpx.Client, studio: LiveStudio, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = prompt(studio), prompt(studio)
    made = ok(admin.post("/api/deployments", json={"prompt": first, "serving_name": unique("serving")}), 201)
    monkeypatch.setattr("softprompt.studio.snippets.SAMPLE", "!busy")
    address = f"/api/deployments/{made['id']}"
    message(admin.post(f"{address}/swap", json={"prompt": second}), 429)
    assert ok(admin.get(address))["tuned_prompt_id"] == first
    ok(admin.patch(address, json={"online": False}))
    assert ok(admin.post(f"{address}/swap", json={"prompt": second}))["tuned_prompt_id"] == second, "nobody is asked"


def test_whether_a_serving_name_can_be_had(admin: httpx.Client, deployment: dict[str, Any]) -> None:
    taken = deployment["serving_name"]
    found = ok(admin.get("/api/serving-names", params={"name": taken}))
    assert (found["free"], found["suggested"] != taken) == (False, True)
    assert "in use" in found["problem"]
    assert ok(admin.get("/api/serving-names", params={"name": found["suggested"]}))["free"]
    assert ok(admin.get("/api/serving-names", params={"name": taken, "own": deployment["id"]}))["free"]
    bad = ok(admin.get("/api/serving-names", params={"name": "Größe (1)"}))
    assert (bad["free"], bad["suggested"]) == (False, "groe_1")


def test_whether_a_space_can_serve(admin: httpx.Client, space: str) -> None:
    found = ok(admin.get(f"/api/spaces/{space}/readiness"))
    assert found == {"ready": True, "message": "The space is ready.", "waits_for": ""}
    message(admin.get("/api/spaces/no-such/readiness"), 404)
