"""Everything that one pass over a file gathers for its report. Counts and hashes only: memory stays small for any size.

Draws no conclusions; `report` does.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from softprompt.data.labels import TaskEvidence
from softprompt.data.problems import Problem
from softprompt.data.records import Example
from softprompt.data.template import Template
from softprompt.data.textform import normalise
from softprompt.data.wrapper import WrapperFinder, find_wrapper

KEPT = 1000
"""Findings of one kind that are kept with their lines; all are counted."""
_SAMPLE = 1000
"""Rows at the start of a file from which its wrapper is guessed while the rest has not been read."""

CountTokens = Callable[[str], int]
Place = tuple[int, int]
"""Line and hash of the output of one of several rows with the same input."""


@dataclass(slots=True)
class Census:
    """What is known of the rows seen so far."""

    limit: int
    template: Template
    count_tokens: CountTokens | None = None
    valid: int = 0
    refused: int = 0
    problems: list[Problem] = field(default_factory=list)
    problem_kinds: Counter[str] = field(default_factory=Counter)
    evidence: TaskEvidence = field(default_factory=TaskEvidence)
    wrapper: WrapperFinder = field(default_factory=WrapperFinder)
    input_characters: Counter[int] = field(default_factory=Counter)
    output_characters: Counter[int] = field(default_factory=Counter)
    input_tokens: Counter[int] = field(default_factory=Counter)
    output_tokens: Counter[int] = field(default_factory=Counter)
    cut: int = 0
    cut_lines: list[int] = field(default_factory=list)
    copies: dict[int, list[Place]] = field(default_factory=dict)
    """Rows that share their normalised input, by its hash."""
    _first: dict[int, int] = field(default_factory=dict)
    """Hash of the input → line and hash of the output, in one number to save memory."""

    def take(self, items: Iterable[Example | Problem]) -> Iterator[tuple[Example, str, int]]:
        """Count everything; hand each example on with its bare input, and the hash of that when normalised."""
        stream = iter(items)
        sample = list(itertools.islice(stream, _SAMPLE))
        guess = find_wrapper(item.input for item in sample if isinstance(item, Example))
        for item in itertools.chain(sample, stream):
            if isinstance(item, Problem):
                self._problem(item)
            else:
                bare = guess.strip(item.input)
                # Python's own hash has 64 bits and is many times faster than a digest; it never leaves this process.
                key = hash(normalise(bare))
                self._example(item, bare, key)
                yield item, bare, key

    def _problem(self, problem: Problem) -> None:
        self.refused += problem.costs_row
        self.problem_kinds[problem.kind] += 1
        if len(self.problems) < KEPT:
            self.problems.append(problem)

    def _example(self, example: Example, bare: str, key: int) -> None:
        self.valid += 1
        self.evidence.add(bare, example.output)
        self.wrapper.add(example.input)
        self.input_characters[len(bare)] += 1
        self.output_characters[len(example.output)] += 1
        self._copy(example, key)
        if self.count_tokens:
            tokens = self.count_tokens(self.template.render(bare))
            self.input_tokens[tokens] += 1
            self.output_tokens[self.count_tokens(example.output)] += 1
            if tokens > self.limit:
                self.cut += 1
                if len(self.cut_lines) < KEPT:
                    self.cut_lines.append(example.line)

    def _copy(self, example: Example, key: int) -> None:
        answer = hash(normalise(example.output)) & _MASK
        known = self._first.get(key)
        if known is None:
            self._first[key] = example.line << 64 | answer
            return
        group = self.copies.setdefault(key, [(known >> 64, known & _MASK)])
        group.append((example.line, answer))

    def output_texts(self) -> dict[int, str]:
        """The text of each output hash in `copies`, as far as outputs were counted."""
        return {hash(normalise(text)) & _MASK: text for text in self.evidence.outputs}


_MASK = (1 << 64) - 1
