"""A worker process: claims jobs and does them, one after the other, until it is told to stop.

It may die at any instant: its lease runs out and another worker goes on from the newest checkpoint. Never loads torch;
that is the runner's side.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softprompt import logs
from softprompt.config import StudioSettings
from softprompt.errors import SoftpromptError, StorageFull, Unavailable
from softprompt.jobs import workers
from softprompt.jobs.queue import SUBJECTS, Claim, Queue, Timing
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.types import new_id
from softprompt.worker.attempt import UNWRITTEN, Attempt, Ending
from softprompt.worker.finish import Finisher
from softprompt.worker.local import LocalRunner
from softprompt.worker.prepare import Preparer
from softprompt.worker.runner import Runner

log = logging.getLogger(__name__)
_NAMES = {"tune": "run_id", "evaluate": "evaluation_id", "measure": "measurement_id"}
"""What the id of a job's subject is called in the log."""
GLANCE = 0.03
"""Seconds between two looks at whether anything was committed, which cost some microseconds."""
PULSE = 10.0
"""Seconds between two signs of life. Each is a commit, after which web processes read again what they remembered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker works.

    Attributes:
        device: as torch calls it: cpu, cuda, cuda:1.
        poll: seconds between two looks for work; SQLite tells of something new sooner.
        timing: lease and waiting times of the queue.
        kinds: of jobs that it takes.
        once: end after one job.
    """

    studio: StudioSettings
    worker_id: str = field(default_factory=new_id)
    device: str = "cpu"
    poll: float = 0.25
    timing: Timing = field(default_factory=Timing)
    kinds: tuple[str, ...] = tuple(SUBJECTS)
    once: bool = False

    @property
    def scratch(self) -> Path:
        return self.studio.data_dir / "scratch"


def work(settings: WorkerSettings, runner: Runner | None = None, stopping: threading.Event | None = None) -> None:
    """Work until SIGTERM or SIGINT (or `stopping`); the job at hand is then put back with a checkpoint.

    Args:
        runner: who does the tasks; a child process on this machine if not given.
    """
    stopping = stopping or threading.Event()
    own = runner is None
    runner = runner or LocalRunner()
    with _told_to_stop(stopping):
        worker = _Worker(settings, runner, stopping)
        try:
            worker.run()
        finally:
            if own:
                runner.close()
            worker.database.close()


class _Worker:
    """One worker process."""

    def __init__(self, settings: WorkerSettings, runner: Runner, stopping: threading.Event) -> None:
        studio = settings.studio
        self.settings, self.runner, self.stopping = settings, runner, stopping
        self.database = Database(studio.database_url)
        self.queue = Queue(self.database, studio.limits, settings.timing)
        store = ArtifactStore(studio.storage_url, studio.data_dir / "cache")
        self.preparer = Preparer(self.database, store, settings.scratch, settings.device)
        self.finisher = Finisher(self.queue, store, studio.limits, socket.gethostname(), settings.device)
        self._job_id: str | None = None
        self._pulsed = float("-inf")
        self._away = float("-inf")

    def run(self) -> None:
        self.runner.warm()
        if not self._until_there(self._arrive):
            return
        log.info("Worker %s waits for work on %s.", self.settings.worker_id, self.settings.device)
        while not self.stopping.is_set():
            mark = self.database.mark()
            claim = self._claim()
            if claim is not None:
                self._do(claim)
                if self.settings.once:
                    break
            else:
                self.runner.warm()
                self._rest(mark)
        self._try(lambda rows: workers.leave(rows, self.settings.worker_id))

    def _arrive(self) -> None:
        self.database.upgrade()
        host, device = socket.gethostname(), self.settings.device
        with self.database.write() as session:
            workers.arrive(Rows(session), self.settings.worker_id, host=host, pid=os.getpid(), device=device)
        self.preparer.tidy()

    def _claim(self) -> Claim | None:
        self._pulse()
        try:
            return self.queue.claim(self.settings.worker_id, self.settings.kinds)
        except (Unavailable, StorageFull) as error:
            self._lost(error)
            return None

    def _rest(self, mark: int | None) -> None:
        """Until the next look for work: sooner if somebody has committed since the mark was taken."""
        ends = time.monotonic() + self.settings.poll
        while (left := ends - time.monotonic()) > 0 and not self.stopping.wait(min(left, GLANCE)):
            if self.database.mark() != mark:
                return

    def _do(self, claim: Claim) -> None:
        self._job_id, self._pulsed = claim.job_id, float("-inf")
        attempt = Attempt(
            self.queue,
            self.preparer,
            self.finisher,
            self.runner,
            claim,
            stopping=self.stopping,
            pulse=self._pulse,
            patience=self.settings.studio.limits.silent_seconds,
        )
        began = time.monotonic()
        with logs.bound(**{_NAMES[claim.kind]: claim.subject_id}, job_id=claim.job_id, attempt=claim.attempt):
            log.info("Claimed: %s, attempt %d.", claim.kind, claim.attempt)
            try:
                ending = attempt.run()
            except Exception as error:  # a mistake of ours must not end the worker
                log.exception("Job %s broke off.", claim.job_id)
                self.runner.close()
                ending = self._broke_off(claim, error)
            _note(claim, ending, time.monotonic() - began)
        self._job_id, self._pulsed = None, float("-inf")

    def _broke_off(self, claim: Claim, error: Exception) -> Ending:
        """Put a job back that could not even fail properly; if that cannot be written, its lease runs out."""
        words = f"{type(error).__name__}: {error}. This is a mistake in Softprompt; the worker's log has the details."
        state: str = UNWRITTEN
        with suppress(SoftpromptError):
            state = self.queue.fail(claim, "error", words, retry=True)
        return Ending(state, "error", words)

    def _pulse(self) -> None:
        """Signs of life, and jobs of workers that give none any more."""
        if time.monotonic() < self._pulsed + PULSE:
            return
        self._pulsed = time.monotonic()
        self._try(lambda rows: workers.pulse(rows, self.settings.worker_id, self._job_id))
        # After an outage everybody's lease has run out; those who live need time to say so.
        if time.monotonic() > self._away + self.settings.timing.lease:
            try:
                self.queue.sweep()
            except (Unavailable, StorageFull) as error:
                self._lost(error)

    def _try(self, change: Callable[[Rows], Any]) -> None:
        try:
            with self.database.write() as session:
                change(Rows(session))
        except (Unavailable, StorageFull) as error:
            self._lost(error)

    def _until_there(self, begin: Callable[[], None]) -> bool:
        """Begin as soon as the database answers; False if the worker has to end before."""
        while not self.stopping.is_set():
            try:
                begin()
                return True
            except (Unavailable, StorageFull) as error:
                self._lost(error)
                self.stopping.wait(1.0)
        return False

    def _lost(self, error: Exception) -> None:
        log.warning("%s", error)
        self._away = time.monotonic()


def _note(claim: Claim, ending: Ending, seconds: float) -> None:
    """The last line about an attempt."""
    why = f" ({ending.message or ending.cause})" if ending.cause else ""
    log.log(
        logging.WARNING if ending.message else logging.INFO,
        "Ended: %s, %s after %.1f s%s.",
        claim.kind,
        ending.state,
        seconds,
        why,
        extra={"fields": {"state": ending.state, "cause": ending.cause or None, "seconds": round(seconds, 1)}},
    )


@contextmanager
def _told_to_stop(stopping: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set `stopping`, where this thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT)

    def stop(*_: object) -> None:
        # In a thread: this one may be inside of `wait`, holding the lock that `set` needs.
        threading.Thread(target=stopping.set).start()

    before = [signal.signal(number, stop) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
