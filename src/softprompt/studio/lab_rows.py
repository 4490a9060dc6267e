"""Rows of a dataset for a page of the Prompt Lab."""

from __future__ import annotations

import random
from collections.abc import Collection
from pathlib import Path

from softprompt.data.read import stream
from softprompt.data.records import Example


def drawn(path: Path, count: int, *, seed: int, without: Collection[str] = ()) -> list[tuple[str, str]]:
    """So many examples of a stored file, drawn by a seed, in the order of the file; inputs of `without` are left out.

    The file is read once and never held as a whole.
    """
    draw, kept = random.Random(seed), list[tuple[int, Example]]()
    known = set(without)
    usable = (item for item in stream(path) if isinstance(item, Example) and item.input not in known)
    for number, item in enumerate(usable):
        place = number if number < count else draw.randint(0, number)
        if number < count:
            kept.append((number, item))
        elif place < count:
            kept[place] = (number, item)
    return [(item.input, item.output) for _, item in sorted(kept, key=lambda pair: pair[0])]
