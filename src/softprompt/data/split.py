"""Training and held-out rows: stratified by output, the same for the same seed, copies of a row never on both sides.

The order of the rows in the file does not matter: a row's side depends on its text, the seed and its stratum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b

from softprompt.data.labels import detect_task
from softprompt.data.leaks import LeakIndex
from softprompt.data.records import Example
from softprompt.data.textform import normalise
from softprompt.data.wrapper import strip_examples
from softprompt.errors import DatasetInvalid, ParameterInvalid
from softprompt.params import LABEL_TASKS, Task

Group = list[int]
"""Rows with the same normalised input."""


def split(
    examples: Sequence[Example], fraction: float, seed: int, *, task: Task = "auto"
) -> tuple[list[Example], list[Example]]:
    """Training rows and about `fraction` of all rows held out; both in the order of the file.

    Near copies, as `leaks` finds them, stay on one side, too. Rows that are all made after one pattern are near copies
    of each other: where nothing would be left to part, they do not count.
    """
    if not 0 < fraction < 1:
        raise ParameterInvalid(f"share of rows: {fraction} is not between 0 and 1. Take 0.2 for one row in five.")
    strata = _strata(examples, seed, detect_task(examples) if task == "auto" else task)
    if sum(len(groups) for groups in strata) < 2:
        raise DatasetInvalid(
            f"{len(examples)} {'row' if len(examples) == 1 else 'rows'} with fewer than 2 different inputs cannot be "
            "split. Add rows; copies of one input stay on one side."
        )
    if all(len(groups) == 1 for groups in strata):  # nothing repeats: there are no classes to keep in proportion
        strata = [[group for groups in strata for group in groups]]
    joined = _joined(examples, strata)
    if any(len(groups) > 1 for groups in joined):
        strata = joined
    held = _hold_out(strata, fraction)
    train = [example for i, example in enumerate(examples) if i not in held]
    return train, [example for i, example in enumerate(examples) if i in held]


def folds(examples: Sequence[Example], k: int, seed: int) -> list[tuple[list[Example], list[Example]]]:
    """`k` pairs of training and held-out rows; every row is held out exactly once."""
    strata = _strata(examples, seed, "classification")
    groups = [group for stratum in strata for group in stratum]
    if not 2 <= k <= len(groups):
        raise ParameterInvalid(f"k: {k} folds asked for; {len(groups)} different inputs allow 2 to {len(groups)}.")
    fold_of: dict[int, int] = {}
    for number, group in enumerate(groups):  # dealt like cards, stratum after stratum
        for row in group:
            fold_of[row] = number % k
    return [
        (
            [example for i, example in enumerate(examples) if fold_of[i] != fold],
            [example for i, example in enumerate(examples) if fold_of[i] == fold],
        )
        for fold in range(k)
    ]


def _strata(examples: Sequence[Example], seed: int, task: Task) -> list[list[Group]]:
    """Groups of copies by output, each stratum in an order drawn by the seed."""
    groups: defaultdict[str, Group] = defaultdict(list)
    for i, example in enumerate(examples):
        groups[normalise(example.input)].append(i)
    strata: defaultdict[str, list[tuple[bytes, Group]]] = defaultdict(list)
    for text, group in groups.items():
        # Copies with different outputs count where the alphabet puts them, so that the order of rows does not matter.
        output = min(examples[i].output for i in group) if task in LABEL_TASKS else ""
        strata[output].append((_draw(seed, text), group))
    return [[group for _, group in sorted(strata[output])] for output in sorted(strata)]


def _joined(examples: Sequence[Example], strata: list[list[Group]]) -> list[list[Group]]:
    """The groups with near copies made one; each stays in the stratum of its first group."""
    bare, _ = strip_examples(examples)
    index = LeakIndex()
    groups = [(number, group) for number, stratum in enumerate(strata) for group in stratum]
    home = list(range(len(groups)))

    def find(place: int) -> int:
        while home[place] != place:
            home[place] = place = home[home[place]]
        return place

    for place, (_, group) in enumerate(groups):
        text = bare[group[0]].input
        for other in index.near(text):
            low, high = sorted((find(place), find(other)))
            home[high] = low
        index.add(text, place, place)
    joined: list[dict[int, Group]] = [{} for _ in strata]
    for place, (_, group) in enumerate(groups):
        first = find(place)
        joined[groups[first][0]].setdefault(first, []).extend(group)
    return [list(stratum.values()) for stratum in joined if stratum]


def _hold_out(strata: list[list[Group]], fraction: float) -> set[int]:
    """Fill each stratum's share from its start; what rounding leaves goes to the largest remainders."""
    total = sum(len(group) for groups in strata for group in groups)
    shares = [fraction * sum(len(group) for group in groups) for groups in strata]
    quotas = [int(share) for share in shares]
    missing = round(fraction * total) - sum(quotas)
    by_remainder = sorted(range(len(strata)), key=lambda i: (quotas[i] - shares[i], i))
    for i in by_remainder[: max(missing, 0)]:
        quotas[i] += 1
    held: set[int] = set()
    for groups, quota in zip(strata, quotas, strict=True):
        taken = 0
        for group in groups[:-1]:  # the last one stays: a label that is never trained cannot be learned
            if taken + len(group) <= quota:
                held.update(group)
                taken += len(group)
    if not held:  # a small file: one row is better than none
        largest = max(strata, key=len)
        held.update(sorted(largest[:-1], key=len)[0])
    return held


def _draw(seed: int, text: str) -> bytes:
    return blake2b(f"{seed}\x00{text}".encode(errors="surrogatepass"), digest_size=8).digest()
