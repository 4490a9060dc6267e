"""How fast a model is tuned on this machine: a stopwatch for any run, and a few updates for their own sake.

Covers: what an update, a validation row and the work after the last update take. Does not say how long a run will take:
`studio.estimates` does, without torch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.data.read import read_examples
from softprompt.data.records import Example
from softprompt.engine import events
from softprompt.engine.plans import tokens_read
from softprompt.errors import SoftpromptError
from softprompt.params import TuneConfig
from softprompt.workbench.evaluate import evaluate
from softprompt.workbench.tune import tune
from softprompt.workbench.tune_finished import Run

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

UPDATES = 4
"""Updates that are measured, after one in which memory is laid out."""
SECONDS = 20.0
"""They shall not take longer together; two are measured whatever they take."""
HELD = 8
"""Validation and test rows that are measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What was measured. What was not is None.

    Attributes:
        method: of tuning.
        updates: that were measured.
        seconds: they took together, checkpoints and validation apart.
        tokens: that passed through the model in them, virtual ones as the engine reads them.
        pass_tokens: the same of one forward pass.
        held_seconds: of validation, for each row and epoch.
        after_seconds: after the last update, for each training row: the label readout, calibration.
        readout: the parameter, and `readout_epochs`, on which that depends.
        test_seconds: for each test row.
        load_seconds: until the model was loaded.
    """

    method: str
    updates: int
    seconds: float
    tokens: float
    pass_tokens: float
    held_seconds: float | None = None
    after_seconds: float | None = None
    readout: str = "auto"
    readout_epochs: int = 0
    test_seconds: float | None = None
    load_seconds: float | None = None


@dataclass
class Stopwatch:
    """A listener of a run."""

    clock: Callable[[], float] = time.monotonic
    begun: float = field(init=False)
    over: float | None = None
    steps: list[tuple[float, float]] = field(default_factory=list)
    """Seconds of each update, and row tokens up to its end."""
    held: list[float] = field(default_factory=list)
    rows: int = 0
    fitted: bool = False
    """Whether the readout was made by this attempt."""
    _started: float = 0.0
    _mark: float = 0.0

    def __post_init__(self) -> None:
        self.begun = self.clock()

    def hear(self, event: events.Event) -> None:
        now = self.clock()
        self.fitted = self.fitted or event == events.Kept("readout")
        if self.over is not None:
            return  # a readout that is trained tells of its own passes
        if isinstance(event, events.Started):
            self.rows, self._started = event.rows, now
        elif isinstance(event, events.StepDone):
            self.steps.append((now - self._mark, event.tokens_per_second * (now - self._started)))
        elif isinstance(event, events.EpochDone) and event.validation_loss is not None:
            self.held.append(now - self._mark)
        elif isinstance(event, events.Finished):
            self.over = now
        self._mark = now

    def speed(self, run: Run, config: TuneConfig, *, causal: bool) -> Speed:
        """What a run that is over has told."""
        ended, steps = self.clock(), self.steps
        chosen = run.tuned.recipe.get("chosen") or {}
        tokens = passes = 0.0
        if steps:
            per_epoch = math.ceil(math.ceil(self.rows / chosen["batch_size"]) / chosen["accumulate"])
            rows = self.rows * len(steps) / per_epoch
            prompt = run.tuned.prompt
            lengths = {"prefix": prompt.prefix_length, "suffix": prompt.suffix_length}
            tokens = tokens_read(steps[-1][1], rows=rows, updates=len(steps), causal=causal, **lengths)
            passes = rows / min(chosen["batch_size"], self.rows)
        held, trained = int(run.tuned.data["validation_rows"]), int(run.tuned.data["rows"])
        return Speed(
            method=config.method,
            updates=len(steps),
            seconds=sum(seconds for seconds, _ in steps),
            tokens=tokens,
            pass_tokens=tokens / passes if passes else 0.0,
            held_seconds=sum(self.held) / len(self.held) / held if self.held and held else None,
            after_seconds=(ended - (self.begun if self.over is None else self.over)) / trained,
            readout=config.readout,
            readout_epochs=config.readout_epochs,
        )


def measure(
    train: Path,
    *,
    model: Backbone,
    config: TuneConfig,
    validation: bool = False,
    test: Path | None = None,
    listener: events.Listener = events.ignore,
    should_stop: Callable[[], bool] = lambda: False,
) -> Speed:
    """Tune for a few updates on a few rows of the file, as `config` wants it, and throw the vectors away.

    Args:
        config: with a batch size and an accumulation; epochs and patience do not matter.
        validation: whether the run will have validation rows.
        test: the test rows of the run.
    """
    examples = read_examples(train)
    window = (config.batch_size or 1) * (config.accumulate or 1)
    held = spread(examples, HELD) if validation else None
    short = replace(config, epochs=1, patience=0)
    updates = UPDATES
    if config.readout != "only":
        first = _timed(spread(examples, window), None, model, replace(short, readout="off"), listener, should_stop)[1]
        taken = first.steps[0][0] if first.steps else 0.0
        updates = max(2, min(UPDATES, int(SECONDS / max(taken, 1e-9))))
    sample = spread(examples, updates * window)
    try:
        run, watch = _timed(sample, held, model, short, listener, should_stop)
        speed = watch.speed(run, short, causal=model.kind == "causal")
    except SoftpromptError:  # a readout cannot be fitted on any few rows
        if config.readout != "auto":
            raise
        run, watch = _timed(sample, held, model, replace(short, readout="off"), listener, should_stop)
        speed = replace(watch.speed(run, short, causal=model.kind == "causal"), after_seconds=None)
    if test is not None and not should_stop():
        rows = spread(read_examples(test), HELD)
        began = time.monotonic()
        evaluate(rows, model=model, methods=[run.tuned])
        speed = replace(speed, test_seconds=(time.monotonic() - began) / len(rows))
    return speed


def record(speed: Speed) -> dict[str, Any]:
    """As it is stored."""
    return asdict(speed)


def spread(rows: Sequence[Example], most: int) -> list[Example]:
    """At most so many rows, evenly over the whole file."""
    count = min(len(rows), max(1, most))
    return [rows[i * len(rows) // count] for i in range(count)]


def _timed(
    sample: list[Example],
    held: list[Example] | None,
    model: Backbone,
    config: TuneConfig,
    listener: events.Listener,
    should_stop: Callable[[], bool],
) -> tuple[Run, Stopwatch]:
    watch = Stopwatch()

    def hear(event: events.Event) -> None:
        watch.hear(event)
        listener(event)

    run = tune(sample, model=model, config=config, validation=held, listener=hear, should_stop=should_stop)
    return run, watch
