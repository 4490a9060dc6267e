"""Rows of a dataset on its page: as they stand in the file, found by text, label or finding, or side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import htpy as h

from softprompt.studio.datasets_find import Found, Group, Wanted
from softprompt.studio.datasets_index import Mark, Row
from softprompt.ui.components import select
from softprompt.ui.pages.data_parts import Shown, address, marked, pager, plural, tags, text, told

MOST_LABELS = 200
TITLES = {
    "problems": "Rows that cannot be used",
    "repaired": "Rows that were read after a repair",
    "duplicates": "Copies of each other",
    "contradictions": "The same input, different outputs",
    "rare": "Rows with rare labels",
    "spellings": "Rows with labels of several spellings",
    "long": "Rows that are too long",
    "leaks": "Rows that stand in the test set too",
}


@dataclass(frozen=True, slots=True)
class Twin:
    """A row and the one of the test set that gives it away."""

    row: Row
    test: Row
    kind: str
    overlap: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One page of rows, in the form that what was asked for needs.

    Attributes:
        of: what else stands in the address, such as the chosen model.
    """

    wanted: Wanted
    total: int
    exact: bool = True
    found: Found | None = None
    groups: Sequence[Group] = ()
    marks: Sequence[Mark] = ()
    twins: Sequence[Twin] = ()
    of: Mapping[str, object] | None = None

    @property
    def given(self) -> dict[str, object]:
        wanted = self.wanted
        asked = {name: getattr(wanted, name) for name in ("search", "label", "output", "finding")}
        return {**(self.of or {}), **asked}

    @property
    def count(self) -> int:
        return max(len(self.found.rows) if self.found else 0, len(self.groups), len(self.marks), len(self.twins))


def rows(shown: Shown, piece: Piece) -> h.Element:
    """The section with the rows."""
    wanted, report = piece.wanted, shown.dataset.report or {}
    title = TITLES.get(wanted.finding, "Rows")
    return h.section("#rows.card.flush", data_part="rows", aria_labelledby="rows-title")[
        h.div(".title")[h.h2("#rows-title", tabindex="-1")[title], h.span(".muted.small")[_counted(piece)]],
        _filter(shown, piece, report),
        _body(shown, piece),
        h.div(".title.end")[
            pager(shown.path, wanted.start, wanted.limit, piece.count, piece.total, exact=piece.exact, **piece.given)
        ]
        if piece.total
        else None,
    ]


def _counted(piece: Piece) -> str:
    word = "group" if piece.groups else "row"
    return plural(piece.total, word) if piece.exact else f"more than {plural(piece.total, word)}"


def _filter(shown: Shown, piece: Piece, report: Mapping[str, Any]) -> h.Element:
    wanted = piece.wanted
    labels = list(report.get("labels") or {})[:MOST_LABELS]
    chips: list[h.Node] = []
    for name, words in (("output", f"Output: {wanted.output}"), ("finding", TITLES.get(wanted.finding, ""))):
        if getattr(wanted, name):
            without = {key: value for key, value in piece.given.items() if key != name}
            chips.append(
                h.a(".chip", href=address(shown.path, "rows", **without), data_rows="")[
                    words, h.span(aria_hidden="true")["×"], h.span(".sr")[" (show all rows again)"]
                ]
            )
    hidden = {**(piece.of or {}), "output": wanted.output, "finding": wanted.finding}
    return h.form(".row-filter", method="get", action=f"{shown.path}#rows", data_rows="")[
        [h.input(type="hidden", name=name, value=str(value)) for name, value in hidden.items() if value],
        h.input(
            type="search", name="search", value=wanted.search, placeholder="Search in inputs and outputs",
            aria_label="Search in the rows", maxlength="500",
        ),
        select(
            "label", [("", "Every label"), *((label, label) for label in labels)], wanted.label, aria_label="Label"
        )
        if labels
        else None,
        h.button(".button")["Search"],
        h.div(".row")[chips] if chips else None,
    ]  # fmt: skip


def _body(shown: Shown, piece: Piece) -> h.Node:
    if piece.groups:
        return [_group(shown, group, piece.wanted) for group in piece.groups]
    if piece.marks:
        return h.ul(".list-plain.marks")[[h.li[marked(mark), told(mark)] for mark in piece.marks]]
    if piece.twins:
        return [_twin(twin, shown) for twin in piece.twins]
    found = piece.found
    if found is None or not (found.rows or found.refused):
        return h.div(".empty")[h.p[_nothing(piece.wanted)]]
    refused = dict(found.refused)
    lines: list[h.Node] = []
    for row in found.rows:
        lines += [_refused(mark) for mark in refused.pop(row.number, ())]
        lines.append(_row(shown, row, piece.wanted))
    lines += [_refused(mark) for marks in refused.values() for mark in marks]
    head = [h.th(".num", scope="col")["Row"], h.th(scope="col")["Input"], h.th(scope="col")["Output"]]
    return h.table(".data-rows")[h.caption(".sr")["Rows"], h.thead[h.tr[head]], h.tbody[lines]]


def _nothing(wanted: Wanted) -> str:
    if wanted.search:
        return "No row holds this text."
    return "No row is like that." if wanted.narrowed else "No row can be used yet."


def _row(shown: Shown, row: Row, wanted: Wanted) -> h.Element:
    return h.tr[
        h.td(".num")[_number(shown, row)],
        h.td[text(row.input, wanted.search)],
        h.td[tags(row.output, shown.dataset.task, wanted.search)],
    ]


def _number(shown: Shown, row: Row) -> h.Node:
    title = f"Line {row.line:,} of the file"
    if not shown.may_edit:
        return h.span(".faint", title=title)[f"{row.number + 1:,}"]
    where = f"{shown.path}/edit?start={row.number}#row-{row.number}"
    return h.a(".faint", href=where, title=f"{title}. Edit it.", aria_label=f"Edit row {row.number + 1}")[
        f"{row.number + 1:,}"
    ]


def _refused(mark: Mark) -> h.Element:
    return h.tr(".refused")[
        h.td(".num")[h.span(".sign", aria_hidden="true")["!"], h.span(".sr")["Cannot be used"]],
        h.td(colspan="2")[marked(mark), told(mark)],
    ]


def _group(shown: Shown, group: Group, wanted: Wanted) -> h.Element:
    more = group.count - len(group.rows)
    clash = wanted.finding == "contradictions"
    first = group.rows[0].input if group.rows else ""
    outputs = [
        h.li[h.span(".num")[_number(shown, row)], tags(row.output, shown.dataset.task), _other(row.input, first)]
        for row in group.rows
    ]
    return h.article(".row-group")[
        text(first),
        h.ul(class_="side-by-side clash" if clash else "side-by-side")[outputs],
        h.p(".faint.small")[f"and {plural(more, 'more row')}"] if more > 0 else None,
    ]


def _other(value: str, first: str) -> h.Node:
    """The input, where it differs from the group's by case or space."""
    return None if value == first else h.div(".faint.small")["written ", h.q[value[:200]]]


def _twin(twin: Twin, shown: Shown) -> h.Element:
    how = "the same text" if twin.kind == "exact" else f"{twin.overlap:.0%} of its four-word runs"
    return h.article(".row-group")[
        h.p(".small.muted")[f"Row {twin.row.number + 1:,} and test row {twin.test.number + 1:,}: {how}"],
        h.div(".twins")[
            [
                h.div[text(row.input), tags(row.output, shown.dataset.task)]
                for row in ((twin.row,) if twin.kind == "exact" else (twin.row, twin.test))
            ]
        ],
    ]
