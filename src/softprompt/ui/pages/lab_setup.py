"""Prompt Lab: the prompt itself, built from instruction and examples or written freely, and values of its variables."""

from __future__ import annotations

from collections.abc import Sequence

import htpy as h

from softprompt.storage.tables import Dataset
from softprompt.studio.lab import LabPage
from softprompt.ui.components import field, helped, select

HINT = "Say what to do, and what an answer looks like. {name} is a place for a value."


def setup(page: LabPage, datasets: Sequence[Dataset], resting: bool = False) -> h.Element:
    """The card of the prompt; `resting`: nobody who is asked reads it."""
    free = page.mode == "freeform"
    rests = h.span(".tag")["set aside"] if resting and page.has_words else None
    return h.section(class_="card stack lab-resting" if rests else "card stack", aria_label="Prompt")[
        h.div(".row.apart")[h.div(".row")[h.h2["Prompt"], rests], _modes(free)],
        h.input(type="hidden", name="mode", value=page.mode),
        _free(page) if free else _structured(page, datasets),
    ]


def variables(page: LabPage) -> h.Element:
    """Values of the `{variables}`; the card is hidden as long as there are none."""
    names = page.places
    return h.section(".card.stack.tight", aria_label="Variables", data_part="variables", hidden=not names)[
        h.h2["Variables"],
        h.p(".small.muted")["The value stands wherever its name does: in the prompt and in the tests."],
        h.div(".fields", data_part="variable-list")[[variable(name, page.variables.get(name, "")) for name in names]],
        h.template(data_template="variable")[variable("", "")],
    ]


def variable(name: str, value: str) -> h.Element:
    return h.div(data_part="variable")[
        h.input(type="hidden", name="variable_name", value=name),
        h.label(".field")[
            h.span(data_part="variable-label")[f"{{{name}}}"],
            h.input(name="variable_value", value=value, autocomplete="off"),
        ],
    ]


def _modes(free: bool) -> h.Element:
    return h.div(".segments", role="group", aria_label="Mode")[
        h.button(name="do", value="mode:structured", aria_pressed="false" if free else "true")["Structured"],
        h.button(name="do", value="mode:freeform", aria_pressed="true" if free else "false")["Freeform"],
    ]


def _structured(page: LabPage, datasets: Sequence[Dataset]) -> list[h.Node]:
    rows = [example(i, o, number) for number, (i, o) in enumerate(page.examples)]
    return [
        h.input(type="hidden", name="text", value=page.text),
        helped(
            "Instruction",
            HINT,
            lambda tie: h.textarea(
                tie,
                name="instruction",
                rows="3",
                placeholder="For example: Name the department that should read this.",
            )[page.instruction],
        ),
        h.div(".stack.tight")[
            h.h3["Examples"],
            h.p(".small.muted")["Solved examples show what you want. Each costs tokens with every question."],
            h.div(".stack.tight", data_part="examples")[rows],
            h.template(data_template="example")[example("", "", 0)],
            h.div(".row")[
                h.button(".button.small", name="do", value="example-add", data_add="example")["Add example +"],
            ],
            _import(datasets),
        ],
        _prefixes(page),
    ]


def example(given: str, answer: str, number: int) -> h.Element:
    """One solved example. The words around it are counted by style, so that moving rows needs no script."""
    return h.div(".lab-example", data_part="example", role="group", aria_label="Example")[
        field("Input", h.textarea(name="example_input", rows="2")[given]),
        field("Output", h.textarea(name="example_output", rows="2")[answer]),
        h.div(".lab-row-buttons")[
            _small(f"example-up:{number}", "↑", "Move this example up"),
            _small(f"example-down:{number}", "↓", "Move this example down"),
            _small(f"example-remove:{number}", "×", "Remove this example"),
        ],
    ]


def _small(value: str, words: str, label: str) -> h.Element:
    return h.button(
        ".button.quiet.small",
        name="do",
        value=value,
        aria_label=label,
        title=label,
        data_row=value.split(":")[0].split("-")[1],
    )[words]


def _prefixes(page: LabPage) -> h.Element:
    return h.details[
        h.summary["Words around input and output ", h.span(".faint")[f"“{page.input_prefix}”, “{page.output_prefix}”"]],
        h.div(".fields")[
            field("Before the input", h.input(name="input_prefix", value=page.input_prefix)),
            field("Before the output", h.input(name="output_prefix", value=page.output_prefix)),
        ],
    ]


def _free(page: LabPage) -> list[h.Node]:
    kept = [
        *[(name, getattr(page, name)) for name in ("instruction", "input_prefix", "output_prefix")],
        *[pair for i, o in page.examples for pair in (("example_input", i), ("example_output", o))],
    ]
    return [
        [h.input(type="hidden", name=name, value=value) for name, value in kept],
        helped(
            "Prompt",
            "{input} is where the text of each test goes; without it, that text stands at the end. "
            "Other {names} are places for values.",
            lambda tie: h.textarea(".mono", tie, name="text", rows="10", spellcheck="false")[page.text],
        ),
    ]


def _import(datasets: Sequence[Dataset]) -> h.Element:
    if not datasets:
        body: h.Node = h.p(".small.muted")["There is no dataset yet. ", h.a(href="/data")["Load one"], " first."]
    else:
        options = [(d.id, f"{d.name}, version {d.version}, {d.rows or 0} rows") for d in datasets]
        body = h.div(".stack.tight")[
            h.div(".fields.narrow")[
                field("Dataset", select("dataset", options)),
                field("Rows", h.input(type="number", name="count", value="3", min="1", max="20", step="1")),
                field("Seed", h.input(type="number", name="seed_rows", value="73", min="0", step="1")),
                field("Put them into", select("into", (("examples", "Examples"), ("tests", "Tests")))),
            ],
            h.div(".row")[
                h.button(".button.small", name="do", value="import")["Import rows"],
                h.span(".faint.small")["The same seed draws the same rows."],
            ],
        ]
    return h.details[h.summary["Import from a dataset"], body]
