"""What an evaluation found, for people: a Markdown report, the table in it, and a picture of the loss.

Covers: files and the texts in their cells. Does not cover measuring (`evaluate`) and terminals (the command line draws
the same tables from `figures` and `answers`).
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softprompt.engine.artifact import TunedPrompt, now, versions_here
from softprompt.errors import UsageError
from softprompt.params import LABEL_TASKS
from softprompt.workbench.curves import Curve, draw_curves
from softprompt.workbench.evaluate import Evaluation, MethodResult

__all__ = ["Curve", "Table", "answers", "draw_curves", "figures", "machine", "printable", "write_report"]

SAMPLE = 12
"""Rows whose answers a report shows where no questions were asked."""
NONE = "–"
RIGHT, WRONG = "✓", "✗"


@dataclass(frozen=True, slots=True)
class Table:
    """Cells as text; the first column names the rows."""

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def figures(evaluation: Evaluation) -> Table:
    """One line per method: how right, how many tokens, how long."""
    columns: dict[str, list[str]] = {"method": [method.name for method in evaluation.methods]}
    scores = [method.score for method in evaluation.methods]
    if evaluation.task not in LABEL_TASKS:
        columns["ROUGE-L"] = [_share(score.rouge_l) for score in scores]
        columns["95 % interval"] = [_interval(score.rouge_l_interval) for score in scores]
        columns["exact"] = [_share(score.exact) for score in scores]
    else:
        columns["exact"] = [_share(score.exact) for score in scores]
        columns["95 % interval"] = [_interval(score.interval) for score in scores]
        columns["micro-F1"] = [_share(score.micro_f1) for score in scores]
    if any(score.format_kept is not None for score in scores):
        columns["format kept"] = [_share(score.format_kept) for score in scores]
    for name in ("input", "virtual", "generated"):
        columns[f"{name} tokens"] = [_count(getattr(method, f"{name}_tokens"), method) for method in evaluation.methods]
    columns["ms/row"] = [_time(method.ms_per_row) for method in evaluation.methods]
    return Table(tuple(columns), tuple(zip(*columns.values(), strict=True)))


def answers(evaluation: Evaluation, limit: int | None = None) -> Table:
    """One line per method under the right answer, one column per row: its answer with a tick or a cross."""
    rows = evaluation.rows[:limit]
    lines = [("right answer", *(row.output for row in rows))]
    for method in evaluation.methods:
        said = [answer.output.strip() for answer in method.answers[: len(rows)]]
        lines.append((method.name, *(marked(text, row.output) for text, row in zip(said, rows, strict=True))))
    return Table(("method", *(str(number) for number in range(1, len(rows) + 1))), tuple(lines))


def marked(said: str, right: str) -> str:
    """An answer with a tick or a cross."""
    return f"{RIGHT if said.split() == right.split() else WRONG} {printable(said) or '(nothing)'}"


def printable(text: str) -> str:
    """What a model said, without the control characters that would steer a terminal."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def write_report(
    path: str | Path,
    evaluation: Evaluation,
    *,
    title: str = "Evaluation",
    model: str = "",
    tuned: Sequence[TunedPrompt] = (),
    questions: Evaluation | None = None,
    curves: str | Path | None = None,
) -> Path:
    """Write a Markdown report.

    Args:
        path: the file.
        evaluation: methods on the held-out rows.
        title: its first line.
        model: name of the foundation model.
        tuned: the tuned prompts among the methods; their recipes are shown.
        questions: the same methods on a few questions, shown whole. Without it: on the first held-out rows.
        curves: a picture of the loss, named relative to the report.
    """
    file = Path(path)
    parts = [f"# {title}", _summary(evaluation, model), *_methods(evaluation), *_per_label(evaluation)]
    if questions is not None:
        parts += ["## The questions", *_answers(questions, len(questions.rows))]
    else:
        shown = min(SAMPLE, len(evaluation.rows))
        parts += [f"## Answers to the first {shown} of {len(evaluation.rows)} rows", *_answers(evaluation, shown)]
    if curves is not None:
        picture = os.path.relpath(Path(curves).resolve(), file.resolve().parent)
        parts += ["## Loss", f"![loss by epoch]({Path(picture).as_posix()})"]
    parts += _recipes(tuned)
    if evaluation.notes:
        parts += ["## Notes", _list(evaluation.notes)]
    parts += ["## Machine", _list(f"{name}: {value}" for name, value in machine().items())]
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}. Name another file.") from error
    return file


def machine() -> dict[str, str]:
    """What times depend on. The machine's name is nobody's business."""
    import torch

    facts = {
        "processor": _processor(),
        "cores": f"{os.cpu_count()}, {torch.get_num_threads()} threads used",
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "versions": ", ".join(f"{name} {version}" for name, version in versions_here().items()),
    }
    if torch.cuda.is_available():
        facts["accelerator"] = torch.cuda.get_device_name()
    return facts


def _summary(evaluation: Evaluation, model: str) -> str:
    asked = f" Foundation model: `{model}`." if model else ""
    rows = len(evaluation.rows)
    return (
        f"{len(evaluation.methods)} methods on the same {rows:,} held-out rows, task: {evaluation.task}.{asked} "
        f"Written {now()}."
    )


def _methods(evaluation: Evaluation) -> list[str]:
    words = (
        "Tokens are means per row: input as a person sees it, virtual those of the soft prompt. "
        "Times include batching; a linear model reads no tokens."
    )
    if evaluation.task in LABEL_TASKS:
        words = f"exact: the whole answer is right. The interval is Wilson's, for the share of exact answers. {words}"
    else:
        words = f"ROUGE-L: mean F1 of the longest common run of words; its interval is a bootstrap's. {words}"
    return ["## Methods", markdown(figures(evaluation)), words]


def _per_label(evaluation: Evaluation) -> list[str]:
    scored: list[tuple[MethodResult, Mapping[str, Any]]] = [
        (method, method.score.per_label) for method in evaluation.methods if method.score.per_label
    ]
    if not scored:
        return []
    lines = [
        (label, f"{first.support}", *(_share(labels[label].f1) for _, labels in scored))
        for label, first in scored[0][1].items()
    ]
    table = Table(("label", "rows", *(method.name for method, _ in scored)), tuple(lines))
    return ["## F1 by label", markdown(table)]


def _answers(evaluation: Evaluation, limit: int) -> list[str]:
    asked = "\n".join(
        f"{number}. {_line(row.input)} → **{_line(row.output)}**"
        for number, row in enumerate(evaluation.rows[:limit], start=1)
    )
    return [asked, markdown(answers(evaluation, limit))]


def _recipes(tuned: Sequence[TunedPrompt]) -> list[str]:
    parts = ["## Recipes"] if tuned else []
    for prompt in tuned:
        facts = [
            f"base: {prompt.base.model_id}, {prompt.base.layers} layers, {prompt.base.dtype}",
            f"rows: {prompt.data.get('rows', '?')} (SHA-256 {str(prompt.data.get('sha256', '?'))[:12]}…)",
            f"virtual tokens: {prompt.virtual_tokens}; answers by {prompt.answers_by}",
            f"template: `{_line(prompt.template.render('{{input}}'))}`",
        ]
        schedule = prompt.recipe.get("chosen")
        if isinstance(schedule, Mapping):
            facts.append("schedule: " + ", ".join(f"{name} {_value(value)}" for name, value in schedule.items()))
        parts += [f"### {prompt.name}", _list([*facts, *map(str, prompt.recipe.get("notes", ()))])]
    return parts


def markdown(table: Table) -> str:
    """The table in GitHub's Markdown: names left, numbers right."""
    numeric = [all(_is_number(row[i]) for row in table.rows) for i in range(len(table.head))]
    lines = [table.head, ["--:" if right else "---" for right in numeric], *table.rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")


def _line(text: str) -> str:
    """On one line and without meaning as HTML."""
    return " ".join(text.split()).replace("<", "&lt;")


def _list(items: Iterable[str]) -> str:
    return "\n".join(f"- {_line(item)}" for item in items)


def _is_number(text: str) -> bool:
    return text[:1].isdigit() or text == NONE


def _share(value: float | None) -> str:
    return NONE if value is None else f"{value:.3f}"


def _interval(value: tuple[float, float] | None) -> str:
    return NONE if value is None else f"{value[0]:.2f}–{value[1]:.2f}"


def _count(value: float, method: MethodResult) -> str:
    """A mean count; a linear model reads no tokens at all."""
    return f"{value:.1f}".removesuffix(".0") if method.input_tokens else NONE


def _time(value: float) -> str:
    return f"{value:.1f}" if value < 100 else f"{value:.0f}"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _processor() -> str:
    """The model of the CPU; Python itself tells only its family on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
