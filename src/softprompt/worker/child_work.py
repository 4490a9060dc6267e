"""Tasks of a worker done with torch: tune and evaluate through the workbench, with the last model kept loaded.

Knows no queue, no database and no store: files come and go on local paths.
"""

from __future__ import annotations

import gc
import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.data.read import read_examples
from softprompt.data.wrapper import strip_examples
from softprompt.engine import events
from softprompt.engine.artifact import TunedPrompt
from softprompt.engine.artifact_card import CARD, name_problem
from softprompt.engine.backbone import wrap
from softprompt.engine.loading import load_parts
from softprompt.errors import ParameterInvalid, SoftpromptError
from softprompt.params import TuneConfig
from softprompt.workbench.evaluate import evaluate
from softprompt.workbench.kept_answers import KeptAnswers
from softprompt.workbench.report import write_report
from softprompt.workbench.speed import Stopwatch, measure, record
from softprompt.workbench.tune import tune
from softprompt.worker.checkpoints import answers_of
from softprompt.worker.runner import EvaluateTask, MeasureTask, Message, Task, TuneTask
from softprompt.worker.token_counts import ledger

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone
    from softprompt.workbench.evaluate import Evaluation
    from softprompt.worker.child import Control

MOST_LABELS = 3
"""Known answers that are kept beside the one that was given."""


class Desk:
    """Does one task after the other."""

    def __init__(self, control: Control, tell: Callable[[Message], None]) -> None:
        self._control, self._tell = control, tell
        self._loaded: tuple[tuple[str, str, str], Backbone] | None = None

    def do(self, message: Message) -> dict[str, Any]:
        """The result of a task.

        A tuning run: {"card", "metrics", "epochs", "updates", "seconds", "tokens", "notes", "ledger", "test",
        "speed"}; the folder is at the task's `out`. An evaluation: {"evaluation", "report"}. A measurement: {"speed"}.
        """
        self._control.check()
        if message["kind"] == "tune":
            return self._tune(TuneTask(**message["task"]))
        if message["kind"] == "measure":
            return self._measure(MeasureTask(**message["task"]))
        return self._evaluate(EvaluateTask(**message["task"]))

    def forget(self) -> None:
        """Let go of the loaded model."""
        self._loaded = None
        gc.collect()

    def _tune(self, task: TuneTask) -> dict[str, Any]:
        config = _config(task.config)
        held = Path(task.validation) if isinstance(task.validation, str) else task.validation
        backbone, loaded = self._model(task)
        watch = Stopwatch()

        def hear(event: events.Event) -> None:
            watch.hear(event)
            self._heard(event)

        run = tune(
            Path(task.train),
            model=backbone,
            out=Path(task.out),
            config=config,
            validation=held,
            resume=True,
            tidy=False,  # the run's own test comes yet; the worker tidies up
            name="tuned" if name_problem(task.name) else task.name,
            listener=hear,
            should_stop=self._control.should_stop,
        )
        self._control.check()
        speed = watch.speed(run, config, causal=backbone.kind == "causal")
        if run.tuned.readout is not None and not watch.fitted:
            speed = replace(speed, after_seconds=None)  # an earlier attempt spent them
        card = json.loads((Path(task.out) / CARD).read_text(encoding="utf-8"))
        metrics = {name: value for name, value in run.tuned.metrics.items() if name != "epochs"}
        result: dict[str, Any] = {
            "card": card,
            "metrics": metrics,
            "epochs": list(run.epochs),
            "updates": run.updates,
            "seconds": run.seconds,
            "tokens": run.tokens,
            "notes": list(run.notes),
            "ledger": self._counted(task, backbone, run.tuned),
        }
        if task.test is not None:
            began = time.monotonic()
            keep = self._keep(answers_of(Path(task.out)), _digest(Path(task.out)))
            whole = keep.count == 0
            result["test"] = self._tested(Path(task.test), backbone, run.tuned, keep)
            if whole and (rows := result["test"].get("rows")):
                speed = replace(speed, test_seconds=(time.monotonic() - began) / rows)
        result["speed"] = record(replace(speed, load_seconds=loaded))
        return result

    def _measure(self, task: MeasureTask) -> dict[str, Any]:
        config = _config(task.config)
        backbone, loaded = self._model(task)
        speed = measure(
            Path(task.train),
            model=backbone,
            config=config,
            validation=task.validation,
            test=None if task.test is None else Path(task.test),
            listener=self._heard,
            should_stop=self._control.should_stop,
        )
        self._control.check()
        return {"speed": record(replace(speed, load_seconds=loaded))}

    def _tested(self, test: Path, backbone: Backbone, tuned: TunedPrompt, keep: KeptAnswers) -> dict[str, Any]:
        """Figures on held-out rows. That they cannot be had does not take the tuned prompt away."""
        try:
            return slim(evaluate(test, model=backbone, methods=[tuned], on_method=self._asking, keep=keep))
        except SoftpromptError as error:
            return {"problem": {"code": error.code, "message": str(error)}}

    def _counted(self, task: TuneTask, backbone: Backbone, tuned: TunedPrompt) -> dict[str, Any]:
        """Tokens of a question with and without the tuned prompt."""
        train, _ = strip_examples(read_examples(Path(task.train)))
        try:
            test, _ = strip_examples(read_examples(Path(task.test))) if task.test is not None else ([], None)
        except SoftpromptError:  # the test says so itself
            test = []
        return ledger(backbone, tuned, train, test)

    def _evaluate(self, task: EvaluateTask) -> dict[str, Any]:
        backbone, _ = self._model(task)
        methods: list[str | TunedPrompt] = [
            TunedPrompt.load(method, backbone=backbone) if Path(method).is_absolute() else method
            for method in task.methods
        ]
        found = evaluate(
            Path(task.test),
            model=backbone,
            methods=methods,
            examples=None if task.examples is None else Path(task.examples),
            on_method=self._asking,
            keep=self._keep(Path(task.kept)),
            **task.settings,
        )
        self._control.check(saved=True)
        tuned = [method for method in methods if isinstance(method, TunedPrompt)]
        with tempfile.TemporaryDirectory() as folder:
            report = write_report(
                Path(folder) / "report.md", found, title=task.title, model=task.model_id, tuned=tuned
            ).read_text(encoding="utf-8")
        return {"evaluation": slim(found), "report": report}

    def _model(self, task: Task) -> tuple[Backbone, float | None]:
        """The task's model, and in how many seconds it was loaded (None: it was there)."""
        seconds = None
        key = (task.model_id, task.model, task.device)
        if self._loaded is None or self._loaded[0] != key:
            self.forget()
            self._heard(events.Note(f"loading {task.model_id}"))
            began = time.monotonic()
            parts = load_parts(task.model, device=task.device)
            self._loaded = key, wrap(parts.model, parts.tokenizer, model_id=task.model_id, path=parts.path)
            seconds = time.monotonic() - began
            self._heard(events.Note(f"{task.model_id} is loaded after {seconds:.1f} s"))
        return self._loaded[1], seconds

    def _heard(self, event: events.Event) -> None:
        self._tell({"kind": "event", "event": events.as_record(event)})
        self._control.check(saved=isinstance(event, events.Finished | events.Kept))

    def _keep(self, path: Path, key: str = "") -> KeptAnswers:
        return KeptAnswers(path, key, lambda: self._heard(events.Kept("answers")))

    def _asking(self, method: str) -> None:
        self._tell({"kind": "event", "event": {"event": "Method", "name": method}})
        self._control.check(saved=True)


def slim(found: Evaluation) -> dict[str, Any]:
    """An evaluation as it is stored: inputs once, not for every method, and the likeliest labels alone."""
    document = found.to_dict()
    for number, method in enumerate(document["methods"]):
        for answer in method["answers"]:
            if number:
                del answer["input"]
            answer["labels"] = answer["labels"][:MOST_LABELS]
            del answer["tokens"], answer["seed"]
    return document


def _digest(folder: Path) -> str:
    """Of everything in a tuned prompt that its answers depend on."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _config(given: dict[str, Any]) -> TuneConfig:
    try:
        return TuneConfig(**given)
    except TypeError as error:
        raise ParameterInvalid(f"The configuration of the run does not fit: {error}.") from error
