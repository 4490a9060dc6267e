"""The report on a dataset: what is in it, what is wrong with it, and what will hurt a tuned prompt.

Reads each file once. Repairs nothing; `softprompt data check --fix` writes what the report proposes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from softprompt.data import findings
from softprompt.data.census import KEPT, Census
from softprompt.data.findings import Contradiction, Cut, Duplicate, Lengths, Majority, RareLabel
from softprompt.data.labels import Spelling, detect_task, labels_of, spellings
from softprompt.data.leaks import Leak, LeakIndex
from softprompt.data.problems import Problem
from softprompt.data.read import stream
from softprompt.data.template import Template
from softprompt.data.wrapper import Wrapper
from softprompt.params import Task

__all__ = ["DataReport", "check", "detect_task", "labels_of"]

MOST_CLASSES = 10
"""IBM advises against tuning a classifier for more."""
_FEW_ROWS = 50
_MAJORITY = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class DataReport:
    """What `check` found. Lists are cut after 1,000 entries; the counts beside them are not."""

    path: str
    rows: int
    valid: int
    problems: tuple[Problem, ...]
    problem_kinds: dict[str, int]
    refused: int
    task: Task
    labels: dict[str, int]
    combinations: dict[str, int]
    majority: Majority | None
    rare_labels: tuple[RareLabel, ...]
    label_spellings: tuple[Spelling, ...]
    duplicates: tuple[Duplicate, ...]
    duplicate_count: int
    contradictions: tuple[Contradiction, ...]
    contradiction_count: int
    lengths: dict[str, Lengths]
    cut: Cut | None
    wrapper: Wrapper | None
    leaks: tuple[Leak, ...]
    leak_count: int
    test: DataReport | None
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Every row of the file (and of the test file) can be used, if need be after a repair."""
        return self.refused == 0 and self.valid > 0 and (self.test is None or self.test.ok)

    def to_dict(self) -> dict[str, Any]:
        document = asdict(self)
        document["test"] = self.test.to_dict() if self.test else None
        return {"ok": self.ok, **document}


def check(
    path: str | Path,
    *,
    test: str | Path | None = None,
    task: Task = "auto",
    count_tokens: Callable[[str], int] | None = None,
    limit: int = 256,
    template: Template | None = None,
) -> DataReport:
    """Read a dataset, and a test set if there is one, and report on both."""
    form = template or Template()
    index: LeakIndex | None = None
    test_report = None
    if test is not None:
        index = LeakIndex()
        census = Census(limit, form, count_tokens)
        for example, bare, key in census.take(stream(test)):
            index.add(bare, key, example.line)
        test_report = _report(test, census, task, [], None)
    census = Census(limit, form, count_tokens)
    leaks = []
    for example, bare, key in census.take(stream(path)):
        if index and (leak := index.find(bare, key, example.line)):
            leaks.append(leak)
    return _report(path, census, task, leaks, test_report)


def _report(path: str | Path, census: Census, task: Task, leaks: list[Leak], test: DataReport | None) -> DataReport:
    task = census.evidence.task() if task == "auto" else task
    outputs = census.evidence.outputs
    labels = findings.label_counts(outputs, task)
    combinations = findings.combination_counts(outputs, task)
    duplicates, contradictions = findings.copies(census)
    wrapper = census.wrapper.wrapper() or None
    report = DataReport(
        path=str(path),
        rows=census.valid + census.refused,
        valid=census.valid,
        problems=tuple(census.problems),
        problem_kinds=dict(census.problem_kinds.most_common()),
        refused=census.refused,
        task=task,
        labels=labels,
        combinations=combinations,
        majority=findings.majority(combinations, census.valid),
        rare_labels=findings.rare_labels(labels, census.valid),
        label_spellings=tuple(spellings(outputs, task)) if labels else (),
        duplicates=tuple(duplicates[:KEPT]),
        duplicate_count=len(duplicates),
        contradictions=tuple(contradictions[:KEPT]),
        contradiction_count=len(contradictions),
        lengths=findings.lengths(census),
        cut=findings.cut(census),
        wrapper=wrapper,
        leaks=tuple(leaks[:KEPT]),
        leak_count=len(leaks),
        test=test,
        warnings=(),
    )
    warnings = (*findings.kind_counts(census), *_warn_rows(report), *_warn_labels(report), *_warn_test(report))
    return replace(report, warnings=warnings)


def _warn_rows(report: DataReport) -> Iterator[str]:
    if 0 < report.valid < _FEW_ROWS:
        rows = "1 row is" if report.valid == 1 else f"{report.valid} rows are"
        yield f"{rows} few to learn from; {_FEW_ROWS} or more per file make results steadier."
    if report.duplicate_count:
        yield f"{_groups(report.duplicate_count)} of rows are copies of each other. Keep one row of each."
    if report.contradiction_count:
        example = report.contradictions[0]
        yield (
            f"{_groups(report.contradiction_count)} of rows have the same input and different outputs, "
            f"e.g. lines {_lines(example.lines)}: {' / '.join(example.outputs[:3])}. Decide for one output."
        )
    if report.cut and report.cut.rows:
        yield (
            f"{report.cut.rows} rows are longer than {report.cut.limit} tokens; the end of their input is cut. "
            "Raise max_input_tokens or shorten them."
        )
    if report.wrapper:
        yield (
            f"All rows share the text {str(report.wrapper)!r} around their inputs. It is taken off with --fix, and by "
            "itself when tuning and evaluating."
        )


def _warn_labels(report: DataReport) -> Iterator[str]:
    classes = len(report.labels)
    if report.task == "classification" and classes > MOST_CLASSES:
        yield f"{classes} classes: IBM advises at most {MOST_CLASSES} for a classifier tuned on a prompt."
    if report.majority and report.majority.share > _MAJORITY and len(report.combinations) > 1:
        yield (
            f"{report.majority.share:.0%} of the rows have the output {report.majority.output!r}; a model that always "
            "says so looks good. Compare macro F1, or add rows of the other outputs."
        )
    if report.rare_labels:
        names = ", ".join(f"{rare.label} ({rare.rows})" for rare in report.rare_labels[:10])
        yield f"Rare labels are hardly learned: {names}. Add rows; {findings.RARE_ROWS} is the least."
    for spelling in report.label_spellings[:10]:
        names = " / ".join(f"{text!r} ({count})" for text, count in spelling.spellings.items())
        fix = "--fix unifies them" if spelling.differ_by != "order" else "Decide for one order of the labels"
        yield f"One meaning, several spellings ({spelling.differ_by}): {names}. {fix}, e.g. {spelling.use!r}."


def _warn_test(report: DataReport) -> Iterator[str]:
    test = report.test
    if test is None:
        return
    if report.leak_count:
        first = report.leaks[0]
        yield (
            f"{report.leak_count} training rows stand in the test file too, as they are or nearly (first: line "
            f"{first.line} and test line {first.test_line}). Take them out of one file, or the test flatters."
        )
    if (report.wrapper or Wrapper()) != (test.wrapper or Wrapper()) and report.valid and test.valid:
        yield (
            f"Training and test rows are wrapped differently ({str(report.wrapper or 'bare')!r} against "
            f"{str(test.wrapper or 'bare')!r}): accuracy will suffer. The wrappers are taken off with --fix, and by "
            "themselves when tuning and evaluating."
        )
    if report.task == test.task and (unseen := sorted(set(test.labels) - set(report.labels))):
        yield f"The test file has labels that training never shows: {', '.join(unseen[:10])}."
    if report.task != test.task and test.valid >= _FEW_ROWS:
        yield f"The training file looks like {report.task}, the test file like {test.task}. Name the task: --task."


def _groups(count: int) -> str:
    return "1 group" if count == 1 else f"{count:,} groups"


def _lines(lines: tuple[int, ...]) -> str:
    return ", ".join(map(str, lines[:5])) + (" …" if len(lines) > 5 else "")
