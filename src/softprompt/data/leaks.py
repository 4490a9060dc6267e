"""Test rows that stand in the training file too: the same text, or a near copy by word 4-grams.

Holds the test rows only, as hashes; training rows pass by one at a time. Texts come without their wrappers.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Literal

from softprompt.data.textform import hashed, words

NEAR = 0.5
"""Share of the shorter row's 4-grams above which two rows are near copies."""
_MOST_GRAMS = 1_000_000
_MOST_HOMES = 200
"""A 4-gram in more test rows than that is a stock phrase and says nothing of one row."""


@dataclass(frozen=True, slots=True)
class Leak:
    line: int
    """Line of the training file."""
    test_line: int
    kind: Literal["exact", "near"]
    overlap: float


class LeakIndex:
    """The test rows, ready to be compared with any number of training rows."""

    def __init__(self) -> None:
        self._exact: dict[int, int] = {}
        self._homes: defaultdict[int, list[int]] = defaultdict(list)
        self._sizes: list[int] = []
        self._lines: list[int] = []
        self._held = 0
        self._stride = 1
        """Of very large test files only one 4-gram in `_stride` is held, drawn anew in each process: a sketch."""

    def add(self, text: str, key: int, line: int) -> None:
        """One test row; `key` is the hash of its normalised text."""
        self._exact.setdefault(key, line)
        number = len(self._lines)
        grams = self._sketch(words(text))
        self._lines.append(line)
        self._sizes.append(len(grams))
        for gram in grams:
            self._homes[gram].append(number)
        self._held += len(grams)
        while self._held > _MOST_GRAMS:
            self._thin_out()

    def find(self, text: str, key: int, line: int) -> Leak | None:
        """The test row that this training row gives away."""
        same = self._exact.get(key)
        if same is not None:
            return Leak(line, same, "exact", 1.0)
        run = words(text)
        # Near copies share 4-grams that follow each other, so every second one is enough to rule a row out.
        if self._stride == 1 and self._homes.keys().isdisjoint(hashed(run, step=2)):
            return None
        grams = self._sketch(run)
        hits = self._hits(grams)
        best = max(hits, key=lambda n: (self._overlap(hits[n], len(grams), n), -n), default=None)
        if best is None:
            return None
        overlap = self._overlap(hits[best], len(grams), best)
        return Leak(line, self._lines[best], "near", round(overlap, 3)) if overlap > NEAR else None

    def near(self, text: str) -> list[int]:
        """Lines of all rows that are near copies of this one."""
        grams = self._sketch(words(text))
        hits = self._hits(grams)
        return [self._lines[n] for n, shared in hits.items() if self._overlap(shared, len(grams), n) > NEAR]

    def _hits(self, grams: set[int]) -> Counter[int]:
        """Rows that share 4-grams, and how many."""
        hits: Counter[int] = Counter()
        for gram in grams & self._homes.keys():
            homes = self._homes[gram]
            if len(homes) <= _MOST_HOMES:
                hits.update(homes)
        return hits

    def _overlap(self, shared: int, size: int, number: int) -> float:
        shorter = min(size, self._sizes[number])
        # One shared 4-gram is a turn of phrase, unless it is all that both rows have.
        return shared / shorter if shared > 1 or size == self._sizes[number] else 0.0

    def _sketch(self, run: list[str]) -> set[int]:
        grams = hashed(run)
        return grams if self._stride == 1 else {gram for gram in grams if gram % self._stride == 0}

    def _thin_out(self) -> None:
        self._stride *= 2
        self._homes = defaultdict(list, {g: rows for g, rows in self._homes.items() if g % self._stride == 0})
        sizes: Counter[int] = Counter()
        for rows in self._homes.values():
            sizes.update(rows)
        self._sizes = [sizes[number] for number in range(len(self._lines))]
        self._held = sizes.total()
