"""Tuning Studio: the list of runs, and the form that starts one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import htpy as h

from softprompt.params import TuneConfig
from softprompt.storage.rows import Page
from softprompt.storage.tables import Dataset, TuningRun
from softprompt.studio.foundation_models import Model
from softprompt.ui.components import badge, button, empty, field, lasting, meter, notice, select, table, when
from softprompt.ui.layout import Frame, csrf_field, page

READOUTS = (
    ("auto", "As the data suggests", "A label readout where answers are known and it helps; text otherwise."),
    ("only", "Label readout", "The answer is read from the frozen model's hidden states, with its probability."),
    ("off", "Generated text", "The model writes the answer, token by token; the only way for free text."),
)
NUMBERS = ("epochs", "learning_rate", "batch_size", "accumulate", "virtual_tokens", "max_input_tokens", "seed")
"""Parameters that most people look at; the others are options of the command line and the interface."""


def runs(frame: Frame, found: Page[TuningRun], state: str, next_page: str | None) -> str:
    rows = [
        [
            h.a(".strong", href=f"/tuning/runs/{run.id}")[run.name],
            badge(run.state),
            run.model_id.split("/")[-1],
            _progress(run),
            _took(run),
            when(run.created_at),
        ]
        for run in found.items
    ]
    head = (("Run", False), ("State", False), ("Model", False), ("Progress", False), ("Took", True), ("Started", False))
    states = [("", "All states"), *((s, s) for s in ("queued", "running", "completed", "failed", "canceled"))]
    chooser = h.form(".row", method="get")[
        select("state", states, state, aria_label="State"), h.button(".button")["Show"]
    ]
    content = (
        h.section(".card.flush")[
            h.div(".title")[h.h2[f"{found.total:,} runs"], chooser],
            table(head, rows, "Tuning runs"),
            h.div(".title")[h.a(".button.quiet", href=next_page)["Older runs"]] if next_page else None,
        ]
        if rows or state
        else empty(
            "No run yet",
            "A run learns vectors for a frozen model from your examples: minutes on a laptop.",
            button("Tune a model", "/tuning/new", primary=True),
        )
    )
    lead = "Each run learns a soft prompt for a frozen model from labelled examples."
    return page(
        frame, "Tuning Studio", content, lead=lead, actions=button("New run", "/tuning/new", primary=True), refresh=15
    )


def _progress(run: TuningRun) -> h.Node:
    done, all_of = run.progress.get("update", 0), run.progress.get("updates", 0)
    if run.state == "running" and all_of:
        return h.div[meter(done / all_of, f"{run.name}"), h.span(".sub")[f"{done} of {all_of} updates"]]
    epochs = run.results.get("epochs") or []
    return h.span(".muted")[f"loss {epochs[-1]['loss']:.3f}" if epochs else "–"]


def _took(run: TuningRun) -> str:
    if run.started_at is None or run.finished_at is None:
        return "–"
    return lasting((run.finished_at - run.started_at).total_seconds())


def new_run(
    frame: Frame,
    datasets: Sequence[Dataset],
    models: Sequence[Model],
    given: Mapping[str, str],
    problem: str = "",
) -> str:
    if not datasets:
        ask = empty(
            "First, data",
            "A run needs labelled examples: each an input and the answer that you want for it.",
            button("Load data", "/data", primary=True),
        )
        return page(frame, "New tuning run", ask, crumbs=(("/tuning", "Tuning Studio"),))
    form = h.form(".stack", method="post", action="/tuning/new")[
        csrf_field(frame),
        notice("error", "The run was not started.", problem) if problem else None,
        h.div(".split")[_what(datasets, models, given), _how(given)],
        _numbers(given),
        h.div(".row")[h.button(".button.primary")["Start tuning"], h.a(".button.quiet", href="/tuning")["Not now"]],
    ]
    lead = "What you leave open follows the model and the data, and the run says what it took and why."
    return page(frame, "New tuning run", form, lead=lead, crumbs=(("/tuning", "Tuning Studio"),))


def _what(datasets: Sequence[Dataset], models: Sequence[Model], given: Mapping[str, str]) -> h.Element:
    data = [(d.id, f"{d.name} · version {d.version} · {d.rows:,} rows") for d in datasets]
    usable = [m for m in models if m.tunable and m.available]
    others = [m for m in models if m.tunable and not m.available]
    choices = [(m.id, m.label) for m in usable] + [(m.id, f"{m.label} (not on this machine yet)") for m in others]
    held = [("", "None"), ("0.1", "A tenth of the training rows"), ("0.2", "A fifth of the training rows"), *data]
    return h.section(".card.stack.tight")[
        h.h2["What"],
        field(
            "Name",
            h.input(
                name="experiment",
                value=given.get("experiment", ""),
                required=True,
                maxlength="200",
                placeholder="Complaints",
            ),
            "Runs of one name are numbered: “Complaints (1)”, “Complaints (2)”.",
        ),
        field("Foundation model", select("model", choices, given.get("model", ""))),
        field("Training data", select("dataset", data, given.get("dataset", ""))),
        h.div(".fields")[
            field(
                "Validation", select("validation", held, given.get("validation", "")), "The best epoch by it is kept."
            ),
            field("Test", select("test", [("", "None"), *data], given.get("test", "")), "Scored once, after the run."),
        ],
    ]


def _how(given: Mapping[str, str]) -> h.Element:
    chosen = given.get("readout", "auto")
    choices = [
        h.label(".choice")[
            h.input(type="radio", name="readout", value=value, checked=value == chosen),
            h.strong[words],
            h.span(".help.muted")[help],
        ]
        for value, words, help in READOUTS
    ]
    inits = [
        ("", "Follows the data"),
        ("text", "Text"),
        ("examples", "Solved rows"),
        ("labels", "Labels"),
        ("vocabulary", "Vocabulary"),
        ("random", "Random"),
    ]
    return h.section(".card.stack.tight")[
        h.h2["How it answers"],
        choices,
        field("Initialise the prompt from", select("init", inits, given.get("init", ""))),
        field(
            "Text to start from",
            h.textarea(name="init_text", rows="3")[given.get("init_text", "")],
            "Used with Text; empty: the task's instruction with the labels.",
        ),
    ]


def _numbers(given: Mapping[str, str]) -> h.Element:
    known = {item.name: item for item in fields(TuneConfig)}
    controls = []
    for name in NUMBERS:
        item = known[name]
        low, high = item.metadata.get("low"), item.metadata.get("high")
        open_words = "follows model and data" if item.default is None else str(item.default)
        control = h.input(
            name=name,
            type="number",
            value=given.get(name, ""),
            placeholder=open_words,
            step="any" if name == "learning_rate" else "1",
            min=_text(low),
            max=_text(high),
        )
        controls.append(field(name.replace("_", " ").capitalize(), control, item.metadata["help"]))
    return h.section(".card")[
        h.details(open=any(given.get(n) for n in NUMBERS))[h.summary["Parameters"], h.div(".fields")[controls]]
    ]


def _text(value: Any) -> str | None:
    return None if value is None else f"{value:g}"
