"""Data: all datasets, and the ways to bring one in: a file, rows to paste, or rows typed by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import htpy as h

from softprompt.storage.datasets import Listed
from softprompt.ui.components import action, badge, empty, helped, notice, size, table, when
from softprompt.ui.layout import Frame, csrf_field, page
from softprompt.ui.pages.data_parts import TASKS, address, plural

LEAD = 'Labelled examples: {"input": "You only shipped me 2 of 5 units!", "output": "Warehouse, Packaging"}.'


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """A page of the list.

    Attributes:
        deleted: id and name of what was just deleted.
        problem: why nothing was loaded, with `pasted` as it was typed.
        limit: bytes that a file may have.
    """

    items: Sequence[Listed]
    total: int
    start: int = 0
    limit: int = 50
    search: str = ""
    deleted: tuple[str, str] | None = None
    problem: str = ""
    pasted: str = ""
    name: str = ""
    most_bytes: int = 0
    may_edit: bool = True


def datasets(frame: Frame, listing: Listing) -> str:
    undo: h.Node = None
    if listing.deleted:
        back = action(frame, "Undo", f"/data/{listing.deleted[0]}/undelete", style="small")
        undo = h.div(".note.undo", role="status")[h.span[f"{listing.deleted[1]} was deleted."], back]
    return page(
        frame,
        "Data",
        undo,
        _upload(frame, listing) if listing.may_edit else None,
        _list(listing),
        lead=LEAD,
        scripts=("upload.js",),
    )


def _list(listing: Listing) -> h.Node:
    if not listing.items and not listing.search:
        words = "Each row is an input and the answer that you want for it. A few hundred are enough to begin."
        return empty("No data yet", words)
    search = h.form(".row", method="get", role="search")[
        h.input(
            type="search", name="search", value=listing.search, placeholder="Search by name",
            aria_label="Search datasets by name",
        )
    ]  # fmt: skip
    body = (
        table(_HEAD, [_line(d) for d in listing.items], "Datasets")
        if listing.items
        else h.div(".empty")[h.p[f"No dataset has “{listing.search}” in its name."], h.a(href="/data")["Show all"]]
    )
    return h.section(".card.flush", aria_labelledby="list-title")[
        h.div(".title")[h.h2("#list-title")[plural(listing.total, "dataset")], search], body, _pages(listing)
    ]


_HEAD = (
    ("Dataset", False), ("Rows", True), ("Labels", True), ("To look at", False), ("Versions", True), ("Size", True),
    ("Loaded", False),
)  # fmt: skip


def _line(d: Listed) -> list[h.Node]:
    return [
        h.div[
            h.a(".strong", href=f"/data/{d.id}")[d.name],
            h.div(".sub")[d.description[:80] or TASKS.get(d.task or "", "")],
        ],
        "–" if d.rows is None else f"{d.rows:,}",
        f"{d.labels:,}" if d.labels else "–",
        _state(d),
        h.a(href=f"/data/{d.id}/versions")[f"{d.versions:,}"],
        size(d.size),
        h.div[when(d.created_at), h.div(".sub")[d.by or ""]],
    ]


def _state(d: Listed) -> h.Node:
    if d.state == "invalid":
        words = f"{plural(d.refused, 'row')} to fix" if d.refused else "no rows"
        return h.span(".badge.invalid")[words]
    if d.state != "ready":
        return badge(d.state)
    return h.span(".badge")[plural(d.warnings, "finding")] if d.warnings else h.span(".badge.ready")["clean"]


def _pages(listing: Listing) -> h.Node:
    if listing.total <= len(listing.items):
        return None
    here = f"{listing.start + 1:,}–{listing.start + len(listing.items):,} of {listing.total:,}"
    more = listing.start + len(listing.items) < listing.total
    earlier = address("/data", search=listing.search, start=max(0, listing.start - listing.limit))
    further = address("/data", search=listing.search, start=listing.start + listing.limit)
    return h.nav(".title.end.pager", aria_label="Pages of datasets")[
        h.a(".button.small", href=earlier)["Earlier"] if listing.start else None,
        h.span(".muted.small")[here],
        h.a(".button.small", href=further)["Further"] if more else None,
    ]


def _upload(frame: Frame, listing: Listing) -> h.Element:
    return h.form(
        "#upload.card.stack.tight", method="post", action="/data", enctype="multipart/form-data", data_upload="",
        aria_label="Bring in data",
    )[
        csrf_field(frame),
        h.div(".upload-problem", data_part="problem", aria_live="assertive")[
            notice("error", "Nothing was loaded.", listing.problem) if listing.problem else None
        ],
        h.label(".drop", data_part="drop")[
            h.strong["Drop a file here, or choose one"],
            h.input(
                type="file", name="file", accept=".jsonl,.json,.csv,.JSONL,.JSON,.CSV,.tsv,.txt", autocomplete="off",
                aria_label="File with labelled examples",
            ),
            h.span(".small")[
                f"JSON lines, a JSON array or CSV, up to {size(listing.most_bytes)}; read as it is, whatever its name"
            ],
        ],
        _progress(),
        h.details(open=bool(listing.pasted))[
            h.summary["Or paste rows"],
            helped(
                "Rows",
                "JSON lines, a JSON array, or CSV with a first line input,output.",
                lambda tie: h.textarea(
                    tie, name="pasted", rows="7", spellcheck="false", placeholder='{"input": "…", "output": "…"}'
                )[listing.pasted],
            ),
        ],
        h.div(".row.apart.foot-row")[
            helped(
                "Name",
                "A name that is there gets a new version.",
                lambda tie: h.input(
                    tie, name="name", value=listing.name, maxlength="200", placeholder="The file's name, if empty"
                ),
            ),
            h.div(".row")[
                h.a(".button", href="/data/new")["Type rows by hand"],
                h.button(".button.primary", data_part="send")["Load and check"],
            ],
        ],
    ]  # fmt: skip


def _progress() -> h.Element:
    """What a script fills while a file is on its way."""
    return h.div(".upload-progress", data_part="progress", hidden=True)[
        h.div(".row.apart")[
            h.strong(data_part="doing", aria_live="polite"), h.span(".muted.small", data_part="numbers")
        ],
        h.div(
            ".meter", role="progressbar", aria_label="Upload", aria_valuemin="0", aria_valuemax="100",
            data_part="meter",
        )[h.i],
        h.div(".row")[
            h.button(".button.small", type="button", data_part="cancel")["Cancel"],
            h.button(".button.small.primary", type="button", data_part="retry", hidden=True)["Go on"],
        ],
    ]  # fmt: skip
