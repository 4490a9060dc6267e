"""Prompt Lab: instruction, examples, several tries, parameters, and what the model makes of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as part

import htpy as h

from softprompt.ui.components import field, notice, select
from softprompt.ui.layout import Frame, csrf_field, page

PARAMETERS = (
    ("temperature", "Temperature", "0.7", "Higher: bolder choices. Sampling only."),
    ("top_p", "Top P", "1", "Only the likeliest tokens that together reach this."),
    ("top_k", "Top K", "50", "Only that many likeliest tokens."),
    ("seed", "Random seed", "", "The same seed draws the same answer."),
    ("repetition_penalty", "Repetition penalty", "1", "Above 1: words already said become less likely."),
    ("min_new_tokens", "Min tokens", "0", "The answer may not end before."),
    ("max_new_tokens", "Max tokens", "20", "The answer ends after."),
)


@dataclass(frozen=True, slots=True)
class Bench:
    """What stands on the page.

    Attributes:
        subjects: (value, words) of everything that can be asked, grouped by (group, list).
        examples: (input, output) pairs.
        tries: (input, answer, words about it).
    """

    subjects: Sequence[tuple[str, Sequence[tuple[str, str]]]]
    chosen: str = ""
    instruction: str = ""
    examples: Sequence[tuple[str, str]] = part(default_factory=list)
    tries: Sequence[tuple[str, str, str]] = part(default_factory=list)
    decoding: str = "greedy"
    parameters: Mapping[str, str] = part(default_factory=dict)
    stop: str = ""
    problem: str = ""


def lab(frame: Frame, bench: Bench) -> str:
    tuned = bench.chosen.startswith(("prompt:", "deployment:"))
    form = h.form(".split", method="post", action="/lab", data_lab="")[
        h.div(".stack")[
            csrf_field(frame),
            notice("error", "No answer.", bench.problem) if bench.problem else None,
            _prompt(bench, tuned),
            _tries(bench),
        ],
        h.div(".stack")[_model(bench, tuned), _parameters(bench)],
    ]
    lead = "Try to get the answers you want with words first. What words cannot teach, tuning can."
    return page(frame, "Prompt Lab", form, lead=lead, scripts=("lab.js",))


def _model(bench: Bench, tuned: bool) -> h.Element:
    groups = [
        h.optgroup(label=name)[[h.option(value=v, selected=v == bench.chosen)[words] for v, words in items]]
        for name, items in bench.subjects
        if items
    ]
    return h.section(".card.stack.tight")[
        h.h2["Model"],
        field("Foundation model or tuned prompt", h.select(name="subject", data_part="subject")[groups]),
        h.p(".small.muted", data_part="aside", hidden=not tuned)[
            "A tuned prompt knows its task: the instruction and the examples are set aside and cost no tokens."
        ],
    ]


def _prompt(bench: Bench, tuned: bool) -> h.Element:
    examples = [*bench.examples, ("", "")] if not bench.examples else list(bench.examples)
    rows = [_example(i, o) for i, o in examples]
    return h.fieldset(".card.stack.tight", data_part="words", disabled=tuned)[
        h.h2["Set up"],
        field("Instruction", h.textarea(name="instruction", rows="3")[bench.instruction]),
        h.div(".stack.tight", data_part="examples")[rows],
        h.button(".button.quiet.js-only", type="button", data_add="example")["Add example +"],
        h.template(data_template="example")[_example("", "")],
    ]


def _example(given: str, answer: str) -> h.Element:
    return h.div(".try")[
        field("Example input", h.textarea(name="example_input", rows="2")[given]),
        field("Example output", h.textarea(name="example_output", rows="2")[answer]),
    ]


def _tries(bench: Bench) -> h.Element:
    rows = [_try(*t) for t in (bench.tries or [("", "", "")])]
    return h.section(".card.stack.tight")[
        h.div(".row.apart")[h.h2["Try"], h.span(".faint.small")["Ctrl-Enter generates"]],
        h.div(".stack.tight", data_part="tries")[rows],
        h.template(data_template="try")[_try("", "", "")],
        h.div(".row")[
            h.button(".button.primary", data_part="go")["Generate"],
            h.button(".button.js-only", type="button", data_part="halt", hidden=True)["Stop"],
            h.button(".button.quiet.js-only", type="button", data_add="try")["New test +"],
        ],
    ]


def _try(given: str, answer: str, told: str) -> h.Element:
    return h.div(".try")[
        h.div[field("Input", h.textarea(name="try_input", rows="2")[given])],
        h.div(".field")[
            h.span["Answer"],
            h.output(".answer", data_part="answer", data_empty="–", aria_live="polite")[answer],
            h.span(".help.faint.small", data_part="told")[told],
        ],
    ]


def _parameters(bench: Bench) -> h.Element:
    controls = [
        field(
            words,
            h.input(
                name=name, type="number", step="any", value=bench.parameters.get(name, default), data_default=default
            ),
            help,
        )
        for name, words, default, help in PARAMETERS
    ]
    return h.section(".card.stack.tight")[
        h.div(".row.apart")[
            h.h2["Parameters"], h.button(".button.quiet.js-only", type="button", data_part="reset")["Reset to default"]
        ],
        field("Decoding", select("decoding", (("greedy", "Greedy"), ("sample", "Sampling")), bench.decoding)),
        h.div(".fields.narrow")[controls],
        field(
            "Stopping criteria",
            h.input(name="stop", value=bench.stop, placeholder="texts, one per comma"),
            "The answer ends behind the first of them.",
        ),
    ]
