"""The two ends of the pipe: what the child says about what went wrong, and how the runner hears that it is gone."""

from __future__ import annotations

import errno
import os
import re
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from softprompt.errors import ArtifactError, CheckpointInvalid, DatasetInvalid, OutOfMemory, SoftpromptError
from softprompt.worker.child import Stopped, attempt
from softprompt.worker.local import LocalRunner
from softprompt.worker.runner import TuneTask
from worker.conftest import until


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


TASK = TuneTask(model_id="m", model="/nowhere", device="cpu", name="n", train="/none", out="/none", config={})


@pytest.mark.parametrize(
    ("number", "words"),
    [(signal.SIGKILL, "killed .signal 9.*out of memory"), (signal.SIGSEGV, "ended by signal 11 .Segmentation fault")],
)
def test_a_child_that_is_gone_is_told_and_replaced(fresh: LocalRunner, number: int, words: str) -> None:
    assert fresh._child is not None
    os.kill(fresh._child.process.pid, number)
    (told,) = until(lambda: fresh.messages(0.1))
    assert told["kind"] == "died"
    assert re.search(words, told["message"])
    fresh.start(TASK)
    assert until(lambda: [m for m in fresh.messages(0.1) if m["kind"] == "failed"])[0]["code"] == "model_unavailable"


def test_a_child_does_not_outlive_its_worker(fresh: LocalRunner) -> None:
    """Its input ends when the worker is gone, whatever way."""
    assert fresh._child is not None
    assert fresh._child.process.stdin is not None
    fresh._child.process.stdin.close()
    assert fresh._child.process.wait(60) == 0
