"""Events on their way into the database: gathered, in order, not lost."""

from __future__ import annotations

from typing import Any

import pytest

from softprompt.errors import LeaseLost, Unavailable
from softprompt.jobs import events
from softprompt.jobs.queue import Queue
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import TuningRun
from softprompt.storage.work import Job
from softprompt.worker.journal import Journal
from studio_fixtures import Lab


def step(update: int) -> dict[str, Any]:
    return {"event": "StepDone", "update": update, "epoch": 0, "loss": 1 / update, "eta_seconds": 2.0}


def test_many_events_are_one_write(lab: Lab, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run, queue = lab.run("d"), Queue(database)
    claim = queue.claim("w")
    assert claim
    journal, writes = Journal(queue, claim), []
    write = Database.write
    monkeypatch.setattr(Database, "write", lambda self: (writes.append(1), write(self))[1])
    journal.add({"event": "Started", "updates": 500, "done": 0, "rows": 9})
    for update in range(1, 500):
        journal.add(step(update))
        journal.flush()
    assert journal.flush(at_once=True)
    assert len(writes) <= 4
    with database.read() as session:
        told = events.after(Rows(session), run, limit=1000)
    assert [event.data["update"] for event in told if event.kind == "StepDone"] == list(range(1, 500))
    progress = lab.get(TuningRun, run).progress
    assert (progress["update"], progress["updates"], progress["loss"]) == (499, 500, 1 / 499)


def test_an_outage_delays_events_and_loses_none(lab: Lab, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    run, queue = lab.run("d"), Queue(database)
    claim = queue.claim("w")
    assert claim
    journal = Journal(queue, claim)

    def away(_self: object) -> None:
        raise Unavailable("The database does not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", away)
        for update in range(1, 4):
            journal.add(step(update))
            assert not journal.flush(at_once=True)
    journal.note("back")
    assert journal.flush(at_once=True)
    with database.read() as session:
        told = events.after(Rows(session), run)
    assert [event.kind for event in told] == ["state", "StepDone", "StepDone", "StepDone", "Note"]
    assert [event.at for event in told] == sorted(event.at for event in told)


def test_a_lost_lease_is_not_kept_quiet(lab: Lab, database: Database) -> None:
    lab.run("d")
    queue = Queue(database)
    claim = queue.claim("w")
    assert claim
    journal = Journal(queue, claim)
    journal.note("late")
    queue.complete(claim)
    with pytest.raises(LeaseLost):
        journal.flush(at_once=True)


def test_only_attempts_that_bring_nothing_are_counted(lab: Lab, database: Database) -> None:
    run, queue = lab.run("d"), Queue(database)
    with database.write() as session:
        Rows(session).change(Job, {"attempts": 3}, subject_id=run)
    claim = queue.claim("w")
    assert claim
    assert claim.attempt == 4
    journal = Journal(queue, claim)

    def attempts_after(*told: dict[str, Any]) -> int:
        for event in told:
            journal.add(event)
        assert journal.flush(at_once=True)
        with database.read() as session:
            job = Rows(session).first(Job, subject_id=run)
            assert job
            return job.attempts

    assert attempts_after({"event": "Started", "updates": 50, "done": 7, "rows": 9}, step(8)) == 4
    assert attempts_after({"event": "Saved", "update": 7}) == 4, "as far as the attempt before"
    assert attempts_after({"event": "Saved", "update": 9}) == 1
