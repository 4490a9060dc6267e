"""Workers in a thread of the test, sharing one warm child; waiting for what has to happen, with a deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from softprompt import tune
from softprompt.config import StudioSettings
from softprompt.jobs import events
from softprompt.jobs.queue import Timing, request_cancel
from softprompt.params import TuneConfig
from softprompt.storage.rows import Rows
from softprompt.storage.tables import TunedPrompt, TuningRun
from softprompt.worker.local import LocalRunner
from softprompt.worker.process import WorkerSettings, work
from studio_fixtures import SMALL, Lab, complaints, line

PROMPT = "prompt.safetensors"
LONG: dict[str, Any] = {**SMALL, "batch_size": 4, "epochs": 5}
"""80 updates on 64 rows: long enough to be disturbed."""
ENDLESS: dict[str, Any] = {**SMALL, "batch_size": 1, "epochs": 50}


def until(condition: Callable[[], Any], seconds: float = 120.0) -> Any:
    """Wait for something true, and return it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.01)
    raise AssertionError(f"not within {seconds} s")


@pytest.fixture(scope="session")
def runner() -> Iterator[LocalRunner]:
    """A runner whose child has torch and the tiny model loaded after its first task."""
    made = LocalRunner()
    yield made
    made.close()


def child_of(runner: LocalRunner) -> int:
    """The process that works, once it is there."""
    return int(until(lambda: runner._child is not None and runner._child.pid))


@dataclass
class Shop:
    """A studio with workers."""

    lab: Lab
    settings: WorkerSettings
    runner: LocalRunner

    @contextmanager
    def working(self, **changes: Any) -> Iterator[threading.Event]:
        """A worker in a thread; stopped, and waited for, at the end."""
        stopping = threading.Event()
        failures: list[BaseException] = []
        runner = changes.pop("runner", self.runner)
        settings = replace(self.settings, worker_id=f"w-{time.monotonic_ns()}", **changes)

        def run() -> None:
            try:
                work(settings, runner, stopping)
            except BaseException as error:
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield stopping
        finally:
            stopping.set()
            thread.join(60)
        assert not thread.is_alive()
        assert not failures, failures

    def once(self, **changes: Any) -> None:
        """Do one job, here."""
        runner = changes.pop("runner", self.runner)
        settings = replace(self.settings, worker_id=f"w-{time.monotonic_ns()}", once=True, **changes)
        work(settings, runner, threading.Event())

    def state(self, run_id: str, table: Any = TuningRun) -> str:
        return str(self.lab.get(table, run_id).state)

    def told(self, run_id: str, kind: str | None = None) -> list[Any]:
        with self.lab.database.read() as session:
            found = events.after(Rows(session), run_id, limit=100_000)
            return [event for event in found if kind is None or event.kind == kind]

    def updates(self, run_id: str) -> int:
        return int(self.lab.get(TuningRun, run_id).progress.get("update", 0))

    def stored(self) -> list[str]:
        return list(self.lab.store.keys())

    def cancel(self, run_id: str, how: Any = "cancel") -> None:
        with self.lab.database.write() as session:
            request_cancel(Rows(session), subject_id=run_id, how=how)

    def prompt(self, run_id: str) -> TunedPrompt:
        run = self.lab.get(TuningRun, run_id)
        assert run.state == "completed", run.problem
        found = self.lab.get(TunedPrompt, run.tuned_prompt_id)
        assert isinstance(found, TunedPrompt)
        return found

    def vectors(self, run_id: str) -> bytes:
        return (self.lab.store.folder(self.prompt(run_id).key) / PROMPT).read_bytes()


@pytest.fixture
def shop(lab: Lab, studio_settings: StudioSettings, runner: LocalRunner) -> Shop:
    timing = Timing(lease=6.0, backoff=0.0)
    return Shop(lab, WorkerSettings(studio=studio_settings, poll=0.02, timing=timing), runner)


@pytest.fixture(scope="session")
def undisturbed(tiny_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The vectors of `LONG` on 64 rows as the library makes them, in one go."""
    folder = tmp_path_factory.mktemp("undisturbed")
    (folder / "rows").write_text("".join(line(*pair) for pair in complaints(64)), encoding="utf-8")
    tune(folder / "rows", model=tiny_folder(), out=folder / "tuned", config=TuneConfig(**LONG))
    return (folder / "tuned" / PROMPT).read_bytes()
