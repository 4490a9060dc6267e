"""What changed between two versions of a dataset, row by row and label by label. Order of rows does not count."""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from softprompt.studio.datasets_index import Row, RowIndex


@dataclass(frozen=True, slots=True)
class Diff:
    """Row numbers: of the older version in `removed`, of the newer one in `added`, of both in `changed`."""

    same: int
    removed: array[int]
    added: array[int]
    changed: tuple[array[int], array[int]]
    """The same input with another output."""

    @property
    def empty(self) -> bool:
        return not (self.removed or self.added or self.changed[0])

    def pairs(self, old: RowIndex, new: RowIndex, limit: int) -> Iterator[tuple[Row, Row]]:
        before, after = self.changed
        yield from zip(old.rows(before[:limit]), new.rows(after[:limit]), strict=True)


@lru_cache(maxsize=32)
def diff(old: RowIndex, new: RowIndex) -> Diff:
    """Compare two versions by digests of their rows."""
    gone, same = _without(old, new)
    come, _ = _without(new, old)
    waiting: defaultdict[int, list[int]] = defaultdict(list)
    inputs = new.column("inputs")
    for number in reversed(come):
        waiting[inputs[number]].append(number)
    inputs = old.column("inputs")
    removed, before, after = array("I"), array("I"), array("I")
    for number in gone:
        if partners := waiting.get(inputs[number]):
            before.append(number)
            after.append(partners.pop())
        else:
            removed.append(number)
    paired = set(after)
    return Diff(same, removed, array("I", [n for n in come if n not in paired]), (before, after))


def labels_between(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> list[tuple[str, int, int]]:
    """Rows of each label before and after, where they differ; the largest difference first."""
    before, after = ((report or {}).get("labels") or {} for report in (old, new))
    names = [name for name in {**before, **after} if before.get(name, 0) != after.get(name, 0)]
    found = [(name, before.get(name, 0), after.get(name, 0)) for name in names]
    return sorted(found, key=lambda each: (-abs(each[2] - each[1]), each[0]))


def _without(one: RowIndex, other: RowIndex) -> tuple[array[int], int]:
    """Rows of `one` that `other` has not, each as often as it lacks there; and how many it has."""
    left = Counter(other.column("pairs"))
    rest, same = array("I"), 0
    for number, pair in enumerate(one.column("pairs")[: len(one)]):
        if left[pair] > 0:
            left[pair] -= 1
            same += 1
        else:
            rest.append(number)
    return rest, same
