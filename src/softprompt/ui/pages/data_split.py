"""A dataset parted into training, validation and test rows: the form, and what came of it."""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h

from softprompt.storage.tables import Dataset
from softprompt.studio.datasets_split import Shares
from softprompt.ui.components import field, helped, notice, table
from softprompt.ui.layout import Frame, csrf_field
from softprompt.ui.pages.data_parts import Shown, address, dataset_page

_PARTS = ("train", "validation", "test")


def split(
    frame: Frame, shown: Shown, shares: Shares, made: dict[str, Dataset] | None = None, *, problem: str = ""
) -> str:
    content = [
        notice("error", "It was not split.", problem) if problem else None,
        _made(made) if made else None,
        _form(frame, shown, shares),
    ]
    return dataset_page(frame, shown, "split", *content, title="Split")


def _form(frame: Frame, shown: Shown, shares: Shares) -> h.Element:
    rows = shown.dataset.rows or 0
    test, validation = round(rows * shares.test / 100), round(rows * shares.validation / 100)
    return h.form(".card.stack", method="post", action=f"{shown.path}/split", data_split=str(rows))[
        csrf_field(frame),
        h.h2["Split into training, validation and test rows"],
        h.p(".muted")[
            "Every label keeps its share in each part. Copies of a row stay together, so that no test row was learned. "
            "The same seed gives the same split."
        ],
        h.div(".fields.narrow")[
            _percent("validation", shares.validation, "Watched while tuning; chooses the best epoch."),
            _percent("test", shares.test, "Looked at once, at the end."),
            field("Seed", h.input(type="number", name="seed", min="0", max=str(2**32 - 1), value=str(shares.seed))),
        ],
        h.div(".split-bar", aria_hidden="true")[
            h.i(".train", data_part="train", style=f"flex:{max(0, 100 - shares.test - shares.validation)}"),
            h.i(".validation", data_part="validation", style=f"flex:{shares.validation}"),
            h.i(".test", data_part="test", style=f"flex:{shares.test}"),
        ],
        h.p(data_part="counts")[
            f"About {rows - test - validation:,} training, {validation:,} validation and {test:,} test rows."
        ],
        h.div[h.button(".button.primary", data_busy="Splitting …")["Split"]],
    ]


def _percent(name: str, value: int, help: str) -> h.Element:
    return helped(
        f"{name.capitalize()}, %",
        help,
        lambda tie: h.input(tie, type="number", name=name, min="0", max="90", step="1", value=str(value)),
    )


def _made(made: dict[str, Dataset]) -> h.Element:
    parts = [(name, made[name]) for name in _PARTS if name in made]
    labels = list(dict.fromkeys(label for _, d in parts for label in ((d.report or {}).get("labels") or {})))[:50]
    head = (("Part", False), ("Rows", True), *((label, True) for label in labels[:8]))
    rows: list[Sequence[h.Node]] = [
        [
            h.div[h.a(".strong", href=f"/data/{d.id}")[d.name], h.div(".sub")[name]],
            f"{d.rows or 0:,}",
            *(f"{((d.report or {}).get('labels') or {}).get(label, 0):,}" for label in labels[:8]),
        ]
        for name, d in parts
    ]
    ids = {name: d.id for name, d in parts}
    tune = address("/tuning/new", dataset=ids.get("train"), validation=ids.get("validation"), test=ids.get("test"))
    return h.section(".card.flush")[
        h.div(".title")[h.h2["The parts"], h.a(".button.primary", href=tune)["Tune with these"]],
        table(head, rows, "Parts of the split"),
    ]
