"""One claimed job from start to end: prepare, run, listen, obey, write the result.

The main loop never waits for a store or a runner, so that the lease is renewed and a cancel is heard whatever happens.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import copy_context
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from softprompt.errors import LeaseLost, SoftpromptError, StorageFull, Unavailable
from softprompt.jobs.queue import Claim, Queue
from softprompt.jobs.states import State
from softprompt.worker.checkpoints import Courier
from softprompt.worker.finish import Finisher, Stored
from softprompt.worker.journal import PATIENCE, Journal
from softprompt.worker.prepare import Prepared, Preparer
from softprompt.worker.runner import LAST, MeasureTask, Message, Runner, Stop, TuneTask

log = logging.getLogger(__name__)
T = TypeVar("T")
TICK = 0.15
"""Seconds between two looks at the database."""
GRACE: dict[Stop, float] = {"cancel": 1.2, "pause": 8.0}
"""Seconds that a task has to stop by itself."""
GONE = 10.0
"""Seconds after which a killed task counts as gone although nobody said so."""
CARRY = 5.0
"""Seconds that the last checkpoint may take to the store."""
STORE_DELAY = 10.0
"""Seconds until a job is tried again whose files cannot be reached."""
UNWRITTEN = "unwritten"


@dataclass(frozen=True, slots=True)
class Ending:
    """How an attempt ended.

    Attributes:
        state: of the job now; "lost" if it is not this worker's any more, `UNWRITTEN` if nobody could be told.
        cause: the code of what went wrong, or how the work was told to stop.
        message: what went wrong.
    """

    state: str
    cause: str = ""
    message: str = ""


class _Over(Exception):
    """The person or the worker wants the job to end before there is anything to stop."""


@dataclass
class Attempt:
    """One claim in the hands of this worker.

    Attributes:
        stopping: set when the worker itself has to end.
        pulse: called many times a second; signs of life that have nothing to do with this job.
        patience: seconds that the task may neither tell anything nor come further.
    """

    queue: Queue
    preparer: Preparer
    finisher: Finisher
    runner: Runner
    claim: Claim
    stopping: threading.Event
    pulse: Callable[[], None]
    patience: float = float("inf")
    _hung: str = ""
    _gone: float = float("inf")
    _wish: Stop | None = None
    _asked: Stop | None = None
    _deadline: float = float("inf")
    _looked: float = 0.0
    _running: bool = False
    _begun: bool = False
    _journal: Journal = field(init=False)

    def run(self) -> Ending:
        """Do the job and write how it ended; if the claim is lost, drop it."""
        self._journal = Journal(self.queue, self.claim)
        try:
            return self._run()
        except LeaseLost as error:
            self._silence()
            self._insist(lambda: self.queue.survived(self.claim))
            return Ending("lost", error.code, str(error))

    def _run(self) -> Ending:
        try:
            prepared = self._meanwhile(lambda: self.preparer.prepare(self.claim), ("cancel", "pause"))
        except _Over:
            return self._stopped()
        except SoftpromptError as error:
            return self._failed_with(error)
        last = self._worked(prepared)
        while not self._journal.flush(at_once=True) and not self.stopping.wait(PATIENCE):
            self._obey()
        if last["kind"] == "done":
            return self._done(prepared, last["result"])
        if self._wish in ("cancel", "pause"):
            return self._stopped()
        if self._hung:
            return self._end_with("run_hung", self._hung, retry=True)
        if last["kind"] == "failed":
            return self._end_with(last["code"], prepared.in_words(last["message"]), retry=last["retry"])
        words = last.get("message", "The run stopped by itself.")
        return self._end_with("worker_died", words, retry=True, begun=self._begun or not last.get("killed"))

    def _worked(self, prepared: Prepared) -> Message:
        """Let the runner do the task; its last message."""
        trouble = self._journal.note
        courier = None
        if not isinstance(prepared.task, MeasureTask):
            store = self.preparer.store
            courier = Courier(store, self.claim.subject_id, self.claim.fence, prepared.out, trouble)
        self._running = True
        self.runner.start(prepared.task)
        try:
            return self._listen(courier, prepared.resumed)
        finally:
            if courier is not None:
                courier.end(0.0 if self._wish == "cancel" else CARRY)

    def _listen(self, courier: Courier | None, resumed: str) -> Message:
        while True:
            for message in self.runner.messages(TICK):
                if message["kind"] in LAST:
                    self._running = False
                    return message
                if not self._begun and resumed:
                    self._journal.note(f"goes on from {resumed}")
                self._begun = True
                self._journal.add(message["event"])
                if courier is not None and message["event"]["event"] in ("Saved", "Kept"):
                    courier.wake()
            self._obey()
            if self._wish != self._asked and self._wish is not None:
                self._asked = self._wish
                self._deadline = time.monotonic() + GRACE.get(self._wish, float("inf"))
                self.runner.stop(self._wish)
            if time.monotonic() > self._deadline:
                self.runner.kill()
                self._deadline = float("inf")
            if not self._hung and self.runner.silent() > self.patience:
                self._give_up()
            if time.monotonic() > self._gone:
                self._running = False
                return {"kind": "died", "message": self._hung}
            self._journal.flush()

    def _give_up(self) -> None:
        """End a task that hangs; another attempt goes on from its checkpoint."""
        minutes = f"{self.patience / 60:.0f} minutes" if self.patience >= 120 else f"{self.patience:.0f} seconds"
        self._hung = f"The run hung: for {minutes} it told nothing and came no further. Its process was ended."
        log.warning("Job %s of %s: %s", self.claim.job_id, self.claim.subject_id, self._hung)
        self._journal.note(self._hung)
        self.runner.kill(trace=True)
        self._gone = time.monotonic() + GONE

    def _obey(self) -> None:
        """Renew the lease and hear what is wanted. A database that is away changes nothing."""
        if time.monotonic() < self._looked + TICK:
            return
        self.pulse()
        try:
            order = self.queue.beat(self.claim)
        except (Unavailable, StorageFull) as error:
            log.warning("Working on without the database: %s", error)
            order = "go on"
        self._looked = time.monotonic()
        if self._wish == "cancel" or order == "cancel" or (order == "keep" and self.claim.kind != "tune"):
            self._wish = "cancel"
        elif self.stopping.is_set():
            self._wish = "pause"
        elif order == "keep":
            self._wish = "keep"

    def _meanwhile(self, work: Callable[[], T], ended_by: tuple[Stop, ...]) -> T:
        """Do something slow in a thread while the lease is renewed.

        Raises:
            _Over: the job has to end; what the thread does then does not matter any more.
        """
        side = _Side(work)
        while not side.done.wait(TICK):
            self._obey()
            if self._wish in ended_by:
                raise _Over
        return side.result()

    # --- the end ------------------------------------------------------------------------------------------------------
    def _done(self, prepared: Prepared, result: dict[str, Any]) -> Ending:
        stored: Stored | None = None
        try:
            if isinstance(prepared.task, TuneTask):
                put = self._meanwhile(lambda: self.finisher.store_prompt(self.claim, prepared.out), ("cancel",))
                stored = put
                state = self._insist(lambda: self.finisher.tuned(self.claim, result, put))
            elif isinstance(prepared.task, MeasureTask):
                state = self._insist(lambda: self.finisher.measured(self.claim, result))
            else:
                state = self._insist(lambda: self.finisher.evaluated(self.claim, result))
        except _Over:
            return self._stopped()
        except SoftpromptError as error:
            if isinstance(error, LeaseLost):
                raise
            return self._failed_with(error)
        if state is not None:
            self._clean(stored if state == State.COMPLETED else None)
        return Ending(state or UNWRITTEN)

    def _stopped(self) -> Ending:
        """As the person or the worker wanted."""
        if self._wish == "cancel":
            state = self._insist(lambda: self.queue.cancel(self.claim))
            self._clean(None)
        else:
            state = self._insist(lambda: self.queue.release(self.claim))
        return Ending(state or UNWRITTEN, str(self._wish))

    def _failed_with(self, error: SoftpromptError) -> Ending:
        if isinstance(error, Unavailable):
            problem = {"code": error.code, "message": str(error)}
            state = self._insist(lambda: self.queue.release(self.claim, problem, STORE_DELAY))
            return Ending(state or UNWRITTEN, error.code, str(error))
        return self._end_with(error.code, str(error), retry=isinstance(error, StorageFull))

    def _end_with(self, code: str, message: str, *, retry: bool, begun: bool = True) -> Ending:
        state = self._insist(lambda: self.queue.fail(self.claim, code, message, retry=retry, begun=begun))
        if state == State.FAILED:
            self._clean(None)
        return Ending(state or UNWRITTEN, code, message)

    def _insist(self, write: Callable[[], T]) -> T | None:
        """Write, however long the database is away; given up only when the worker has to end."""
        while True:
            try:
                return write()
            except (Unavailable, StorageFull) as error:
                log.warning("Trying again: %s", error)
                self.pulse()
            if self.stopping.wait(1.0):
                return None

    def _clean(self, kept: Stored | None) -> None:
        """What is left over is no reason to fail."""
        try:
            self.finisher.clean(self.claim, kept)
            self.preparer.forget(self.claim)
        except (SoftpromptError, OSError) as error:
            log.warning("Not cleaned up after %s: %s", self.claim.subject_id, error)

    def _silence(self) -> None:
        """End the task and hear its last word, so that the next one does not."""
        if self._running:
            self.runner.kill()
        until = time.monotonic() + 5
        while self._running and time.monotonic() < until:
            self._running = not any(message["kind"] in LAST for message in self.runner.messages(TICK))


class _Side(Generic[T]):
    """Work in a thread that nobody has to wait for."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.done = threading.Event()
        self._work = work
        self._result: T | None = None
        self._error: BaseException | None = None
        threading.Thread(target=copy_context().run, args=(self._run,), daemon=True).start()

    def _run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:
            self._error = error
        self.done.set()

    def result(self) -> T:
        if self._error is not None:
            raise self._error
        return self._result  # type: ignore[return-value]
