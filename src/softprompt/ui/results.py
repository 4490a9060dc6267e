"""What pages of runs, comparisons and evaluations show of results: methods, labels, answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

import htpy as h

from softprompt.studio.outcomes import Answers, Figures, Row
from softprompt.ui.charts import interval
from softprompt.ui.components import select
from softprompt.ui.run_words import number, share, tokens

PER_PAGE = 10
SHOW_WORDS = {"all": "All", "right": "Right", "wrong": "Wrong", "different": "Different"}


@dataclass(frozen=True, slots=True)
class Asked:
    """Which answers are wanted.

    Attributes:
        method: number of the one that is right or wrong.
        start: of the first row.
    """

    show: str = "all"
    search: str = ""
    method: int = 0
    start: int = 0


def methods_table(found: Sequence[Figures], label: str, *, best: bool = True) -> h.Element:
    """One line for each method: how right with its interval, tokens, time."""
    free = any(each.measure != "exact" for each in found)
    head = [
        ("Method", False),
        (found[0].measure.capitalize() if not free else "ROUGE-L", True),
        ("95 % interval", False),
        *([("Exact", True)] if free else [("Micro-F1", True)]),
        ("Input tokens", True),
        ("Virtual", True),
        ("Generated", True),
        ("ms a row", True),
    ]
    top = max((each.share for each in found), default=0.0)
    rows = []
    for each in found:
        words = f"{share(each.share)}, 95 % interval from {share(each.low)} to {share(each.high)}"
        mark = best and len(found) > 1 and each.share == top
        rows.append(
            h.tr[
                h.th(".row-name", scope="row")[each.name, h.span(".tag.good")["best"] if mark else None],
                h.td(".num")[h.strong[share(each.share)] if mark else share(each.share)],
                h.td(".whisker-cell")[
                    interval(each.share, each.low, each.high, words, colour=3 if each.linear else 1),
                    h.span(".sub.nowrap")[f"{100 * each.low:.0f} – {100 * each.high:.0f} %"],
                ],
                h.td(".num")[share(each.exact) if free else number(each.micro_f1)],
                h.td(".num")["–" if each.linear else tokens(each.input_tokens)],
                h.td(".num")["–" if each.linear else tokens(each.virtual_tokens)],
                h.td(".num")["–" if each.linear else tokens(each.generated_tokens)],
                h.td(".num")[f"{each.ms_per_row:,.1f}"],
            ]
        )
    return h.div(".scroll", tabindex="0", role="region", aria_label=label)[
        h.table(".methods", data_part="methods")[
            h.caption(".sr")[label],
            h.thead[h.tr[[h.th(".num" if right else "", scope="col")[words] for words, right in head]]],
            h.tbody[rows],
        ]
    ]


def labels_table(found: Sequence[Figures], label: str) -> h.Node:
    """F1 of each label in every method; of a single method precision and recall, too."""
    scored = [each for each in found if each.per_label]
    if not scored:
        return None
    alone = len(scored) == 1
    names = sorted(scored[0].per_label, key=lambda name: -scored[0].per_label[name].get("support", 0))
    heads = ["Precision", "Recall", "F1"] if alone else [each.name for each in scored]
    rows = []
    for name in names:
        line = scored[0].per_label[name]
        cells: list[h.Node]
        if alone:
            cells = [
                h.td(".num")[number(line.get("precision"), ".2f")],
                h.td(".num")[number(line.get("recall"), ".2f")],
            ]
            cells.append(_f1(line.get("f1")))
        else:
            cells = [_f1(each.per_label.get(name, {}).get("f1")) for each in scored]
        rows.append(h.tr[h.th(".row-name", scope="row")[name], h.td(".num")[f"{line.get('support', 0):,.0f}"], *cells])
    return h.div(".scroll", tabindex="0", role="region", aria_label=label)[
        h.table(data_part="labels")[
            h.caption(".sr")[label],
            h.thead[
                h.tr[
                    h.th(scope="col")["Label"],
                    h.th(".num", scope="col")["Rows"],
                    [h.th(".num", scope="col")[words] for words in heads],
                ]
            ],
            h.tbody[rows],
        ]
    ]


def _f1(value: float | None) -> h.Element:
    if value is None:
        return h.td(".num")["–"]
    return h.td(".num.shade", style=f"--share:{100 * value:.0f}%")[f"{value:.2f}"]


def answers_card(
    found: Answers, asked: Asked, methods: Sequence[str], where: str, *, title: str = "The answers"
) -> h.Element:
    """Rows with the right answer and what was said; filters work without scripts."""
    shows = ("all", "right", "wrong") if len(methods) < 2 else ("all", "right", "wrong", "different")
    filters = h.form(
        ".row.answer-filters.run-pad",
        method="get",
        action=f"{where}#answers",
        role="search",
        aria_label="Filter answers",
    )[
        h.div(".segments", role="radiogroup", aria_label="Which answers")[
            [
                h.label[
                    h.input(type="radio", name="show", value=show, checked=asked.show == show),
                    f"{SHOW_WORDS[show]} {found.counts.get(show, 0):,}",
                ]
                for show in shows
            ]
        ],
        select(
            "method",
            [(str(n), name) for n, name in enumerate(methods)],
            str(asked.method),
            aria_label="Right or wrong by",
        )
        if len(methods) > 1
        else None,
        h.input(
            ".grow",
            type="search",
            name="search",
            value=asked.search,
            placeholder="Search",
            aria_label="Search in answers",
        ),
        h.button(".button")["Show"],
    ]
    return h.section("#answers.card.flush", data_part="answers", data_filters="")[
        h.div(".title.wraps")[h.h2[title]],
        filters,
        _answers(found.rows, methods) if found.rows else h.p(".run-pad.muted")["No answer fits. Choose others."],
        _pager(found, asked, where),
    ]


def _answers(rows: Sequence[Row], methods: Sequence[str]) -> h.Element:
    lines = [
        h.tr[
            h.td(".num.faint")[f"{row.number}"],
            h.td(".long")[row.input],
            h.td[row.right],
            [_said(each.output, each.confidence, right=each.right) for each in row.said],
        ]
        for row in rows
    ]
    head = [h.th(scope="col")[name] for name in ("Input", "Right answer", *methods)]
    return h.div(".scroll", tabindex="0", role="region", aria_label="Answers")[
        h.table(".answers")[
            h.caption(".sr")["Answers, row by row"],
            h.thead[h.tr[h.th(".num", scope="col")["Row"], head]],
            h.tbody[lines],
        ]
    ]


def _said(output: str, confidence: float | None, *, right: bool) -> h.Element:
    sure = h.span(".sub")[f"{confidence:.0%} sure"] if confidence is not None else None
    sign = h.span(class_=f"hit {'right' if right else 'wrong'}", title="right" if right else "wrong")[
        h.span(aria_hidden="true")["✓" if right else "✗"], h.span(".sr")["Right: " if right else "Wrong: "]
    ]
    return h.td(class_="said right" if right else "said wrong")[sign, output or h.em(".faint")["nothing"], " ", sure]


def _pager(found: Answers, asked: Asked, where: str) -> h.Node:
    if found.total <= PER_PAGE:
        return None

    def link(start: int, words: str) -> h.Element:
        query = {"show": asked.show, "method": asked.method, "search": asked.search, "start": start}
        return h.a(".button.small", href=f"{where}?{urlencode(query)}#answers")[words]

    last = min(asked.start + PER_PAGE, found.total)
    return h.nav(".more.row.apart", aria_label="Pages of answers")[
        h.span(".small.muted")[f"{asked.start + 1:,} to {last:,} of {found.total:,}"],
        h.div(".row")[
            link(max(0, asked.start - PER_PAGE), "Before") if asked.start else None,
            link(last, "Next") if last < found.total else None,
        ],
    ]
