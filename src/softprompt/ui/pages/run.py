"""One tuning run: how far it is, its curve, what it says, and, when it is over, what came out of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import htpy as h

from softprompt.storage.tables import Dataset, RunEvent, TuningRun
from softprompt.ui.charts import loss_curve
from softprompt.ui.components import action, badge, button, code, facts, lasting, meter, notice, table, when
from softprompt.ui.layout import Frame, page

LIVE = ("queued", "running")
READOUT_ONLY = "A label readout alone: it reads hidden states of the frozen model, so there is no loss to draw."


def run(frame: Frame, found: TuningRun, events: Sequence[RunEvent], dataset: Dataset | None, waiting: int) -> str:
    live = found.state in LIVE
    lead = h.span[badge(found.state), f"  {found.model_id.split('/')[-1]}, started ", when(found.created_at)]
    content = [
        _problem(found),
        h.section(".card.stack.tight", data_run=found.id, data_state=found.state, data_last=str(_last(events)))[
            _numbers(found, waiting), _curve(found, events)
        ],
        None if live else _verdict(found),
        h.div(".split")[_told(events), h.div(".stack")[_results(found), _recipe(found, dataset)]],
    ]
    scripts = ("run.js",) if live else ()
    crumbs = (("/tuning", "Tuning Studio"),)
    return page(
        frame,
        found.name,
        content,
        lead=lead,
        actions=_actions(frame, found),
        crumbs=crumbs,
        scripts=scripts,
        refresh=5 if live else None,
    )


def _actions(frame: Frame, found: TuningRun) -> h.Node:
    here = f"/tuning/runs/{found.id}"
    if found.state in LIVE:
        keep = action(frame, "Stop here and keep the best", f"{here}/keep") if found.state == "running" else None
        return [keep, action(frame, "Cancel", f"{here}/cancel", style="danger")]
    again = button("Tune again with changes", f"/tuning/new?again={found.id}")
    if found.tuned_prompt_id:
        return [again, button("Deploy", f"/deployments/new?prompt={found.tuned_prompt_id}", primary=True)]
    return again


def _problem(found: TuningRun) -> h.Node:
    if not found.problem:
        return None
    kind = "error" if found.state == "failed" else "warn"
    title = "The run failed." if found.state == "failed" else "The run was interrupted and goes on by itself."
    return notice(kind, title, found.problem.get("message", ""))


def _numbers(found: TuningRun, waiting: int) -> h.Node:
    told = found.progress
    if found.state == "queued" and not told.get("updates"):
        words = "It is next." if waiting == 0 else f"{waiting} runs are before it."
        return h.p(".muted", data_part="waiting")[f"Waiting for a worker. {words}"]
    updates, done = int(told.get("updates") or found.results.get("updates") or 0), int(told.get("update") or 0)
    if found.state == "completed":
        done = updates = int(found.results.get("updates") or updates)
    live = found.state in LIVE
    if not updates:
        words = "At work. Numbers come with the first update." if live else "No vectors were trained."
        return h.p(".muted")[words if found.config.get("readout") != "only" else READOUT_ONLY]
    shown = facts(
        [
            ("updates", h.span(data_part="updates")[f"{done} of {updates}"]),
            ("loss", h.span(data_part="loss")[_number(told.get("loss"))]),
            ("learning rate", h.span(data_part="rate")[_number(told.get("learning_rate"), ".2g")]),
            ("tokens a second", h.span(data_part="speed")[_number(told.get("tokens_per_second"), ",.0f")]),
            (
                "time left" if live else "took",
                h.span(data_part="eta")[lasting(told.get("eta_seconds") if live else found.results.get("seconds"))],
            ),
        ]
    )
    return [shown, h.div(data_part="meter")[meter(done / updates, "Updates done")]]


def _curve(found: TuningRun, events: Sequence[RunEvent]) -> h.Node:
    steps = [(e.data["update"], e.data["loss"]) for e in events if e.kind == "StepDone"]
    total = int(found.progress.get("updates") or found.results.get("updates") or 0)
    if found.config.get("readout") == "only" or (found.state not in LIVE and not steps):
        return None
    ends = [e for e in events if e.kind == "EpochDone"]
    per_epoch = total / max(1, len(found.results.get("epochs") or ends) or 1)
    held = [
        ((e.data["epoch"] + 1) * per_epoch, e.data["validation_loss"]) for e in ends if e.data.get("validation_loss")
    ]
    return h.div(".curve", data_part="curve")[loss_curve(steps, held, total)]


def _verdict(found: TuningRun) -> h.Node:
    """The curve in plain words, with the next thing to try."""
    losses = [float(e["loss"]) for e in found.results.get("epochs") or []]
    if found.state != "completed" or len(losses) < 2:
        return None
    late = (losses[-2] - losses[-1]) / max(losses[0] - losses[-1], 1e-9)
    early = losses[max(0, len(losses) // 3)] - losses[-1]
    if losses[-1] > losses[0]:
        return notice("warn", "The loss rose.", "The learning rate is too large. Try a third of it.")
    if late > 0.08:
        return notice(
            "note", "The loss was still falling at the end.", "More epochs, or a larger learning rate, may help."
        )
    if early < 0.05 * losses[0]:
        return notice(
            "note", "The loss levelled off early.", "A smaller learning rate, or fewer epochs, may do as well."
        )
    return notice(
        "note", "The loss fell and then levelled off.", "That is how it should look. Look at the test rows next."
    )


def _results(found: TuningRun) -> h.Node:
    results = found.results
    readout = (results.get("metrics") or {}).get("readout")
    test = results.get("test") or {}
    blocks: list[h.Node] = []
    for method in test.get("methods", ()):
        low, high = method.get("interval") or (None, None)
        span = f"{low:.2f} – {high:.2f}" if low is not None and high is not None else "–"
        blocks.append(
            facts(
                [
                    (f"exact on the test rows, {method.get('name', '')}", f"{method.get('exact', 0):.3f}"),
                    ("95 % interval", span),
                    ("micro-F1", _number(method.get("micro_f1"))),
                ]
            )
        )
    if isinstance(readout, dict):
        blocks.append(
            h.p(".muted")["A label readout answers. Why it was taken, and from which layers, stands in what happened."]
        )
    if problem := test.get("problem"):
        blocks.append(notice("warn", "The test rows were not scored.", problem.get("message", "")))
    if not blocks:
        return None
    return h.section(".card.stack.tight")[h.h2["What came out"], blocks]


def _told(events: Sequence[RunEvent]) -> h.Element:
    lines = [
        h.div[h.time(title=e.at.isoformat())[e.at.strftime("%H:%M:%S")], h.span[words]] for e, words in _words(events)
    ]
    return h.section(".card")[h.h2["What happened"], h.div(".log", data_part="log", aria_live="polite")[lines]]


def _words(events: Sequence[RunEvent]) -> list[tuple[RunEvent, str]]:
    shown = []
    for event in events:
        words = in_words(event.kind, event.data)
        if words:
            shown.append((event, words))
    return shown[-200:]


def in_words(kind: str, data: dict[str, Any]) -> str:
    """An event as a sentence; empty for those that only move the curve."""
    if kind == "state":
        return f"The run is {data.get('state')}."
    if kind == "Note":
        return str(data.get("text", ""))
    if kind == "Started":
        goes_on = f", goes on after update {data['done']}" if data.get("done") else ""
        shown = f"{data.get('updates')} updates on {data.get('rows')} rows, {data.get('virtual_tokens')} virtual tokens"
        return f"{shown}{goes_on}."
    if kind == "EpochDone":
        held = f", validation {data['validation_loss']:.3f}" if data.get("validation_loss") is not None else ""
        best = " Best so far." if data.get("best") and held else ""
        return f"Epoch {data.get('epoch', 0) + 1}: loss {data.get('loss', 0):.3f}{held}.{best}"
    if kind == "Finished":
        return f"Tuning ended: {data.get('reason')}."
    return ""


def _recipe(found: TuningRun, dataset: Dataset | None) -> h.Element:
    options = " ".join(f"--{name.replace('_', '-')} {_quoted(value)}" for name, value in sorted(found.config.items()))
    name = dataset.file_name or dataset.name if dataset else "train.jsonl"
    command = f"softprompt tune {_quoted(name)} --model {found.model_id.split('/')[-1]} --out tuned {options}".strip()
    rows = [[key.replace("_", " "), str(value)] for key, value in sorted(found.config.items())]
    return h.section(".card.stack.tight")[
        h.h2["Recipe"],
        h.p(".muted")["Data: ", h.a(href=f"/data/{dataset.id}")[dataset.name] if dataset else "deleted"],
        table((("Set by you", False), ("", False)), rows, "Settings") if rows else h.p(".muted")["All defaults."],
        code(command),
    ]


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text


def _number(value: object, form: str = ".3f") -> str:
    return format(value, form) if isinstance(value, int | float) else "–"


def _last(events: Sequence[RunEvent]) -> int:
    return events[-1].id if events else 0
