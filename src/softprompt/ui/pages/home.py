"""Home: where to begin, what is being worked on, and the lab in seven ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import htpy as h

from softprompt.storage.tables import Deployment, TuningRun
from softprompt.ui.components import action, badge, meter, table, when
from softprompt.ui.icons import icon
from softprompt.ui.layout import Frame, page


@dataclass(frozen=True, slots=True)
class Tick:
    """A step of the lab, and whether it was taken."""

    words: str
    href: str
    done: bool


def home(
    frame: Frame, ticks: Sequence[Tick], runs: Sequence[TuningRun], deployments: Sequence[Deployment], *, hidden: bool
) -> str:
    tiles = h.div(".grid")[
        _tile(
            "lab",
            "/lab",
            "Experiment with foundation models and build prompts",
            "Write an instruction, add examples, try several inputs, and see where prompting stops.",
        ),
        _tile(
            "tuning",
            "/tuning/new",
            "Tune a foundation model with labelled data",
            "A few hundred examples become a tuned prompt, while you watch the loss fall.",
        ),
        _tile(
            "deploy",
            "/deployments",
            "Put a tuned prompt to work",
            "A serving name, an endpoint, and code that IBM's and OpenAI's clients run.",
        ),
    ]
    work = h.div(".split")[_runs(runs), None if hidden else _checklist(frame, ticks)]
    return page(frame, "What would you like to do?", tiles, work, _deployments(deployments) if deployments else None)


def _tile(sign: str, href: str, title: str, words: str) -> h.Element:
    return h.a(".card.tile", href=href)[icon(sign), h.h2[title], h.p[words]]


def _checklist(frame: Frame, ticks: Sequence[Tick]) -> h.Element:
    done = sum(t.done for t in ticks)
    items = [
        h.li(".done" if t.done else "")[
            h.span(".dot", aria_hidden="true")["✓" if t.done else ""],
            h.a(href=t.href)[t.words, h.span(".sr")[" (done)" if t.done else ""]],
        ]
        for t in ticks
    ]
    return h.section(".card.stack.tight", aria_label="The lab in seven steps")[
        h.div(".row.apart")[
            h.h2["The lab in seven steps"],
            action(frame, "Hide", "/home/checklist", style="quiet small"),
        ],
        meter(done / len(ticks), f"{done} of {len(ticks)} steps done"),
        h.ol(".ticks")[items],
    ]


def _runs(runs: Sequence[TuningRun]) -> h.Element:
    if not runs:
        return h.section(".card.empty")[
            h.h2["Nothing is being tuned yet"],
            h.p["Load labelled examples, choose a model, and start."],
            h.a(".button.primary", href="/tuning/new")["Tune a model"],
        ]
    rows = [
        [
            h.a(".strong", href=f"/tuning/runs/{run.id}")[run.name],
            badge(run.state),
            h.span(".muted")[run.model_id.split("/")[-1]],
            when(run.created_at),
        ]
        for run in runs
    ]
    head = (("Run", False), ("State", False), ("Model", False), ("Started", False))
    return h.section(".card.flush")[
        h.div(".title")[h.h2["Recent runs"], h.a(href="/tuning")["All runs"]], table(head, rows, "Recent runs")
    ]


def _deployments(deployments: Sequence[Deployment]) -> h.Element:
    rows = [
        [
            h.a(".strong", href=f"/deployments/{d.id}")[d.name],
            h.code[d.serving_name or "–"],
            badge(d.state),
            when(d.created_at),
        ]
        for d in deployments
    ]
    head = (("Deployment", False), ("Serving name", False), ("State", False), ("Deployed", False))
    return h.section(".card.flush")[
        h.div(".title")[h.h2["Deployments"], h.a(href="/deployments")["All deployments"]],
        table(head, rows, "Deployments"),
    ]
