"""The two ends of the pipe: what the child says about what went wrong, and how the runner hears that it is gone."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from softprompt.errors import ArtifactError, CheckpointInvalid, DatasetInvalid, OutOfMemory, SoftpromptError
from softprompt.worker.child import Stopped, attempt
from softprompt.worker.local import LocalRunner
from softprompt.worker.runner import TuneTask
from worker.conftest import child_of, until


class Desk:
    """Does nothing but fail."""

    def __init__(self, error: BaseException) -> None:
        self.error, self.forgot = error, False

    def do(self, _message: dict[str, Any]) -> dict[str, Any]:
        raise self.error

    def forget(self) -> None:
        self.forgot = True


def caused(error: SoftpromptError, cause: BaseException) -> SoftpromptError:
    error.__cause__ = cause
    return error


FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "code", "retry"),
    [
        (DatasetInvalid("row 3"), "dataset_invalid", False),
        (OutOfMemory("16 rows"), "out_of_memory", False),
        (MemoryError(), "out_of_memory", False),
        (caused(ArtifactError("not saved"), FULL), "storage_full", True),
        (caused(CheckpointInvalid("not written"), RuntimeError("File too large (os error 27)")), "storage_full", True),
        (CheckpointInvalid("another run's"), "checkpoint_invalid", False),
        (FULL, "storage_full", True),
        (PermissionError(errno.EACCES, "not yours"), "error", True),
        (KeyError("x"), "error", False),
    ],
)
def test_what_went_wrong_is_told(error: BaseException, code: str, retry: bool) -> None:
    desk = Desk(error)
    told = attempt(desk, {"kind": "tune"})
    assert (told["kind"], told["code"], told["retry"]) == ("failed", code, retry)
    assert told["message"]
    assert desk.forgot == (code == "out_of_memory")


def test_out_of_memory_says_what_to_do() -> None:
    assert "smaller batch" in attempt(Desk(MemoryError()), {})["message"]


def test_a_stop_is_no_failure() -> None:
    assert attempt(Desk(Stopped()), {}) == {"kind": "stopped"}


@pytest.fixture
def fresh() -> Iterator[LocalRunner]:
    made = LocalRunner()
    made.warm()
    yield made
    made.close()


LEFT_ALONE = """
import multiprocessing.forkserver, os, signal
from softprompt.worker.local import LocalRunner
runner = LocalRunner()
runner.warm()
runner._child.ready.wait()
print(runner._child.pid, multiprocessing.forkserver._forkserver._forkserver_pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""

TASK = TuneTask(model_id="m", model="/nowhere", device="cpu", name="n", train="/none", out="/none", config={})


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "killed .signal 9.*out of memory"), (signal.SIGSEGV, "ended by signal 11 .Segmentation fault")],
)
def test_a_child_that_is_gone_is_told_and_replaced(fresh: LocalRunner, number: int, words: str) -> None:
    os.kill(child_of(fresh), number)
    (told,) = until(lambda: fresh.messages(0.1))
    assert told["kind"] == "died"
    assert re.search(words, told["message"])
    fresh.start(TASK)
    assert until(lambda: [m for m in fresh.messages(0.1) if m["kind"] == "failed"])[0]["code"] == "model_unavailable"


FORKED = """
import os, signal, sys, time
from softprompt.worker.local import LocalRunner
from softprompt.worker.runner import TuneTask
runner = LocalRunner()

def until_it_says(kind):
    while True:
        for message in runner.messages(60):
            if message["kind"] == kind:
                return message

def work():
    nothing = dict(train="/none", out="/none", config={})
    runner.start(TuneTask(model_id="m", model="/nowhere", device="cpu", name="n", **nothing))
    until_it_says("failed")
    return runner._child.pid

def parent_of(pid):
    return int(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[1])

first = work()
loaded = parent_of(first)
assert loaded != os.getpid()
runner.kill()
second = work()
assert second != first
assert parent_of(second) == loaded
os.kill(loaded, signal.SIGKILL)
while parent_of(second) == loaded:
    time.sleep(0.01)
assert work() == second, "it goes on alone"
runner.kill()
died = until_it_says("died")
assert "not known" in died["message"], died
assert died["killed"]
assert parent_of(work()) not in (loaded, os.getpid())
runner.close()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="children are forked on Linux only")
def test_children_are_forked_from_one_process_that_has_the_libraries_and_may_die() -> None:
    subprocess.run([sys.executable, "-c", FORKED], check=True)


def test_a_child_that_is_killed_before_it_begins_is_told_at_once(fresh: LocalRunner) -> None:
    until(lambda: fresh._child is not None and fresh._child.pid)
    fresh.kill()
    fresh.warm()
    fresh.kill()
    told = fresh.messages(60)
    assert [(m["kind"], m["killed"]) for m in told][:1] == [("died", True)]


def test_a_child_does_not_outlive_its_worker() -> None:
    """Its line ends when the worker is gone, whatever way."""
    worker = subprocess.run([sys.executable, "-c", LEFT_ALONE], stdout=subprocess.PIPE, check=False)
    assert worker.returncode == -signal.SIGKILL
    pids = [int(word) for word in worker.stdout.split()]
    assert len(pids) == 2
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
