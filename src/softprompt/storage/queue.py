"""The questions of the queue in SQL: which job is next, whose lease ran out, what a run told.

Rows that are going to be changed are locked: by the whole transaction on SQLite, one by one on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session, aliased

from softprompt.storage.tables import RunEvent
from softprompt.storage.types import now
from softprompt.storage.work import Job

_CLAIMS = 727275
"""Number of PostgreSQL's advisory lock under which jobs are claimed."""


def clock(session: Session) -> datetime:
    """The time that leases are measured by: the database server's, so that machines need not agree on it."""
    if session.get_bind().dialect.name != "postgresql":
        return now()
    moment = session.scalar(select(func.clock_timestamp()))
    assert isinstance(moment, datetime)
    return moment.astimezone(UTC)


def lock_job(session: Session, job_id: str) -> Job | None:
    """The job as it is now, held until the transaction ends."""
    return session.scalars(_held(select(Job).where(Job.id == job_id))).first()


def lock_job_of(session: Session, subject_id: str) -> Job | None:
    """The newest job of a run or evaluation, held until the transaction ends."""
    newest = select(Job.id).where(Job.subject_id == subject_id).order_by(Job.created_at.desc(), Job.id.desc()).limit(1)
    job_id = session.scalar(newest)
    return None if job_id is None else lock_job(session, job_id)


def next_job(session: Session, kinds: Collection[str], most_running: int, at: datetime) -> Job | None:
    """The queued job whose turn it is, not locked: priority, then the project with the least running, then age."""
    return session.scalars(_turn(kinds, most_running, at)).first()


def lock_next_job(session: Session, kinds: Collection[str], most_running: int, at: datetime) -> Job | None:
    """The same, held. What is running is counted, so that two claims must not overlap."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SELECT pg_advisory_xact_lock({_CLAIMS})"))
    statement = _turn(kinds, most_running, at).with_for_update(of=Job, skip_locked=True)
    return session.scalars(statement.execution_options(populate_existing=True)).first()


def any_expired(session: Session, at: datetime) -> bool:
    """Whether the lease of a running job ran out."""
    return session.scalar(_expired(at).with_only_columns(Job.id).limit(1)) is not None


def lock_expired(session: Session, at: datetime) -> Sequence[Job]:
    """Running jobs whose lease ran out, held."""
    return session.scalars(_expired(at).with_for_update(skip_locked=True).order_by(Job.id)).all()


def events_after(session: Session, run_id: str, last_id: int, limit: int) -> Sequence[RunEvent]:
    wanted = select(RunEvent).where(RunEvent.run_id == run_id, RunEvent.id > last_id)
    return session.scalars(wanted.order_by(RunEvent.id).limit(limit)).all()


def newest_event_id(session: Session, run_id: str) -> int:
    return session.scalar(select(func.max(RunEvent.id)).where(RunEvent.run_id == run_id)) or 0


def _held(statement: Select[Job]) -> Select[Job]:
    return statement.with_for_update().execution_options(populate_existing=True)


def _turn(kinds: Collection[str], most_running: int, at: datetime) -> Select[Job]:
    other = aliased(Job)
    running = (
        select(func.count())
        .where(other.project_id == Job.project_id, other.state == "running")
        .correlate(Job)
        .scalar_subquery()
    )
    waiting = select(Job).where(Job.state == "queued", Job.kind.in_(list(kinds)), Job.not_before <= at)
    order = (Job.priority.desc(), running, Job.created_at, Job.id)
    return waiting.where(running < most_running).order_by(*order).limit(1)


def _expired(at: datetime) -> Select[Job]:
    return select(Job).where(Job.state == "running", Job.lease_until < at)
