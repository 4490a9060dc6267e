"""What came out: figures, costs and answers of runs, one alone and several side by side; as JSON and as tables."""

from __future__ import annotations

import csv
import io

import httpx
import pytest

from api.pages.run_seed import Seed
from softprompt.testing.live import LiveStudio

from .conftest import message, ok, unique

TABLE = {"accept": "text/csv"}


@pytest.fixture
def seed(studio: LiveStudio) -> Seed:
    return Seed(studio)


def table(answer: httpx.Response) -> list[list[str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer.headers["content-disposition"]
    return list(csv.reader(io.StringIO(answer.text)))


def test_the_outcome_of_a_run(admin: httpx.Client, seed: Seed) -> None:
    run = seed.done(unique())
    found = ok(admin.get(f"/api/runs/{run}/outcome"))
    assert (found["rows"], found["own"], found["problem"]) == (4, 2, "")
    text, readout = found["methods"]
    assert (text["share"], readout["share"], readout["measure"]) == (0.5, 0.75, "exact")
    assert readout["interval"][0] < 0.75 < readout["interval"][1]
    assert set(readout["per_label"]) == {"Service", "Warehouse"}
    assert readout["evaluation_id"] == found["evaluation_id"]
    waiting = seed.run(unique())
    assert "was not measured" in message(admin.get(f"/api/runs/{waiting}/outcome"), 409)


def test_what_a_question_costs(admin: httpx.Client, seed: Seed) -> None:
    run = seed.done(unique())
    found = ok(admin.get(f"/api/runs/{run}/ledger"))
    assert [line["price"] for line in found["lines"]] == [None] * 4
    assert "solved examples 150" in found["saving"]
    priced = ok(admin.get(f"/api/runs/{run}/ledger", params={"input": 2, "generated": 4, "currency": "EUR"}))
    assert (priced["currency"], priced["questions"]) == ("EUR", 1000)
    shots = next(line for line in priced["lines"] if line["way"] == "3-shot")
    assert shots["price"] == pytest.approx((150 * 2 + 6 * 4) * 1000 / 1e6)
    assert "input" in message(admin.get(f"/api/runs/{run}/ledger", params={"input": -1}), 400)
    assert "counted when it is completed" in message(admin.get(f"/api/runs/{seed.run(unique())}/ledger"), 409)


def test_answers_of_an_evaluation(admin: httpx.Client, seed: Seed) -> None:
    proof = ok(admin.get(f"/api/runs/{seed.done(unique())}/outcome"))["evaluation_id"]
    address = f"/api/evaluations/{proof}/answers"
    first = ok(admin.get(address, params={"limit": 3}))
    assert (first["total"], len(first["items"]), len(first["methods"])) == (4, 3, 2)
    assert first["counts"] == {"all": 4, "right": 2, "wrong": 2, "different": 1}
    rest = ok(admin.get(first["next"]))
    assert (rest["items"][0]["number"], rest["next"]) == (4, None)
    wrong = ok(admin.get(address, params={"show": "wrong", "method": 1}))["items"]
    assert [(row["number"], row["right"], row["said"][1]["output"]) for row in wrong] == [(4, "Warehouse", "Service")]
    assert ok(admin.get(address, params={"search": "row 2"}))["total"] == 1
    whole = table(admin.get(address, params={"limit": 1}, headers=TABLE))
    assert whole[0][:3] == ["row", "input", "right answer"]
    assert [line[2] for line in whole[1:]] == ["Service", "Warehouse", "Service", "Warehouse"]
    assert "show" in message(admin.get(address, params={"show": "odd"}), 400)


def test_runs_side_by_side(admin: httpx.Client, seed: Seed) -> None:
    experiment = unique("routing")
    first, second = seed.done(experiment), seed.done(experiment, config={"epochs": 10})
    found = ok(admin.get("/api/comparisons", params={"run": [first, f"{experiment} (2)"]}))
    assert [side["run_id"] for side in found["runs"]] == [first, second]
    assert {"name": "epochs", "values": ["20", "10"]} in found["differing"]
    assert "foundation model" in found["alike"]
    assert [side["methods"][1]["share"] for side in found["runs"]] == [0.75, 0.75]
    assert found["counts"]["datasets"][0]["id"] == seed.data
    assert found["counts"]["labels"][0]["combinations"][0]["others"] == "alone"
    answers = ok(admin.get("/api/comparisons/answers", params={"run": [first, second], "limit": 2}))
    assert answers["methods"] == [f"{experiment} (1)", f"{experiment} (2)"]
    assert answers["counts"]["different"] == 0
    assert ok(admin.get(answers["next"]))["items"][0]["number"] == 3, "the next page is of the same runs"
    assert len(table(admin.get("/api/comparisons/answers", params={"run": [first, second]}, headers=TABLE))) == 5


def test_what_cannot_be_compared_is_told(admin: httpx.Client, seed: Seed) -> None:
    first, waiting = seed.done(unique()), seed.run(unique())
    assert "not measured on the same" in message(admin.get(f"/api/comparisons/answers?run={first}&run={waiting}"), 409)
    assert ok(admin.get(f"/api/comparisons?run={waiting}"))["runs"][0]["methods"] == []
    message(admin.get(f"/api/comparisons?run={first}&run=no-such"), 404)
    assert "run" in message(admin.get("/api/comparisons"), 400)
    assert "run" in message(admin.get("/api/comparisons", params={"run": [first] * 7}), 400)


def test_curves_rows_and_the_log_are_tables_too(admin: httpx.Client, seed: Seed) -> None:
    curve = table(admin.get(f"/api/runs/{seed.done(unique())}/curve", headers=TABLE))
    assert curve[0][:2] == ["update", "loss"]
    assert len(curve) == 81
    rows = table(admin.get(f"/api/datasets/{seed.data}/rows", params={"limit": 1}, headers=TABLE))
    assert rows[0] == ["input", "output"]
    assert len(rows) - 1 == ok(admin.get(f"/api/datasets/{seed.data}"))["rows"]
    name = unique("=1+1")
    ok(admin.post("/api/projects", json={"name": name}), 201)
    log = table(admin.get("/api/audit", params={"noun": "project", "search": name, "limit": 1}, headers=TABLE))
    assert [line[log[0].index("name")] for line in log[1:]] == [f"'{name}"], "no formula for whoever opens it"
