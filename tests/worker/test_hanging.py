"""Runs whose process hangs: recognised, told, ended, tried again."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from softprompt.config import Limits
from softprompt.storage.rows import Rows
from softprompt.storage.tables import TuningRun
from softprompt.storage.work import Job
from softprompt.worker import local
from softprompt.worker.child import BEAT, Pulse
from softprompt.worker.local import LocalRunner
from softprompt.worker.runner import Message
from studio_fixtures import complaints
from worker import stuck
from worker.conftest import ENDLESS, LONG, Shop, child_of, until

PATIENCE = 3
HUNG = "The run hung: for 3 seconds it told nothing and came no further. Its process was ended."


@pytest.fixture
def errors(tmp_path: Path) -> Path:
    return tmp_path / "errors"


@pytest.fixture
def impatient(shop: Shop, errors: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Workers that give up on a silent run soon, with a child of their own that can be made to hang."""
    monkeypatch.setattr(local, "serve", partial(stuck.serve, errors))
    studio = replace(shop.settings.studio, limits=Limits(silent_seconds=PATIENCE))
    runner = LocalRunner()
    yield replace(shop, settings=replace(shop.settings, studio=studio), runner=runner)
    runner.close()


def disturb(shop: Shop, run_id: str, number: int) -> None:
    """Send the child a signal in the middle of a run."""
    until(lambda: shop.updates(run_id) >= 5)
    os.kill(child_of(shop.runner), number)


def notes(shop: Shop, run_id: str) -> list[str]:
    return [event.data["text"] for event in shop.told(run_id, "Note")]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("number", [signal.SIGALRM, signal.SIGSTOP], ids=["waits for ever", "is frozen"])
def test_a_run_that_hangs_is_ended_told_and_goes_on_as_if_nothing_had_been(
    impatient: Shop, undisturbed: bytes, number: int
) -> None:
    run_id = impatient.lab.run(impatient.lab.dataset(complaints(64)), config=LONG)
    with impatient.working():
        disturb(impatient, run_id, number)
        until(lambda: impatient.state(run_id) == "completed")
    told = notes(impatient, run_id)
    assert HUNG in told
    assert any("goes on from the checkpoint" in note for note in told)
    waited = [event.data for event in impatient.told(run_id, "state") if event.data["state"] == "queued"]
    assert [each["problem"] for each in waited] == [{"code": "run_hung", "message": HUNG}]
    assert impatient.vectors(run_id) == undisturbed


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_after_the_last_attempt_it_has_failed(impatient: Shop, errors: Path) -> None:
    run_id = impatient.lab.run(impatient.lab.dataset(complaints(64)), config=ENDLESS)
    with impatient.lab.database.write() as session:
        Rows(session).change(Job, {"most_attempts": 1}, subject_id=run_id)
    with impatient.working():
        disturb(impatient, run_id, signal.SIGALRM)
        until(lambda: impatient.state(run_id) == "failed")
    run: TuningRun = impatient.lab.get(TuningRun, run_id)
    assert run.problem == {"code": "run_hung", "message": f"{HUNG} It was tried 1 times and is given up."}
    assert "stuck.py" in errors.read_text(encoding="utf-8"), "the log says where it hung"


def test_work_without_a_word_is_no_hanging() -> None:
    told: list[Message] = []
    Pulse(told.append)
    while len(told) < 3:
        json.loads(json.dumps([{"a": list(range(50))}] * 50, indent=1))
    gate = threading.Event()
    gate.wait(2 * BEAT)
    before = len(told)
    gate.wait(3 * BEAT)
    assert len(told) <= before + 1, "one that stands still"
