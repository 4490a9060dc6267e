"""What a run told, in the order in which it did. A reader goes on behind the last id it saw.

Kinds: those of the engine under their own names (`Started`, `StepDone`, `EpochDone`, `ReadoutEpochDone`, `Saved`,
`Kept`, `Finished` and `Note`, with the fields of `engine.events`), `state` ({"state", and "problem" if there is one})
whenever the run's state changes, and `Method` ({"name"}) before a method of an evaluation is asked. Evaluations tell
under their own id, too.

Whoever tells holds the lock on the run's job. So ids of one run are committed in their order, and no reader misses one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from softprompt.storage import queue as stored
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Evaluation, RunEvent, TuningRun
from softprompt.storage.types import now

STATE = "state"


@dataclass(frozen=True, slots=True)
class Told:
    """An event as it was written, without the row around it."""

    id: int
    at: datetime
    kind: str
    data: dict[str, Any]


def tell(rows: Rows, run_id: str, kind: str, data: Mapping[str, Any]) -> RunEvent:
    """Write down that something happened."""
    return rows.add(RunEvent(run_id=run_id, at=now(), kind=kind, data=dict(data)))


def tell_all(rows: Rows, run_id: str, told: Sequence[tuple[datetime, str, Mapping[str, Any]]]) -> None:
    """Write down what happened since the last time: moments, kinds, data."""
    rows.session.add_all([RunEvent(run_id=run_id, at=at, kind=kind, data=dict(data)) for at, kind, data in told])
    rows.flush()


def after(rows: Rows, run_id: str, last_id: int = 0, limit: int = 500) -> Sequence[RunEvent]:
    """What was told since event `last_id`, oldest first."""
    return stored.events_after(rows.session, run_id, last_id, limit)


def told_after(
    rows: Rows, run_id: str, last_id: int = 0, limit: int = 500, *, kinds: Collection[str] = (), every: int = 1
) -> list[Told]:
    """The same for many readers and long runs: no rows are kept, and only what is wanted is read.

    Args:
        kinds: all if empty.
        every: about one in so many.
    """
    return [Told(*each) for each in stored.told_after(rows.session, run_id, last_id, limit, kinds, every)]


def newest(rows: Rows, run_id: str, kinds: Collection[str], limit: int) -> list[Told]:
    """The newest events of these kinds, oldest first."""
    return [Told(*each) for each in stored.newest_told(rows.session, run_id, kinds, limit)]


def state_of(rows: Rows, table: type[TuningRun] | type[Evaluation], key: str) -> str | None:
    """The state of a run or evaluation, and nothing else of it; None if it is gone."""
    return stored.state_of(rows.session, table, key)


def newest_id(rows: Rows, run_id: str) -> int:
    """Id of the newest event; 0 without any."""
    return stored.newest_event_id(rows.session, run_id)
