"""The queue, one worker at a time: who gets what, leases, fences, retries, cancels. Crowds: `test_queue_crowd`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from softprompt.config import Limits
from softprompt.errors import LeaseLost, NotFound, WrongState
from softprompt.jobs import events
from softprompt.jobs.queue import Claim, Queue, Timing, enqueue, request_cancel
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import TuningRun
from softprompt.storage.types import now
from softprompt.storage.work import Job
from studio_fixtures import Lab

AT_ONCE = Timing(backoff=0.0)
DEAD = Timing(lease=-1.0, backoff=0.0)
"""Of a worker that is silent from the moment it claims."""


@pytest.fixture
def queue(database: Database) -> Queue:
    return Queue(database, timing=AT_ONCE)


@pytest.fixture
def dead(database: Database) -> Queue:
    return Queue(database, timing=DEAD)


def claimed(queue: Queue, worker: str = "w") -> Claim:
    claim = queue.claim(worker)
    assert claim is not None
    return claim


def states(lab: Lab, run_id: str) -> list[str]:
    with lab.database.read() as session:
        return [e.data["state"] for e in events.after(Rows(session), run_id) if e.kind == "state"]


def test_a_job_is_claimed_once_and_its_run_changes_with_it(lab: Lab, queue: Queue) -> None:
    run = lab.run("d")
    claim = claimed(queue)
    assert (claim.subject_id, claim.kind, claim.fence, claim.attempt) == (run, "tune", 1, 1)
    assert queue.claim("other") is None
    assert lab.get(TuningRun, run).state == "running"
    assert queue.beat(claim) == "go on"
    queue.complete(claim, lambda held: held.tell("Note", {"text": "done"}))
    row = lab.get(TuningRun, run)
    assert (row.state, row.problem, row.finished_at is not None) == ("completed", None, True)
    assert states(lab, run) == ["running", "completed"]


def test_only_kinds_that_a_worker_knows(lab: Lab, queue: Queue) -> None:
    lab.run("d")
    assert queue.claim("w", kinds=("evaluate",)) is None
    proof = lab.evaluation("d", ["zero-shot"])
    claim = queue.claim("w", kinds=("evaluate",))
    assert claim is not None
    assert claim.subject_id == proof


def test_priority_then_fairness_then_age(lab: Lab, database: Database) -> None:
    queue = Queue(database, Limits(concurrent_runs=2))
    first, second, third = (lab.run("d") for _ in range(3))
    other = other_run(database)
    urgent = lab.run("d", priority=5)
    assert [claimed(queue).subject_id for _ in range(3)] == [urgent, other, first]
    assert queue.claim("w") is None, "two of the project are running"
    queue.complete(Claim(*_claim_of(database, first)))
    assert claimed(queue).subject_id == second
    assert lab.get(TuningRun, third).state == "queued"


def other_run(database: Database) -> str:
    """Queue a run in another project; its id."""
    with database.write() as session:
        rows = Rows(session)
        known: dict[str, Any] = {"project_id": "p", "experiment_id": "x", "model_id": "m", "dataset_id": "d"}
        run = rows.add(TuningRun(name="x", number=rows.count(TuningRun, experiment_id="x") + 1, **known))
        enqueue(rows, kind="tune", subject_id=run.id, project_id="p")
        return run.id


def test_projects_take_turns_although_one_worker_does_all(lab: Lab, queue: Queue) -> None:
    mine = [lab.run("d") for _ in range(4)]
    others = [other_run(lab.database) for _ in range(2)]
    order = []
    while claim := queue.claim("w"):
        order.append(claim.subject_id)
        queue.complete(claim)
    assert order == [mine[0], others[0], mine[1], others[1], mine[2], mine[3]]


@pytest.mark.parametrize("state", ["queued", "completed"])
def test_a_claim_among_ten_thousand_jobs_is_quick(lab: Lab, queue: Queue, state: str) -> None:
    with lab.database.write() as session:
        session.add_all(
            Job(
                kind="tune",
                subject_id=f"s{i}",
                project_id=f"p{i % 50}",
                state=state,
                started_at=now() if i % 2 else None,
            )
            for i in range(10_000)
        )
    lab.run("d", priority=1)
    queue.claim("w", kinds=("evaluate",))  # connections and plans are made
    began = time.perf_counter()
    assert claimed(queue).project_id == lab.project_id
    assert time.perf_counter() - began < 0.25


def _claim_of(database: Database, subject_id: str) -> tuple[str, str, str, str, str, int, int]:
    with database.read() as session:
        job = Rows(session).first(Job, subject_id=subject_id)
    assert job is not None
    return job.id, job.kind, job.subject_id, job.project_id, job.worker_id or "", job.fence, job.attempts


def speak(queue: Queue, claim: Claim) -> None:
    """The work has begun."""
    with queue.unit(claim) as held:
        held.tell("Note", {"text": "loading"})


def test_a_silent_worker_loses_its_job_and_cannot_write_any_more(lab: Lab, queue: Queue, dead: Queue) -> None:
    run = lab.run("d")
    late = claimed(dead, "late")
    speak(dead, late)
    assert queue.sweep() == 1
    row = lab.get(TuningRun, run)
    assert (row.state, row.problem["code"]) == ("queued", "worker_died")
    assert "Its worker died once" in row.problem["message"]
    new = claimed(queue, "new")
    assert (new.fence, new.attempt) == (2, 2)

    def change(held: object) -> None:
        raise AssertionError("not called")

    attempts: list[Callable[[], object]] = [
        lambda: queue.beat(late),
        lambda: queue.complete(late, change),
        lambda: queue.fail(late, "x", "x"),
        lambda: queue.fail(late, "x", "x", retry=True),
        lambda: queue.release(late),
        lambda: queue.cancel(late),
    ]
    for attempt in attempts:
        with pytest.raises(LeaseLost, match="under claim 2; this worker had claim 1"):
            attempt()
    assert queue.beat(new) == "go on"
    queue.complete(new)
    assert states(lab, run) == ["running", "queued", "running", "completed"]
    assert lab.get(TuningRun, run).problem is None


def test_a_unit_of_a_lost_claim_writes_nothing(lab: Lab, queue: Queue, dead: Queue) -> None:
    run = lab.run("d")
    late = claimed(dead)
    queue.sweep()
    with pytest.raises(LeaseLost), queue.unit(late) as held:
        held.tell("Note", {"text": "late"})
    with lab.database.read() as session:
        assert "Note" not in [event.kind for event in events.after(Rows(session), run)]


def test_a_unit_that_breaks_writes_nothing(lab: Lab, queue: Queue) -> None:
    run = lab.run("d")
    claim = claimed(queue)
    with pytest.raises(ZeroDivisionError):
        queue.complete(claim, lambda held: (held.tell("Note", {"text": "half"}), 1 // 0))  # type: ignore[func-returns-value,arg-type,return-value]
    with lab.database.read() as session:
        assert "Note" not in [event.kind for event in events.after(Rows(session), run)]
    assert states(lab, run) == ["running"]
    assert queue.beat(claim) == "go on"


def test_a_beat_renews_the_lease(lab: Lab, database: Database) -> None:
    lab.run("d")
    short = Queue(database, timing=Timing(lease=0.0))
    claim = claimed(short)
    long = Queue(database, timing=Timing(lease=60.0))
    long.beat(claim)
    assert long.sweep() == 0
    with database.read() as session:
        job = Rows(session).get(Job, claim.job_id)
    assert job is not None
    assert job.lease_until is not None
    assert (job.lease_until - now()).total_seconds() > 50


def test_after_the_last_attempt_a_job_fails_with_its_cause(lab: Lab, queue: Queue, dead: Queue) -> None:
    run = lab.run("d")
    for attempt in range(1, 6):
        claim = claimed(dead)
        assert claim.attempt == attempt
        speak(dead, claim)
        queue.sweep()
    row = lab.get(TuningRun, run)
    assert row.state == "failed"
    assert "Its worker died 5 times" in row.problem["message"]
    assert "It was tried 5 times and is given up." in row.problem["message"]
    assert queue.claim("w") is None


def test_a_retry_waits_longer_each_time(lab: Lab, database: Database) -> None:
    lab.run("d")
    queue = Queue(database, timing=Timing(backoff=8.0, longest=20.0))
    waits = []
    for _ in range(4):
        claim = claimed(queue)
        assert queue.fail(claim, "storage_full", "No room.", retry=True) == "queued"
        assert queue.claim("w") is None, "not before its time"
        with database.write() as session:
            job = Rows(session).get(Job, claim.job_id)
            assert job is not None
            waits.append((job.not_before - now()).total_seconds())
            job.not_before = now()
    assert waits == pytest.approx([8, 16, 20, 20], abs=3)
    assert queue.fail(claimed(queue), "storage_full", "No room.", retry=True) == "failed"


def test_a_failure_without_retry_is_final(lab: Lab, queue: Queue) -> None:
    run = lab.run("d")
    queue.fail(claimed(queue), "dataset_invalid", "Row 3 is broken.")
    row = lab.get(TuningRun, run)
    assert (row.state, row.problem) == ("failed", {"code": "dataset_invalid", "message": "Row 3 is broken."})


def test_what_ends_before_the_work_began_does_not_count(lab: Lab, queue: Queue, dead: Queue) -> None:
    run = lab.run("d")
    for _ in range(7):
        claimed(dead)
        queue.sweep()
        queue.fail(claimed(queue), "worker_died", "It was killed.", retry=True, begun=False)
    assert lab.get(TuningRun, run).problem == {"code": "worker_died", "message": "It was killed."}
    assert claimed(queue).attempt == 1


def test_but_not_for_ever(lab: Lab, queue: Queue, dead: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softprompt.jobs.queue.MOST_CLAIMS", 3)
    run = lab.run("d")
    for _ in range(2 + 5):
        claimed(dead)
        queue.sweep()
    assert lab.get(TuningRun, run).state == "failed"


def test_what_is_put_back_or_survived_does_not_count(lab: Lab, queue: Queue, dead: Queue) -> None:
    lab.run("d")
    for _ in range(7):
        queue.release(claimed(queue))
    for _ in range(7):
        claim = claimed(dead)
        speak(dead, claim)
        queue.sweep()
        queue.survived(claim)
    assert claimed(queue).attempt == 1


def test_a_waiting_run_is_canceled_at_once(lab: Lab, queue: Queue) -> None:
    run = lab.run("d")
    with lab.database.write() as session:
        request_cancel(Rows(session), subject_id=run)
    assert lab.get(TuningRun, run).state == "canceled"
    assert queue.claim("w") is None
    with (
        lab.database.write() as session,
        pytest.raises(WrongState, match="Job already completed with state canceled"),
    ):
        request_cancel(Rows(session), subject_id=run)


def test_keeping_what_never_ran_cancels_it(lab: Lab) -> None:
    run = lab.run("d")
    with lab.database.write() as session:
        request_cancel(Rows(session), subject_id=run, how="keep")
    assert lab.get(TuningRun, run).state == "canceled"


@pytest.mark.parametrize("how", ["cancel", "keep"])
def test_a_running_one_is_told(lab: Lab, queue: Queue, how: str) -> None:
    run = lab.run("d")
    claim = claimed(queue)
    with lab.database.write() as session:
        request_cancel(Rows(session), subject_id=run, how=how)  # type: ignore[arg-type]
    assert queue.beat(claim) == how
    assert lab.get(TuningRun, run).state == "running"
    with lab.database.read() as session:
        words = [event.data["text"] for event in events.after(Rows(session), run) if event.kind == "Note"]
    assert len(words) == 1
    assert words[0].startswith("somebody wants it")


def test_keep_does_not_call_back_a_cancel(lab: Lab, queue: Queue) -> None:
    run = lab.run("d")
    claim = claimed(queue)
    for how in ("keep", "cancel", "keep"):
        with lab.database.write() as session:
            request_cancel(Rows(session), subject_id=run, how=how)  # type: ignore[arg-type]
    assert queue.beat(claim) == "cancel"


def test_a_cancel_wins_over_a_result_that_comes_later(lab: Lab, queue: Queue) -> None:
    run = lab.run("d")
    claim = claimed(queue)
    with lab.database.write() as session:
        request_cancel(Rows(session), subject_id=run)
    assert queue.complete(claim, lambda held: held.tell("Note", {"text": "never"})) == "canceled"
    assert states(lab, run) == ["running", "canceled"]


def test_a_cancel_reaches_a_run_whose_worker_is_dead(lab: Lab, queue: Queue, dead: Queue) -> None:
    run = lab.run("d")
    claimed(dead)
    with lab.database.write() as session:
        request_cancel(Rows(session), subject_id=run)
    queue.sweep()
    assert lab.get(TuningRun, run).state == "canceled"


def test_keep_waits_for_the_next_worker(lab: Lab, queue: Queue, dead: Queue) -> None:
    run = lab.run("d")
    claimed(dead)
    queue.sweep()
    with lab.database.write() as session:
        request_cancel(Rows(session), subject_id=run, how="keep")
    assert queue.beat(claimed(queue)) == "keep"


def test_nothing_to_cancel(database: Database) -> None:
    with database.write() as session, pytest.raises(NotFound, match="no job for 'x'"):
        request_cancel(Rows(session), subject_id="x")


def test_a_job_whose_run_was_deleted_is_dropped(lab: Lab, queue: Queue) -> None:
    gone, stays = lab.run("d"), lab.run("d")
    with lab.database.write() as session:
        Rows(session).change(TuningRun, {"deleted_at": now()}, id=gone)
    found = [queue.claim("w"), queue.claim("w")]
    assert [claim.subject_id for claim in found if claim] == [stays]
    assert lab.get(TuningRun, gone).state == "canceled"
    assert states(lab, gone) == ["canceled"], "those who follow it hear of it"
