"""How long a run will take, from what was measured on this studio's own machines; nothing is said without that.

A run is taken apart as the engine works it off: load the model, updates, validation after each epoch, what follows the
last update, the test. Updates cost by the tokens that pass through the model. Pure arithmetic: what a plan means stands
in `outlook`, who measures in `measurements`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from softprompt.engine.plans import Schedule, Shape, tokens_read
from softprompt.params import TuneConfig
from softprompt.storage.work import Measurement

NEAR = 1.6
"""Forward passes that differ by less than this factor count as equally large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What a run has to do.

    Attributes:
        rows, held, test: how many rows to train on, to validate and to test with.
        row_tokens: prompt and target tokens of all training rows once; None if nobody could count them.
        schedule: None if no vectors are trained through the vocabulary.
        causal: whether the model is decoder-only.
    """

    rows: int
    held: int
    test: int
    row_tokens: float | None
    schedule: Schedule | None
    shape: Shape
    causal: bool

    @property
    def updates(self) -> int:
        return self.schedule.updates(self.rows) if self.schedule else 0

    @property
    def tokens(self) -> float | None:
        """That pass through the model in the whole run."""
        if self.row_tokens is None or self.schedule is None:
            return None
        return tokens_read(
            self.row_tokens * self.schedule.epochs,
            rows=self.rows * self.schedule.epochs,
            updates=self.updates,
            prefix=0 if self.shape.place == "suffix" else self.shape.prefix_length,
            suffix=0 if self.shape.place == "prefix" else self.shape.suffix_length,
            causal=self.causal,
        )

    @property
    def pass_tokens(self) -> float | None:
        if self.tokens is None or self.schedule is None:
            return None
        return self.tokens / (math.ceil(self.rows / self.schedule.batch_size) * self.schedule.epochs)


@dataclass(frozen=True, slots=True)
class Part:
    """A stretch of the run; `seconds` is None where nothing was measured."""

    words: str
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """How long, and how that is known.

    Attributes:
        seconds: of all parts that were measured.
        speed: tokens a second; None if no updates are needed.
        updates: how many updates were measured for it.
        ratio: how many times larger a forward pass is here than where it was measured.
        run_id: of the run that taught it; None if it was measured for its own sake.
        others: further measurements of the model on this machine.
    """

    seconds: float
    parts: tuple[Part, ...]
    speed: float | None
    updates: int
    ratio: float
    at: datetime
    host: str
    device: str
    run_id: str | None
    others: int

    @property
    def missing(self) -> tuple[str, ...]:
        return tuple(part.words for part in self.parts if part.seconds is None)

    @property
    def close(self) -> bool:
        """Whether it was measured with forward passes of about this size."""
        return 1 / NEAR <= self.ratio <= NEAR


def estimate(size: Size, config: TuneConfig, known: Sequence[Measurement]) -> Estimate | None:
    """The time of a run.

    Args:
        known: measurements of the model, the newest first; the machine of the newest one counts.
    """
    usable = [one for one in known if one.found.get("method") == config.method or not size.updates]
    if not usable:
        return None
    machine = (usable[0].host, usable[0].device)
    here = [one for one in usable if (one.host, one.device) == machine]
    best, ratio = _closest(size, here) if size.updates else (here[0], 1.0)
    if best is None:
        return None
    parts = tuple(_parts(size, config, best, [best, *here]))
    told = [part.seconds for part in parts if part.seconds is not None]
    if not told or (size.updates and parts[1].seconds is None):
        return None
    speed = best.found["tokens"] / best.found["seconds"] if size.updates else None
    return Estimate(
        seconds=sum(told),
        parts=parts,
        speed=speed,
        updates=int(best.found.get("updates", 0)),
        ratio=ratio,
        at=best.finished_at or best.created_at,
        host=best.host,
        device=best.device,
        run_id=best.run_id,
        others=len(here) - 1,
    )


def _closest(size: Size, known: Sequence[Measurement]) -> tuple[Measurement | None, float]:
    """The newest of those whose forward passes are about as large, else the one that comes nearest."""
    wanted = size.pass_tokens
    best, found = None, (math.inf, 1.0)
    for one in known:
        measured = one.found.get("pass_tokens") or 0.0
        if not (measured and one.found.get("seconds")):
            continue
        ratio = wanted / measured if wanted else 1.0
        away = abs(math.log(ratio))
        away = 0.0 if away <= math.log(NEAR) else away
        if away < found[0]:
            best, found = one, (away, ratio)
    return best, found[1]


def _parts(size: Size, config: TuneConfig, best: Measurement, known: Sequence[Measurement]) -> list[Part]:
    """In the order of the run; the measurement that the updates come from is asked first for all else."""

    def first(name: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> float | None:
        found = (one.found[name] for one in known if one.found.get(name) is not None and fits(one.found))
        return next(found, None)

    def same_readout(found: dict[str, Any]) -> bool:
        return (found.get("readout"), found.get("readout_epochs")) == (config.readout, config.readout_epochs)

    def times(count: int, name: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True) -> float | None:
        each = first(name, fits)
        return None if each is None else each * count

    parts = [Part("loading the model", first("load_seconds"))]
    if size.schedule is not None:
        each = best.found["seconds"] / best.found["tokens"] if best.found.get("tokens") else None
        tokens = size.tokens
        parts.append(Part(f"{size.updates:,} updates", None if each is None or tokens is None else each * tokens))
        if size.held:
            held = times(size.held * size.schedule.epochs, "held_seconds")
            parts.append(Part(f"validation after each of {size.schedule.epochs} epochs", held))
    words = "label readout and calibration" if config.readout != "off" else "finishing"
    parts.append(Part(words, times(size.rows, "after_seconds", same_readout)))
    if size.test:
        parts.append(Part(f"{size.test:,} test rows", times(size.test, "test_seconds")))
    return parts
