"""Versions of a dataset: their list, what changed between two, and the way back to an older one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import htpy as h

from softprompt.storage.datasets import Listed
from softprompt.studio.datasets_index import Row
from softprompt.ui.components import action, badge, empty, select, table, when
from softprompt.ui.components import field as labelled
from softprompt.ui.layout import Frame
from softprompt.ui.pages.data_parts import Shown, dataset_page, plural, tags, text


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """What changed from one version to another; lists hold the first rows of their counts."""

    older: Listed
    newer: Listed
    same: int = 0
    removed: Sequence[Row] = ()
    removed_count: int = 0
    added: Sequence[Row] = ()
    added_count: int = 0
    changed: Sequence[tuple[Row, Row]] = ()
    changed_count: int = 0
    labels: Sequence[tuple[str, int, int]] = field(default=())


def versions(frame: Frame, shown: Shown, found: Sequence[Listed], between: Between | None) -> str:
    top = found[0].version if found else 0
    head = (("Version", False), ("Rows", True), ("Labels", True), ("State", False), ("Made", False), ("", False))
    rows = [
        [
            h.a(".strong", href=f"/data/{d.id}", aria_current="true" if d.id == shown.dataset.id else None)[
                f"Version {d.version}"
            ],
            "–" if d.rows is None else f"{d.rows:,}",
            f"{d.labels:,}" if d.labels else "–",
            badge(d.state),
            h.div[when(d.created_at), h.div(".sub")[d.by or ""]],
            _restore(frame, shown, d, top),
        ]
        for d in found
    ]
    return dataset_page(
        frame,
        shown,
        "versions",
        h.section(".card.flush")[h.div(".title")[h.h2[plural(len(found), "version")]], table(head, rows, "Versions")],
        _choose(shown, found, between) if len(found) > 1 else _only(),
        _between(shown, between) if between else None,
        title="Versions",
    )


def _only() -> h.Element:
    words = "Editing rows, fixing them or loading a file under the same name makes the next one."
    return empty("One version so far", words)


def _restore(frame: Frame, shown: Shown, d: Listed, top: int) -> h.Node:
    if d.version == top or not shown.may_edit or d.state == "uploading":
        return h.span(".faint.small")["newest"] if d.version == top else None
    return action(frame, "Restore as newest", f"/data/{d.id}/restore", style="small")


def _choose(shown: Shown, found: Sequence[Listed], between: Between | None) -> h.Element:
    options = [(d.id, f"Version {d.version}") for d in found]
    older, newer = (between.older.id, between.newer.id) if between else ("", "")
    return h.form(".card.row.compare-form", method="get", action=f"{shown.path}/versions#between")[
        labelled("From", select("older", options, older)),
        labelled("to", select("newer", options, newer)),
        h.button(".button")["What changed"],
    ]


def _between(shown: Shown, between: Between) -> h.Node:
    title = f"From version {between.older.version} to version {between.newer.version}"
    if not (between.removed_count or between.added_count or between.changed_count):
        words = "Both hold the same rows; only their order or the way they are written differs."
        return h.section("#between.card")[h.h2[title], h.p(".muted")[words]]
    counts = h.div(".facts")[
        [
            h.div(".fact")[h.b[f"{count:,}"], h.span[name]]
            for name, count in (
                ("rows in both", between.same),
                ("with another output", between.changed_count),
                ("added", between.added_count),
                ("taken out", between.removed_count),
            )
        ]
    ]
    lists = [
        _list(shown, "Added", "plus", between.added, between.added_count),
        _list(shown, "Taken out", "minus", between.removed, between.removed_count),
    ]
    return h.div("#between.stack")[
        h.section(".card.stack.tight")[h.h2[title], counts],
        _labels(between),
        _changed(shown, between),
        lists,
    ]


def _labels(between: Between) -> h.Node:
    if not between.labels:
        return None
    rows: list[list[h.Node]] = [
        [
            name,
            f"{old:,}",
            f"{new:,}",
            h.span(class_="plus" if new > old else "minus")[f"{new - old:+,}".replace("-", "−")],
        ]
        for name, old, new in between.labels[:50]
    ]
    head = (
        ("Label", False), (f"Version {between.older.version}", True), (f"Version {between.newer.version}", True),
        ("Difference", True),
    )  # fmt: skip
    return h.section(".card.flush")[
        h.div(".title")[h.h2["Rows of each label"]], table(head, rows, "Rows of each label")
    ]


def _changed(shown: Shown, between: Between) -> h.Node:
    if not between.changed:
        return None
    task = shown.dataset.task
    lines = [
        h.div(".change")[
            h.span(".faint.small.where")[f"Row {new.number + 1:,}"],
            h.div(".before")[text(old.input[:600]), tags(old.output, task)],
            h.span(".arrow", aria_label="becomes")["→"],
            h.div(".after")[tags(new.output, task)],
        ]
        for old, new in between.changed
    ]
    return h.section(".card.flush")[
        h.div(".title")[h.h2["The same input, another output"], _of(len(lines), between.changed_count)],
        h.div(".changes")[lines],
    ]


def _list(shown: Shown, title: str, sign: str, rows: Sequence[Row], count: int) -> h.Node:
    if not rows:
        return None
    lines = [
        h.tr[
            h.td(".num.faint")[f"{row.number + 1:,}"],
            h.td[text(row.input[:600])],
            h.td[tags(row.output, shown.dataset.task)],
        ]
        for row in rows
    ]
    head = [h.th(".num", scope="col")["Row"], h.th(scope="col")["Input"], h.th(scope="col")["Output"]]
    return h.section(class_=f"card flush {sign}-list")[
        h.div(".title")[h.h2[title], _of(len(rows), count)],
        h.table(".data-rows")[h.caption(".sr")[title], h.thead[h.tr[head]], h.tbody[lines]],
    ]


def _of(shown: int, count: int) -> h.Element:
    return h.span(".muted.small")[plural(count, "row") if shown >= count else f"the first {shown:,} of {count:,}"]
