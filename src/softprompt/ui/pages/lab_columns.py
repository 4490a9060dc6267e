"""Prompt Lab: who is asked and with which parameters; one such panel, or up to four beside each other."""

from __future__ import annotations

from dataclasses import dataclass

import htpy as h

from softprompt.studio.lab import DEFAULTS, LETTERS, MOST_COLUMNS, Column
from softprompt.studio.lab_subjects import Group, Subject
from softprompt.ui.components import field, select


@dataclass(frozen=True, slots=True)
class Parameter:
    """A number of the panel, with the range of its slider."""

    name: str
    label: str
    help: str
    low: float
    high: float
    step: float
    drawn: bool = False
    """Only read when tokens are drawn."""


PARAMETERS = (
    Parameter("temperature", "Temperature", "Higher: bolder choices. Lower: safer ones.", 0, 2, 0.05, True),
    Parameter("top_p", "Top P", "Draw from the likeliest tokens that together reach this share.", 0.01, 1, 0.01, True),
    Parameter("top_k", "Top K", "Draw from that many of the likeliest tokens; 0 means all.", 0, 100, 1, True),
    Parameter("seed", "Random seed", "The same seed draws the same answer again.", 0, 0, 1, True),
    Parameter(
        "repetition_penalty", "Repetition penalty", "Above 1, words already said become less likely.", 1, 2, 0.01
    ),
    Parameter("min_new_tokens", "Min tokens", "The answer may not end before.", 0, 200, 1),
    Parameter("max_new_tokens", "Max tokens", "The answer ends here at the latest.", 1, 400, 1),
)


def named(name: str, number: int) -> str:
    """The name of a field in a column; the first column has the plain names."""
    return f"{name}.{number}" if number else name


def panel(
    column: Column,
    number: int,
    many: int,
    groups: list[Group],
    subject: Subject | None,
    words: str,
    shots: list[int],
) -> h.Element:
    """Everything about one column.

    Args:
        many: columns there are.
        words: what is set aside, in words; empty if there is nothing.
        shots: the number of examples, if the prompt may have some.
    """
    reads = subject is None or subject.takes == "words" or column.words
    title = f"Column {LETTERS[number]}" if many > 1 else "Model"
    remove = _do(f"column-remove:{number}", "Remove", f"Remove column {LETTERS[number]}") if many > 1 else None
    return h.section(".card.stack.tight.lab-column", aria_label=title, data_part="column", data_column=str(number))[
        h.div(".row.apart")[
            h.h2[h.span(".lab-letter", aria_hidden="true")[LETTERS[number]] if many > 1 else None, title], remove
        ],
        _picker(column, number, groups, subject),
        _about(subject),
        _way(column, number) if subject and subject.readout else None,
        _words(column, number, words)
        if subject and subject.takes == "input" and words
        else _kept_words(column, number),
        _shots(column, number, shots[0]) if many > 1 and shots and shots[0] and reads else _kept_shots(column, number),
        _template_note() if subject and subject.takes == "template" else None,
        _folded_parameters(column, number) if many > 1 else None,
    ]


def _picker(column: Column, number: int, groups: list[Group], subject: Subject | None) -> h.Element:
    seen: set[str] = set()
    options = []
    for group in groups:
        items = []
        for value, words in group.items:
            items.append(h.option(value=value, selected=value == column.subject and value not in seen)[words])
            seen.add(value)
        options.append(h.optgroup(label=group.name)[items])
    if column.subject and column.subject not in seen:
        name = subject.name if subject else "No longer there: choose another one"
        options.insert(0, h.option(value=column.subject, selected=True)[name])
    chooser = h.select(name=named("subject", number), data_part="subject")[options]
    return h.div(".stack.tight")[
        field("Foundation model, tuned prompt or deployment", chooser),
        h.div(".row.apart")[
            h.a(".small", href="/models?for=lab")["View all foundation models"],
            h.button(".button.small.no-js", name="do", value="show")["Use it"],
        ],
    ]


def _about(subject: Subject | None) -> h.Node:
    if subject is None:
        return None
    told = []
    if subject.kind != "model":
        told.append(f"on {subject.model_name}")
    if subject.virtual_tokens:
        told.append(f"{subject.virtual_tokens} virtual tokens")
    if subject.context:
        told.append(f"reads and writes up to {subject.context} tokens")
    if subject.labels:
        told.append(f"{len(subject.labels)} labels")
    return h.p(".small.muted")[", ".join(told)[:1].upper() + ", ".join(told)[1:]] if told else None


def _way(column: Column, number: int) -> h.Element:
    return _choice(
        "Answers by", named("way", number), (("auto", "Label readout"), ("text", "Text")), column.way,
        "The readout compares the known labels; as text, the answer is written token by token.",
    )  # fmt: skip


def _words(column: Column, number: int, words: str) -> h.Element:
    """What a tuned prompt leaves out, and the one click that brings it back."""
    kept = h.input(type="hidden", name=named("words", number), value="send" if column.words else "aside")
    count = h.span(data_part="aside", data_column=str(number))
    if column.words:
        return h.div(".note.small.lab-aside")[
            kept, h.strong[f"{words} sent too"],
            h.span["The tuned prompt knows its task without them. ", count],
            _do(f"words:{number}:aside", "Set them aside"),
        ]  # fmt: skip
    return h.div(".note.small.lab-aside")[
        kept, h.strong[f"{words} set aside"],
        h.span["A tuned prompt knows its task: they would only cost tokens. ", count],
        _do(f"words:{number}:send", "Bring them back"),
    ]  # fmt: skip


def _kept_words(column: Column, number: int) -> h.Node:
    return h.input(type="hidden", name=named("words", number), value="send") if column.words else None


def _shots(column: Column, number: int, most: int) -> h.Element:
    options = [("", f"All {most}" if most > 1 else "All"), *((str(count), str(count)) for count in range(most))]
    chosen = "" if column.shots is None or column.shots >= most else str(column.shots)
    return field("Examples shown", select(named("shots", number), options, chosen))


def _kept_shots(column: Column, number: int) -> h.Node:
    if column.shots is None:
        return None
    return h.input(type="hidden", name=named("shots", number), value=str(column.shots))


def _template_note() -> h.Element:
    return h.p(".note.small")[
        "This deployment has a prompt template of its own: only the tests' texts and the values are sent."
    ]


def parameters(column: Column) -> h.Element:
    """The card of the parameters, where there is one column."""
    return h.section(".card.stack.tight.lab-settings", aria_label="Parameters")[
        h.div(".row.apart")[h.h2["Parameters"], _do("reset:0", "Reset to default")], _parameters(column, 0)
    ]


def _folded_parameters(column: Column, number: int) -> h.Element:
    return h.details(".lab-section")[
        h.summary["Parameters", h.span(".faint")[f" {changes(column)}"]],
        _parameters(column, number),
        _do(f"reset:{number}", "Reset to default"),
    ]


def _parameters(column: Column, number: int) -> h.Element:
    decoding = _choice(
        "Decoding", named("decoding", number), (("greedy", "Greedy"), ("sample", "Sampling")), column.decoding,
        "Greedy takes the likeliest token each time, sampling draws one.",
    )  # fmt: skip
    return h.div(".stack.tight.lab-parameters", data_part="parameters", data_column=str(number))[
        decoding,
        h.div(".lab-drawn.stack.tight")[[_number(column, number, p) for p in PARAMETERS if p.drawn]],
        [_number(column, number, p) for p in PARAMETERS if p.name == "repetition_penalty"],
        _stops(column, number),
        [_number(column, number, p) for p in PARAMETERS if p.name.endswith("_new_tokens")],
    ]


def changes(column: Column) -> str:
    """What differs from the defaults, in a few words."""
    told = ["sampling"] if column.decoding == "sample" else []
    for parameter in PARAMETERS:
        text = column.number(parameter.name).strip()
        if text != DEFAULTS[parameter.name] and (column.decoding == "sample" or not parameter.drawn):
            told.append(f"{parameter.label.lower()} {text or '–'}")
    told += [f"{len(column.stop)} stopping"] if column.stop else []
    return ", ".join(told) or "defaults"


def _number(column: Column, number: int, about: Parameter) -> h.Element:
    name = named(about.name, number)
    label, described = f"lab-{name.replace('.', '-')}", f"lab-{name.replace('.', '-')}-help"
    value = column.number(about.name)
    slider = h.input(
        ".js-only", type="range", min=f"{about.low:g}", max=f"{about.high:g}", step=f"{about.step:g}", value=value,
        aria_label=f"{about.label}, slider", tabindex="-1", data_slides=label,
    )  # fmt: skip
    whole = about.step == 1
    return h.div(".lab-number")[
        h.label(for_=label)[about.label],
        h.input(
            type="number", id=label, name=name, value=value, step="1" if whole else "any",
            data_default=DEFAULTS[about.name],
            aria_describedby=described, placeholder="any" if about.name == "seed" else None,
            inputmode="numeric" if whole else "decimal",
        ),
        slider if about.high else None,
        h.span(".help", id=described)[about.help],
    ]  # fmt: skip


def _stops(column: Column, number: int) -> h.Element:
    name = named("stop", number)
    label = f"lab-{name.replace('.', '-')}"
    chips = [stop_chip(text, number, place) for place, text in enumerate(column.stop)]
    return h.div(".field.lab-stops")[
        h.label(for_=label)["Stopping criteria"],
        h.div(".lab-chips", data_part="chips")[chips],
        h.input(
            id=label, name=name, autocomplete="off", data_part="stop", data_column=str(number),
            placeholder="A text, then Enter", aria_describedby=f"{label}-help",
        ),
        h.span(".help", id=f"{label}-help")[
            "The answer ends behind the first of these texts; up to six. \\n is a line break."
        ],
        h.template(data_template="chip")[stop_chip("", number, 0)],
    ]  # fmt: skip


def stop_chip(text: str, number: int, place: int) -> h.Element:
    return h.span(".lab-chip")[
        h.input(type="hidden", name=named("stop", number), value=text),
        h.code(data_part="chip")[text.replace("\n", "↵").replace("\t", "⇥")],
        h.button(
            name="do", value=f"stop-remove:{number}:{place}", aria_label=f"Remove the stopping criterion {text!r}"
        )["×"],
    ]


def _choice(label: str, name: str, options: tuple[tuple[str, str], ...], chosen: str, help: str) -> h.Element:
    radios = [
        h.label[h.input(type="radio", name=name, value=value, checked=value == chosen), h.span[words]]
        for value, words in options
    ]
    return h.fieldset(".field")[h.legend[label], h.div(".segments")[radios], h.span(".help")[help]]


def add_column(many: int) -> h.Node:
    if many >= MOST_COLUMNS:
        return h.span(".faint.small")["Four columns are the most."]
    return _do("column-add", "Compare +" if many == 1 else "Add a column +", style="")


def _do(value: str, words: str, label: str = "", style: str = ".quiet.small") -> h.Element:
    return h.button(f".button{style}", name="do", value=value, aria_label=label or None)[words]
