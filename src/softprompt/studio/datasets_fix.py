"""What a repaired version of a dataset has that the file has not: shown before it is made, then made row by row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import groupby, islice
from typing import Any, Literal

from softprompt.data.labels import unifier
from softprompt.data.textform import normalise
from softprompt.data.wrapper import Wrapper
from softprompt.params import Task
from softprompt.studio.datasets_find import groups
from softprompt.studio.datasets_index import Mark, Row, RowIndex
from softprompt.studio.datasets_lengths import wrapper_of

Kind = Literal["repaired", "refused", "spellings", "wrapper", "duplicates", "contradictions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """What is done beside repairing rows and leaving out those that cannot be used."""

    spellings: bool = False
    """Each label gets its most frequent spelling."""
    wrapper: bool = False
    """The text that all inputs share is taken off."""
    duplicates: bool = False
    """Of rows that are copies of each other the first one stays."""
    contradictions: bool = False
    """Rows with the same input and different outputs are left out, all of them."""

    @classmethod
    def of(cls, names: Iterable[str]) -> Steps:
        wanted = set(names)
        return cls(**{field.name: field.name in wanted for field in fields(cls)})


@dataclass(frozen=True, slots=True)
class Change:
    """One row before and after.

    Attributes:
        after: None where the row is left out.
        marks: places in the line of the file, where the change is a repair.
    """

    kind: Kind
    line: int
    before: tuple[str, str] | None
    after: tuple[str, str] | None
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What would change: examples of each kind, and how many rows there are of each."""

    counts: dict[Kind, int]
    examples: dict[Kind, list[Change]]

    @property
    def empty(self) -> bool:
        return not any(self.counts.values())


def plan(index: RowIndex, report: Mapping[str, Any], *, each: int = 8) -> Plan:
    """Every change that can be made."""
    kinds: dict[Kind, tuple[int, Iterator[Change]]] = {
        "repaired": (len({m.problem.line for m in index.marks if m.problem.repaired}), _repairs(index)),
        "refused": (int(report.get("refused", 0)), _refusals(index)),
        "spellings": _spelled(index, report),
        "wrapper": _wrapped(index, report),
        "duplicates": (
            sum(len(group["lines"]) - 1 for group in report.get("duplicates", ())),
            _copies(index, report, "duplicates"),
        ),
        "contradictions": (
            sum(len(group["lines"]) for group in report.get("contradictions", ())),
            _copies(index, report, "contradictions"),
        ),
    }
    return Plan(
        {kind: count for kind, (count, _) in kinds.items()},
        {kind: list(islice(changes, each)) for kind, (_, changes) in kinds.items()},
    )


def fixed(index: RowIndex, report: Mapping[str, Any], steps: Steps) -> Iterator[bytes]:
    """The rows of the repaired version as JSON lines."""
    wrapper = wrapper_of(report)
    renamed = _renamed(index, report) if steps.spellings else {}
    torn = _contradicted(index, wrapper) if steps.contradictions else frozenset()
    seen: set[int] = set()
    for row in index.rows():
        bare = wrapper.strip(row.input)
        key = hash(normalise(bare))
        if key in torn:
            continue
        if steps.duplicates:
            pair = hash((key, normalise(row.output)))
            if pair in seen:
                continue
            seen.add(pair)
        yield line_of(bare if steps.wrapper else row.input, renamed.get(row.output.strip(), row.output))


def line_of(question: str, answer: str) -> bytes:
    """A row as a line of JSON."""
    return json.dumps({"input": question, "output": answer}, ensure_ascii=False).encode() + b"\n"


def _repairs(index: RowIndex) -> Iterator[Change]:
    """One change a line, however many repairs it took."""
    repaired = (mark for mark in index.marks if mark.problem.repaired)
    for line, found in groupby(repaired, key=lambda mark: mark.problem.line):
        marks = tuple(found)
        number = marks[-1].row
        row = index.row(number) if number < len(index) else None
        yield Change("repaired", line, None, _pair(row), marks)


def _refusals(index: RowIndex) -> Iterator[Change]:
    for mark in index.marks:
        if not mark.problem.repaired:
            yield Change("refused", mark.problem.line, None, None, (mark,))


def _renamed(index: RowIndex, report: Mapping[str, Any]) -> dict[str, str]:
    task: Task = report.get("task", "auto")
    return unifier(Counter(dict(zip(index.answers, index.counts, strict=True))), task)


def _spelled(index: RowIndex, report: Mapping[str, Any]) -> tuple[int, Iterator[Change]]:
    renamed = _renamed(index, report) if report.get("labels") else {}
    numbers = {output: number for number, output in enumerate(index.answers) if output in renamed}

    def changes() -> Iterator[Change]:
        for output, number in numbers.items():
            for row in index.rows(index.with_output(number)[:2]):
                yield Change("spellings", row.line, (row.input, row.output), (row.input, renamed[output]))

    return sum(index.counts[number] for number in numbers.values()), changes()


def _wrapped(index: RowIndex, report: Mapping[str, Any]) -> tuple[int, Iterator[Change]]:
    wrapper = wrapper_of(report)
    if not wrapper:
        return 0, iter(())
    changes = (
        Change("wrapper", row.line, (row.input, row.output), (wrapper.strip(row.input), row.output))
        for row in index.rows(range(min(3, len(index))))
    )
    return len(index), changes


def _copies(
    index: RowIndex, report: Mapping[str, Any], kind: Literal["duplicates", "contradictions"]
) -> Iterator[Change]:
    for group in groups(index, kind, report, 0, 20):
        for place, row in enumerate(group.rows):
            stays = kind == "duplicates" and place == 0
            yield Change(kind, row.line, _pair(row), _pair(row) if stays else None)


def _contradicted(index: RowIndex, wrapper: Wrapper) -> frozenset[int]:
    """Inputs, as hashes, that have more than one output."""
    first: dict[int, int] = {}
    torn = set()
    for row in index.rows():
        key, answer = hash(normalise(wrapper.strip(row.input))), hash(normalise(row.output))
        if first.setdefault(key, answer) != answer:
            torn.add(key)
    return frozenset(torn)


def _pair(row: Row | None) -> tuple[str, str] | None:
    return None if row is None else (row.input, row.output)
