"""The fields of a tuning run: each with its range, what is taken if it stays open, and a slider that goes along.

What follows from the other fields stands in parts with an id of their own (`data-live`); a module of `static/` puts new
ones there, and without scripts "Check" shows the whole page again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import htpy as h

from softprompt.params import TuneConfig
from softprompt.studio.outlook_words import Default, Remark

CONFIG = {item.name: item for item in fields(TuneConfig)}


@dataclass(frozen=True, slots=True)
class Knob:
    """A number with a slider.

    Attributes:
        slider: first and last value of the slider, where the allowed range is too wide for one; None: no slider.
        log: whether equal steps of the slider multiply.
        step: of the number.
    """

    name: str
    words: str
    slider: tuple[float, float] | None = None
    log: bool = False
    step: str = "1"


@dataclass(frozen=True, slots=True)
class Filled:
    """What stands in the form.

    Attributes:
        given: text of each field.
        before: of the run that is tuned again, the fields that differ now, with what they said.
        run: name of that run.
        defaults: what is taken for fields that stay open.
        remarks: about the plan, for the fields they belong to.
    """

    given: Mapping[str, str]
    before: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    defaults: Mapping[str, Default] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()

    def get(self, name: str, otherwise: str = "") -> str:
        return self.given.get(name, otherwise)


NUMBERS = (
    Knob("epochs", "Epochs", (1, 50)),
    Knob("learning_rate", "Learning rate", (1e-5, 0.5), log=True, step="any"),
    Knob("batch_size", "Batch size", (1, 16)),
    Knob("accumulate", "Accumulate steps", (1, 128), log=True),
    Knob("virtual_tokens", "Virtual tokens", (1, 1024), log=True),
    Knob("max_input_tokens", "Maximum input tokens", (16, 2048), log=True),
    Knob("max_output_tokens", "Maximum output tokens", (1, 1024), log=True),
)
ADVANCED = (
    Knob("suffix_tokens", "Virtual tokens after the cue", (1, 128), log=True),
    Knob("readout_epochs", "Epochs through the readout", (0, 50)),
    Knob("patience", "Patience in epochs", (0, 50)),
    Knob("warmup", "Warm-up, share of the updates", (0, 0.9), step="0.01"),
    Knob("weight_decay", "Weight decay", (0, 1), step="0.01"),
    Knob("clip", "Largest gradient", (0, 10), step="any"),
    Knob("noise", "Noise", (0, 2), step="0.01"),
    Knob("seed", "Seed"),
    Knob("checkpoint_seconds", "Seconds between checkpoints", (0, 60), step="any"),
)
CHOICES = {
    "method": (
        "Method",
        {"prompt_tuning": "Prompt tuning: vectors at the input", "prefix_tuning": "Prefix tuning: in every layer"},
    ),
    "place": (
        "Where vectors stand",
        {"": "Follows the start", "prefix": "In front of the input", "suffix": "After the cue", "both": "Both"},
    ),
    "optimizer": ("Optimizer", {"adamw": "AdamW", "adafactor": "Adafactor"}),
    "precision": ("Precision", {"auto": "Follows the processor", "float32": "float32", "bfloat16": "bfloat16"}),
    "decay": ("Learning rate over the run", {"yes": "Falls to zero", "no": "Stays"}),
}
TEXTS = ("instruction", "template", "pattern")
FOLDED = (*CHOICES, *TEXTS, *(knob.name for knob in ADVANCED))


def number(knob: Knob, filled: Filled) -> h.Element:
    """A number with its slider; the slider is nothing but another handle on the number."""
    meta, value = CONFIG[knob.name].metadata, filled.get(knob.name)
    taken = _taken(knob.name, filled)
    low, high = meta["low"], meta["high"]
    control = h.input(
        id=f"input-{knob.name}",
        name=knob.name,
        type="number",
        inputmode="decimal" if knob.step == "any" else None,
        value=value or None,
        placeholder=taken or "open",
        step=knob.step,
        min=None if low is None else f"{low:g}",
        max=None if high is None else f"{high:.0f}" if high > 1e6 else f"{high:g}",
        aria_describedby=f"told-{knob.name} help-{knob.name}",
    )
    return _held(knob.name, filled)[
        h.div(".knob-head")[
            h.label(for_=f"input-{knob.name}")[knob.words],
            h.span(".range", title="The range that IBM’s studio allows, too")[_range(low, high)],
        ],
        h.div(".knob-row")[_slider(knob, value or taken), control],
        h.p(".help", id=f"help-{knob.name}")[meta["help"]],
        told(knob.name, filled),
    ]


def _slider(knob: Knob, value: str) -> h.Node:
    if knob.slider is None:
        return None
    first, last = knob.slider
    return h.input(
        ".js-only",
        type="range",
        min="0",
        max="1000",
        value="0",
        aria_label=f"{knob.words}, slider",
        data_for=knob.name,
        data_first=f"{first:g}",
        data_last=f"{last:g}",
        data_log="" if knob.log else None,
        data_whole="" if knob.step == "1" else None,
        data_value=value,
    )


def choice(name: str, filled: Filled) -> h.Element:
    """One of a few words."""
    words, options = CHOICES[name]
    default = CONFIG[name].default
    usual = "" if default is None else "yes" if default is True else str(default)
    chosen = filled.get(name) or usual
    return _held(name, filled)[
        h.label(for_=f"input-{name}")[words],
        h.select(id=f"input-{name}", name=name, aria_describedby=f"told-{name} help-{name}")[
            [h.option(value=value, selected=value == chosen)[shown] for value, shown in options.items()]
        ],
        h.p(".help", id=f"help-{name}")[CONFIG[name].metadata["help"]],
        told(name, filled),
    ]


def text(name: str, words: str, filled: Filled, *, rows: int = 2, placeholder: str = "") -> h.Element:
    """Several lines of text."""
    return _held(name, filled)[
        h.label(for_=f"input-{name}")[words],
        h.textarea(
            id=f"input-{name}",
            name=name,
            rows=str(rows),
            placeholder=placeholder or None,
            aria_describedby=f"told-{name} help-{name}",
        )[filled.get(name)],
        h.p(".help", id=f"help-{name}")[CONFIG[name].metadata["help"]],
        told(name, filled),
    ]


def told(name: str, filled: Filled, words: h.Node = None) -> h.Element:
    """What follows for a field: an error, what it said in the earlier run, what is taken if it stays open."""
    wrong = [remark.text for remark in filled.remarks if remark.kind == "error" and remark.field == name]
    default = filled.defaults.get(name)
    return h.p(".follows", id=f"told-{name}", data_live="", data_value=default.value if default else None)[
        h.strong(".wrong")[wrong[0]] if wrong else None,
        _differs(name, filled),
        None if default is None else h.span[_open(default, filled.get(name))],
        words,
    ]


def _differs(name: str, filled: Filled) -> h.Node:
    if name not in filled.before:
        return None
    was = filled.before[name]
    return h.span(".was")[f"{filled.run}: {shown(was)}" if was else f"{filled.run}: left open"]


def shown(value: str, most: int = 40) -> str:
    """A value in one line."""
    line = " ".join(value.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def _open(default: Default, given: str) -> str:
    if not default.value:
        return f"{'If left open' if given else 'Left open'}: {default.why}."
    return f"{'Ours' if given else 'Left open'}: {default.value}, {default.why}."


def _held(name: str, filled: Filled) -> h.Element:
    return h.div(".knob", id=f"field-{name}", data_differs="" if name in filled.before else None)


def _taken(name: str, filled: Filled) -> str:
    default = filled.defaults.get(name)
    if default is not None and default.value:
        return default.value
    fixed = CONFIG[name].default
    return "" if fixed is None or isinstance(fixed, bool) else f"{fixed:g}" if isinstance(fixed, float) else str(fixed)


def _range(low: Any, high: Any) -> str:
    if low is None or high is None:
        return f"{low:g} or more" if low is not None else ""
    return f"{_short(low)} – {_short(high)}"


def _short(value: float) -> str:
    if value >= 2**32 - 1:
        return "4 billion"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.5f}".rstrip("0")
