"""The whole lab on the sample task: look at the data, tune on two training sets, prove both on held-out rows.

Covers: the order of the steps, what is reused from an earlier start, and the files that are left behind. Does not draw:
an `Audience` is told what happens and shows it as it likes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt import __version__
from softprompt.data import sample
from softprompt.data.read import read_examples
from softprompt.data.records import Example
from softprompt.data.report import DataReport, check
from softprompt.engine import events
from softprompt.engine.artifact import TunedPrompt, base_of
from softprompt.engine.generate import Answer
from softprompt.engine.loading import load_model
from softprompt.engine.sources import locate
from softprompt.errors import CheckpointInvalid, UsageError
from softprompt.params import LAB_INSTRUCTION, GenerateConfig, Task, TuneConfig
from softprompt.workbench.demo_results import Results, write_answers
from softprompt.workbench.evaluate import Evaluation, Method, MethodResult, evaluate, measure, tuned_methods
from softprompt.workbench.report import Curve, draw_curves, write_report
from softprompt.workbench.tune import tune
from softprompt.workbench.tune_finished import finished
from softprompt.workbench.tune_rows import content_hash, read_rows

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
CONFIG = TuneConfig()
SETS = ("v1", "v2")
PROMPTED = ("zero-shot", "1-shot", "3-shot")
BASELINE = "TF-IDF + logistic regression"
WAYS = ("text", "readout")
"""How the tuned prompts answer in the table."""
PROBE_UPDATES, PROBE_ROWS = 3, 8


@dataclass(frozen=True, slots=True)
class Plan:
    """What the demo works with.

    Attributes:
        out: folder for everything that is written.
        samples: folder of the sample task.
        model, config: foundation model and recipe.
        limit: use the first rows of each file only.
    """

    out: Path
    samples: Path
    model: str = MODEL
    config: TuneConfig = CONFIG
    limit: int | None = None

    def rows(self, name: str) -> list[Example]:
        return read_examples(self.samples / f"{name}.jsonl")[: self.limit]


class Audience:
    """Is told what happens; does nothing with it. Subclasses show it."""

    def step(self, number: int, title: str) -> None:
        """A step begins."""

    def say(self, text: str) -> None:
        """A sentence."""

    def data(self, reports: dict[str, DataReport]) -> None:
        """What stands in the training sets."""

    def tuning(self, name: str) -> AbstractContextManager[events.Listener]:
        """A run begins; its listener."""
        return nullcontext(events.ignore)

    def method(self, name: str, number: int, count: int) -> None:
        """A method is asked."""

    def figures(self, evaluation: Evaluation) -> None:
        """The table."""

    def questions(self, evaluation: Evaluation) -> None:
        """The questions and their answers."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the demo found and wrote."""

    out: Path
    model: str
    tuned: tuple[TunedPrompt, ...]
    reused: tuple[str, ...]
    evaluation: Evaluation
    questions: Evaluation
    seconds: float
    files: dict[str, Path]

    def to_dict(self) -> dict[str, Any]:
        return {
            "out": str(self.out),
            "model": self.model,
            "seconds": self.seconds,
            "tuned": [{"name": each.name, "virtual_tokens": each.virtual_tokens} for each in self.tuned],
            "reused": list(self.reused),
            **self.evaluation.to_dict(),
            "questions": self.questions.to_dict()["methods"],
            "files": {name: str(path) for name, path in self.files.items()},
        }


def find_samples(start: Path | None = None) -> Path:
    """The folder of the sample task: below the current folder or one above it, or the one that is installed."""
    here = (start or Path.cwd()).resolve()
    for root in (here, *here.parents):
        if (folder := root / "examples" / "complaints").joinpath("v1.jsonl").is_file():
            return folder
    if (installed := sample.folder()) is not None:
        return installed
    raise UsageError(
        f"The sample data, examples/complaints, is neither in {here} nor above it. "
        "The demo runs in a clone of Softprompt: change into it and start again."
    )


def run_demo(plan: Plan, audience: Audience | None = None) -> Outcome:
    """Every step of the lab; what an earlier start left in `plan.out` is used again where it fits."""
    began = time.monotonic()
    return _Demo(plan, audience or Audience()).run(began)


class _Demo:
    """One run of the demo, step by step."""

    def __init__(self, plan: Plan, audience: Audience) -> None:
        self.plan, self.audience = plan, audience
        self.train = {name: plan.rows(name) for name in SETS}
        self.test, self.questions, self.shots = plan.rows("test"), plan.rows("questions"), plan.rows("shots")
        self.tuned: dict[str, TunedPrompt] = {}
        self.reused: list[str] = []
        self.said: set[str] = set()

    def run(self, began: float) -> Outcome:
        tell = self.audience
        tell.step(1, "The foundation model")
        self.backbone = self._model()
        tell.step(2, "The data")
        self._data()
        self.results = Results.open(self.plan.out / "results.json", self._common())
        tell.step(3, "The plan")
        self._estimate()
        tell.step(4, "Tuning")
        for name in SETS:
            self._tune(name)
        tell.step(5, f"The proof: {len(self.test)} held-out rows")
        evaluation, questions = self._evaluate()
        tell.figures(evaluation)
        tell.step(6, "The questions")
        tell.questions(questions)
        tell.step(7, "What was written")
        files = self._write(evaluation, questions)
        tuned = tuple(self.tuned.values())
        spent = time.monotonic() - began
        return Outcome(
            self.plan.out, self.backbone.model_id, tuned, tuple(self.reused), evaluation, questions, spent, files
        )

    def _model(self) -> Backbone:
        locate(self.plan.model, report=lambda words: self.audience.say(f"{words} …"))
        began = time.monotonic()
        backbone = load_model(self.plan.model)
        size = sum(parameter.numel() for parameter in backbone.model.parameters())
        self.audience.say(
            f"{backbone.model_id}: {size / 1e6:,.0f} million frozen parameters, loaded in "
            f"{time.monotonic() - began:.1f} s."
        )
        return backbone

    def _data(self) -> None:
        test = self.plan.samples / "test.jsonl"
        self.audience.data({name: check(self.plan.samples / f"{name}.jsonl", test=test) for name in SETS})
        if self.plan.limit is not None:
            self.audience.say(f"Shortened: the first {self.plan.limit} rows of each file are used.")

    # --- time ---------------------------------------------------------------------------------------------------------
    def _estimate(self) -> None:
        """How long it will take, measured on a few updates and a few answers."""
        missing = [name for name in SETS if self._kept(name) is None]
        if not missing:
            self.audience.say(f"Both tuned prompts lie in {self.plan.out} already and fit; they are used again.")
            return
        updates, seconds, measured = self._probe(self.train[missing[0]])
        asked = sum(1 for name in PROMPTED if self.results.find(name, self._detail(name)) is None) + len(missing)
        began = time.monotonic()
        few = self.test[:PROBE_ROWS]
        evaluate(few, model=self.backbone, methods=["1-shot"], instruction=LAB_INSTRUCTION, shots=self.shots)
        table = (time.monotonic() - began) / len(few) * (len(self.test) + len(self.questions)) * asked
        runs = "one run" if len(missing) == 1 else f"each of {len(missing)} runs"
        self.audience.say(
            f"{updates} updates of {seconds:.2f} s, measured over {measured}: about "
            f"{_minutes(updates * seconds)} for {runs}; then about {_minutes(table)} for the table."
        )

    def _probe(self, rows: list[Example]) -> tuple[int, float, int]:
        """(updates of a run, seconds for one, over how many measured): a run is started and left after a few."""
        moments: list[float] = []
        updates = 0

        def listen(event: events.Event) -> None:
            nonlocal updates
            if isinstance(event, events.Started):
                updates = event.updates
            elif isinstance(event, events.Note):
                self._note(event.text)
            elif isinstance(event, events.StepDone):
                moments.append(time.monotonic())
                if len(moments) > PROBE_UPDATES:
                    raise _Enough

        began = time.monotonic()
        try:
            tune(rows, model=self.backbone, config=replace(self.plan.config, readout="off"), listener=listen)
        except _Enough:
            began = moments.pop(0)  # the first update also warms up the machine
        return updates, (moments[-1] - began) / len(moments), len(moments)

    # --- tuning -------------------------------------------------------------------------------------------------------
    def _tune(self, name: str) -> None:
        kept = self._kept(name)
        if kept is not None:
            self.tuned[name] = kept
            self.reused.append(kept.name)
            self.audience.say(f"{kept.name}: used again from {self._folder(name)}.")
            return
        title = f"tuned on {name}"
        with self.audience.tuning(title) as listener:

            def listen(event: events.Event) -> None:
                if isinstance(event, events.Note):
                    self._note(event.text)
                else:
                    listener(event)

            def start(*, resume: bool) -> TunedPrompt:
                return tune(
                    self.train[name],
                    model=self.backbone,
                    out=self._folder(name),
                    config=self.plan.config,
                    resume=resume,
                    name=title,
                    listener=listen,
                ).tuned

            try:
                self.tuned[name] = start(resume=True)
            except CheckpointInvalid:  # of a demo with other rows or another recipe
                self.tuned[name] = start(resume=False)

    def _kept(self, name: str) -> TunedPrompt | None:
        """The tuned prompt of an earlier start, if the same would come out now."""
        rows = read_rows(self.train[name], None, self.plan.config, lambda _note: None)
        over = finished(self._folder(name), self.plan.config, rows, self.backbone)
        return over.tuned if over else None

    def _folder(self, name: str) -> Path:
        return self.plan.out / f"tuned-{name}"

    def _note(self, text: str) -> None:
        """Say a choice once, although every run makes it."""
        if text not in self.said:
            self.said.add(text)
            self.audience.say(text)

    # --- proof --------------------------------------------------------------------------------------------------------
    def _evaluate(self) -> tuple[Evaluation, Evaluation]:
        """All methods on the test rows and on the questions, each from the earlier start where it fits."""
        rows = [*self.test, *self.questions]
        wanted = list(self._methods())
        task: Task = self.tuned[SETS[0]].task  # type: ignore[assignment]
        on_test: list[MethodResult] = []
        on_questions: list[MethodResult] = []
        for number, (name, detail, ask) in enumerate(wanted, start=1):
            result = self.results.find(name, detail)
            if result is None:
                self.audience.method(name, number, len(wanted))
                found = ask(rows)
                result = self.results.keep(name, detail, found.ms_per_row, found.answers)
            else:
                self.reused.append(name)
            for kept, part, start in ((on_test, self.test, 0), (on_questions, self.questions, len(self.test))):
                answers = result.answers[start : start + len(part)]
                kept.append(_judge(name, part, task, answers, result.ms_per_row))
        notes = (f"Shots, instruction and questions are the lab's; {BASELINE} learned from v1.",)
        return (
            Evaluation(task, tuple(self.test), tuple(on_test), notes),
            Evaluation(task, tuple(self.questions), tuple(on_questions), ()),
        )

    def _methods(self) -> Iterator[tuple[str, Any, Callable[[list[Example]], MethodResult]]]:
        """(name, what decides its answers, how to ask it)."""
        for name in PROMPTED:
            yield name, self._detail(name), lambda rows, name=name: self._ask(rows, name)  # type: ignore[misc]
        yield BASELINE, self._detail(BASELINE), lambda rows: self._ask(rows, "baseline")
        longest = max(len(self.backbone.tokenizer(row.output)["input_ids"]) for row in self.train["v1"])
        config = GenerateConfig(max_new_tokens=longest + 4)
        for which, tuned in self.tuned.items():
            for method in tuned_methods(self.backbone, tuned, config):
                if method.name.removeprefix(f"{tuned.name} · ") in WAYS:
                    detail = self._detail(which)
                    yield method.name, detail, lambda rows, method=method: self._ask(rows, method)  # type: ignore[misc]

    def _ask(self, rows: list[Example], method: str | Method) -> MethodResult:
        return evaluate(
            rows,
            model=self.backbone,
            methods=[method],
            instruction=LAB_INSTRUCTION,
            examples=self.train["v1"],
            shots=self.shots,
        ).methods[0]

    def _detail(self, name: str) -> Any:
        """What decides the answers of a method, beside model, rows and version."""
        if name in SETS:
            files = [self._folder(name) / file for file in ("prompt.safetensors", "readout.safetensors")]
            return [hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.exists()]
        return content_hash(self.train["v1"]) if name == BASELINE else [LAB_INSTRUCTION, content_hash(self.shots)]

    def _common(self) -> Any:
        rows = content_hash([*self.test, *self.questions])
        return [__version__, base_of(self.backbone).fingerprint, rows]

    # --- files --------------------------------------------------------------------------------------------------------
    def _write(self, evaluation: Evaluation, questions: Evaluation) -> dict[str, Path]:
        out = self.plan.out
        curves = [Curve(tuned.name, tuned.metrics.get("epochs", ())) for tuned in self.tuned.values()]
        files = {each.name: self._folder(name) for name, each in self.tuned.items()}
        files["loss curves"] = draw_curves(out / "loss-curves.png", curves)
        files["report"] = write_report(
            out / "report.md",
            evaluation,
            title="Routing complaints: prompting, a linear model, tuned prompts",
            model=self.backbone.model_id,
            tuned=list(self.tuned.values()),
            questions=questions,
            curves=files["loss curves"],
        )
        files["answers"] = write_answers(out / "answers", evaluation)
        return files


class _Enough(Exception):
    """The probe has measured what it wanted."""


def _judge(name: str, rows: list[Example], task: Task, answers: Sequence[Answer], ms_per_row: float) -> MethodResult:
    """Answers that are known already, judged as if they were given now."""
    known = measure(Method(name, lambda _texts: answers), rows, task)
    return replace(known, ms_per_row=ms_per_row)


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
