"""The questions of the queue in SQL: which job is next, whose lease ran out, what a run told.

Rows that are going to be changed are locked: by the whole transaction on SQLite, one by one on PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, func, or_, select, text
from sqlalchemy.orm import Session, aliased

from softprompt.storage.tables import Evaluation, RunEvent, TuningRun
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
    """The queued job whose turn it is, not locked.

    Priority, then the project with the least running, then the one that was served longest ago, then age.
    """
    statement = _turn(session, kinds, most_running, at)
    return None if statement is None else session.scalars(statement).first()


def lock_next_job(session: Session, kinds: Collection[str], most_running: int, at: datetime) -> Job | None:
    """The same, held. What is running is counted, so that two claims must not overlap."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text(f"SELECT pg_advisory_xact_lock({_CLAIMS})"))
    statement = _turn(session, kinds, most_running, at)
    if statement is None:
        return None
    held = statement.with_for_update(skip_locked=True).execution_options(populate_existing=True)
    return session.scalars(held).first()


def waiting(session: Session, limit: int | None, *having: ColumnElement[bool]) -> Sequence[Job]:
    """What waits, in the order of priority and age; how fairness between projects turns out only a claim knows."""
    order = (Job.priority.desc(), Job.created_at, Job.id)
    return session.scalars(select(Job).where(Job.state == "queued", *having).order_by(*order).limit(limit)).all()


def running(session: Session, *having: ColumnElement[bool]) -> Sequence[Job]:
    """What is at work, whatever began first in front."""
    return session.scalars(select(Job).where(Job.state == "running", *having).order_by(Job.started_at, Job.id)).all()


def named(words: str) -> ColumnElement[bool]:
    """Whether the run or evaluation of a job has the text in its name."""
    runs, proofs = (
        select(table.id).where(table.name.icontains(words, autoescape=True)) for table in (TuningRun, Evaluation)
    )
    return or_(Job.subject_id.in_(runs), Job.subject_id.in_(proofs))


def any_expired(session: Session, at: datetime) -> bool:
    """Whether the lease of a running job ran out."""
    return session.scalar(_expired(at).with_only_columns(Job.id).limit(1)) is not None


def lock_expired(session: Session, at: datetime) -> Sequence[Job]:
    """Running jobs whose lease ran out, held."""
    return session.scalars(_expired(at).with_for_update(skip_locked=True).order_by(Job.id)).all()


def newest_kind(session: Session, run_id: str) -> str | None:
    """Kind of the last event of a run."""
    return session.scalar(select(RunEvent.kind).where(RunEvent.run_id == run_id).order_by(RunEvent.id.desc()).limit(1))


def events_after(session: Session, run_id: str, last_id: int, limit: int) -> Sequence[RunEvent]:
    wanted = select(RunEvent).where(RunEvent.run_id == run_id, RunEvent.id > last_id)
    return session.scalars(wanted.order_by(RunEvent.id).limit(limit)).all()


_TOLD = (RunEvent.id, RunEvent.at, RunEvent.kind, RunEvent.data)


def told_after(
    session: Session, run_id: str, last_id: int, limit: int, kinds: Collection[str] = (), every: int = 1
) -> Sequence[tuple[int, datetime, str, dict[str, Any]]]:
    """Columns instead of rows: a followed run is looked at many times a second, a long one has thousands of them."""
    wanted = select(*_TOLD).where(RunEvent.run_id == run_id, RunEvent.id > last_id)
    if kinds:
        wanted = wanted.where(RunEvent.kind.in_(list(kinds)))
    if every > 1:
        wanted = wanted.where(RunEvent.id % every == 0)
    return [tuple(each) for each in session.execute(wanted.order_by(RunEvent.id).limit(limit))]


def newest_told(
    session: Session, run_id: str, kinds: Collection[str], limit: int
) -> Sequence[tuple[int, datetime, str, dict[str, Any]]]:
    wanted = select(*_TOLD).where(RunEvent.run_id == run_id, RunEvent.kind.in_(list(kinds)))
    found = session.execute(wanted.order_by(RunEvent.id.desc()).limit(limit)).all()
    return [tuple(each) for each in reversed(found)]


def state_of(session: Session, table: type[TuningRun] | type[Evaluation], key: str) -> str | None:
    return session.scalar(select(table.state).where(table.id == key, table.deleted_at.is_(None)))


def newest_event_id(session: Session, run_id: str) -> int:
    return session.scalar(select(func.max(RunEvent.id)).where(RunEvent.run_id == run_id)) or 0


def _held(statement: Select[Job]) -> Select[Job]:
    return statement.with_for_update().execution_options(populate_existing=True)


def _turn(session: Session, kinds: Collection[str], most_running: int, at: datetime) -> Select[Job] | None:
    """The oldest job of the project whose turn it is; None if there is no such project.

    Two questions: what a project has running, and had last, is asked for each project, not for each of its jobs.
    """
    queued = (Job.state == "queued", Job.kind.in_(list(kinds)), Job.not_before <= at)
    other = aliased(Job)
    theirs = other.project_id == Job.project_id
    running = select(func.count()).where(theirs, other.state == "running").correlate(Job).scalar_subquery()
    served = select(func.max(other.started_at)).where(theirs).correlate(Job).scalar_subquery()
    turns = (
        select(Job.project_id, Job.priority)
        .where(*queued)
        .group_by(Job.project_id, Job.priority)
        .having(running < most_running)
        .order_by(Job.priority.desc(), running, served.nulls_first(), func.min(Job.created_at), Job.project_id)
    )
    turn = session.execute(turns.limit(1)).first()
    if turn is None:
        return None
    its = (Job.project_id == turn.project_id, Job.priority == turn.priority)
    return select(Job).where(*queued, *its).order_by(Job.created_at, Job.id).limit(1)


def _expired(at: datetime) -> Select[Job]:
    return select(Job).where(Job.state == "running", Job.lease_until < at)
