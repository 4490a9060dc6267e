"""The parts of a data report, and what follows from a census for each of them. No reading, no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from softprompt.data.census import KEPT, Census
from softprompt.data.labels import labels_of, quantile
from softprompt.params import LABEL_TASKS, Task

RARE_ROWS, RARE_SHARE = 5, 0.02


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Rows with the same input and the same output."""

    lines: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Contradiction:
    """Rows with the same input and different outputs."""

    lines: tuple[int, ...]
    outputs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RareLabel:
    label: str
    rows: int
    share: float


@dataclass(frozen=True, slots=True)
class Majority:
    """The most frequent output: what a model reaches that always answers the same."""

    output: str
    share: float


@dataclass(frozen=True, slots=True)
class Spread:
    """How long texts are."""

    shortest: int
    median: int
    p95: int
    longest: int
    mean: float


@dataclass(frozen=True, slots=True)
class Lengths:
    words: Spread
    characters: Spread
    tokens: Spread | None
    """None without a tokenizer. Inputs are counted as the template renders them."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Rows whose prompt is longer than the limit."""

    limit: int
    rows: int
    lines: tuple[int, ...]


def label_counts(outputs: Counter[str], task: Task) -> dict[str, int]:
    """Rows per label, most frequent first; empty for free text."""
    counts: Counter[str] = Counter()
    for output, rows in outputs.items():
        for label in labels_of(output, task):
            counts[label] += rows
    return _ordered(counts)


def combination_counts(outputs: Counter[str], task: Task) -> dict[str, int]:
    """Rows per whole output; empty for free text."""
    return _ordered(outputs) if task in LABEL_TASKS else {}


def rare_labels(labels: dict[str, int], rows: int) -> tuple[RareLabel, ...]:
    return tuple(
        RareLabel(label, count, round(count / rows, 4))
        for label, count in labels.items()
        if count < RARE_ROWS or count / rows < RARE_SHARE
    )


def majority(combinations: dict[str, int], rows: int) -> Majority | None:
    if not combinations:
        return None
    output = next(iter(combinations))
    return Majority(output, round(combinations[output] / rows, 4))


def copies(census: Census) -> tuple[list[Duplicate], list[Contradiction]]:
    """Duplicates and contradictions, in the order of the file."""
    texts = census.output_texts()
    duplicates, contradictions = [], []
    for group in census.copies.values():
        by_answer: dict[int, list[int]] = {}
        for line, answer in group:
            by_answer.setdefault(answer, []).append(line)
        duplicates += [Duplicate(tuple(lines)) for lines in by_answer.values() if len(lines) > 1]
        if len(by_answer) > 1:
            outputs = tuple(texts.get(answer, "…") for answer in by_answer)
            contradictions.append(Contradiction(tuple(sorted(line for line, _ in group)), outputs))
    return sorted(duplicates, key=lambda d: d.lines), sorted(contradictions, key=lambda c: c.lines)


def lengths(census: Census) -> dict[str, Lengths]:
    evidence = census.evidence
    if not census.valid:
        return {}
    tokens = census.count_tokens is not None
    return {
        "input": Lengths(
            _spread(evidence.input_words),
            _spread(census.input_characters),
            _spread(census.input_tokens) if tokens else None,
        ),
        "output": Lengths(
            _spread(evidence.output_words),
            _spread(census.output_characters),
            _spread(census.output_tokens) if tokens else None,
        ),
    }


def cut(census: Census) -> Cut | None:
    """None without a tokenizer: nobody can know."""
    return Cut(census.limit, census.cut, tuple(census.cut_lines)) if census.count_tokens else None


def kind_counts(census: Census) -> Iterator[str]:
    """Problems beyond those that are kept with their lines, as a sentence."""
    beyond = census.problem_kinds.total() - len(census.problems)
    if beyond:
        kinds = ", ".join(f"{kind} {count:,}" for kind, count in census.problem_kinds.most_common())
        yield f"{beyond:,} more problems are not listed (the first {KEPT:,} are). Of each kind: {kinds}."


def _ordered(counts: Counter[str]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _spread(histogram: Counter[int]) -> Spread:
    mean = sum(value * count for value, count in histogram.items()) / histogram.total()
    return Spread(
        min(histogram), quantile(histogram, 0.5), quantile(histogram, 0.95), max(histogram), round(mean, 1)
    )  # fmt: skip
