"""A durable queue on the studio's database: what waits, who works on it, and what happens when a worker dies.

A job belongs to a noun that has a state of its own (a tuning run, an evaluation); both change in one transaction. A
worker holds a job by a lease that it renews; a fence number that grows with every claim keeps a late worker from
writing. Does not know what a job does.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal, cast

from softprompt.config import Limits
from softprompt.errors import LeaseLost, NotFound
from softprompt.jobs.events import STATE, tell
from softprompt.jobs.states import MOVES, OVER, State, move, refused
from softprompt.storage import queue as stored
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Evaluation, TuningRun
from softprompt.storage.work import Job, Measurement

How = Literal["cancel", "keep"]
Order = Literal["go on", "cancel", "keep"]
Subject = TuningRun | Evaluation | Measurement
Problem = dict[str, Any]

SUBJECTS: dict[str, type[Subject]] = {"tune": TuningRun, "evaluate": Evaluation, "measure": Measurement}
"""The noun behind each kind of job."""
ASKED: dict[How, str] = {
    "cancel": "somebody wants it canceled; its worker hears of it",
    "keep": "somebody wants it to stop here and to keep the best so far; its worker hears of it",
}
"""What is told of a wish until it is fulfilled."""


# --- for those who order work -----------------------------------------------------------------------------------------
def enqueue(rows: Rows, *, kind: str, subject_id: str, project_id: str, priority: int = 0) -> Job:
    """Let a worker do something for a noun, whose row is in state "queued" already.

    Args:
        kind: "tune", "evaluate" or "measure".
        subject_id: of the tuning run, evaluation or measurement.
        priority: larger goes first, before any fairness.
    """
    return rows.add(Job(kind=kind, subject_id=subject_id, project_id=project_id, priority=priority))


def request_cancel(rows: Rows, *, subject_id: str, how: How = "cancel") -> None:
    """End a run or evaluation: what waits is canceled at once, what runs is told to stop.

    Args:
        how: "cancel", or "keep": stop at the next update and keep the best so far. What never ran has nothing to keep.

    Raises:
        WrongState: it is over already.
        NotFound: there is no job for it.
    """
    job = stored.lock_job_of(rows.session, subject_id)
    if job is None:
        raise NotFound(f"There is no job for {subject_id!r}.")
    if job.state in OVER:
        raise refused(job.state, "be canceled")
    if job.state == State.QUEUED and (how == "cancel" or job.started_at is None):
        _to(rows, job, State.CANCELED)
    elif job.cancel_requested != "cancel":  # "keep" cannot call back what was canceled
        if job.cancel_requested != how:
            tell(rows, subject_id, "Note", {"text": ASKED[how]})
        job.cancel_requested = how
    rows.flush()


# --- for those who do it ----------------------------------------------------------------------------------------------
MOST_CLAIMS = 100
"""Claims of a job after which attempts count that ended before its work began: something may be wrong with it yet."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in the hands of one worker.

    Attributes:
        fence: number of the claim; a later one has a larger number.
        attempt: from 1; restarts that were nobody's fault are not counted.
    """

    job_id: str
    kind: str
    subject_id: str
    project_id: str
    worker_id: str
    fence: int
    attempt: int


@dataclass(frozen=True, slots=True)
class Held:
    """A claimed job inside a fenced unit of work."""

    rows: Rows
    job: Job
    subject: Subject | None

    def tell(self, kind: str, data: dict[str, Any]) -> None:
        tell(self.rows, self.job.subject_id, kind, data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Seconds.

    Attributes:
        lease: a worker that is silent for longer is taken for dead.
        backoff: until the second attempt; each further one waits twice as long, at most `longest`.
    """

    lease: float = 15.0
    backoff: float = 2.0
    longest: float = 120.0


@dataclass(slots=True)
class Queue:
    """The queue as workers see it. Every method is a transaction of its own."""

    database: Database
    limits: Limits = field(default_factory=Limits)
    timing: Timing = field(default_factory=Timing)

    def claim(self, worker_id: str, kinds: Collection[str] = tuple(SUBJECTS)) -> Claim | None:
        """Take the job whose turn it is.

        Priority, then the project with the fewest running, then the one that was served longest ago, then age.
        """
        with self.database.read() as session:  # most of the time nothing waits, and nothing has to be locked
            if stored.next_job(session, kinds, self.limits.concurrent_runs, stored.clock(session)) is None:
                return None
        with self.database.write() as session:
            job = stored.lock_next_job(session, kinds, self.limits.concurrent_runs, stored.clock(session))
            if job is None:
                return None
            rows = Rows(session)
            if _orphan(rows, job):
                _to(rows, job, State.CANCELED)
                return None
            job.worker_id = worker_id
            job.fence += 1
            job.attempts += 1
            job.lease_until = stored.clock(session) + timedelta(seconds=self.timing.lease)
            job.problem = None
            _to(rows, job, State.RUNNING)
            return Claim(job.id, job.kind, job.subject_id, job.project_id, worker_id, job.fence, job.attempts)

    def beat(self, claim: Claim) -> Order:
        """Say that the worker lives, and hear what the person wants. Cheap: the lease is written once a third of it.

        Raises:
            LeaseLost: somebody else has the job, or it is over.
        """
        with self.database.read() as session:
            job = _checked(claim, session.get(Job, claim.job_id))
            left = 0.0 if job.lease_until is None else (job.lease_until - stored.clock(session)).total_seconds()
            wish = job.cancel_requested
        if left < self.timing.lease * 2 / 3:
            with self.unit(claim) as held:
                held.job.lease_until = stored.clock(held.rows.session) + timedelta(seconds=self.timing.lease)
        return "cancel" if wish == "cancel" else "keep" if wish == "keep" else "go on"

    @contextmanager
    def unit(self, claim: Claim) -> Iterator[Held]:
        """A writing unit of work that is refused if the claim is not the newest one.

        Raises:
            LeaseLost: nothing of the unit was written.
        """
        with self.database.write() as session:
            job = _checked(claim, stored.lock_job(session, claim.job_id))
            rows = Rows(session)
            yield Held(rows, job, _subject(rows, job))

    def complete(self, claim: Claim, change: Callable[[Held], None] = lambda _held: None) -> State:
        """The job is done; `change` writes the result. A cancel that came before wins, and nothing is written."""
        with self.unit(claim) as held:
            if held.job.cancel_requested == "cancel":
                _to(held.rows, held.job, State.CANCELED)
                return State.CANCELED
            change(held)
            _to(held.rows, held.job, State.COMPLETED)
            return State.COMPLETED

    def cancel(self, claim: Claim) -> State:
        """The worker has stopped, as the person wanted."""
        with self.unit(claim) as held:
            _to(held.rows, held.job, State.CANCELED)
            return State.CANCELED

    def fail(self, claim: Claim, code: str, message: str, *, retry: bool = False, begun: bool = True) -> State:
        """The attempt failed. With `retry` there is another one, later, unless it was the last.

        Args:
            begun: whether the work itself had begun; before, it cannot be what went wrong, and does not count.
        """
        with self.unit(claim) as held:
            return self._again(held.rows, held.job, {"code": code, "message": message}, retry=retry, begun=begun)

    def release(self, claim: Claim, problem: Problem | None = None, delay: float = 0.0) -> State:
        """Put the job back; the attempt does not count."""
        with self.unit(claim) as held:
            held.job.attempts -= 1
            held.job.not_before = stored.clock(held.rows.session) + timedelta(seconds=delay)
            _to(held.rows, held.job, State.QUEUED, problem)
            return State.QUEUED

    def survived(self, claim: Claim) -> None:
        """The claim was lost although its worker lives (the database was away): the attempt does not count."""
        with self.database.write() as session:
            job = stored.lock_job(session, claim.job_id)
            if job is not None and job.state not in OVER and job.attempts > 0:
                job.attempts -= 1

    def sweep(self) -> int:
        """Take jobs from workers that are silent for longer than a lease; how many.

        They wait again. After the last attempt they fail; what was to be canceled is canceled. Attempts that told
        nothing yet do not count.
        """
        with self.database.read() as session:
            if not stored.any_expired(session, stored.clock(session)):
                return 0
        with self.database.write() as session:
            rows, jobs = Rows(session), stored.lock_expired(session, stored.clock(session))
            for job in jobs:
                if job.cancel_requested == "cancel":
                    _to(rows, job, State.CANCELED)
                    continue
                times = "once" if job.attempts == 1 else f"{job.attempts} times"
                words = f"Its worker died {times}; the work so far is kept."
                begun = stored.newest_kind(session, job.subject_id) != STATE
                self._again(rows, job, {"code": "worker_died", "message": words}, retry=True, begun=begun)
            return len(jobs)

    def _again(self, rows: Rows, job: Job, problem: Problem, *, retry: bool, begun: bool) -> State:
        if not begun and job.fence < MOST_CLAIMS:
            job.attempts -= 1
        if retry and job.attempts < job.most_attempts:
            wait = min(self.timing.backoff * 2 ** (job.attempts - 1), self.timing.longest)
            job.not_before = stored.clock(rows.session) + timedelta(seconds=wait)
            _to(rows, job, State.QUEUED, problem)
            return State.QUEUED
        if retry:
            words = f"{problem['message']} It was tried {job.attempts} times and is given up."
            problem = {**problem, "message": words}
        _to(rows, job, State.FAILED, problem)
        return State.FAILED


def _checked(claim: Claim, job: Job | None) -> Job:
    if job is None:
        raise LeaseLost(f"The job of {claim.kind} {claim.subject_id} is gone from the queue.")
    if job.fence != claim.fence or job.state != State.RUNNING:
        raise LeaseLost(
            f"The job of {claim.kind} {claim.subject_id} is {job.state} under claim {job.fence}; this worker had claim "
            f"{claim.fence}. What it still has to say is not written."
        )
    return job


def _subject(rows: Rows, job: Job) -> Subject | None:
    """The noun behind a job as it is now, deleted ones too."""
    table = SUBJECTS.get(job.kind)
    rows.flush()
    found = None if table is None else rows.session.get(table, job.subject_id, populate_existing=True)
    return cast(Subject | None, found)


def _orphan(rows: Rows, job: Job) -> bool:
    """Whether nobody waits for it any more: its noun was deleted, or does not wait."""
    if job.kind not in SUBJECTS:
        return False
    subject = _subject(rows, job)
    return subject is None or getattr(subject, "deleted_at", None) is not None or subject.state != State.QUEUED


def _to(rows: Rows, job: Job, state: State, problem: Problem | None = None) -> None:
    """Move the job, and with it the noun behind it; tell readers."""
    move(job, state)
    job.problem = problem
    if state != State.RUNNING:
        job.worker_id = job.lease_until = None
    subject = _subject(rows, job)
    if subject is not None and state in MOVES[subject.state]:
        move(subject, state)
        subject.problem = problem
        rows.flush()
    tell(rows, job.subject_id, STATE, {"state": state, **({"problem": problem} if problem else {})})
