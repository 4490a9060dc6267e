"""Rows in fields: changed, added, taken out. Without scripts, one page of rows is saved at a time."""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h

from softprompt.studio.datasets_edit import Added, Draft
from softprompt.studio.datasets_index import Mark, Row
from softprompt.ui.components import field, notice
from softprompt.ui.layout import Frame, csrf_field, page
from softprompt.ui.pages.data_parts import Shown, dataset_page, marked, pager, told

NEW_ROWS = 3
"""Empty rows at the end of a page, for browsers without scripts."""

_HEAD = h.div(".edit-head", aria_hidden="true")[h.span, h.span["Input"], h.span["Output"], h.span]


def edit(
    frame: Frame,
    shown: Shown,
    rows: Sequence[Row],
    start: int,
    limit: int,
    total: int,
    *,
    refused: dict[int, list[Mark]] | None = None,
    draft: Draft | None = None,
    problem: str = "",
) -> str:
    """The page.

    Args:
        refused: rows that cannot be used, by the number of the row before which they stand.
        draft: what was sent and could not be saved.
    """
    kept = draft or Draft()
    waiting = dict(refused or {})
    lines: list[h.Node] = [_new(added) for added in kept.added if added.after == -1 and start == 0]
    for row in rows:
        lines += [_refused(mark) for mark in waiting.pop(row.number, ())]
        lines.append(_row(row, kept))
        lines += [_new(added) for added in kept.added if added.after == row.number]
    lines += [_refused(mark) for marks in waiting.values() for mark in marks]
    last = rows[-1].number if rows else -1
    labels = list((shown.dataset.report or {}).get("labels") or {})[:200]
    form = h.form(
        ".card.flush.editor", method="post", action=f"{shown.path}/edit?start={start}",
        data_editor=shown.dataset.id, data_last=str(last), data_total=str(total),
    )[
        csrf_field(frame),
        h.input(type="hidden", name="draft", value=kept.to_json() if draft else "", data_part="draft"),
        _bar(),
        h.datalist("#labels")[[h.option(value=label) for label in labels]],
        _HEAD,
        h.ol(".edit-rows", data_part="rows")[lines],
        h.div(".no-js-only")[[_new(Added(last, "", "")) for _ in range(NEW_ROWS)]],
        h.div(".title.end")[
            h.button(".button.js-only", type="button", data_do="add")["Add a row"],
            pager(f"{shown.path}/edit", start, limit, len(rows), total),
        ],
    ]  # fmt: skip
    return dataset_page(
        frame,
        shown,
        "edit",
        notice("error", "The changes were not saved.", problem) if problem else None,
        form,
        _template(last),
        title="Edit rows",
    )


def _bar() -> h.Element:
    def tool(words: str, do: str, keys: str | None = None) -> h.Element:
        return h.button(
            ".button.small.js-only", type="button", data_do=do, disabled=True, aria_keyshortcuts=keys
        )[words]  # fmt: skip

    return h.div(".edit-bar")[
        h.p(".muted.small", data_part="state", aria_live="polite")[
            "Saving makes a new version; this one stays as it is."
        ],
        h.div(".row")[
            tool("Undo", "undo", "Control+Z"),
            tool("Redo", "redo", "Control+Y"),
            tool("Discard", "discard"),
            h.button(".button.small.primary", data_do="save", aria_keyshortcuts="Control+S")["Save as a new version"],
        ],
        h.p(".faint.small.js-only.keys")[
            h.kbd["Ctrl S"], " save  ", h.kbd["Ctrl Z"], " undo  ", h.kbd["Alt Enter"], " add a row below  ",
            h.kbd["Alt Delete"], " take a row out  ", h.kbd["Alt ↑ ↓"], " go between rows",
        ],
    ]  # fmt: skip


def _row(row: Row, draft: Draft) -> h.Element:
    number = row.number
    question, answer = draft.changed.get(number, (row.input, row.output))
    was = {"data_was_input": row.input, "data_was_output": row.output} if number in draft.changed else {}
    return h.li(f"#row-{number}.edit-row", data_row=str(number), **was)[
        h.span(".num.faint")[f"{number + 1:,}"],
        _texts(f"input.{number}", question, f"Input of row {number + 1}"),
        _texts(f"output.{number}", answer, f"Output of row {number + 1}", short=True),
        h.label(".take-out")[
            h.input(type="checkbox", name=f"delete.{number}", value="1", checked=number in draft.deleted),
            h.span[h.span["Take out"], h.span(".sr")[f" row {number + 1}"]],
        ],
    ]


def _texts(name: str, value: str, label: str, *, short: bool = False) -> h.Element:
    lines = min(12, max(1 if short else 2, value.count("\n") + len(value) // (28 if short else 70) + 1))
    return h.textarea(name=name, rows=str(lines), aria_label=label, autocomplete="off")[f"\n{value}"]


def _new(added: Added) -> h.Element:
    """An added row; the lists of its three fields go together by their order."""
    return h.li(".edit-row.new", data_new="", data_after=str(added.after))[
        h.span(".num.faint")["new"],
        h.input(type="hidden", name="new_after", value=str(added.after)),
        h.textarea(name="new_input", rows="2", aria_label="Input of the new row")[f"\n{added.input}"],
        h.textarea(name="new_output", rows="1", aria_label="Output of the new row")[f"\n{added.output}"],
        h.button(".button.quiet.small.js-only", type="button", data_do="drop")["Take out"],
    ]


def _template(last: int) -> h.Element:
    return h.template(data_part="new-row")[_new(Added(last, "", ""))]


def _refused(mark: Mark) -> h.Element:
    """What the file holds there. It is not in the new version; its text can be typed into a new row."""
    return h.li(".edit-row.refused", data_after=str(mark.row - 1))[
        h.span(".sign", aria_hidden="true")["!"],
        h.div[marked(mark), told(mark), h.p(".faint.small")["It is left out of the new version."]],
        h.button(".button.small.js-only", type="button", data_do="rewrite")["Write it anew"],
    ]


def new(frame: Frame, *, name: str = "", rows: Sequence[tuple[str, str]] = (), problem: str = "") -> str:
    """A dataset typed by hand."""
    lines = [*rows, *([("", "")] * max(1, 8 - len(rows)))]
    form = h.form(".card.flush.editor", method="post", action="/data/new", data_editor="", data_last="-1")[
        csrf_field(frame),
        h.div(".edit-bar")[
            field("Name", h.input(name="name", value=name, maxlength="200", required=True)),
            h.button(".button.primary", data_do="save")["Save and check"],
        ],
        _HEAD,
        h.ol(".edit-rows.plain", data_part="rows")[[_new(Added(-1, *pair)) for pair in lines]],
        h.div(".title.end")[h.button(".button.js-only", type="button", data_do="add")["Add a row"]],
    ]
    return page(
        frame,
        "New dataset",
        notice("error", "Nothing was saved.", problem) if problem else None,
        form,
        _template(-1),
        lead="One row for each example: what comes in, and what should come out. Empty rows are left out.",
        crumbs=(("/data", "Data"),),
        scripts=("data.js",),
    )
