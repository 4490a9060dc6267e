"""Rows of a dataset that stand in a test set too, or nearly do. Looked for once, then kept beside the index."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from softprompt.data.leaks import LeakIndex
from softprompt.data.textform import normalise
from softprompt.studio.datasets_index import RowIndex
from softprompt.studio.datasets_lengths import wrapper_of

AT_ONCE = 4_000
"""Rows of both together up to which leaks are looked for without being asked."""
_KEPT = 1000


@dataclass(frozen=True, slots=True)
class Pair:
    """Row numbers in the training and in the test data."""

    row: int
    test_row: int
    kind: str
    overlap: float


@dataclass(frozen=True, slots=True)
class Leaks:
    """`pairs` are the first ones of `count`."""

    count: int
    pairs: tuple[Pair, ...]


def known(index: RowIndex, test: RowIndex) -> Leaks | None:
    """What was found before."""
    try:
        found = json.loads(_path(index, test).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Leaks(found["count"], tuple(Pair(**pair) for pair in found["pairs"]))


def look(index: RowIndex, report: Mapping[str, Any], test: RowIndex, test_report: Mapping[str, Any]) -> Leaks:
    """Compare every row with the test rows."""
    found = known(index, test)
    if found is not None:
        return found
    wrapper, held = wrapper_of(test_report), LeakIndex()
    for row in test.rows():
        bare = wrapper.strip(row.input)
        held.add(bare, hash(normalise(bare)), row.number)
    wrapper, count = wrapper_of(report), 0
    pairs: list[Pair] = []
    for row in index.rows():
        bare = wrapper.strip(row.input)
        leak = held.find(bare, hash(normalise(bare)), row.number)
        if leak is not None:
            count += 1
            if len(pairs) < _KEPT:
                pairs.append(Pair(leak.line, leak.test_line, leak.kind, leak.overlap))
    leaks = Leaks(count, tuple(pairs))
    path = _path(index, test)
    partial = path.with_name(f"{uuid.uuid4().hex}.partial")
    partial.write_text(json.dumps(asdict(leaks)), encoding="utf-8")
    partial.replace(path)
    return leaks


def _path(index: RowIndex, test: RowIndex) -> Path:
    return index.folder / f"leaks-{test.folder.name}.json"
