"""The questions of tuning experiments in SQL: how many runs of each state they hold, and which is the newest."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, exists, func, select
from sqlalchemy.orm import Session

from softprompt.storage.tables import TuningExperiment, TuningRun


def counts(session: Session, ids: Collection[str]) -> dict[str, dict[str, int]]:
    """Runs of each experiment by state."""
    wanted = TuningRun.experiment_id.in_(list(ids)), TuningRun.deleted_at.is_(None)
    grouped = (
        select(TuningRun.experiment_id, TuningRun.state, func.count())
        .where(*wanted)
        .group_by(TuningRun.experiment_id, TuningRun.state)
    )
    found: dict[str, dict[str, int]] = {}
    for key, state, number in session.execute(grouped):
        found.setdefault(key, {})[state] = number
    return found


def newest(session: Session, ids: Collection[str], *, state: str | None = None) -> Sequence[TuningRun]:
    """The newest run of each experiment, or the newest one in a state."""
    wanted: list[ColumnElement[bool]] = [TuningRun.experiment_id.in_(list(ids)), TuningRun.deleted_at.is_(None)]
    if state:
        wanted.append(TuningRun.state == state)
    last = (
        select(TuningRun.experiment_id, func.max(TuningRun.number).label("number"))
        .where(*wanted)
        .group_by(TuningRun.experiment_id)
        .subquery()
    )
    joined = (TuningRun.experiment_id == last.c.experiment_id) & (TuningRun.number == last.c.number)
    return session.scalars(select(TuningRun).join(last, joined)).all()


def holds(state: str) -> ColumnElement[bool]:
    """Whether an experiment holds a run in this state."""
    inside = TuningRun.experiment_id == TuningExperiment.id
    return exists().where(inside, TuningRun.state == state, TuningRun.deleted_at.is_(None))
