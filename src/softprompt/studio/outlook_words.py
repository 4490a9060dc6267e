"""What is said about a plan for a run: what will hurt, and what is taken where a person leaves a field open, and why.

Works on facts that `outlook` has gathered; reads nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

from softprompt.engine import plans
from softprompt.engine.plans import Pace, Shape, schedule_of
from softprompt.params import LABEL_TASKS, Task, TuneConfig
from softprompt.studio import runs
from softprompt.studio.counting import Lengths
from softprompt.studio.estimates import Size
from softprompt.studio.foundation_models import Model

TASK_WORDS: dict[str, str] = {
    "classification": "classification",
    "multilabel": "multi-label routing",
    "generation": "generation",
    "summarization": "summarization",
}
FAR = 5.0
"""A learning rate that many times away from the model's own is worth a word."""
SHOWN = 3
"""Warnings of the report of the data that are repeated here."""
_FIELDS = ("experiment", "model", "dataset", "validation", "test", *sorted(runs.FIELDS, key=len, reverse=True))


@dataclass(frozen=True, slots=True)
class Remark:
    """A word about the plan.

    Attributes:
        kind: error: it cannot start. warn: it will hurt. note: good to know.
        field: of the form, where it can be changed.
        link, link_words: another place to go.
    """

    kind: Literal["error", "warn", "note"]
    text: str
    field: str = ""
    link: str = ""
    link_words: str = ""


@dataclass(frozen=True, slots=True)
class Default:
    """What is taken if a field is left open, and why."""

    value: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a plan whose model and data are there.

    Attributes:
        report: of the training data.
        cut: rows whose input is too long; None: unknown here.
        usual_rate, why_rate: the learning rate that would be taken, None where only the run can know.
        overlap: training rows that stand in the test rows too; -1: it is the same file.
        workers: that live.
    """

    config: TuneConfig
    model: Model
    task: Task
    size: Size
    pace: Pace
    dataset_id: str
    report: dict[str, Any]
    lengths: Lengths | None
    cut: int | None
    usual_rate: float | None
    why_rate: str
    overlap: int
    workers: int

    @property
    def shape(self) -> Shape:
        return self.size.shape


def problems(texts: Iterable[str]) -> Iterator[Remark]:
    """What keeps the plan from being started, as use cases told it; a problem begins with the name of its field."""
    for text in texts:
        for each in re.split(r"; (?=[a-z_]+: )", text):
            field = next((name for name in _FIELDS if each.startswith(f"{name}: ")), "")
            yield Remark("error", each.removeprefix(f"{field}: ").rstrip(".") + ".", field)


def remarks(facts: Facts) -> Iterator[Remark]:
    """The worst first."""
    yield from _impossible(facts)
    yield from _pace(facts)
    yield from _rows(facts)
    yield from _report(facts)
    if not facts.workers:
        yield Remark("warn", "No worker is running, so the run will wait until one does: `softprompt worker`.")
    if facts.size.schedule is not None and not facts.size.held:
        yield Remark("note", "Without validation rows the last prompt is kept, not the best.", "validation")
    if not facts.size.test:
        yield Remark("note", "Without test rows nobody knows how good the result is.", "test")


def _impossible(facts: Facts) -> Iterator[Remark]:
    config, label, causal = facts.config, facts.model.label, facts.size.causal
    task = TASK_WORDS.get(facts.task, facts.task)
    if config.readout == "only" and facts.task not in LABEL_TASKS:
        yield Remark("error", f"A label readout needs known answers; {task} has none.", "readout")
    if config.readout == "only" and not causal:
        yield Remark("error", f"A label readout needs a decoder-only model; {label} is none.", "readout")
    if config.method == "prefix_tuning" and not causal:
        yield Remark("error", f"Prefix tuning needs a decoder-only model; {label} is none.", "method")
    if config.method == "prefix_tuning" and config.place not in (None, "prefix"):
        yield Remark("error", "Prefix tuning has its keys and values in front only.", "place")
    if config.init == "labels" and facts.task not in LABEL_TASKS:
        yield Remark("error", f"There are no labels to start from: the task is {task}.", "init")
    whole = config.max_input_tokens + facts.shape.virtual_tokens + config.max_output_tokens
    if causal and whole > facts.model.context:
        words = (
            f"Input, virtual tokens and answer may reach {whole:,} tokens; {label} reads {facts.model.context:,}. "
            "Lower one of them."
        )
        yield Remark("warn", words, "max_input_tokens")
    if not facts.model.available:
        words = f"{label} is not on this machine yet; the worker fetches it first, which may take long."
        yield Remark("warn", words, "model", f"/models?search={facts.model.id}", "See the model")


def _pace(facts: Facts) -> Iterator[Remark]:
    size, pace, chosen, usual = facts.size, facts.pace, facts.config.learning_rate, facts.usual_rate
    if size.schedule is not None and size.updates < pace.few:
        words = (
            f"{size.updates:,} updates are few: a prompt learns by updates, not by epochs. "
            f"From {pace.few} on it gets steady: more epochs, or a smaller batch or accumulation."
        )
        yield Remark("warn", words, "accumulate" if size.schedule.accumulate > 1 else "epochs")
    if chosen and usual and not 1 / FAR <= chosen / usual <= FAR:
        side = "above" if chosen > usual else "below"
        words = f"The learning rate {chosen:g} is far {side} what suits this model ({usual:.3g})."
        yield Remark("warn", words, "learning_rate")


def _rows(facts: Facts) -> Iterator[Remark]:
    report, lengths = f"/data/{facts.dataset_id}", facts.lengths
    if facts.cut and lengths is not None:
        words = (
            f"{'About ' if lengths.sampled else ''}{facts.cut:,} of {lengths.rows:,} rows are longer than "
            f"{facts.config.max_input_tokens} tokens; the end of their input is cut. The longest: {lengths.longest:,}."
        )
        yield Remark("warn", words, "max_input_tokens", report, "See the rows")
    if facts.overlap < 0:
        words = "Test and training rows are the same file: the test will only show what was learned by heart."
        yield Remark("warn", words, "test")
    elif facts.overlap:
        words = f"{facts.overlap:,} training rows stand in the test rows too, so the test flatters."
        yield Remark("warn", words, "test", report, "See the rows")


def _report(facts: Facts) -> Iterator[Remark]:
    report = f"/data/{facts.dataset_id}"
    told = list(facts.report.get("warnings", ()))
    for words in told[:SHOWN]:
        yield Remark("warn", words, "dataset", report, "See the report")
    if len(told) > SHOWN:
        words = f"{len(told) - SHOWN} more warnings stand in the report of the training data."
        yield Remark("note", words, "dataset", report, "See the report")


def defaults(facts: Facts) -> dict[str, Default]:
    """By the name of the field: what would be taken if it was left open."""
    rows, causal = max(facts.size.rows, 1), facts.size.causal
    solved = facts.shape.init == "examples"

    def taken(name: str) -> str:
        free: Any = {name: None}
        return str(getattr(schedule_of(replace(facts.config, **free), rows, facts.pace, 0.0), name))

    near = facts.shape.init in plans.NEAR
    calm = f"{'solved rows start' if solved else 'a tuned prompt starts'} near an answer: large, calm steps"
    small = "small batches make many updates" if causal else "IBM’s"
    enough = f"to reach about {facts.pace.updates} updates with {rows:,} rows"
    rate = "" if facts.usual_rate is None else f"{facts.usual_rate:.3g}"
    length, why = ("20", "enough for an instruction") if causal else ("100", "IBM’s")
    if facts.shape.init == "prompt":
        length, why = str(facts.shape.prefix_length), "as many as the tuned prompt has"
    if solved:
        length, why = (
            str(facts.shape.prefix_length) if facts.config.virtual_tokens is None else "",
            "one for each token of the solved rows",
        )
    longest = f"the longest row here has {facts.lengths.longest:,}" if facts.lengths else "IBM’s"
    answer = max(facts.lengths.targets, default=0) if facts.lengths else 0
    return {
        "batch_size": Default(taken("batch_size"), calm if near else small),
        "epochs": Default(taken("epochs"), enough),
        "accumulate": Default(taken("accumulate"), enough),
        "learning_rate": Default(rate, facts.why_rate),
        "virtual_tokens": Default(length, why),
        "suffix_tokens": Default("8", "room in front of the answer"),
        "max_input_tokens": Default("256", longest),
        "max_output_tokens": Default("128", f"the longest answer here has {answer:,}" if answer else "IBM’s"),
    }
