"""The queue as those see it who keep the studio: what runs and who holds it, what waits, what failed and why; and the
little they may change. How jobs move stands in `jobs`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from softprompt.errors import NotFound, ParameterInvalid, VersionMismatch, WrongState
from softprompt.jobs import workers
from softprompt.jobs.queue import request_cancel
from softprompt.jobs.states import OVER
from softprompt.storage import queue as stored
from softprompt.storage.rows import Page
from softprompt.storage.tables import Evaluation, Project, TuningRun
from softprompt.storage.types import now
from softprompt.storage.work import Job, WorkerRow
from softprompt.studio.access import Unit

MOST_PRIORITY = 100
STATES = ("queued", "running", "completed", "failed", "canceled")
SHOWN = 100
"""Jobs of a list that is not paged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A job with the names of what it belongs to.

    Attributes:
        kind: "tune" or "evaluate".
        name: of the tuning run or evaluation.
        holder: the worker that has the lease.
        progress: of a tuning run, as `TuningRun.progress`.
    """

    id: str
    kind: str
    subject_id: str
    name: str
    project: str
    state: str
    priority: int
    attempts: int
    most_attempts: int
    not_before: datetime
    lease_until: datetime | None
    cancel_requested: str | None
    problem: dict[str, Any] | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    holder: WorkerRow | None
    progress: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """The queue at one moment.

    Attributes:
        waiting: in the order of their turns, the first `SHOWN`.
        counts: jobs by state.
        workers: who lives, with the job each is at.
        at: the moment by the clock that leases are measured by.
    """

    running: Sequence[Seen]
    waiting: Sequence[Seen]
    counts: dict[str, int]
    workers: Sequence[tuple[WorkerRow, Seen | None]]
    at: datetime


def overview(unit: Unit) -> Overview:
    """What runs, what waits, who works."""
    unit.need_studio_admin()
    running = unit.rows.all(Job, state="running", sort="started_at", limit=SHOWN)
    waiting = list(stored.waiting(unit.rows.session, SHOWN))
    named = {each.id: each for each in all_seen(unit, [*running, *waiting])}
    alive = workers.present(unit.rows)
    return Overview(
        running=[named[job.id] for job in running],
        waiting=[named[job.id] for job in waiting],
        counts=counts(unit),
        workers=[(worker, named.get(worker.job_id or "")) for worker in alive],
        at=stored.clock(unit.rows.session),
    )


def counts(unit: Unit) -> dict[str, int]:
    """Jobs by state."""
    return {state: unit.rows.count(Job, state=state) for state in STATES}


def at_hand(unit: Unit, states: Collection[str], *, search: str = "") -> list[Job]:
    """Jobs that run, then those that wait in the order of their turns, with the text in their names."""
    unit.need_studio_admin()
    session, having = unit.rows.session, [stored.named(search)] if search else []
    running = stored.running(session, *having) if "running" in states else ()
    return [*running, *(stored.waiting(session, None, *having) if "queued" in states else ())]


def ended(
    unit: Unit, state: str = "failed", *, search: str = "", limit: int = 20, **paging: Any
) -> tuple[list[Seen], Page[Job]]:
    """Jobs that are over, the newest first."""
    unit.need_studio_admin()
    if state not in OVER:
        raise ParameterInvalid(f"state: {state!r} is not one of {', '.join(sorted(OVER))}.")
    having = [stored.named(search)] if search else []
    page = unit.rows.page(Job, state=str(state), having=having, limit=limit, **paging)
    return all_seen(unit, page.items), page


def set_priority(unit: Unit, job_id: str, priority: int, *, before: Collection[str] | None = None) -> Job:
    """Let a job that waits go earlier (larger) or later; before any fairness between projects.

    Args:
        before: the priority that it was seen to have, or several; None: any will do.
    """
    if not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        raise ParameterInvalid(f"priority: {priority} is not between {-MOST_PRIORITY} and {MOST_PRIORITY}.")
    job = _held(unit, job_id)
    if job.state != "queued":
        raise WrongState(f"This job is {job.state}; only the turn of one that waits can be changed.")
    if before is not None and str(job.priority) not in before:
        raise VersionMismatch(
            f"This job was changed since you read it: its priority is {job.priority} now. Read it again."
        )
    job.priority = priority
    unit.log("set priority", job, priority=priority, name=seen(unit, job).name)
    return job


def retry_now(unit: Unit, job_id: str) -> Job:
    """Do not wait any longer until the next attempt."""
    job = _held(unit, job_id)
    if job.state != "queued":
        raise WrongState(f"This job is {job.state}; only one that waits can be tried now.")
    job.not_before = stored.clock(unit.rows.session)
    unit.log("retry now", job, name=seen(unit, job).name)
    return job


def cancel(unit: Unit, job_id: str) -> Job:
    """End a job: what waits at once, what runs as soon as its worker hears of it."""
    job = _held(unit, job_id)
    request_cancel(unit.rows, subject_id=job.subject_id)
    unit.log("cancel", job, name=seen(unit, job).name)
    return job


def seen(unit: Unit, job: Job) -> Seen:
    """One job with its names."""
    return all_seen(unit, [job])[0]


def _held(unit: Unit, job_id: str) -> Job:
    """By its id, or the newest one of the run or evaluation with this id."""
    unit.need_studio_admin()
    session = unit.rows.session
    job = stored.lock_job(session, job_id) or stored.lock_job_of(session, job_id)
    if job is None:
        raise NotFound(f"There is no job {job_id!r}. The list of jobs shows what there is.")
    return job


def all_seen(unit: Unit, jobs: Iterable[Job]) -> list[Seen]:
    """Jobs with names; a few questions for all of them."""
    jobs = list(jobs)
    ids = [job.subject_id for job in jobs]
    runs = {run.id: run for run in unit.rows.all(TuningRun, id=ids, deleted=True)} if ids else {}
    proofs = {proof.id: proof for proof in unit.rows.all(Evaluation, id=ids, deleted=True)} if ids else {}
    places = {p.id: p.name for p in unit.rows.all(Project, id=list({j.project_id for j in jobs}), deleted=True)}
    holders = {w.id: w for w in unit.rows.all(WorkerRow, id=[j.worker_id for j in jobs if j.worker_id])}
    found = []
    for job in jobs:
        run, proof = runs.get(job.subject_id), proofs.get(job.subject_id)
        subject = run or proof
        found.append(
            Seen(
                id=job.id,
                kind=job.kind,
                subject_id=job.subject_id,
                name=subject.name if subject else job.subject_id,
                project=places.get(job.project_id, ""),
                state=job.state,
                priority=job.priority,
                attempts=job.attempts,
                most_attempts=job.most_attempts,
                not_before=job.not_before,
                lease_until=job.lease_until,
                cancel_requested=job.cancel_requested,
                problem=job.problem,
                created_at=job.created_at,
                started_at=job.started_at,
                finished_at=job.finished_at,
                holder=holders.get(job.worker_id or ""),
                progress=dict(run.progress) if run and run.progress else {},
            )
        )
    return found


def waits_for(seen: Seen, at: datetime | None = None) -> float:
    """Seconds until the next attempt may begin; 0 if it only waits for a worker."""
    return max(0.0, (seen.not_before - (at or now())).total_seconds())
