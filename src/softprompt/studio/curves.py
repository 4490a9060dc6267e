"""The curve of a run out of what it told: loss, learning rate and speed by update, validation by epoch.

An update that was told twice (a run that went on from a checkpoint does some again) counts once, as it was told last.
Long runs are thinned: a curve needs no more points than a screen has.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass, field
from typing import Any

from softprompt.jobs import events
from softprompt.jobs.events import Told
from softprompt.storage.tables import TuningRun
from softprompt.studio.access import Unit

MOST_POINTS = 3000
SMOOTH = 9
"""Updates whose mean is the smoothed curve: one update's loss says little."""
_PAGE = 2000
TOLD = ("state", "Note", "Started", "EpochDone", "ReadoutEpochDone", "Finished", "Method")
"""Kinds of events that are sentences of the log; the others only move the curve."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """The end of an epoch, at the update where it was."""

    number: int
    update: int
    loss: float
    validation: float | None
    metric: float | None
    best: bool


@dataclass(frozen=True, slots=True)
class Curve:
    """What the picture shows.

    Attributes:
        updates: of the whole run.
        last: id of the newest event that was there when this was read; followers go on behind it.
    """

    updates: int
    last: int
    update: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    speed: list[float] = field(default_factory=list)
    epochs: tuple[Epoch, ...] = ()

    @property
    def smoothed(self) -> list[float]:
        return smooth(self.loss)

    @property
    def validation(self) -> list[tuple[int, float]]:
        return [(e.update, e.validation) for e in self.epochs if e.validation is not None]

    def to_dict(self) -> dict[str, Any]:
        """As the page's script reads it."""
        return {
            "updates": self.updates,
            "last": self.last,
            "update": self.update,
            "loss": self.loss,
            "rate": self.rate,
            "speed": self.speed,
            "epochs": [
                {"update": e.update, "loss": e.loss, "validation": e.validation, "metric": e.metric, "best": e.best}
                for e in self.epochs
            ],
        }


def smooth(values: list[float], span: int = SMOOTH) -> list[float]:
    """The mean of each value and those before it, as far as the span reaches."""
    found, running = [], 0.0
    for number, value in enumerate(values):
        running += value - (values[number - span] if number >= span else 0.0)
        found.append(running / min(number + 1, span))
    return found


def curve(unit: Unit, run: TuningRun, *, whole: bool = False) -> Curve:
    """The run's curve so far.

    Args:
        whole: every update, however many there are.
    """
    last = events.newest_id(unit.rows, run.id)
    done = int(run.progress.get("update") or run.results.get("updates") or 0)
    every = 1 if whole else max(1, done // MOST_POINTS)
    steps: dict[int, dict[str, Any]] = {}
    ends: dict[int, int] = {}
    for event in _all(unit, run.id, "StepDone", every):
        update = int(event.data["update"])
        steps[update] = event.data
        ends[int(event.data.get("epoch", 0))] = update
    updates = int(run.progress.get("updates") or run.results.get("updates") or done)
    order = sorted(steps)
    return Curve(
        updates=updates,
        last=last,
        update=order,
        loss=[float(steps[u]["loss"]) for u in order],
        rate=[float(steps[u].get("learning_rate") or 0) for u in order],
        speed=[float(steps[u].get("tokens_per_second") or 0) for u in order],
        epochs=_epochs(unit, run, ends, updates),
    )


def log(unit: Unit, run_id: str, limit: int = 200) -> list[Told]:
    """The newest events that are sentences, oldest first."""
    return events.newest(unit.rows, run_id, TOLD, limit)


def as_csv(found: Curve) -> str:
    """A line for each update; what belongs to the end of an epoch stands beside its last update."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ("update", "loss", "learning_rate", "tokens_per_second", "epoch", "epoch_loss", "validation_loss", "metric")
    )
    ends = {epoch.update: epoch for epoch in found.epochs}
    for update, loss, rate, speed in zip(found.update, found.loss, found.rate, found.speed, strict=True):
        end = ends.get(update)
        tail = ("", "", "", "") if end is None else (end.number, end.loss, _blank(end.validation), _blank(end.metric))
        writer.writerow((update, loss, rate, speed, *tail))
    return out.getvalue()


def _blank(value: float | None) -> float | str:
    return "" if value is None else value


def _all(unit: Unit, run_id: str, kind: str, every: int = 1) -> list[Told]:
    found: list[Told] = []
    seen = 0
    while some := events.told_after(unit.rows, run_id, seen, _PAGE, kinds=(kind,), every=every):
        found += some
        seen = some[-1].id
        if len(some) < _PAGE:
            break
    return found


def _epochs(unit: Unit, run: TuningRun, ends: dict[int, int], updates: int) -> tuple[Epoch, ...]:
    told = {int(event.data["epoch"]): event.data for event in _all(unit, run.id, "EpochDone")}
    if not told:  # the events of old runs may be gone; the results stay
        told = {int(each["epoch"]): each for each in run.results.get("epochs") or ()}
    per_epoch = updates / max(1, len(told))
    return tuple(
        Epoch(
            number=number + 1,
            update=ends.get(number, round(per_epoch * (number + 1))),
            loss=float(data.get("loss") or 0),
            validation=data.get("validation_loss"),
            metric=data.get("metric"),
            best=bool(data.get("best")),
        )
        for number, data in sorted(told.items())
    )
