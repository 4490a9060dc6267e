"""A place to ask a deployment: by a form, or by the JSON of any of the three interfaces, exactly as a program would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from dataclasses import field as part

import htpy as h

from softprompt.ui.components import bars, facts, field, helped, notice, select
from softprompt.ui.deployment_fields import latency
from softprompt.ui.deployment_frame import Shown, deployment_page
from softprompt.ui.layout import Frame, csrf_field

WAYS = (("auto", "Label readout"), ("text", "Generated text"), ("score", "Labels, scored by the model"))
NUMBERS = (
    ("input", "input tokens"),
    ("virtual", "virtual tokens"),
    ("generated", "generated tokens"),
    ("took", "until the answer"),
    ("sure", "sure of it"),
    ("stop", "why it ended"),
)


@dataclass(frozen=True, slots=True)
class Wire:
    """One of the interfaces that answer: where a question goes, and an example of it."""

    name: str
    title: str
    path: str
    example: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked, and what came of it.

    Attributes:
        numbers: by the names of `NUMBERS`.
        body: JSON that was sent; `reply` what came back, `status` its number.
    """

    text: str = ""
    way: str = "auto"
    most: str = ""
    variables: Mapping[str, str] = part(default_factory=dict)
    output: str = ""
    numbers: Mapping[str, str] = part(default_factory=dict)
    labels: Mapping[str, float] = part(default_factory=dict)
    problem: str = ""
    body: str = ""
    reply: str = ""
    status: int = 0
    took: float | None = None


@dataclass(frozen=True, slots=True)
class Mode:
    """How the page asks: `wire` None means by the form."""

    wire: Wire | None
    wires: Sequence[Wire]
    variables: Sequence[str] = ()
    most: int = 128


def deployment_test(frame: Frame, shown: Shown, mode: Mode, asked: Asked) -> str:
    here = f"{shown.here}/test"
    links = [
        ("Form", here, mode.wire is None),
        *((f"JSON: {w.title}", f"{here}?wire={w.name}", w == mode.wire) for w in mode.wires),
    ]
    pick = h.nav(".tabs", aria_label="How to ask")[
        [h.a(href=href, aria_current="true" if now else None)[words] for words, href, now in links]
    ]
    content = _form(frame, shown, mode, asked) if mode.wire is None else _json(frame, shown, mode.wire, asked)
    return deployment_page(frame, shown, "test", pick, content, scripts=("try.js",))


def _form(frame: Frame, shown: Shown, mode: Mode, asked: Asked) -> h.Element:
    readout = shown.prompt is not None and shown.prompt.answers_by == "readout"
    inputs = (
        [field(name, h.input(name=f"variable:{name}", value=asked.variables.get(name, ""))) for name in mode.variables]
        if mode.variables
        else _input(shown, asked.text)
    )
    extra = [
        field("Answer by", select("way", WAYS, asked.way)) if readout else None,
        field(
            "Most tokens of the answer",
            h.input(name="most", type="number", min="1", max="4096", value=asked.most or str(mode.most)),
        ),
    ]
    form = h.form(".card.stack.tight", method="post", action=f"{shown.here}/test", data_try=shown.deployment.id)[
        csrf_field(frame),
        h.h2["Ask"],
        inputs,
        h.div(".fields.narrow")[extra],
        h.div(".row")[
            h.button(".button.primary", data_part="go")["Generate"],
            h.button(".button.js-only", type="button", data_part="halt", hidden=True)["Stop"],
            h.span(".faint.small.js-only")["Ctrl-Enter generates"],
        ],
    ]
    return h.div(".split.even")[form, _answer(asked)]


def _input(shown: Shown, text: str) -> h.Element:
    def box(tie: Mapping[str, str]) -> h.Element:
        return h.textarea(tie, name="input", required=True, rows="5")[text]

    if shown.prompt is None:
        return field("Input", box({}))
    return helped("Input", "Nothing but the input: the tuned prompt knows the task.", box)


def _answer(asked: Asked) -> h.Element:
    numbers = [(words, h.span(data_number=name)[asked.numbers.get(name, "–")]) for name, words in NUMBERS]
    return h.section(".card.stack.tight.outcome", data_part="result")[
        h.h2["Answer"],
        h.div(data_part="problem", role="alert")[
            notice("error", "No answer.", asked.problem) if asked.problem else None
        ],
        h.output(".answer.tall", data_part="answer", data_empty="The answer appears here.", aria_live="polite")[
            asked.output
        ],
        h.div(data_part="labels")[bars(asked.labels, share=True, most=8) if asked.labels else None],
        facts(numbers),
    ]


def _json(frame: Frame, shown: Shown, wire: Wire, asked: Asked) -> h.Element:
    form = h.form(
        ".card.stack.tight", method="post", action=f"{shown.here}/test?wire={wire.name}", data_json=wire.path
    )[
        csrf_field(frame),
        h.h2["Send"],
        h.p(".mono.break")[f"POST {wire.path}"],
        field("Body", h.textarea(".mono", name="body", required=True, rows="12", spellcheck="false")[
            asked.body or wire.example
        ]),
        h.div(".row")[
            h.button(".button.primary", data_part="go")["Send"],
            h.span(".faint.small.js-only")["Ctrl-Enter sends"],
        ],
    ]  # fmt: skip
    told = f"{asked.status}, {latency(asked.took)}" if asked.status else ""
    reply = h.section(".card.stack.tight", data_part="result")[
        h.div(".row.apart")[h.h2["What came back"], h.span(".faint.small", data_part="told", role="status")[told]],
        h.pre(".reply", data_part="reply", tabindex="0", role="region", aria_label="What came back")[asked.reply],
    ]
    return h.div(".split.even")[form, reply]
