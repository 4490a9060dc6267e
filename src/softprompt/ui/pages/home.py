"""Home: where to begin, what is being worked on, and the lab in seven ticks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import htpy as h

from softprompt.studio.home import STEPS, Work
from softprompt.studio.model_pulls import Pull
from softprompt.ui.components import action, badge, meter, when
from softprompt.ui.icons import icon
from softprompt.ui.layout import Frame, page
from softprompt.ui.model_parts import address, progress
from softprompt.ui.nouns import NOUNS, where

Begin = Literal["ready", "no sandbox", "not a member"]
"""Whether this person can work: in some project, in one that they can make, in none."""
WORDS = {
    "prompt": ("Try a prompt in the Prompt Lab", "Save one to tick this off.", "/lab"),
    "data": ("Load labelled examples", "A few hundred pairs of input and output.", "/data"),
    "tune": ("Start a tuning run", "Defaults that fit the model are set.", "/tuning/new"),
    "curve": ("See its loss level off", "And what it means, in words.", "/tuning"),
    "deploy": ("Deploy the tuned prompt", "Behind a serving name.", "/deployments/new"),
    "call": ("Call it from a program", "With an API key of yours.", "/account"),
    "again": ("Tune a second time and compare", "Better data beats more epochs.", "/tuning"),
}


@dataclass(frozen=True, slots=True)
class Desk:
    """What stands on the page.

    Attributes:
        done: steps of the lab that were taken.
        hidden: whether this person put the checklist away.
        counts: how many deployments and tuned prompts there are.
        pull: of a model that is on its way.
    """

    begin: Begin
    done: dict[str, bool]
    hidden: bool
    work: Sequence[Work]
    counts: dict[str, int]
    pull: Pull | None = None


def home(frame: Frame, desk: Desk) -> str:
    content: list[h.Node] = []
    if desk.begin != "ready":
        content.append(_begin(frame, desk.begin))
    content.append(_tiles(desk))
    if desk.pull is not None:
        content.append(_pull(desk.pull))
    recent = _recent(desk.work)
    content.append(recent if desk.hidden else h.div(".split")[recent, _checklist(frame, desk.done)])
    if desk.hidden:
        content.append(_bring_back(frame, desk.done))
    running = any(work.state in ("running", "queued") for work in desk.work) or desk.pull is not None
    return page(
        frame,
        "What would you like to do?",
        *content,
        scripts=("models.js",) if desk.pull else (),
        refresh=15 if running else None,
    )


def _tiles(desk: Desk) -> h.Element:
    deployed, prompts = desk.counts["deployments"], desk.counts["prompts"]
    serve = (
        _tile("deploy", "/deployments", "See what is deployed", _deployed(deployed))
        if deployed
        else _tile(
            "deploy", "/deployments/new" if prompts else "/deployments", "Put a tuned prompt to work",
            "A serving name, an endpoint, and code that IBM's and OpenAI's clients run.",
        )
    )  # fmt: skip
    return h.div(".grid.tiles")[
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
        serve,
        _tile("models", "/models", "Choose a foundation model", "What each is good at, and which are on this machine."),
    ]


def _deployed(count: int) -> str:
    one = "1 deployment answers" if count == 1 else f"{count:,} deployments answer"
    return f"{one} here: test them, copy code, see how they are used."


def _tile(sign: str, href: str, title: str, words: str) -> h.Element:
    return h.a(".card.tile", href=href)[icon(sign), h.h2[title], h.p[words]]


def _begin(frame: Frame, begin: Begin) -> h.Element:
    if begin == "no sandbox":
        return h.section(".card.begin", data_part="sandbox")[
            h.div[
                h.h2["First, a project to work in"],
                h.p(".muted")["Datasets, prompts and tuning runs are kept in it. You can share it with others later."],
            ],
            action(frame, "Create a sandbox project", "/home/sandbox", style="primary"),
        ]
    return h.section(".card.begin")[
        h.div[
            h.h2["You are in no project yet"],
            h.p(".muted")[
                "Everything that people make here is kept in projects. An admin of the studio can add you to one; "
                "tell them your name here: ",
                h.strong[frame.user],
                ".",
            ],
        ],
    ]


def _pull(pull: Pull) -> h.Element:
    return h.section(".card.begin", data_part="fetching")[
        h.div[
            h.h2["A model is on its way: ", h.a(href=address(pull.model_id))[pull.model_id.split("/")[-1]]],
            h.p(".muted")["The studio can be used meanwhile."],
        ],
        progress(pull),
    ]


def _checklist(frame: Frame, done: dict[str, bool]) -> h.Element:
    count = sum(done[step] for step in STEPS)
    following = next((step for step in STEPS if not done[step]), None)
    items = [_step(step, done[step], step == following) for step in STEPS]
    told = "All seven done. You know the whole studio." if count == len(STEPS) else f"{count} of {len(STEPS)} done"
    return h.section("#lab-steps.card.stack.tight", aria_labelledby="steps-title", data_part="checklist")[
        h.div(".row.apart")[
            h.h2("#steps-title")["The lab in seven steps"],
            action(frame, "Hide", "/home/checklist", style="quiet small", fields={"show": "no"}),
        ],
        meter(count / len(STEPS), f"{count} of {len(STEPS)} steps done"),
        h.p(".small.muted")[told],
        h.ol(".ticks")[items],
    ]


def _step(step: str, done: bool, following: bool) -> h.Element:
    words, help, href = WORDS[step]
    return h.li(class_="done" if done else "next" if following else "", data_step=step)[
        h.span(".dot", aria_hidden="true")["✓" if done else ""],
        h.span[
            h.a(href=href)[words, h.span(".sr")[" (done)"] if done else None],
            h.span(".help")[help] if following else None,
        ],
    ]


def _bring_back(frame: Frame, done: dict[str, bool]) -> h.Element:
    count = sum(done.values())
    return h.div(".row.bring-back")[
        h.span(".faint.small")[f"The lab in seven steps: {count} of {len(STEPS)} done."],
        action(frame, "Show it", "/home/checklist", style="quiet small", fields={"show": "yes"}),
    ]


def _recent(work: Sequence[Work]) -> h.Element:
    if not work:
        return h.section(".card.empty", data_part="recent")[
            h.h2["Nothing has been made here yet"],
            h.p["Begin with a prompt, or with labelled examples: what you work on will stand here."],
            h.div(".row")[
                h.a(".button.primary", href="/lab")["Open the Prompt Lab"],
                h.a(".button", href="/data")["Load examples"],
            ],
        ]
    return h.section(".card.flush", data_part="recent")[
        h.div(".title")[h.h2["Recent work"], h.a(".small", href="/search")["Search by name"]],
        h.ul(".found.work")[[_line(each) for each in work]],
    ]


def _line(work: Work) -> h.Element:
    noun = NOUNS[work.noun]
    told = [noun.one, work.model_id.split("/")[-1]]
    return h.li(data_noun=work.noun)[
        icon(noun.sign),
        h.span(".what")[
            h.a(".strong", href=where(work.noun, work.id))[work.name],
            h.span(".faint.small")[" · ".join(part for part in told if part)],
        ],
        _state(work),
        h.span(".faint.small.at")[when(work.at)],
    ]


def _state(work: Work) -> h.Node:
    progress = work.progress or {}
    if work.state == "running" and progress.get("updates"):
        share = progress.get("update", 0) / progress["updates"]
        return h.span(".badge.running")[f"running, {share:.0%}"]
    return badge(work.state) if work.state else None
