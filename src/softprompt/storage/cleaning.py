"""The questions of cleaning up in SQL: what was deleted long ago, which files are still needed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import delete, or_, select
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from softprompt.storage.people import Answered, ApiKey, BrowserSession, Membership, SignInLink
from softprompt.storage.tables import Dataset, Deployment, DeploymentUsage, Evaluation, RunEvent, TunedPrompt, TuningRun
from softprompt.storage.types import Base
from softprompt.storage.work import Job, WorkerRow

_left_key = TuningRun.results["prompt_key"].as_string()


def deleted_before(session: Session, table: type[Base], moment: datetime, limit: int) -> Sequence[str]:
    """Ids of nouns that were hidden before a moment."""
    noun = cast(Any, table)
    return session.scalars(select(noun.id).where(noun.deleted_at < moment).order_by(noun.deleted_at).limit(limit)).all()


def remove_noun(session: Session, table: type[Base], ids: Collection[str]) -> int:
    """Delete rows for good, with what belongs to them alone."""
    wanted = list(ids)
    if table in (TuningRun, Evaluation):
        _remove(session, RunEvent, RunEvent.run_id.in_(wanted))
        _remove(session, Job, Job.subject_id.in_(wanted))
    if table is Deployment:
        _remove(session, DeploymentUsage, DeploymentUsage.deployment_id.in_(wanted))
    if table.__tablename__ in ("projects", "spaces"):
        _remove(session, Membership, Membership.container_id.in_(wanted))
        _remove(session, ApiKey, or_(ApiKey.project_id.in_(wanted), ApiKey.space_id.in_(wanted)))
    return _remove(session, table, cast(Any, table).id.in_(wanted))


def remove_expired(session: Session, at: datetime, answered_before: datetime, silent_before: datetime) -> int:
    """Browser sessions and links that open nothing any more, answers too old to repeat, workers long gone."""
    return (
        _remove(session, BrowserSession, BrowserSession.expires_at < at)
        + _remove(session, SignInLink, or_(SignInLink.expires_at < at, SignInLink.used_at < answered_before))
        + _remove(session, Answered, Answered.created_at < answered_before)
        + _remove(session, WorkerRow, WorkerRow.heartbeat_at < silent_before)
    )


def needed(session: Session, keys: Collection[str]) -> set[str]:
    """Those of the keys of files or folders that a row needs, hidden rows too."""
    wanted = list(keys)
    datasets = session.scalars(select(Dataset.key).where(Dataset.key.in_(wanted)))
    prompts = session.scalars(select(TunedPrompt.key).where(TunedPrompt.key.in_(wanted)))
    # A run whose prompt a person may still make into a noun has nothing but the key.
    waiting = session.scalars(select(_left_key).where(_left_key.in_(wanted)))
    return {key for key in (*datasets, *prompts, *waiting) if key is not None}


def unfinished(session: Session, subject_ids: Collection[str]) -> set[str]:
    """Those of the runs whose job may still need a checkpoint."""
    states = ("queued", "running")
    jobs = select(Job.subject_id).where(Job.subject_id.in_(list(subject_ids)), Job.state.in_(states))
    return set(session.scalars(jobs))


def _remove(session: Session, table: type[Base], condition: Any) -> int:
    return cast(CursorResult[Any], session.execute(delete(table).where(condition))).rowcount
