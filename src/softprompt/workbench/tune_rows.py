"""What a run learns from: rows as they were read and unwrapped, their task, and what is held out of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from softprompt.data.labels import detect_task
from softprompt.data.read import read_examples
from softprompt.data.records import Example, trimmed
from softprompt.data.split import split
from softprompt.data.wrapper import Wrapper, strip_examples
from softprompt.errors import DatasetInvalid, ParameterInvalid
from softprompt.params import LABEL_TASKS, Task, TuneConfig
from softprompt.patterns import matches

Rows = str | Path | Sequence[Example]
Note = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class TuneRows:
    """The rows of one run.

    Attributes:
        train: what the vectors learn from.
        held: by which the best epoch is chosen: a share of the training rows, or rows of their own.
        known: what a readout learns from: the training rows, and those held out of them, for it is chosen by
            cross-validation. Only rows whose answer the vectors learn, too.
        labels: known answers; empty for free text.
        wrapper: what all training inputs had around them; these rows are bare.
    """

    task: Task = "generation"
    train: Sequence[Example] = ()
    held: Sequence[Example] = ()
    known: Sequence[Example] = ()
    labels: tuple[str, ...] = ()
    wrapper: Wrapper = Wrapper()

    @property
    def lent(self) -> int:
        """Held-out rows that a readout learns from."""
        return len(self.known) - len(self.train)


def read_rows(train: Rows, validation: Rows | float | None, config: TuneConfig, note: Note) -> TuneRows:
    """Read, unwrap and part the rows; what was seen in them is noted, and what are none is refused."""
    if isinstance(validation, bool | int):
        raise ParameterInvalid(f"validation: {validation!r} is no share between 0 and 1; take 0.2, a file or examples.")
    if not isinstance(train, str | Path) and not train:
        raise DatasetInvalid("There are no training rows. Give at least one, with input and output.")
    found = _parted(train, validation, config, note)
    if not found.train:
        raise DatasetInvalid(f"{train}: no training rows. Give at least one, with input and output.")
    if found.held:
        note(f"{len(found.held)} rows are held out for validation, {len(found.train)} are for training")
    elif config.patience:
        note(f"patience {config.patience} does nothing: no rows are held out for validation")
    return found


def _parted(train: Rows, validation: Rows | float | None, config: TuneConfig, note: Note) -> TuneRows:
    rows, wrapper = _unwrapped(train, "training", note)
    task = detect_task(rows) if config.task == "auto" else config.task
    if config.task == "auto":
        note(f"task: {task}, seen from the outputs")
    learned, held = rows, list[Example]()
    if isinstance(validation, float):
        learned, held = split(rows, validation, config.seed, task=task)
    elif validation is not None:
        held, _ = _unwrapped(validation, "validation", note)
    _check_pattern(config.pattern, [*learned, *held])
    if task not in LABEL_TASKS:
        return TuneRows(task, learned, held, wrapper=wrapper)
    labels = tuple(sorted({example.output for example in learned}))
    if task == "classification" and len(labels) > 10:
        note(f"{len(labels)} classes: IBM's tuning studio allows 10, fewer learn better")
    answers = set(labels)
    return TuneRows(task, learned, held, [example for example in rows if example.output in answers], labels, wrapper)


def content_hash(examples: Sequence[Example]) -> str:
    """SHA-256 of inputs and outputs in their order."""
    lines = (json.dumps([example.input, example.output], ensure_ascii=False) for example in examples)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _check_pattern(pattern: str, rows: Sequence[Example]) -> None:
    """Refuse rows whose output is not what the answers are held to."""
    odd = [example.output for example in rows if pattern and not matches(pattern, example.output.strip())]
    if odd:
        shown = ", ".join(repr(output[:60]) for output in odd[:3])
        raise DatasetInvalid(
            f"{len(odd)} of {len(rows)} outputs do not keep the pattern {pattern!r}: {shown}"
            f"{' …' if len(odd) > 3 else ''}. Correct these rows, or the pattern."
        )


def _unwrapped(rows: Rows, which: str, note: Note) -> tuple[list[Example], Wrapper]:
    examples = read_examples(rows) if isinstance(rows, str | Path) else [trimmed(row) for row in rows]
    bare, wrapper = strip_examples(examples)
    if wrapper:
        note(
            f"all {which} inputs are wrapped alike ({wrapper.prefix.strip()[:40]!r} … "
            f"{wrapper.suffix.strip()[-40:]!r}); the wrapper was taken off"
            + (", and is taken off every question that comes in it" if which == "training" else "")
        )
    return bare, wrapper or Wrapper()
