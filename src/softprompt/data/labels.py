"""What kind of task the outputs speak of, their labels, and spellings of one label that differ.

Decides from the text of inputs and outputs alone; knows no model.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from softprompt.data.records import Example
from softprompt.params import Task

MOST_LABELS = 200
"""Distinct outputs that can still be a label set."""
_MOST_COUNTED = 20_000
_LONGEST_LABEL = 8  # words
_SUMMARY_RATIO, _SUMMARY_WORDS = 2.5, 40

Difference = Literal["case or space", "order"]


@dataclass(frozen=True, slots=True)
class Spelling:
    """Outputs that mean the same and are written differently."""

    spellings: dict[str, int]
    use: str
    """The spelling that `unifier` writes; of different orders, the one that stands most often."""
    differ_by: Difference


@dataclass(slots=True)
class TaskEvidence:
    """What `detect_task` needs to know of a dataset; its size does not grow with the number of rows."""

    rows: int = 0
    outputs: Counter[str] = field(default_factory=Counter)
    free: bool = False
    """More distinct outputs than are worth counting: `outputs` is then incomplete."""
    input_words: Counter[int] = field(default_factory=Counter)
    output_words: Counter[int] = field(default_factory=Counter)

    def add(self, question: str, answer: str) -> None:
        self.rows += 1
        self.input_words[len(question.split())] += 1
        self.output_words[len(answer.split())] += 1
        answer = answer.strip()
        if answer in self.outputs or len(self.outputs) < _MOST_COUNTED:
            self.outputs[answer] += 1
        else:
            self.free = True

    def task(self) -> Task:
        if self.rows and not self.free:
            if self._is_multilabel():
                return "multilabel"
            if self._is_classification():
                return "classification"
        long, short = quantile(self.input_words, 0.5), quantile(self.output_words, 0.5)
        summary = long >= _SUMMARY_WORDS and long >= _SUMMARY_RATIO * short
        return "summarization" if summary else "generation"

    def _is_classification(self) -> bool:
        distinct = len(self.outputs)
        return distinct <= MOST_LABELS and self.rows >= 2 * distinct and self._short(self.outputs)

    def _is_multilabel(self) -> bool:
        homes: defaultdict[str, set[str]] = defaultdict(set)
        uses = 0
        for output, count in self.outputs.items():
            for label in split_labels(output):
                homes[label].add(output)
                uses += count
        if len(homes) > MOST_LABELS // 2 or uses < 2 * len(homes) or not self._short(homes):
            return False
        # "Yes, please" beside "No" is one label with a comma: parts of label sets turn up in other sets.
        return any(len(homes[label]) > 1 for output in self.outputs if ", " in output for label in split_labels(output))

    @staticmethod
    def _short(texts: Iterable[str]) -> bool:
        return all(len(text.split()) <= _LONGEST_LABEL for text in texts)


def detect_task(examples: Iterable[Example]) -> Task:
    """Classification, multilabel, summarization or generation."""
    evidence = TaskEvidence()
    for example in examples:
        evidence.add(example.input, example.output)
    return evidence.task()


def labels_of(output: str, task: Task) -> tuple[str, ...]:
    """The labels of one output, in their order; free text has none."""
    if task == "multilabel":
        return split_labels(output)
    return (output.strip(),) if task == "classification" and output.strip() else ()


def split_labels(output: str) -> tuple[str, ...]:
    """ "Service, L3" → ("Service", "L3"); each label once."""
    return tuple(dict.fromkeys(part.strip() for part in output.split(",") if part.strip()))


def spellings(outputs: Mapping[str, int], task: Task) -> list[Spelling]:
    """Groups of outputs that differ by case, space or the order of their labels."""
    groups: defaultdict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for output, count in outputs.items():
        groups[tuple(sorted(_plain(label) for label in labels_of(output, task)))][output] = count
    found = []
    unified = unifier(outputs, task)
    for key, group in groups.items():
        if len(group) > 1 and key:
            orders = {tuple(_plain(label) for label in labels_of(output, task)) for output in group}
            differ_by: Difference = "order" if len(orders) > 1 else "case or space"
            most = max(group, key=lambda text: (group[text], text))
            found.append(Spelling(dict(group), unified.get(most, most), differ_by))
    return found


def unifier(outputs: Mapping[str, int], task: Task) -> dict[str, str]:
    """Outputs to rewrite so that each label has one spelling; case and space only, never the order."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for output, count in outputs.items():
        for label in labels_of(output, task):
            counts[_plain(label)][" ".join(label.split())] += count
    best = {key: max(group, key=lambda text: (group[text], text)) for key, group in counts.items()}
    rewritten = {output: ", ".join(best[_plain(label)] for label in labels_of(output, task)) for output in outputs}
    return {old: new for old, new in rewritten.items() if old != new and new}


def quantile(histogram: Counter[int], share: float) -> int:
    """The value below which that share of the counted values lies."""
    left = share * (histogram.total() - 1)
    for value in sorted(histogram):
        left -= histogram[value]
        if left < 0:
            return value
    return max(histogram, default=0)


def _plain(label: str) -> str:
    return " ".join(label.casefold().split())
