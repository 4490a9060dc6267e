"""The life of a tuning run, an evaluation and the job behind either: one table of moves, one function to make them."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from softprompt.errors import WrongState
from softprompt.storage.types import now


class State(StrEnum):
    #: Waits for a worker, for the first time or again.
    QUEUED = "queued"
    #: A worker has it.
    RUNNING = "running"
    #: Done, with a result.
    COMPLETED = "completed"
    #: Over without a result; `problem` says why.
    FAILED = "failed"
    #: A person ended it.
    CANCELED = "canceled"


MOVES: dict[str, frozenset[str]] = {
    State.QUEUED: frozenset({State.RUNNING, State.CANCELED}),
    # Back to queued: its worker died, was stopped, or could not finish for want of room.
    State.RUNNING: frozenset({State.COMPLETED, State.FAILED, State.CANCELED, State.QUEUED}),
    State.COMPLETED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELED: frozenset(),
}
OVER = frozenset({State.COMPLETED, State.FAILED, State.CANCELED})


class Moving(Protocol):
    """What has a state: rows of `TuningRun`, `Evaluation` and `Job`."""

    state: str
    started_at: datetime | None
    finished_at: datetime | None


def move(row: Moving, to: str) -> None:
    """Bring a row to another state and note when; refused unless the table has the move.

    Raises:
        WrongState: with the state it is in.
    """
    if to not in MOVES[row.state]:
        raise refused(row.state, f"become {to}")
    row.state = str(to)
    if to == State.RUNNING and row.started_at is None:
        row.started_at = now()
    if to in OVER:
        row.finished_at = now()


def refused(state: str, wish: str) -> WrongState:
    """Why something in this state cannot do that."""
    if state in OVER:
        return WrongState(f"Job already completed with state {state}; it cannot {wish} any more.")
    allowed = ", ".join(sorted(MOVES[state]))
    return WrongState(f"The job is {state}; it cannot {wish}. From here it can become: {allowed}.")
