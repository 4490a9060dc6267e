"""What a plan means before it starts; the curve and the recipe of a run."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from softprompt.jobs import events
from softprompt.storage.tables import TuningRun
from softprompt.storage.work import Measurement
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import MODEL, Clients, message, ok, rows, unique


@pytest.fixture
def plan(admin: httpx.Client) -> dict[str, Any]:
    sent = ok(admin.post("/api/datasets", params={"name": unique()}, content=rows(60)), 201)
    return {"experiment": unique("experiment"), "model": MODEL, "dataset": sent["id"], "validation": {"share": 0.2}}


def test_a_plan_is_looked_at_and_nothing_starts(admin: httpx.Client, plan: dict[str, Any]) -> None:
    before = ok(admin.get("/api/runs"))["total"]
    found = ok(admin.post("/api/runs/check", json={**plan, "config": {"epochs": 4, "batch_size": 8}}))
    assert (found["name"], found["startable"], found["task"]) == (f"{plan['experiment']} (1)", True, "classification")
    assert (found["rows"], found["held_rows"], found["labels"]) == (48, 12, ["Service", "Warehouse"])
    assert found["updates"] == 4 * 6
    assert found["taken"]["virtual_tokens"]["value"]
    assert (found["seconds"], found["measuring"]) == (None, False)
    assert ok(admin.get("/api/runs"))["total"] == before


def test_what_keeps_a_plan_from_starting_is_told(admin: httpx.Client, plan: dict[str, Any]) -> None:
    found = ok(admin.post("/api/runs/check", json={**plan, "model": "no/model"}))
    assert (found["startable"], found["rows"], found["updates"]) == (False, None, None)
    assert any(each["kind"] == "error" and "no/model" in each["text"] for each in found["remarks"])
    assert "is not measured" in message(admin.post("/api/runs/measure", json={**plan, "model": "no/model"}), 400)
    assert "config.epochs" in message(admin.post("/api/runs/check", json={**plan, "config": {"epochs": 99}}), 400)


def test_a_plan_is_measured_once(admin: httpx.Client, studio: LiveStudio, plan: dict[str, Any]) -> None:
    assert [ok(admin.post("/api/runs/measure", json=plan), 202)["measuring"] for _ in range(2)] == [True, True]
    with studio.office.unit(SYSTEM, write=False) as unit:
        assert unit.rows.count(Measurement, dataset_id=plan["dataset"]) == 1


def test_a_curve_is_told_in_numbers_and_in_words(admin: httpx.Client, studio: LiveStudio, plan: dict[str, Any]) -> None:
    run = ok(admin.post("/api/runs", json=plan), 201)["id"]
    assert ok(admin.get(f"/api/runs/{run}/curve"))["update"] == []
    with studio.office.unit(SYSTEM) as unit:
        for update in range(1, 81):
            loss = 2 * 0.93**update + 0.2
            step = {"update": update, "epoch": 0, "loss": loss, "learning_rate": 0.02, "tokens_per_second": 900.0}
            events.tell(unit.rows, run, "StepDone", step)
        row = unit.get(TuningRun, run)
        row.state, row.results = "completed", {"updates": 80}
    found = ok(admin.get(f"/api/runs/{run}/curve"))
    assert (found["update"], found["updates"], found["before"]) == (list(range(1, 81)), 80, 0)
    assert (found["learning_rate"][0], found["tokens_per_second"][0]) == (0.02, 900.0)
    assert found["loss"][0] > found["loss"][-1]
    assert found["verdict"]["kind"] in ("good", "try", "bad")
    assert found["verdict"]["words"]


def test_a_recipe_makes_the_run_again(admin: httpx.Client, plan: dict[str, Any]) -> None:
    run = ok(admin.post("/api/runs", json={**plan, "config": {"epochs": 4}}), 201)
    found = ok(admin.get(f"/api/runs/{run['name']}/recipe"))
    assert (found["recipe"]["name"], found["recipe"]["set"]) == (run["name"], {"epochs": 4})
    assert found["recipe"]["data"]["train"]["rows"] == 60
    assert "--epochs 4" in found["command"]
    assert "epochs=4" in found["program"]


def test_readers_look_and_measure_nothing(
    admin: httpx.Client, clients: Clients, studio: LiveStudio, plan: dict[str, Any]
) -> None:
    run = ok(admin.post("/api/runs", json=plan), 201)["id"]
    reader = clients(studio.new_key(unique(), "admin", member="viewer"))
    stranger = clients(studio.new_key(unique(), "admin"))
    assert ok(reader.post("/api/runs/check", json=plan))["rows"] == 48
    assert "it needs the role editor" in message(reader.post("/api/runs/measure", json=plan), 403)
    message(stranger.post("/api/runs/check", json=plan), 404)
    for word in ("curve", "recipe"):
        ok(reader.get(f"/api/runs/{run}/{word}"))
        assert "There is no tuning run" in message(stranger.get(f"/api/runs/{run}/{word}"), 404)
