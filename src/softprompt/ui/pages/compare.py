"""Runs side by side: curves on top of each other, what differs, what came out, what they answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import htpy as h

from softprompt.studio.comparisons import Counts, Side
from softprompt.studio.curves import Curve
from softprompt.studio.outcomes import Answers
from softprompt.ui.charts import Line, chart, interval, legend
from softprompt.ui.components import badge, empty, helped, lasting, notice
from softprompt.ui.layout import Frame, csrf_field, page
from softprompt.ui.pages.compare_data import counts_card
from softprompt.ui.results import Asked, answers_card
from softprompt.ui.run_words import number, share, tokens

CRUMBS = (("/tuning", "Tuning Studio"),)


@dataclass(frozen=True, slots=True)
class Reply:
    """What one tuned prompt said to a question."""

    output: str
    confidence: float | None
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What the page shows.

    Attributes:
        choices: ids and names of runs that can be added.
        alike: settings that all share.
        proofs: the rows that all were tested on, if they were.
        replies: to each question, of each run; None of one without a tuned prompt.
        label: the one whose combinations are wanted; empty for all.
    """

    sides: Sequence[Side]
    curves: Sequence[Curve]
    choices: Sequence[tuple[str, str]]
    differing: Sequence[tuple[str, tuple[str, ...]]] = ()
    alike: Sequence[tuple[str, str]] = ()
    counts: Counts | None = None
    label: str = ""
    proofs: Answers | None = None
    asked: Asked = Asked()
    questions: str = ""
    replies: Sequence[tuple[str, Sequence[Reply | None]]] = ()
    problem: str = ""


def compare(frame: Frame, shown: Shown) -> str:
    sides = shown.sides
    if not sides:
        body = empty(
            "Choose runs to compare",
            "Two or more runs stand side by side: what was set differently, and what it did.",
            _add(shown),
        )
        return page(frame, "Runs side by side", body, crumbs=CRUMBS)
    where = f"/tuning/compare?runs={keys(sides)}"
    content = [
        notice("error", "The questions were not asked.", shown.problem) if shown.problem else None,
        _head(shown),
        _curves(shown),
        _outcome(shown) if any(side.run.results for side in sides) else None,
        _settings(shown),
        counts_card(shown.counts, shown.label, keys(sides)),
        _ask(frame, shown),
        answers_card(
            shown.proofs,
            shown.asked,
            [side.run.name for side in sides],
            where,
            title="Answers to the test rows, each run by its best way",
        )
        if shown.proofs is not None
        else None,
    ]
    lead = "What was set differently, and what it did."
    return page(frame, "Runs side by side", content, lead=lead, crumbs=CRUMBS, scripts=("compare.js",))


def keys(sides: Sequence[Side]) -> str:
    return ",".join(side.run.id for side in sides)


def _head(shown: Shown) -> h.Element:
    """A card for each run in the colour of its curve."""
    cards = []
    for at, side in enumerate(shown.sides, start=1):
        others = ",".join(other.run.id for other in shown.sides if other is not side)
        data = f"{side.dataset.name}, version {side.dataset.version}" if side.dataset else "deleted data"
        cards.append(
            h.article(class_=f"card side-card c{at}", data_compare=side.run.id, data_name=side.run.name)[
                h.div(".row.apart")[
                    h.h2[h.a(".strong", href=f"/tuning/runs/{side.run.id}")[side.run.name]], badge(side.run.state)
                ],
                h.p(".small.muted")[f"{side.run.model_id.split('/')[-1]} on {data}"],
                h.p(".small")[
                    h.a(href=f"/tuning/compare?runs={others}", aria_label=f"Leave out {side.run.name}")["Leave out"]
                ]
                if others
                else None,
            ]
        )
    return h.div(".stack.tight")[h.div(".grid")[cards], _add(shown)]


def _add(shown: Shown) -> h.Node:
    there = {side.run.id for side in shown.sides}
    left = [(key, name) for key, name in shown.choices if key not in there]
    if not left:
        return None
    hidden = [h.input(type="hidden", name="runs", value=key) for key in sorted(there, key=keys(shown.sides).find)]
    return h.form(".row.add-run", method="get", action="/tuning/compare")[
        hidden,
        h.label(".row")[
            h.span(".small.muted")["Add a run"],
            h.select(name="runs")[[h.option(value=key)[name] for key, name in left]],
        ],
        h.button(".button")["Add"],
    ]


def _curves(shown: Shown) -> h.Node:
    lines = [
        Line(side.run.name, list(zip(curve.update, curve.smoothed, strict=True)), colour=at)
        for at, (side, curve) in enumerate(zip(shown.sides, shown.curves, strict=True), start=1)
    ]
    if not any(line.points for line in lines):
        return None
    held = [
        Line(f"{side.run.name}, validation", curve.validation, "held", at)
        for at, (side, curve) in enumerate(zip(shown.sides, shown.curves, strict=True), start=1)
        if curve.validation
    ]
    ends = ", ".join(f"{line.name} ends at {line.points[-1][1]:.2f}" for line in lines if line.points)
    kinds = (("loss", "Loss"), ("validation", "Validation loss"), ("rate", "Learning rate"))
    wide = max(curve.updates for curve in shown.curves)
    return h.section(".card.stack.tight", aria_label="Curves", data_part="curves")[
        h.div(".row.apart")[
            h.div[h.h2["Curves"], legend([*lines, *held[:1]])] if not held else h.div[h.h2["Curves"], legend(lines)],
            h.div(".row.js-flex.chart-tools", role="group", aria_label="The picture")[
                h.div(".segments")[
                    [
                        h.button(type="button", data_series=key, aria_pressed="true" if key == "loss" else "false")[
                            words
                        ]
                        for key, words in kinds
                        if key != "validation" or held
                    ]
                ],
                h.label(".run-tick")[h.input(type="checkbox", data_part="log-scale"), "Log scale"],
                h.label(".run-tick")[
                    "Smooth",
                    h.input(
                        type="range", min="1", max="60", value="9", data_part="smooth", aria_label="Updates in the mean"
                    ),
                ],
                h.label(".run-tick")[h.input(type="checkbox", data_part="share"), "By share of the run"],
                h.button(".button.quiet.small", type="button", data_part="whole")["Whole curves"],
            ],
        ],
        h.div(".curve", data_part="curve")[chart([*lines, *held], wide=wide, told=f"Loss by update: {ends}.")],
    ]


def _outcome(shown: Shown) -> h.Element:
    sides, curves = shown.sides, shown.curves
    top = max((side.best.share for side in sides if side.best), default=None)
    lines: list[tuple[str, list[h.Node]]] = [
        ("Loss at the end", [number(curve.smoothed[-1]) if curve.loss else "–" for curve in curves]),
        ("Best validation loss", [number(min((v for _, v in curve.validation), default=None)) for curve in curves]),
        ("Right on the test rows", [_best(side, at, top) for at, side in enumerate(sides, start=1)]),
        ("Best way to answer", [_way(side) for side in sides]),
        ("Micro-F1", [number(side.best.micro_f1 if side.best else None) for side in sides]),
        ("Test data", [side.test.name if side.test else "–" for side in sides]),
        (
            "Tokens of a question",
            [
                f"{tokens(side.best.input_tokens)} + {tokens(side.best.virtual_tokens)} virtual + "
                f"{tokens(side.best.generated_tokens)} generated"
                if side.best
                else "–"
                for side in sides
            ],
        ),
        ("Milliseconds a row", [f"{side.best.ms_per_row:.1f}" if side.best else "–" for side in sides]),
        ("Took", [lasting(side.run.results.get("seconds")) for side in sides]),
    ]
    unlike = len({side.run.test_dataset_id for side in sides if side.best}) > 1
    return h.section(".card.flush", data_part="outcome")[
        h.div(".title")[h.h2["What came out"]],
        _table(sides, "What came out", lines),
        h.p(".more.small.warm-text")["The runs were tested on different rows: their figures cannot be compared."]
        if unlike
        else None,
    ]


def _best(side: Side, at: int, top: float | None) -> h.Node:
    best = side.best
    if best is None:
        return "–"
    words = f"{share(best.share)}, 95 % interval from {share(best.low)} to {share(best.high)}"
    value = share(best.share)
    return [
        h.strong[value] if best.share == top else value,
        " ",
        interval(best.share, best.low, best.high, words, colour=at),
        h.span(".sub.nowrap")[f"{100 * best.low:.0f} – {100 * best.high:.0f} %"],
    ]


def _way(side: Side) -> str:
    return side.best.name.rsplit(" · ", 1)[-1].capitalize() if side.best else "–"


def _settings(shown: Shown) -> h.Element:
    same = h.details(".more.small")[
        h.summary[f"{len(shown.alike)} settings are alike"],
        h.dl(".pairs")[[[h.dt[name.capitalize()], h.dd[value or "–"]] for name, value in shown.alike]],
    ]
    lines: list[tuple[str, list[h.Node]]] = [
        (name.capitalize(), [value or "–" for value in values]) for name, values in shown.differing
    ]
    body = (
        _table(shown.sides, "Settings that differ", lines)
        if lines
        else h.p(".run-pad.muted")[
            "Nothing: the same settings on the same data." if len(shown.sides) > 1 else "One run alone."
        ]
    )
    return h.section(".card.flush", data_part="settings")[h.div(".title")[h.h2["Settings that differ"]], body, same]


def _table(sides: Sequence[Side], label: str, lines: Sequence[tuple[str, Sequence[h.Node]]]) -> h.Element:
    return h.div(".scroll", tabindex="0", role="region", aria_label=label)[
        h.table(".sides")[
            h.caption(".sr")[label],
            h.thead[
                h.tr[
                    h.td[h.span(".sr")["Run"]],
                    [
                        h.th(scope="col")[h.span(class_=f"run-swatch c{at}", aria_hidden="true"), side.run.name]
                        for at, side in enumerate(sides, start=1)
                    ],
                ]
            ],
            h.tbody[[h.tr[h.th(".row-name", scope="row")[name], [h.td[v] for v in values]] for name, values in lines]],
        ]
    ]


def _ask(frame: Frame, shown: Shown) -> h.Node:
    can = [side for side in shown.sides if side.prompt is not None]
    if not can:
        return None
    form = h.form(".stack.tight.run-pad", method="post", action="/tuning/compare#ask")[
        csrf_field(frame),
        h.input(type="hidden", name="runs", value=keys(shown.sides)),
        helped(
            "Questions",
            "One on each line. All tuned prompts above answer them.",
            lambda tie: h.textarea(tie, name="questions", rows="3", required=True, maxlength="20000")[shown.questions],
        ),
        h.div(".row")[h.button(".button.primary", data_part="ask")["Ask them all"]],
    ]
    return h.section("#ask.card.flush", data_part="questions")[
        h.div(".title")[h.h2["Ask them the same"]], form, _replies(shown) if shown.replies else None
    ]


def _replies(shown: Shown) -> h.Element:
    lines = []
    for question, replies in shown.replies:
        said = {reply.output for reply in replies if reply}
        mark = h.span(".tag.warm")["different"] if len(said) > 1 else None
        lines.append(h.tr[h.th(".row-name.long", scope="row")[question, " ", mark], [_reply(each) for each in replies]])
    return h.div(".scroll", tabindex="0", role="region", aria_label="Their answers", data_part="replies")[
        h.table(".sides.answers")[
            h.caption(".sr")["Their answers"],
            h.thead[
                h.tr[
                    h.th(scope="col")["Question"],
                    [
                        h.th(scope="col")[h.span(class_=f"run-swatch c{at}", aria_hidden="true"), side.run.name]
                        for at, side in enumerate(shown.sides, start=1)
                    ],
                ]
            ],
            h.tbody[lines],
        ]
    ]


def _reply(found: Reply | None) -> h.Element:
    if found is None:
        return h.td(".faint")["no tuned prompt"]
    sure = f"{found.confidence:.0%} sure, " if found.confidence is not None else ""
    return h.td(".said")[
        found.output or h.em(".faint")["nothing"], h.span(".sub.block")[f"{sure}{found.tokens} tokens"]
    ]
