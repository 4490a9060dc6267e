"""Counts of deployments in SQL: added to, summed up over a span, made coarser when they are old.

A duration is stored as its class, four to each doubling of a millisecond: percentiles are right to 9 %, and counts of
any number of processes and minutes simply add up.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import delete, extract, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from softprompt.storage.tables import DeploymentUsage

NO_ANSWER = -1
"""The class of requests that got none."""
_STEPS = 4
_COUNTS = ("requests", "errors", "input_tokens", "virtual_tokens", "generated_tokens")
_BATCH = 100
"""Rows of one statement; SQLite takes 32,766 values in one."""


@dataclass(frozen=True, slots=True)
class Counted:
    """Numbers of one deployment, one begin and one class of durations."""

    deployment_id: str
    at: datetime
    latency: int
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    virtual_tokens: int = 0
    generated_tokens: int = 0


def latency_class(seconds: float) -> int:
    return max(0, math.floor(_STEPS * math.log2(max(seconds * 1000, 1.0))))


def bounds(latency: int) -> tuple[float, float]:
    """Shortest and longest duration of a class, in seconds."""
    return 2 ** (latency / _STEPS) / 1000, 2 ** ((latency + 1) / _STEPS) / 1000


def add(session: Session, counted: Iterable[Counted]) -> None:
    """Add to what is there. In the order of the key, so that two that write at once never wait for each other."""
    rows = sorted(counted, key=lambda c: (c.deployment_id, c.at, c.latency))
    insert: Any = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    for start in range(0, len(rows), _BATCH):
        values = [{name: getattr(row, name) for name in row.__slots__} for row in rows[start : start + _BATCH]]
        statement = insert(DeploymentUsage).values(values)
        more = {name: getattr(DeploymentUsage, name) + statement.excluded[name] for name in _COUNTS}
        session.execute(statement.on_conflict_do_update(index_elements=["deployment_id", "at", "latency"], set_=more))


def between(session: Session, deployment_id: str, since: datetime, until: datetime) -> list[Counted]:
    """All rows of a deployment in a span, the oldest first."""
    statement = select(*(getattr(DeploymentUsage, name) for name in Counted.__slots__)).where(
        DeploymentUsage.deployment_id == deployment_id, DeploymentUsage.at >= since, DeploymentUsage.at < until
    )
    return [Counted(*row) for row in session.execute(statement.order_by(DeploymentUsage.at))]


def requests_since(session: Session, deployment_ids: Collection[str], since: datetime) -> dict[str, tuple[int, int]]:
    """Requests and errors of each deployment that was asked."""
    statement = (
        select(
            DeploymentUsage.deployment_id,
            func.sum(DeploymentUsage.requests),
            func.sum(DeploymentUsage.errors),
        )
        .where(DeploymentUsage.deployment_id.in_(list(deployment_ids)), DeploymentUsage.at >= since)
        .group_by(DeploymentUsage.deployment_id)
    )
    return {key: (int(requests), int(errors)) for key, requests, errors in session.execute(statement)}


def make_coarser(session: Session, before: datetime, limit: int) -> int:
    """Turn rows of minutes before a moment into rows of hours; how many were looked at, at most `limit`.

    Minutes that begin an hour are rows of that hour already: done again, or by two at once, it changes nothing more.
    """
    moments = session.scalars(
        select(DeploymentUsage.at).where(DeploymentUsage.at < before, extract("minute", DeploymentUsage.at) != 0)
        .distinct().order_by(DeploymentUsage.at).limit(limit)
    ).all()  # fmt: skip
    if not moments:
        return 0
    gone = session.execute(
        delete(DeploymentUsage)
        .where(DeploymentUsage.at.in_(moments))
        .returning(DeploymentUsage.deployment_id, DeploymentUsage.at, DeploymentUsage.latency,
                   *(getattr(DeploymentUsage, name) for name in _COUNTS))
    ).all()  # fmt: skip
    hours: dict[tuple[str, datetime, int], list[int]] = {}
    for key, at, latency, *numbers in gone:
        hour = at.replace(minute=0, second=0, microsecond=0)
        sums = hours.setdefault((key, hour, latency), [0] * len(_COUNTS))
        hours[key, hour, latency] = [a + b for a, b in zip(sums, numbers, strict=True)]
    add(session, [Counted(*place, *numbers) for place, numbers in hours.items()])
    return len(gone)


def remove_before(session: Session, moment: datetime) -> int:
    return cast(CursorResult[Any], session.execute(delete(DeploymentUsage).where(DeploymentUsage.at < moment))).rowcount
