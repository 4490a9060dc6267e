"""One tuning run: how far it is, its curve, what it says, and, when it is over, what came out of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import htpy as h

from softprompt.jobs.events import Told
from softprompt.storage.tables import Dataset, TunedPrompt, TuningExperiment, TuningRun
from softprompt.studio.curves import Curve
from softprompt.studio.ledger import Ledger, Rates
from softprompt.studio.outcomes import Answers, Outcome
from softprompt.studio.verdicts import Verdict
from softprompt.ui.charts import Line, chart, legend, loss_lines
from softprompt.ui.components import action, badge, button, facts, lasting, meter, notice, when
from softprompt.ui.layout import Frame, page
from softprompt.ui.pages.run_ledger import ledger_card
from softprompt.ui.pages.run_outcome import Asked, outcome_cards
from softprompt.ui.pages.run_recipe import files_card, recipe_card
from softprompt.ui.run_words import in_words, number

LIVE = ("queued", "running")
READOUT_ONLY = "A label readout alone: it reads hidden states of the frozen model, so there is no loss to draw."


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Everything that a run's page shows.

    Attributes:
        log: events that are sentences, oldest first.
        waiting: jobs before it in the queue.
        editor: whether the reader may end it, or start another.
        others: runs of the same experiment, for the comparison.
    """

    run: TuningRun
    experiment: TuningExperiment | None
    curve: Curve
    log: Sequence[Told]
    dataset: Dataset | None
    held: Dataset | None = None
    test: Dataset | None = None
    prompt: TunedPrompt | None = None
    waiting: int = 0
    editor: bool = True
    verdict: Verdict | None = None
    outcome: Outcome | None = None
    answers: Answers | None = None
    asked: Asked = Asked()
    ledger: Ledger | None = None
    rates: Rates = Rates()
    chosen: dict[str, Any] | None = None
    command: str = ""
    program: str = ""
    others: Sequence[tuple[str, str]] = ()


def run(frame: Frame, shown: Shown) -> str:
    found = shown.run
    live = found.state in LIVE
    content = [
        _problem(shown),
        _waiting(shown) if _waits(found) else _progress(shown) if _moved(shown) else None,
        *(
            ()
            if live
            else (
                _verdict(shown),
                *outcome_cards(shown.run, shown.outcome, shown.answers, shown.asked, shown.test, editor=shown.editor),
                ledger_card(frame, found, shown.ledger, shown.rates),
            )
        ),
        h.div(".split")[
            _log(shown.log, live=live),
            h.div(".stack")[
                None if live else files_card(found, shown.prompt, shown.curve),
                recipe_card(shown.chosen or {}, found, _data(shown), shown.command, shown.program),
            ],
        ],
    ]
    return page(
        frame,
        found.name,
        content,
        lead=_lead(shown),
        actions=_actions(frame, shown),
        crumbs=_crumbs(shown),
        scripts=("run.js",),
        refresh=5 if live else None,
    )


def _crumbs(shown: Shown) -> tuple[tuple[str, str], ...]:
    home = ("/tuning", "Tuning Studio")
    found = shown.experiment
    return (home, (f"/tuning/experiments/{found.id}", found.name)) if found and not found.deleted_at else (home,)


def _lead(shown: Shown) -> h.Element:
    found = shown.run
    data = shown.dataset
    source: h.Node = [h.a(href=f"/data/{data.id}")[f"{data.name}, version {data.version}"]] if data else "deleted data"
    moment = found.finished_at or found.started_at or found.created_at
    done = "ended " if found.finished_at else "started " if found.started_at else "asked for "
    return h.span[
        badge(found.state), "  ", h.span[found.model_id.split("/")[-1]], " on ", source, ", ", done, when(moment)
    ]


def _actions(frame: Frame, shown: Shown) -> h.Node:
    found, here = shown.run, f"/tuning/runs/{shown.run.id}"
    if not shown.editor:
        return None
    if found.state in LIVE:
        stops = found.state == "running" and not _reads_only(found)
        keep = action(frame, "Stop here and keep the best", f"{here}/keep") if stops else None
        return [keep, action(frame, "Cancel", f"{here}/cancel", style="danger")]
    again = button("Tune again with changes", f"/tuning/new?again={found.id}")
    buttons: list[h.Node] = [_compare(shown), again]
    if found.tuned_prompt_id:
        buttons.append(button("Deploy", f"/deployments/new?prompt={found.tuned_prompt_id}", primary=True))
    return buttons


def _compare(shown: Shown) -> h.Node:
    """Beside the run before, if there is one; more are chosen there."""
    beside = [key for key, _ in shown.others][:1]
    return button("Compare", f"/tuning/compare?runs={','.join([*beside, shown.run.id])}")


def _problem(shown: Shown) -> h.Node:
    found = shown.run
    if not found.problem:
        return None
    words = str(found.problem.get("message", ""))
    if found.state != "failed":
        return notice("warn", "The run was interrupted and goes on by itself.", words)
    links: list[h.Node] = []
    if shown.verdict is not None:
        links = [_try(found, each.settings, each.words) for each in shown.verdict.changes]
    return notice("error", "The run failed.", words, h.p(".row.notice-row")[links] if links else None)


def _waits(found: TuningRun) -> bool:
    return found.state == "queued" and not found.progress.get("updates")


def _moved(shown: Shown) -> bool:
    """Whether there is anything to draw or to say of it: a run that failed at once has nothing."""
    return shown.run.state in (*LIVE, "completed") or bool(shown.curve.update)


def _waiting(shown: Shown) -> h.Element:
    before = shown.waiting
    words = "It is next." if before == 0 else f"{before} {'job is' if before == 1 else 'jobs are'} before it."
    return h.section(".card.empty", data_run=shown.run.id, data_state=shown.run.state, data_last=str(shown.curve.last))[
        h.h2["Waiting for a worker"],
        h.p(data_part="waiting")[words],
        h.p(".small")["The page goes on by itself when it begins. You may close it: nothing is lost."],
    ]


def _progress(shown: Shown) -> h.Element:
    found, curve = shown.run, shown.curve
    live = found.state in LIVE
    here = f"/tuning/runs/{found.id}"
    return h.section(
        ".card.stack",
        data_run=found.id,
        data_state=found.state,
        data_last=str(curve.last),
        data_updates=str(curve.updates),
        data_curve=f"{here}/curve" if curve.update or live else None,
        aria_label="Progress",
    )[_numbers(shown), _picture(shown)]


def _numbers(shown: Shown) -> h.Node:
    found, curve = shown.run, shown.curve
    told, live = found.progress, found.state in LIVE
    updates, done = curve.updates, int(told.get("update") or (curve.update[-1] if curve.update else 0))
    if found.state == "completed":
        done = updates = int(found.results.get("updates") or updates)
    if not updates and (not live or _reads_only(found)):
        return h.p(".muted")[READOUT_ONLY if found.config.get("readout") == "only" else "No vectors were trained."]
    held = curve.validation
    seconds = told.get("eta_seconds") if live else found.results.get("seconds")
    items: list[tuple[str, h.Node]] = [
        ("updates", h.span(data_part="updates")[f"{done:,} of {updates:,}" if updates else "–"]),
        ("loss", h.span(data_part="loss")[number(curve.smoothed[-1] if curve.loss else told.get("loss"))]),
    ]
    if held or live:
        items.append(("validation loss", h.span(data_part="validation")[number(held[-1][1] if held else None)]))
    rate = told.get("learning_rate") if live else max(curve.rate, default=None)
    items += [
        ("learning rate" if live else "peak learning rate", h.span(data_part="rate")[number(rate, ".2g")]),
        ("tokens a second", h.span(data_part="speed")[number(told.get("tokens_per_second"), ",.0f")]),
        ("time left" if live else "took", h.span(data_part="eta")[lasting(seconds)]),
    ]
    share = done / updates if updates else 0.0
    return [facts(items), h.div(data_part="meter")[meter(share, "Updates done")] if live else None]


def _reads_only(found: TuningRun) -> bool:
    """Whether no vectors are trained, so that there is nothing of which a part could be kept."""
    return found.config.get("readout") == "only" and not found.config.get("readout_epochs")


def _picture(shown: Shown) -> h.Node:
    found, curve = shown.run, shown.curve
    live = found.state in LIVE
    if found.config.get("readout") == "only" or not (curve.update or live):
        return None
    lines = loss_lines(curve.update, curve.loss, curve.smoothed, curve.validation)
    told = "The curve begins with the first update."
    if curve.loss:
        told = f"Loss over {curve.update[-1]} updates: from {curve.loss[0]:.2f} to {curve.smoothed[-1]:.2f}."
    inner = chart(lines, wide=curve.updates, told=told) if curve.update else h.div(".run-plot.hollow")[h.p[told]]
    rate = list(zip(curve.update, curve.rate, strict=True))
    return h.figure(".chart")[
        h.div(".row.apart")[legend(lines), _controls()],
        h.div(".curve", data_part="curve")[inner],
        h.figcaption(".sr")[told],
        h.noscript[
            h.details[
                h.summary["Learning rate"],
                chart([Line("learning rate", rate)], wide=curve.updates, told="Learning rate by update.", height="low"),
            ]
        ]
        if rate
        else None,
    ]


def _controls() -> h.Element:
    """What a script can do with the picture."""
    kinds = (("loss", "Loss"), ("rate", "Learning rate"), ("speed", "Tokens a second"))
    return h.div(".row.js-flex.chart-tools", role="group", aria_label="The picture")[
        h.div(".segments")[
            [
                h.button(type="button", data_series=key, aria_pressed="true" if key == "loss" else "false")[words]
                for key, words in kinds
            ]
        ],
        h.label(".run-tick")[h.input(type="checkbox", data_part="log-scale"), "Log scale"],
        h.label(".run-tick")[
            "Smooth",
            h.input(type="range", min="1", max="60", value="9", data_part="smooth", aria_label="Updates in the mean"),
        ],
        h.button(".button.quiet.small", type="button", data_part="whole")["Whole curve"],
    ]


def _verdict(shown: Shown) -> h.Node:
    """The curve in plain words, with the next thing to try."""
    found = shown.verdict
    if found is None or shown.run.state == "failed":
        return None
    tone = {"good": "good", "try": "warm", "bad": "bad"}[found.kind]
    buttons = [_try(shown.run, each.settings, each.words) for each in found.changes] if shown.editor else []
    return h.section(class_=f"card verdict {tone}", data_part="verdict")[
        h.div[h.h2[found.title], h.p(".muted")[found.words]],
        h.div(".stack.tight")[h.span(".small.muted")["Tune again with"], h.div(".row")[buttons]] if buttons else None,
    ]


def _try(found: TuningRun, settings: Any, words: str) -> h.Element:
    query = "".join(f"&{name}={value}" for name, value in settings.items())
    return button(words, f"/tuning/new?again={found.id}{query}")


def _log(log: Sequence[Told], *, live: bool) -> h.Element:
    lines = [
        h.div[
            h.time(datetime=e.at.isoformat(), title=e.at.strftime("%Y-%m-%d %H:%M:%S UTC"))[e.at.strftime("%H:%M:%S")],
            h.span[words],
        ]
        for e in log
        if (words := in_words(e.kind, e.data))
    ]
    nothing = h.p(".muted")["Nothing yet."] if not lines and not live else None
    return h.section(".card")[
        h.h2["What happened"],
        h.div(".log", data_part="log", role="log", tabindex="0", aria_label="What happened")[lines],
        nothing,
    ]


def _data(shown: Shown) -> list[tuple[str, Dataset | None]]:
    found = [("Training data", shown.dataset)]
    if shown.run.validation.get("dataset_id"):
        found.append(("Validation", shown.held))
    if shown.run.test_dataset_id:
        found.append(("Test", shown.test))
    return found
