"""The form of a new evaluation: whose rows, what answers them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import htpy as h

from softprompt.storage.tables import Dataset, TunedPrompt
from softprompt.studio.foundation_models import Model
from softprompt.ui.components import button, empty, field, helped, notice, select
from softprompt.ui.layout import Frame, csrf_field, page
from softprompt.ui.pages.evaluation import CRUMBS, HOME


@dataclass(frozen=True, slots=True)
class Given:
    """What stands in the form."""

    name: str = ""
    dataset: str = ""
    examples: str = ""
    model: str = ""
    prompts: tuple[str, ...] = ()
    zero_shot: bool = True
    shots: str = "3"
    baseline: bool = True
    instruction: str = ""
    guard: bool = False
    limit: str = ""


def new_evaluation(
    frame: Frame,
    datasets: Sequence[Dataset],
    models: Sequence[Model],
    prompts: Sequence[TunedPrompt],
    given: Given,
    problem: str = "",
) -> str:
    crumbs = (*CRUMBS, (HOME, "Evaluations"))
    if not datasets:
        ask = empty(
            "First, rows with right answers",
            "An evaluation asks every method the same rows and compares with the answers you want.",
            button("Load data", "/data", primary=True),
        )
        return page(frame, "New evaluation", ask, crumbs=crumbs)
    form = h.form(".stack", method="post", action=f"{HOME}/new")[
        csrf_field(frame),
        notice("error", "The evaluation was not started.", problem) if problem else None,
        h.div(".split.even")[_rows(datasets, given), _prompts(prompts, given)],
        h.div(".split.even")[_prompting(models, given), _alternatives(datasets, given)],
        h.div(".row")[h.button(".button.primary")["Start the evaluation"], h.a(".button.quiet", href=HOME)["Not now"]],
    ]
    lead = "Every method answers the same rows. What is measured here must not have been trained on."
    return page(frame, "New evaluation", form, lead=lead, crumbs=crumbs)


def _rows(datasets: Sequence[Dataset], given: Given) -> h.Element:
    return h.section(".card.stack.tight")[
        h.h2["Rows"],
        field(
            "Name",
            h.input(name="name", value=given.name, required=True, maxlength="200", placeholder="What is tuning worth?"),
        ),
        helped(
            "Test data",
            "Rows with the answers you want.",
            lambda tie: select("dataset", _datasets(datasets), given.dataset, **tie),
        ),
        helped(
            "Rows at most",
            "The first so many; a few hundred give a narrow interval.",
            lambda tie: h.input(
                tie, name="limit", type="number", min="1", value=given.limit, placeholder="all of them"
            ),
        ),
    ]


def _prompts(prompts: Sequence[TunedPrompt], given: Given) -> h.Element:
    choices = [
        h.label(".choice")[
            h.input(type="checkbox", name="prompts", value=each.id, checked=each.id in given.prompts),
            h.strong[each.name],
            h.span(".help.muted")[f"{each.model_id.split('/')[-1]}, answers by {each.answers_by}"],
        ]
        for each in prompts
    ]
    return h.section(".card.stack.tight")[
        h.h2["Tuned prompts"],
        h.p(".muted.small")["Each answers in every way it can: as text, by scored labels, by its readout."],
        h.div(".stack.tight.choices", role="group", aria_label="Tuned prompts")[choices]
        if choices
        else h.p(".muted")["None yet. ", h.a(href="/tuning/new")["Tune one"], ", or compare without."],
    ]


def _prompting(models: Sequence[Model], given: Given) -> h.Element:
    here = [m for m in models if m.available]
    known = [(m.id, m.label) for m in here] or [(m.id, f"{m.label} (not on this machine yet)") for m in models]
    if given.model and all(given.model != key for key, _ in known):
        known.insert(0, (given.model, given.model))
    return h.section(".card.stack.tight")[
        h.h2["Prompting"],
        helped(
            "Foundation model",
            "The tuned prompts above must belong to it.",
            lambda tie: select("model", known, given.model, **tie),
        ),
        _tick("zero_shot", "Zero-shot: the instruction alone", checked=given.zero_shot),
        helped(
            "K-shot",
            "Numbers of solved examples, such as 1, 3. Empty: none.",
            lambda tie: h.input(tie, name="shots", value=given.shots, placeholder="3", pattern="[0-9, ]*"),
        ),
        helped(
            "Instruction",
            "What the bare model is told. The tuned prompt does not get it.",
            lambda tie: h.textarea(tie, name="instruction", rows="3", maxlength="20000")[given.instruction],
        ),
        _tick("guard", "Text may only be a known answer", checked=given.guard),
    ]


def _alternatives(datasets: Sequence[Dataset], given: Given) -> h.Element:
    return h.section(".card.stack.tight")[
        h.h2["Linear baseline"],
        _tick("baseline", "TF-IDF + logistic regression", checked=given.baseline),
        h.p(".muted.small")[
            "A linear model on the same training rows. A tuned prompt that does not beat it is decoration."
        ],
        helped(
            "Examples",
            "Training rows: the baseline learns them, K-shot shows the first of them.",
            lambda tie: select("examples", [("", "None"), *_datasets(datasets)], given.examples, **tie),
        ),
    ]


def _tick(name: str, words: str, *, checked: bool) -> h.Element:
    return h.label(".row.nowrap-row")[h.input(type="checkbox", name=name, value="yes", checked=checked), h.span[words]]


def _datasets(datasets: Sequence[Dataset]) -> list[tuple[str, str]]:
    return [(d.id, f"{d.name}, version {d.version}: {d.rows or 0:,} rows") for d in datasets]
