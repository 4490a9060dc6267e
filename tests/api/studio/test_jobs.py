"""The queue: what runs, waits and is over; another turn, another try."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
import pytest

from softprompt.jobs import workers
from softprompt.storage.tables import TuningRun
from softprompt.storage.types import now
from softprompt.storage.work import Job
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import Clients, message, ok, unique


def put_job(studio: LiveStudio, state: str = "queued", **values: Any) -> tuple[str, str]:
    """A tuning run with its job; the ids of both."""
    with studio.office.unit(SYSTEM) as unit:
        number = unit.rows.count(TuningRun) + 1
        run = TuningRun(
            project_id=studio.project.id, experiment_id="e", number=number, name=f"Run ({number})", state=state,
            model_id="m", dataset_id="d", progress={"update": 3},
        )  # fmt: skip
        unit.rows.add(run)
        job = unit.rows.add(Job(kind="tune", subject_id=run.id, project_id=studio.project.id, state=state, **values))
        return run.id, job.id


@pytest.fixture(autouse=True)
def empty(studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        unit.rows.remove(Job)


def test_what_runs_and_waits_is_listed_in_turn(admin: httpx.Client, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        workers.arrive(unit.rows, "w", host="far.example", pid=4711, device="cuda:0")
    waits, first = put_job(studio)[1], put_job(studio, priority=7)[1]
    running = put_job(studio, "running", worker_id="w", attempts=1)[1]
    page = ok(admin.get("/api/jobs"))
    assert [job["id"] for job in page["items"]] == [running, first, waits]
    assert page["items"][0]["worker"] == {"id": "w", "host": "far.example", "pid": 4711, "device": "cuda:0"}
    assert page["items"][0]["progress"] == {"update": 3}
    assert page["items"][1]["worker"] is None
    assert (page["total"], page["counts"]["queued"]) == (3, 2)
    assert [job["id"] for job in ok(admin.get("/api/jobs?state=queued&limit=1"))["items"]] == [first]
    assert "state" in message(admin.get("/api/jobs?state=lost"), 400)


def test_what_is_over_is_paged(admin: httpx.Client, studio: LiveStudio) -> None:
    problem = {"code": "loss_not_finite", "message": "The loss became infinite at update 3."}
    made = [put_job(studio, "failed", problem=problem)[1] for _ in range(3)]
    page = ok(admin.get("/api/jobs?state=failed&limit=2"))
    rest = ok(admin.get(page["next"]))
    assert [job["id"] for job in page["items"] + rest["items"]] == made[::-1]
    assert (page["total"], rest["next"], page["items"][0]["problem"]) == (3, None, problem)


def test_the_turn_of_a_run_is_changed_by_its_job_or_by_itself(admin: httpx.Client, studio: LiveStudio) -> None:
    (run, job), (_, other) = put_job(studio), put_job(studio)
    assert ok(admin.patch(f"/api/jobs/{other}", json={"priority": 3}))["priority"] == 3
    changed = ok(admin.patch(f"/api/jobs/{run}", json={"priority": 5}))
    assert (changed["id"], changed["subject_id"], changed["priority"]) == (job, run, 5)
    assert [each["id"] for each in ok(admin.get("/api/jobs"))["items"]] == [job, other]
    assert "priority" in message(admin.patch(f"/api/jobs/{job}", json={"priority": 101}), 400)
    assert "There is no job 'nope'" in message(admin.patch("/api/jobs/nope", json={"priority": 1}), 404)


def test_a_run_that_waits_for_its_next_attempt_is_tried_now(admin: httpx.Client, studio: LiveStudio) -> None:
    run, job = put_job(studio, attempts=1, not_before=now() + timedelta(hours=1))
    later = ok(admin.get("/api/jobs"))["items"][0]["not_before"]
    assert ok(admin.post(f"/api/jobs/{run}/retry"))["not_before"] < later
    assert ok(admin.post(f"/api/jobs/{job}/cancel"))["state"] == "canceled"
    assert "only one that waits can be tried now" in message(admin.post(f"/api/jobs/{job}/retry"), 409)
    assert "can be changed" in message(admin.patch(f"/api/jobs/{job}", json={"priority": 1}), 409)
    assert "already completed with state canceled" in message(admin.post(f"/api/jobs/{run}/cancel"), 409)


def test_the_queue_is_for_admins_of_the_studio(clients: Clients, studio: LiveStudio) -> None:
    run, job = put_job(studio)
    member = clients(studio.new_key(unique(), "admin", member="admin"))
    refused = [member.get("/api/jobs"), member.patch(f"/api/jobs/{job}", json={"priority": 1})]
    refused += [member.post(f"/api/jobs/{each}/{word}") for each in (run, job) for word in ("retry", "cancel")]
    for answer in refused:
        assert "an admin of the whole studio" in message(answer, 403)
