"""The two datasets' rows per combination of labels: of each label alone, with each other one, and in all."""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h

from softprompt.storage.tables import Dataset
from softprompt.studio.comparisons import Combination, Counts, Group

OPEN = 4
"""Labels that are shown at once; the others are a click away."""


def counts_card(found: Counts | None, label: str, runs: str) -> h.Node:
    """The table; of one label, if one is wanted. One dataset alone is shown, too: there is nothing to compare then."""
    if found is None:
        return None
    wanted = [group for group in found.groups if group.label == label]
    groups = wanted or list(found.groups)
    shown, rest = groups[:OPEN], groups[OPEN:]
    head = "Why one dataset teaches better" if len(found.datasets) > 1 else "What the dataset teaches"
    return h.section("#data.card.flush", data_part="counts")[
        h.div(".title.wraps")[h.div[h.h2[head], h.p(".small.muted")["Rows per combination of labels."]]],
        h.p(".counts-remark")[found.remark] if found.remark else None,
        _labels(found, label, runs),
        _table(found, shown),
        h.details(".flush-more")[h.summary[f"{len(rest)} more labels"], _table(found, rest)] if rest else None,
    ]


def _labels(found: Counts, label: str, runs: str) -> h.Element:
    def link(value: str, words: str) -> h.Element:
        query = f"&label={_quoted(value)}" if value else ""
        here = "true" if value == label else None
        return h.a(href=f"/tuning/compare?runs={runs}{query}#data", aria_current=here)[words]

    return h.nav(".tabs.pad-side", aria_label="Labels")[
        link("", "All labels"), [link(group.label, group.label) for group in found.groups]
    ]


def _table(found: Counts, groups: Sequence[Group]) -> h.Element:
    most = max((max(part.counts) for group in groups for part in group.parts), default=1) or 1
    two = len(found.datasets) == 2
    return h.div(".scroll", tabindex="0", role="region", aria_label="Rows per combination")[
        h.table(".counts")[
            h.caption(".sr")["Rows per combination of labels in each dataset"],
            h.thead[
                h.tr[
                    h.th(scope="col")["Rows with"],
                    [h.th(".num", scope="col")[_named(each)] for each in found.datasets],
                    h.th(".num", scope="col")["Difference"] if two else None,
                ]
            ],
            [_group(group, most, two=two) for group in groups],
        ]
    ]


def _group(group: Group, most: int, *, two: bool) -> h.Element:
    return h.tbody[
        h.tr(".group")[
            h.th(".row-name", scope="rowgroup")[group.label],
            [h.td(".num")[h.strong[f"{count:,}"]] for count in group.total.counts],
            _difference(group.total) if two else None,
        ],
        [
            h.tr[
                h.th(".row-name.part", scope="row")[part.others if part.others == "alone" else f"with {part.others}"],
                [h.td(".num.shade", style=f"--share:{100 * count / most:.0f}%")[f"{count:,}"] for count in part.counts],
                _difference(part) if two else None,
            ]
            for part in group.parts
        ],
    ]


def _difference(part: Combination) -> h.Element:
    change = part.counts[1] - part.counts[0]
    words = f"{change:+,}".replace("-", "−") if change else "0"
    return h.td(class_="num faint" if not change else "num")[words]


def _named(dataset: Dataset) -> str:
    return f"{dataset.name}, version {dataset.version}"


def _quoted(text: str) -> str:
    from urllib.parse import quote

    return quote(text, safe="")
