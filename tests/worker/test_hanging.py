"""Runs whose process hangs: recognised, told, ended, tried again; and processes in reserve."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from softprompt.config import Limits
from softprompt.storage.rows import Rows
from softprompt.storage.tables import TuningRun
from softprompt.storage.work import Job
from softprompt.worker.child import BEAT, Pulse
from softprompt.worker.local import LocalRunner
from softprompt.worker.runner import Message
from studio_fixtures import complaints
from worker.conftest import ENDLESS, LONG, Shop, until

PATIENCE = 3
HUNG = "The run hung: for 3 seconds it told nothing and came no further. Its process was ended."


STUCK = """
import signal, threading
signal.signal(signal.SIGALRM, lambda *_: threading.Event().wait())
"""
"""Runs at the start of a child: from SIGALRM on its main thread waits for ever, wherever it is; the others go on."""


@pytest.fixture
def impatient(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Workers that give up on a silent run soon, with a child of their own that can be made to hang."""
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "sitecustomize.py").write_text(STUCK, encoding="utf-8")
    paths = [str(tmp_path / "start"), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    studio = replace(shop.settings.studio, limits=Limits(silent_seconds=PATIENCE))
    runner = LocalRunner(spare=True)
    yield replace(shop, settings=replace(shop.settings, studio=studio), runner=runner)
    runner.close()


def disturb(shop: Shop, run_id: str, number: int) -> None:
    """Send the child a signal in the middle of a run."""
    until(lambda: shop.updates(run_id) >= 5)
    child = shop.runner._child
    assert child is not None
    os.kill(child.process.pid, number)


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
def test_after_the_last_attempt_it_has_failed(impatient: Shop, capfd: pytest.CaptureFixture[str]) -> None:
    run_id = impatient.lab.run(impatient.lab.dataset(complaints(64)), config=ENDLESS)
    with impatient.lab.database.write() as session:
        Rows(session).change(Job, {"most_attempts": 1}, subject_id=run_id)
    with impatient.working():
        disturb(impatient, run_id, signal.SIGALRM)
        until(lambda: impatient.state(run_id) == "failed")
    run: TuningRun = impatient.lab.get(TuningRun, run_id)
    assert run.problem == {"code": "run_hung", "message": f"{HUNG} It was tried 1 times and is given up."}
    assert "sitecustomize.py" in capfd.readouterr().err, "the log says where it hung"


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


def ready(runner: LocalRunner) -> Any:
    """The child of a runner, once it has loaded its libraries."""
    child = runner._child
    assert child is not None
    assert child.ready.wait(120)
    return child


def test_a_spare_process_takes_the_place_of_one_that_was_killed() -> None:
    runner = LocalRunner(spare=True)
    try:
        runner.warm()
        assert runner._spare is None, "the first one comes first"
        ready(runner)
        runner.warm()
        spare = runner._spare
        assert spare is not None
        assert spare.ready.wait(120)
        runner.kill()
        until(lambda: [m for m in runner.messages(0.1) if m["kind"] == "died"])
        began = time.monotonic()
        runner.warm()
        assert runner._child is spare
        assert time.monotonic() - began < 1.0
        assert runner._spare is not None
        assert runner._spare is not spare
        children = [runner._child, runner._spare]
    finally:
        runner.close()
    assert all(child.process.poll() is not None for child in children), "no process is left"


def test_a_spare_process_that_died_is_replaced() -> None:
    runner = LocalRunner(spare=True)
    try:
        runner.warm()
        ready(runner)
        runner.warm()
        assert runner._spare is not None
        runner._spare.process.kill()
        runner._spare.process.wait()
        lost = runner._spare
        runner.warm()
        assert runner._spare is not None
        assert runner._spare is not lost
    finally:
        runner.close()
