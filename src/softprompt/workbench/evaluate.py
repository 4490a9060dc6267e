"""Methods side by side on held-out rows: how right, how many tokens, how long.

Covers: zero-shot, k-shot, the linear baseline, tuned prompts by every way they answer; the same rows for all. Does not
cover: drawing (`report`), choosing anything: what is measured here was decided before.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from softprompt.data.labels import detect_task
from softprompt.data.metrics import Score, score
from softprompt.data.read import read_examples
from softprompt.data.records import Example
from softprompt.data.wrapper import strip_examples
from softprompt.engine.artifact import TunedPrompt, is_tuned_prompt
from softprompt.engine.generate import Answer
from softprompt.engine.loading import load_model
from softprompt.errors import DatasetInvalid, ParameterInvalid
from softprompt.params import LABEL_TASKS, GenerateConfig, Task
from softprompt.workbench.baseline import LinearBaseline
from softprompt.workbench.kept_answers import KeptAnswers
from softprompt.workbench.respond import Responder, Way

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

_SHOTS = re.compile(r"(\d+)-shot")


@dataclass(frozen=True, slots=True)
class MethodResult:
    """One method on all rows.

    Attributes:
        name: "zero-shot", "3-shot", "TF-IDF + logistic regression", "NAME · text" …
        score: exact, F1, interval, per label; ROUGE-L for free text.
        input_tokens, virtual_tokens, generated_tokens: mean per row (a linear model has none).
        ms_per_row: wall time of the whole method over the number of rows, batches included.
        answers: one per row, in order.
    """

    name: str
    score: Score
    input_tokens: float
    virtual_tokens: float
    generated_tokens: float
    ms_per_row: float
    answers: tuple[Answer, ...]

    def to_dict(self) -> dict[str, Any]:
        figures = self.score.to_dict()
        per_label = figures.pop("per_label")
        return {
            "name": self.name,
            **figures,
            "per_label": per_label,
            "input_tokens": self.input_tokens,
            "virtual_tokens": self.virtual_tokens,
            "generated_tokens": self.generated_tokens,
            "ms_per_row": self.ms_per_row,
            "answers": [asdict(answer) for answer in self.answers],
        }


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All methods on the same rows."""

    task: Task
    rows: tuple[Example, ...]
    methods: tuple[MethodResult, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        return {
            "task": self.task,
            "rows": len(self.rows),
            "right": [row.output for row in self.rows],
            "notes": list(self.notes),
            "methods": [method.to_dict() for method in self.methods],
        }


@dataclass(frozen=True)
class Method:
    """A named way to answer a list of texts."""

    name: str
    run: Callable[[Sequence[str]], Sequence[Answer]]


def evaluate(
    test: str | Path | Sequence[Example],
    *,
    model: str | Path | Backbone,
    methods: Sequence[str | Path | TunedPrompt | Method],
    instruction: str = "",
    examples: str | Path | Sequence[Example] | None = None,
    shots: Sequence[Example] | None = None,
    guard: bool = False,
    limit: int | None = None,
    pattern: str | None = None,
    max_new_tokens: int | None = None,
    on_method: Callable[[str], None] = lambda _name: None,
    device: str | torch.device = "cpu",
    keep: KeptAnswers | None = None,
) -> Evaluation:
    """Compare methods on held-out rows.

    Args:
        test: labelled rows that nothing was trained or chosen on.
        model: id, folder or loaded model.
        methods: "zero-shot", "K-shot", "baseline", folders of tuned prompts, or tuned prompts.
        instruction: for zero- and k-shot.
        examples: labelled rows for the baseline, and for shots if `shots` is not given.
        shots: the solved examples of k-shot, in order.
        guard: let generated text only say known answers: those of `examples`, else of a tuned prompt among the
            methods, else of all test rows.
        limit: use the first rows only.
        pattern: regular expression of the house style; the share of answers that keep it is measured.
        max_new_tokens: of generated text; by default what the longest right answer needs and a few more.
        on_method: told the name of each method before it runs.
        device: where a model that is not loaded yet is loaded.
        keep: writes down what is answered, and goes on behind what is there.
    """
    whole, notes = _rows(test)
    rows = whole[:limit]
    methods = [TunedPrompt.load(m) if isinstance(m, str | Path) and is_tuned_prompt(m) else m for m in methods]
    task = _task(methods, whole)
    known = _rows(examples)[0] if examples is not None else []
    solved = list(shots) if shots is not None else known
    backbone = load_model(model, device=device) if isinstance(model, str | Path) else model
    labels, said = _guard(task, known, methods, whole) if guard else ([], [])
    longest = max(len(backbone.tokenizer(row.output)["input_ids"]) for row in rows)
    config = GenerateConfig(max_new_tokens=max_new_tokens or longest + 4)
    shared = _Shared(backbone, instruction, known, solved, labels, config, task)
    results = []
    for number, method in enumerate([m for wanted in methods for m in shared.methods(wanted)]):
        if keep is None or keep.of(number, method.name) < len(rows):
            on_method(method.name)
        results.append(measure(method, rows, task, pattern, keep, number))
    return Evaluation(task, tuple(rows), tuple(results), (*notes, *said))


def measure(
    method: Method,
    rows: Sequence[Example],
    task: Task,
    pattern: str | None = None,
    keep: KeptAnswers | None = None,
    number: int = 0,
) -> MethodResult:
    """Run one method on all rows and judge it; `number` says which one to those who keep its answers."""
    texts = [row.input for row in rows]
    began = time.perf_counter()
    with torch.inference_mode():
        if keep is None:
            answers = tuple(method.run(texts))
            spent = time.perf_counter() - began
        else:
            answers, spent = keep.ask(number, method.name, method.run, texts)
    count = len(rows)
    return MethodResult(
        name=method.name,
        score=score(task, [a.output.strip() for a in answers], [row.output for row in rows], pattern),
        input_tokens=sum(a.input_tokens for a in answers) / count,
        virtual_tokens=sum(a.virtual_tokens for a in answers) / count,
        generated_tokens=sum(a.generated_tokens for a in answers) / count,
        ms_per_row=1000 * spent / count,
        answers=answers,
    )


@dataclass(frozen=True)
class _Shared:
    """What the methods of one evaluation have in common."""

    backbone: Backbone
    instruction: str
    known: Sequence[Example]
    solved: Sequence[Example]
    labels: Sequence[str]
    config: GenerateConfig
    task: Task

    def methods(self, wanted: str | Path | TunedPrompt | Method) -> list[Method]:
        if isinstance(wanted, Method):
            return [wanted]
        if isinstance(wanted, TunedPrompt):
            return tuned_methods(self.backbone, wanted, self.config, guard=bool(self.labels))
        if str(wanted) == "baseline":
            return [self._baseline()]
        if str(wanted) == "zero-shot" or _SHOTS.fullmatch(str(wanted)):
            return [self._prompted(str(wanted))]
        if is_tuned_prompt(wanted) or Path(wanted).is_dir():
            return self.methods(TunedPrompt.load(wanted, backbone=self.backbone))
        raise ParameterInvalid(
            f"with: {wanted!r} is not zero-shot, K-shot (as 3-shot), baseline or the folder of a tuned prompt."
        )

    def _prompted(self, wanted: str) -> Method:
        count = 0 if wanted == "zero-shot" else int(wanted.split("-")[0])
        if count > len(self.solved):
            raise ParameterInvalid(
                f"with: {wanted} needs {count} solved examples, {len(self.solved)} are there. "
                "Name a file of training rows with --examples."
            )
        responder = Responder.prompted(
            self.backbone, instruction=self.instruction, shots=self.solved[:count], labels=self.labels
        )
        way: Way = "guard" if self.labels else "text"
        # A line break ends what a prompted model has to say: it goes on with a next example otherwise.
        config = GenerateConfig(max_new_tokens=self.config.max_new_tokens, stop=("\n",))
        name = f"{wanted} · guarded" if self.labels else wanted
        return Method(name, lambda texts: _unstopped(responder.answer(texts, config, way=way)))

    def _baseline(self) -> Method:
        if self.task not in LABEL_TASKS:
            raise ParameterInvalid(f"with: baseline is a classifier; this task is {self.task}.")
        if not self.known:
            raise ParameterInvalid("with: baseline needs labelled rows to learn from: give --examples FILE.")
        linear = LinearBaseline(self.known)
        return Method("TF-IDF + logistic regression", lambda texts: [_plain(t, *linear.predict([t])[0]) for t in texts])


def tuned_methods(
    backbone: Backbone, tuned: TunedPrompt, config: GenerateConfig | None = None, *, guard: bool = False
) -> list[Method]:
    """Every way in which a tuned prompt answers: generated text (if it has vectors), scored labels, readout."""
    responder = Responder.of(backbone, tuned)
    ways: list[tuple[str, Way]] = []
    if tuned.prompt.virtual_tokens:
        ways.append(("guarded text", "guard") if guard and tuned.labels else ("text", "text"))
        if tuned.calibration is not None:
            ways.append(("scored", "score"))
    if tuned.readout is not None:
        ways.append(("readout", "readout"))
    return [
        Method(f"{tuned.name} · {name}", lambda texts, way=way: responder.answer(texts, config, way=way))  # type: ignore[misc]
        for name, way in ways
    ]


def _rows(source: str | Path | Sequence[Example]) -> tuple[list[Example], list[str]]:
    """Rows without their shared wrapper, and a sentence if there was one."""
    examples = read_examples(source) if isinstance(source, str | Path) else list(source)
    name = str(source) if isinstance(source, str | Path) else "the rows"
    if not examples:
        raise DatasetInvalid(f"{name}: no rows to evaluate.")
    bare, wrapper = strip_examples(examples)
    notes = [f"the wrapper around all inputs of {name} was taken off"] if wrapper else []
    return bare, notes


def _task(methods: Sequence[str | Path | TunedPrompt | Method], rows: Sequence[Example]) -> Task:
    """What a tuned prompt was made for; else what the rows look like, all of them: a few look like free text."""
    made_for = next((method.task for method in methods if isinstance(method, TunedPrompt)), None)
    return made_for or detect_task(rows)  # type: ignore[return-value]


def _guard(
    task: Task,
    known: Sequence[Example],
    methods: Sequence[str | Path | TunedPrompt | Method],
    rows: Sequence[Example],
) -> tuple[list[str], list[str]]:
    """The answers that generated text is held to, and where they come from."""
    if task not in LABEL_TASKS:
        return [], [f"the guard does nothing: the answers of this task ({task}) are free text"]
    tuned = next((m for m in methods if isinstance(m, TunedPrompt) and m.labels), None)
    if known:
        labels, source = sorted({row.output for row in known}), "the labelled examples"
    elif tuned is not None:
        labels, source = list(tuned.labels), f"the tuned prompt {tuned.name}"
    else:
        labels, source = sorted({row.output for row in rows}), f"all {len(rows)} test rows, for no examples were given"
    if any(isinstance(m, TunedPrompt) and m.labels for m in methods):
        source += "; a tuned prompt is held to its own"
    return labels, [f"the guard knows {len(labels)} answers, those of {source}"]


def _unstopped(answers: Sequence[Answer]) -> list[Answer]:
    """Answers without the line break that ended them."""
    from dataclasses import replace

    return [replace(answer, output=answer.output.strip()) for answer in answers]


def _plain(text: str, label: str, p: float) -> Answer:
    return Answer(text, label, 0, 0, 0, "label", p)
