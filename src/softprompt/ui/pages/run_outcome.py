"""What came out of a run: figures on its test rows beside everything measured on the same rows, labels, answers."""

from __future__ import annotations

from collections.abc import Iterator

import htpy as h

from softprompt.storage.tables import Dataset, TuningRun
from softprompt.studio.outcomes import Answers, Outcome
from softprompt.ui.components import button, notice
from softprompt.ui.results import Asked, answers_card, labels_table, methods_table

__all__ = ["Asked", "outcome_cards"]


def outcome_cards(
    run: TuningRun,
    found: Outcome | None,
    answers: Answers | None,
    asked: Asked,
    test: Dataset | None,
    *,
    editor: bool,
) -> Iterator[h.Node]:
    """The cards in their order; without test rows, how to get figures."""
    if run.state != "completed":
        return
    if found is None or (not found.methods and not found.problem):
        yield _nothing(run, editor=editor)
        return
    yield _figures(run, found, test, editor=editor)
    own = found.methods[: found.own] or found.methods
    table = labels_table(own, "F1 by label")
    if table is not None:
        yield h.section(".card.flush")[
            h.div(".title")[h.h2["By label"], h.span(".small.muted")["Labels with few rows need more data first."]],
            table,
        ]
    if answers is not None:
        yield answers_card(answers, asked, [_way(each.name) for each in own], f"/tuning/runs/{run.id}")


def _figures(run: TuningRun, found: Outcome, test: Dataset | None, *, editor: bool) -> h.Element:
    rows = f"{found.rows:,} rows" if found.rows else "test rows"
    where: h.Node = [rows, " of ", h.a(href=f"/data/{test.id}")[test.name]] if test else rows
    linear = next((each for each in found.methods if each.linear), None)
    more = (
        h.a(".button.small", href=_proof(run))["Measure the baseline and k-shot"]
        if editor and linear is None and run.tuned_prompt_id
        else None
    )
    others = [h.a(href=f"/tuning/evaluations/{key}")[name] for key, name in found.others]
    return h.section(".card.flush", data_part="outcome")[
        h.div(".title.wraps")[h.div[h.h2["On the test rows"], h.p(".small.muted")["Measured on ", where, "."]], more],
        h.div(".run-pad")[notice("warn", "The test rows were not scored.", found.problem)] if found.problem else None,
        methods_table(found.methods, "Methods on the test rows") if found.methods else None,
        _against(found),
        h.p(".more.small.muted")["Evaluations with this tuned prompt: ", _listed(others), "."] if others else None,
    ]


def _against(found: Outcome) -> h.Node:
    """The tuned prompt against the sober alternative, in a sentence."""
    linear = next((each for each in found.methods if each.linear), None)
    own = max(found.methods[: found.own], key=lambda each: each.share, default=None)
    if linear is None or own is None:
        return None
    ahead = 100 * (own.share - linear.share)
    apart = own.low > linear.high or linear.low > own.high
    side = "ahead of" if ahead > 0 else "behind"
    sure = "The intervals do not overlap." if apart else "The intervals overlap: more test rows would tell for sure."
    return h.p(".more.small")[
        f"The tuned prompt is {abs(ahead):.1f} points {side} the linear baseline. ", h.span(".muted")[sure]
    ]


def _nothing(run: TuningRun, *, editor: bool) -> h.Element:
    can = editor and run.tuned_prompt_id
    return h.section(".card.empty", data_part="outcome")[
        h.h2["Not measured yet"],
        h.p["No test rows were given. Rows that nothing was trained on say how good the tuned prompt is."],
        button("Evaluate it", _proof(run), primary=True) if can else None,
    ]


def _proof(run: TuningRun) -> str:
    test = f"&dataset={run.test_dataset_id}" if run.test_dataset_id else ""
    return f"/tuning/evaluations/new?prompt={run.tuned_prompt_id}&examples={run.dataset_id}{test}"


def _way(name: str) -> str:
    """How the tuned prompt answered, without its own name in front."""
    return name.rsplit(" · ", 1)[-1].capitalize()


def _listed(links: list[h.Element]) -> list[h.Node]:
    found: list[h.Node] = []
    for number, link in enumerate(links):
        found += [", " if number else None, link]
    return found
