"""Rows of a dataset that fit: by number, text, label, output, length or finding; and how many there are.

Work is bounded by the page, not by the file: what cannot be counted quickly is counted up to `MOST`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge
from itertools import islice
from typing import Any, Literal

from softprompt.data.labels import labels_of
from softprompt.params import Task
from softprompt.studio.datasets_index import Mark, Row, RowIndex

MOST = 5_000
"""Rows that a search counts; beyond, it says "more than"."""
_GROUP = 20
"""Rows that are shown of one group of copies."""

Finding = Literal["", "problems", "repaired", "duplicates", "contradictions", "rare", "spellings", "long", "leaks"]
GROUPED = ("duplicates", "contradictions")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows, and which piece of the list.

    Attributes:
        search: text in input or output, in any case.
        label: one label that the output holds.
        output: the whole output.
        over: with the finding `long`, tokens above which an input is too long.
        start: of the first row that is wanted, among those that fit.
    """

    search: str = ""
    label: str = ""
    output: str = ""
    finding: Finding = ""
    over: int = 0
    start: int = 0
    limit: int = 25

    @property
    def narrowed(self) -> bool:
        return bool(self.search or self.label or self.output or self.finding)


@dataclass(frozen=True, slots=True)
class Found:
    """A piece of a list of rows.

    Attributes:
        total: of all pieces.
        exact: whether `total` is; else there are more.
        refused: by the number of the row before which they stand, where the file is shown as it is.
    """

    rows: Sequence[Row]
    total: int
    exact: bool = True
    refused: Mapping[int, Sequence[Mark]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows with the same input; `count` may be more than are shown."""

    rows: tuple[Row, ...]
    count: int


def find(
    index: RowIndex, wanted: Wanted, report: Mapping[str, Any], tokens: Sequence[int] | memoryview | None = None
) -> Found:
    """The rows of one piece."""
    end = wanted.start + wanted.limit
    if not wanted.narrowed:
        numbers = range(min(wanted.start, len(index)), min(end, len(index)))
        return Found(list(index.rows(numbers)), len(index), True, _refused(index, numbers, end >= len(index)))
    outputs = _outputs(index, wanted, report)
    long = wanted.finding == "long"
    if outputs is not None and not wanted.search and not long:
        total = sum(index.counts[output] for output in outputs)
        numbers_of = merge(*(index.with_output(output) for output in outputs))
        return Found(list(index.rows(islice(numbers_of, wanted.start, end))), total)
    fitting = _fitting(index, wanted, outputs, tokens if long else None)
    here = list(islice(fitting, wanted.start, end))
    total = wanted.start + len(here) if here or not wanted.start else 0
    total += sum(1 for _ in islice(fitting, max(0, MOST - total)))
    return Found(list(index.rows(here)), total, next(fitting, None) is None)


def groups(index: RowIndex, finding: str, report: Mapping[str, Any], start: int, limit: int) -> list[Group]:
    """Copies of one input side by side: `duplicates` or `contradictions`."""
    return [_group(index, found["lines"]) for found in report.get(finding, ())[start : start + limit]]


def problems(index: RowIndex, *, repaired: bool, start: int, limit: int) -> tuple[list[Mark], int]:
    """Marked places of rows that were kept after a repair, or of those that cannot be used."""
    marks = [mark for mark in index.marks if mark.problem.repaired == repaired]
    return marks[start : start + limit], len(marks)


def outputs_with(index: RowIndex, labels: Iterable[str], task: Task) -> list[int]:
    """Numbers of the outputs that hold any of these labels."""
    wanted = set(labels)
    return [
        number
        for number, output in enumerate(index.answers)
        if any(label in output for label in wanted) and wanted.intersection(labels_of(output, task))
    ]


def _outputs(index: RowIndex, wanted: Wanted, report: Mapping[str, Any]) -> list[int] | None:
    """Numbers of the outputs that are asked for; None: any."""
    task: Task = report.get("task", "auto")
    asked: list[set[int]] = []
    if wanted.label:
        asked.append(set(outputs_with(index, [wanted.label], task)))
    if wanted.output:
        asked.append({number for number, output in enumerate(index.answers) if output == wanted.output})
    if wanted.finding == "rare":
        asked.append(set(outputs_with(index, [rare["label"] for rare in report.get("rare_labels", ())], task)))
    if wanted.finding == "spellings":
        texts = {text for spelling in report.get("label_spellings", ()) for text in spelling["spellings"]}
        asked.append({number for number, output in enumerate(index.answers) if output in texts})
    return sorted(set.intersection(*asked)) if asked else None


def _fitting(
    index: RowIndex, wanted: Wanted, outputs: list[int] | None, tokens: Sequence[int] | memoryview | None
) -> Iterator[int]:
    numbers: Iterable[int] = _searched(index, wanted.search) if wanted.search.strip() else range(len(index))
    tests: list[Callable[[int], bool]] = []
    if outputs is not None:
        of, allowed = index.column("outputs"), frozenset(outputs)
        tests.append(lambda number: of[number] in allowed)
    if tokens is not None:
        tests.append(lambda number: tokens[number] > wanted.over)
    return (number for number in numbers if all(test(number) for test in tests))


def _searched(index: RowIndex, text: str) -> Iterator[int]:
    needle, place = text.strip().casefold().encode(), 0
    offsets = index.column("folded_offsets")
    while (place := index.folded.find(needle, place)) >= 0:
        number = index.at_byte(place)
        yield number
        place = offsets[number + 1]


def _refused(index: RowIndex, numbers: range, at_end: bool) -> dict[int, list[Mark]]:
    """Rows that cannot be used, where they stand between the others."""
    shown: dict[int, list[Mark]] = {}
    for mark in index.marks:
        inside = mark.row in numbers or (at_end and mark.row == len(index))
        if inside and not mark.problem.repaired:
            shown.setdefault(mark.row, []).append(mark)
    return shown


def _group(index: RowIndex, lines: Sequence[int]) -> Group:
    rows, before = [], 0
    column = index.column("lines")
    for place, line in enumerate(lines[:_GROUP]):
        before = before + 1 if place and lines[place - 1] == line else 0  # several rows may share a line
        number = index.at_line(line)
        if number is not None and number + before < len(index) and column[number + before] == line:
            rows.append(index.row(number + before))
    return Group(tuple(rows), len(lines))
