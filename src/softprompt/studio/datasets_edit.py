"""Rows changed, added and taken out by hand: a draft, checked as a whole, and the new version that comes of it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from softprompt.errors import DatasetInvalid, ParameterInvalid
from softprompt.studio.datasets_fix import line_of
from softprompt.studio.datasets_index import RowIndex

MOST = 20_000
"""Rows of one draft."""
_NAMED = 10


@dataclass(frozen=True, slots=True)
class Added:
    """A new row behind the row of number `after`; -1: in front of all."""

    after: int
    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Draft:
    """What shall be different. `changed` goes by row number."""

    changed: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    deleted: frozenset[int] = frozenset()
    added: tuple[Added, ...] = ()

    @property
    def empty(self) -> bool:
        return not (self.changed or self.deleted or self.added)

    @property
    def size(self) -> int:
        return len(self.changed) + len(self.deleted) + len(self.added)

    def to_json(self) -> str:
        """As `read` takes it."""
        document = {
            "changed": {str(number): list(pair) for number, pair in self.changed.items()},
            "deleted": sorted(self.deleted),
            "added": [[row.after, row.input, row.output] for row in self.added],
        }
        return json.dumps(document, ensure_ascii=False)


def read(text: str) -> Draft:
    """A draft as a page sends it."""
    try:
        found = json.loads(text)
        changed = {int(number): (_text(pair[0]), _text(pair[1])) for number, pair in found["changed"].items()}
        added = tuple(Added(int(after), _text(question), _text(answer)) for after, question, answer in found["added"])
        return Draft(changed, frozenset(int(number) for number in found["deleted"]), added)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ParameterInvalid("draft: this is not what the page sends. Load the page again.") from error


def check(draft: Draft, index: RowIndex, *, first: int = 1) -> None:
    """Refuse with every row that cannot be saved; `first` is what the reader calls the first row."""
    if draft.size > MOST:
        raise ParameterInvalid(f"draft: {draft.size:,} rows are changed at once; at most {MOST:,} can be. Save before.")
    last = len(index) - 1
    wrong = [n for n in (*draft.changed, *draft.deleted) if not 0 <= n <= last]
    wrong += [row.after for row in draft.added if not -1 <= row.after <= last]
    if wrong:
        raise ParameterInvalid(f"draft: there is no row {wrong[0] + first}; the dataset has {len(index):,}.")
    rows = [(f"row {n + first}", pair) for n, pair in draft.changed.items() if n not in draft.deleted]
    rows += [(f"the new row after row {row.after + first}", (row.input, row.output)) for row in draft.added]
    faults = [f"{name} {told}" for name, pair in rows for told in _faults(pair)]
    if faults:
        more = f"; and {len(faults) - _NAMED} more" if len(faults) > _NAMED else ""
        raise DatasetInvalid(f"Not saved: {'; '.join(faults[:_NAMED])}{more}. Write both texts, or take the row out.")
    if not draft.added and len(draft.deleted) > last:
        raise DatasetInvalid("Not saved: every row would be gone. Keep one, or delete the dataset.")


def without_idle(draft: Draft, index: RowIndex) -> Draft:
    """The draft without changes that change nothing: pages send rows that nobody touched."""
    changed = {}
    for number, pair in draft.changed.items():
        row = index.row(number)
        if number not in draft.deleted and pair != (_lines(row.input), _lines(row.output)):
            changed[number] = pair
    return Draft(changed, draft.deleted, draft.added)


def edited(index: RowIndex, draft: Draft) -> Iterator[bytes]:
    """The rows of the new version as JSON lines."""
    behind: defaultdict[int, list[Added]] = defaultdict(list)
    for added in draft.added:
        behind[added.after].append(added)
    yield from (line_of(row.input, row.output) for row in behind.get(-1, ()))
    for row in index.rows():
        if row.number not in draft.deleted:
            yield line_of(*draft.changed.get(row.number, (row.input, row.output)))
        if row.number in behind:
            yield from (line_of(new.input, new.output) for new in behind[row.number])


def _faults(pair: tuple[str, str]) -> Iterator[str]:
    empty = [name for name, text in zip(("input", "output"), pair, strict=True) if not text.strip()]
    if empty:
        yield f"has no {' and no '.join(empty)}"


def _text(value: Any) -> str:
    """Line ends of forms are CR LF; NUL and halves of characters are none."""
    if not isinstance(value, str):
        raise TypeError
    return _lines(value).replace("\x00", "").encode("utf-8", "ignore").decode()


def _lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
