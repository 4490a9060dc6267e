"""The queue as a page: what runs, what waits and why, and the little that may be changed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx

from softprompt.jobs import workers
from softprompt.storage.tables import TuningRun
from softprompt.storage.types import now
from softprompt.storage.work import Job
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .test_account import words

Post = Callable[..., httpx.Response]


def job(
    studio: LiveStudio, name: str, state: str = "queued", progress: dict[str, Any] | None = None, **values: Any
) -> str:
    """A tuning run with its job; the job's id."""
    with studio.office.unit(SYSTEM) as unit:
        number = unit.rows.count(TuningRun) + 1
        run = TuningRun(
            project_id=studio.project.id, experiment_id="e", number=number, name=name, state=state, model_id="m",
            dataset_id="d", progress=progress or {},
        )  # fmt: skip
        unit.rows.add(run)
        made = Job(kind="tune", subject_id=run.id, project_id=studio.project.id, state=state, **values)
        return unit.rows.add(made).id


def stored(studio: LiveStudio, job_id: str) -> Job:
    with studio.office.unit(SYSTEM, write=False) as unit:
        found = unit.rows.get(Job, job_id)
        assert found is not None
        return found


def test_an_empty_queue_says_so(browser: httpx.Client) -> None:
    shown = words(browser.get("/admin/jobs"))
    for told in ("Nothing is at work.", "Nothing waits.", "No worker is alive.", "None failed"):
        assert told in shown


def test_what_runs_waits_and_failed_is_shown(browser: httpx.Client, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        workers.arrive(unit.rows, "w", host="far.example", pid=4711, device="cuda:0")
    progress = {"update": 30, "updates": 120, "eta_seconds": 61.0}
    lease = {"worker_id": "w", "lease_until": now() + timedelta(seconds=30), "attempts": 2, "started_at": now()}
    running = job(studio, "At work (1)", "running", progress, **lease)
    with studio.office.unit(SYSTEM) as unit:
        workers.pulse(unit.rows, "w", running)
    job(studio, "Late <b> (2)")
    job(studio, "Early (3)", priority=7)
    problem = {"code": "worker_died", "message": "Its worker died once."}
    job(studio, "Again (4)", attempts=1, not_before=now() + timedelta(seconds=90), problem=problem)
    failed = {"code": "loss_not_finite", "message": "The loss became infinite at update 3."}
    job(studio, "Broken (5)", "failed", attempts=1, problem=failed, finished_at=now(), started_at=now())
    page = browser.get("/admin/jobs")
    shown = words(page)
    assert "30 of 120 updates, 1 min 01 s left" in shown
    assert "far.example, process 4711" in shown
    assert "attempt 2 of 5" in shown
    assert shown.index("Early (3)") < shown.index("Late <b> (2)") < shown.index("Again (4)")
    assert "attempt 2 of 5 in 1 min" in shown
    assert "Its worker died once." in shown
    assert "The loss became infinite at update 3. loss_not_finite" in shown
    assert "Late <b>" not in page.text, "names are escaped"
    live = browser.get("/admin/jobs/live")
    assert "At work (1)" in words(live)
    assert "<html" not in live.text


def test_the_turn_of_a_job_is_changed(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    first, second = job(studio, "First (1)"), job(studio, "Second (2)")
    page = post(f"/admin/jobs/{second}/priority", {"priority": "3"}, page="/admin/jobs")
    shown = words(page)
    assert "The order was changed." in shown
    assert shown.index("Second (2)") < shown.index("First (1)")
    for given, told in (("high", "'high' is no whole number"), ("101", "101 is not between -100 and 100")):
        refused = post(f"/admin/jobs/{first}/priority", {"priority": given}, page="/admin/jobs")
        assert (refused.status_code, told in words(refused)) == (400, True)
    assert "There is no job 'nope'" in words(post("/admin/jobs/nope/priority", {"priority": "1"}))


def test_a_job_that_waits_for_its_next_attempt_is_tried_now(post: Post, studio: LiveStudio) -> None:
    waiting = job(studio, "Again (1)", attempts=1, not_before=now() + timedelta(hours=1))
    assert "as soon as a worker is free" in words(post(f"/admin/jobs/{waiting}/retry", page="/admin/jobs"))
    assert stored(studio, waiting).not_before <= now()


def test_jobs_are_canceled(post: Post, studio: LiveStudio) -> None:
    waiting, running = job(studio, "Waits (1)"), job(studio, "Runs (2)", "running", worker_id="w")
    assert "Canceled." in words(post(f"/admin/jobs/{waiting}/cancel", page="/admin/jobs"))
    assert stored(studio, waiting).state == "canceled"
    page = post(f"/admin/jobs/{running}/cancel", page="/admin/jobs")
    assert stored(studio, running).cancel_requested == "cancel"
    assert "is being canceled" in words(page)
    again = post(f"/admin/jobs/{waiting}/cancel", page="/admin/jobs")
    assert (again.status_code, "already completed with state canceled" in words(again)) == (409, True)
    late = post(f"/admin/jobs/{waiting}/priority", {"priority": "1"}, page="/admin/jobs")
    assert "only the turn of one that waits can be changed" in words(late)


def test_those_that_are_over_are_paged(browser: httpx.Client, studio: LiveStudio) -> None:
    for number in range(25):
        job(studio, f"Done {number:02d}", "completed", finished_at=now(), started_at=now())
    page = browser.get("/admin/jobs?state=completed")
    assert "Completed 25" in words(page)
    assert "Older ones" in page.text
    assert "None canceled." in words(browser.get("/admin/jobs?state=canceled"))
    assert browser.get("/admin/jobs?state=lost").status_code == 400
