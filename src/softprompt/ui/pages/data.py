"""Data: what was loaded, what is in it, what is wrong with it, and how to repair it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import htpy as h

from softprompt.storage.rows import Page
from softprompt.storage.tables import Dataset
from softprompt.ui.components import (
    action,
    badge,
    bars,
    button,
    empty,
    facts,
    field,
    notice,
    size,
    table,
    when,
)
from softprompt.ui.layout import Frame, csrf_field, page


def datasets(frame: Frame, found: Page[Dataset], problem: str = "") -> str:
    rows = [
        [
            h.div[h.a(".strong", href=f"/data/{d.id}")[d.name], h.div(".sub")[f"version {d.version}"]],
            badge(d.state),
            "–" if d.rows is None else f"{d.rows:,}",
            d.task or "–",
            size(d.size),
            when(d.created_at),
        ]
        for d in found.items
    ]
    head = (("Dataset", False), ("State", False), ("Rows", True), ("Task", False), ("Size", True), ("Loaded", False))
    listed = (
        h.section(".card.flush")[table(head, rows, "Datasets")]
        if rows
        else empty("No data yet", "Each row is an input and the answer that you want for it.")
    )
    lead = 'Labelled examples: {"input": "You only shipped me 2 of 5 units!", "output": "Warehouse, Packaging"}.'
    return page(frame, "Data", _upload(frame, problem), listed, lead=lead, scripts=("upload.js",))


def _upload(frame: Frame, problem: str) -> h.Element:
    return h.form(".card.stack.tight", method="post", action="/data", enctype="multipart/form-data", data_upload="")[
        csrf_field(frame),
        notice("error", "The file was not loaded.", problem) if problem else None,
        h.div(".drop")[
            h.strong["Drop a file here, or choose one"],
            h.input(
                type="file", name="file", accept=".jsonl,.json,.csv,.JSONL", aria_label="File with labelled examples"
            ),
            h.span(".small")["JSON lines, a JSON array or CSV; read as it is, whatever its name"],
        ],
        h.details[
            h.summary["Or paste rows"],
            field("Rows", h.textarea(name="pasted", rows="6", placeholder='{"input": "…", "output": "…"}')),
        ],
        h.div(".row.apart")[
            field("Name", h.input(name="name", placeholder="The file's name, if empty")),
            h.button(".button.primary")["Load and check"],
        ],
    ]


def dataset(frame: Frame, found: Dataset, rows: Sequence[dict[str, Any]], start: int, search: str) -> str:
    report = found.report or {}
    title = found.name if found.version == 1 else f"{found.name} · version {found.version}"
    ready = found.state == "ready"
    actions = [
        h.a(".button", href=f"/api/datasets/{found.id}/file", download="")["Download"],
        button("Tune with it", f"/tuning/new?dataset={found.id}", primary=True) if ready else None,
    ]
    numbers = facts(
        [
            ("rows that can be used", f"{report.get('valid', 0):,}"),
            ("refused", f"{report.get('refused', 0):,}"),
            ("answers", f"{len(report.get('labels', {})):,}"),
            ("duplicates", f"{report.get('duplicate_count', 0):,}"),
            ("contradictions", f"{report.get('contradiction_count', 0):,}"),
        ]
    )
    return page(
        frame,
        title,
        h.section(".card")[numbers],
        _problems(frame, found, report),
        h.div(".split")[_rows(found, rows, start, search), h.div(".stack")[_labels(report), _lengths(report)]],
        lead=h.span[badge(found.state), f"  {found.task or ''}, {size(found.size)}, loaded ", when(found.created_at)],
        actions=actions,
        crumbs=(("/data", "Data"),),
    )


def _problems(frame: Frame, found: Dataset, report: dict[str, Any]) -> h.Node:
    warnings = [notice("warn", words) for words in report.get("warnings", ())]
    problems = report.get("problems", ())
    if not problems:
        return warnings or None
    rows = [
        [
            str(p["line"]),
            str(p["column"]),
            p["message"],
            h.span(".muted")[p["fix"]],
            "repaired" if p["repaired"] else "refused",
        ]
        for p in problems[:50]
    ]
    head = (("Line", True), ("Column", True), ("What is wrong", False), ("What to do", False), ("", False))
    fix = action(frame, f"Fix these {len(problems)}", f"/data/{found.id}/repair", style="primary")
    return h.div(".stack")[
        warnings,
        h.section(".card.flush")[
            h.div(".title")[h.h2[f"{len(problems)} problems"], fix], table(head, rows, "Problems of the file")
        ],
    ]


def _labels(report: dict[str, Any]) -> h.Node:
    labels, combinations = report.get("labels") or {}, report.get("combinations") or {}
    if not labels:
        return None
    both = combinations and combinations != labels
    return [
        h.section(".card")[h.h2["Labels"], bars(labels)],
        h.section(".card")[h.h2["Combinations"], bars(combinations)] if both else None,
    ]


def _lengths(report: dict[str, Any]) -> h.Node:
    rows = [
        [f"{side}, {unit}", *(f"{spread[k]:.0f}" for k in ("shortest", "median", "p95", "longest"))]
        for side, lengths in (report.get("lengths") or {}).items()
        for unit, spread in lengths.items()
        if spread
    ]
    head = (("Length", False), ("shortest", True), ("median", True), ("95 %", True), ("longest", True))
    return h.section(".card.flush")[h.div(".title")[h.h2["Lengths"]], table(head, rows, "Lengths")] if rows else None


def _rows(found: Dataset, rows: Sequence[dict[str, Any]], start: int, search: str) -> h.Element:
    shown = [[str(r["number"] + 1), r["input"], h.span(".tag")[r["output"]]] for r in rows]
    head = (("Row", True), ("Input", False), ("Output", False))
    base = f"/data/{found.id}?search={search}&start="
    return h.section(".card.flush")[
        h.div(".title")[
            h.h2["Rows"],
            h.form(method="get")[
                h.input(
                    type="search",
                    name="search",
                    value=search,
                    placeholder="Search in the rows",
                    aria_label="Search in the rows",
                )
            ],
        ],
        table(head, shown, "Rows") if shown else h.div(".empty")[h.p["No row holds this text."]],
        h.div(".title")[
            h.a(".button.quiet", href=f"{base}{max(0, start - len(rows) or 0)}")["Earlier rows"] if start else h.span,
            h.a(".button.quiet", href=f"{base}{start + len(rows)}")["Further rows"] if len(rows) == 25 else h.span,
        ],
    ]
