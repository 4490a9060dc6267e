"""What a tuning run tells while it works. Listeners draw, log, count or stop; the loop knows none of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Started:
    """The run begins (or goes on, if `done` is not 0)."""

    updates: int
    done: int
    rows: int
    virtual_tokens: int
    target_tokens: int


@dataclass(frozen=True, slots=True)
class StepDone:
    """One optimizer update.

    Attributes:
        update: number of updates done.
        epoch: running epoch, from 0.
        loss: mean over the update's target tokens, in nats.
        learning_rate: of this update.
        tokens_per_second: prompt and target tokens read, virtual ones not counted.
        eta_seconds: until the last update.
    """

    update: int
    epoch: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    eta_seconds: float


@dataclass(frozen=True, slots=True)
class EpochDone:
    """Every row was seen once more.

    Attributes:
        epoch: from 0.
        loss: mean over the epoch's target tokens.
        validation_loss: the same on the validation rows, None without any.
        metric: of the task on the validation rows (larger is better), None if not measured.
        best: whether this is the best prompt so far.
    """

    epoch: int
    loss: float
    validation_loss: float | None
    metric: float | None
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class ReadoutEpochDone:
    """Every row was seen once more by vectors that are trained through the label readout, behind the text path.

    Attributes:
        epoch: from 0, counted apart from those of the text path.
        loss: mean over the rows, each with its answer's weight.
        metric: share of right answers on held-out rows, None without any.
        best: whether these are the best vectors so far.
        seconds: since the first of these passes began.
    """

    epoch: int
    loss: float
    metric: float | None
    best: bool
    seconds: float


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint is on disk."""

    update: int


@dataclass(frozen=True, slots=True)
class Kept:
    """Beside the checkpoint there is now something else that is done once.

    Attributes:
        what: "states" (of the rows that a readout is fitted on), "passes" (through the readout), "readout", "answers".
    """

    what: str


@dataclass(frozen=True, slots=True)
class Finished:
    """No update of the text path follows."""

    reason: str
    update: int


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence for the person: a choice that was made, and why."""

    text: str


Event = Started | StepDone | EpochDone | ReadoutEpochDone | Saved | Kept | Finished | Note
Listener = Callable[[Event], None]


def as_record(event: Event) -> dict[str, Any]:
    """The event as one flat JSON object, its kind under "event"."""
    return {"event": type(event).__name__, **dataclasses.asdict(event)}


def ignore(_event: Event) -> None:
    """A listener that does nothing."""
