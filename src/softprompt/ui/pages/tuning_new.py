"""The form of a new tuning run, with what it will do beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import htpy as h

from softprompt.storage.tables import Dataset, TunedPrompt
from softprompt.studio.foundation_models import Model
from softprompt.studio.outlook import Outlook
from softprompt.studio.outlook_words import TASK_WORDS
from softprompt.ui import tuning_choices as choices
from softprompt.ui.components import button, empty, notice
from softprompt.ui.layout import Frame, csrf_field, page
from softprompt.ui.tuning_fields import ADVANCED, CHOICES, FOLDED, NUMBERS, Filled, choice, number, text, told
from softprompt.ui.tuning_outlook import panel

CRUMBS = (("/tuning", "Tuning Studio"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """What there is to choose from.

    Attributes:
        datasets: ready ones, the newest first.
        experiments: names that are there.
        prompts: tuned ones that have vectors to start from.
        again: id of the run that is tuned again.
    """

    datasets: Sequence[Dataset]
    models: Sequence[Model]
    experiments: Sequence[str]
    prompts: Sequence[TunedPrompt] = ()
    again: str = ""


def new_run(frame: Frame, desk: Desk, filled: Filled, outlook: Outlook | None = None, problem: str = "") -> str:
    """The whole page."""
    title = f"Tune again: {filled.run}" if filled.run else "New tuning run"
    if not desk.datasets:
        words = "A run needs labelled examples: each an input and the answer that you want for it."
        ask = empty("First, data", words, button("Load data", "/data", primary=True))
        return page(frame, title, ask, crumbs=CRUMBS)
    names = {d.id: f"{d.name} · version {d.version}" for d in desk.datasets}
    form = h.form("#tune.tune", method="post", action="/tuning/new", data_live_form="/tuning/check")[
        csrf_field(frame),
        h.input(type="hidden", name="again", value=desk.again) if desk.again else None,
        h.div(".tune-fields.stack")[
            notice("error", "The run was not started.", h.span(".told")[problem]) if problem else None,
            _name(desk, filled),
            choices.models(desk.models, filled),
            choices.data(desk.datasets, filled, outlook),
            _task(filled, outlook),
            choices.start(filled, desk.prompts, outlook),
            _numbers(filled),
        ],
        panel(outlook, filled, names),
    ]
    lead = (
        f"Everything is as {filled.run} had it. What you change is marked."
        if filled.run
        else "What you leave open follows the model and the data; beside each field stands what that is, and why."
    )
    return page(frame, title, form, lead=lead, crumbs=CRUMBS, scripts=("tuning.js",))


def _name(desk: Desk, filled: Filled) -> h.Element:
    return h.section(".card.stack.tight")[
        h.h2["Experiment"],
        h.div(".fields.top")[
            h.div("#field-experiment.knob")[
                h.label(for_="input-experiment")["Name"],
                h.input(
                    id="input-experiment",
                    name="experiment",
                    value=filled.get("experiment"),
                    required=True,
                    maxlength="200",
                    placeholder="Complaints",
                    list="experiments",
                    autocomplete="off",
                    aria_describedby="told-experiment help-experiment",
                ),
                h.datalist("#experiments")[[h.option(value=name) for name in desk.experiments]],
                told("experiment", filled),
                h.p("#help-experiment.help")[
                    "A new name makes an experiment. Its runs are numbered: “Complaints (1)”, “Complaints (2)”."
                ],
            ],
            None
            if filled.run
            else h.div("#field-description.knob")[
                h.label(for_="input-description")["Description, if you like"],
                h.textarea(
                    id="input-description",
                    name="description",
                    rows="2",
                    maxlength="4000",
                    aria_describedby="help-description",
                )[filled.get("description")],
                h.p("#help-description.help")["What the experiment should find out."],
            ],
        ],
    ]


def _task(filled: Filled, outlook: Outlook | None) -> h.Element:
    seen = None
    if outlook is not None and outlook.size is not None and not filled.get("task"):
        seen = f"Your rows look like {TASK_WORDS.get(outlook.task, outlook.task)}."
    return h.section(".card.stack")[
        h.h2["Task and answers"],
        choices.tiles("task", "What the model shall do", choices.TASKS, filled, help=seen),
        choices.tiles("readout", "How it answers", choices.READOUTS, filled),
    ]


def _numbers(filled: Filled) -> h.Element:
    opened = any(filled.get(name) for name in FOLDED) or any(name in filled.before for name in FOLDED)
    return h.section(".card.stack")[
        h.div(".row.apart")[
            h.h2["Parameters"],
            h.button(".button.small.quiet.js-only", type="button", data_part="reset")["Leave all open"],
        ],
        h.div(".knobs")[[number(knob, filled) for knob in NUMBERS]],
        h.details(open=opened, data_keep="advanced")[
            h.summary["Advanced"],
            h.div(".knobs")[
                [choice(name, filled) for name in CHOICES],
                [number(knob, filled) for knob in ADVANCED],
                text("instruction", "Instruction in front of every input", filled),
                text("template", "Template", filled, placeholder="Input: {{input}} Output: "),
                text("pattern", "Pattern that answers keep", filled, placeholder="a regular expression"),
            ],
        ],
    ]
