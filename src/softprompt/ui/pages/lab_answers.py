"""Prompt Lab: the tests, and what each column answers to them, with tokens, probabilities and labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence

import htpy as h

from softprompt.data.metrics import exact
from softprompt.studio.lab import LETTERS, LabPage, Try
from softprompt.studio.lab_history import Answer, Token
from softprompt.studio.lab_subjects import Subject
from softprompt.ui.components import field

Answers = Mapping[tuple[int, int], Answer]
"""By number of the test and of the column."""
ENDS = {
    "eos_token": "ended by itself",
    "max_tokens": "reached max tokens",
    "stop_sequence": "met a stopping criterion",
    "token_limit": "reached the end of the context",
    "time_limit": "ran out of time",
    "cancelled": "stopped",
    "label": "label readout",
}
_UNSURE = 0.5
MOST_BARS = 8


def tests(page: LabPage, subjects: Sequence[Subject | None], answers: Answers) -> h.Element:
    """The card of the tests, with the bar that generates."""
    many = len(page.columns)
    rows = [test(each, number, subjects, answers) for number, each in enumerate(page.tries)]
    return h.section(class_=f"card stack lab-tests columns-{many}", aria_label="Tests")[
        h.div(".row.apart")[h.h2["Test"], h.span(".muted", data_part="right")[right(page, answers)]],
        h.div(".stack", data_part="tries")[rows],
        h.template(data_template="try")[test(Try(), 0, subjects, {})],
        h.div(".lab-bar")[
            h.button(".button.primary", name="do", value="generate", data_part="go")["Generate"],
            h.button(".button.js-only", type="button", data_part="halt", hidden=True)["Stop"],
            h.button(".button", name="do", value="try-add", data_add="try")["New test +"],
            h.span(".faint.small.js-only")[h.kbd["Ctrl"], " ", h.kbd["Enter"], " generates"],
            h.span(".small.muted", data_part="progress", role="status"),
        ],
    ]


def test(asked: Try, number: int, subjects: Sequence[Subject | None], answers: Answers) -> h.Element:
    cells = [
        cell(answers.get((number, place)), asked, number, place, subject, len(subjects) > 1)
        for place, subject in enumerate(subjects)
    ]
    return h.div(".lab-test", data_part="try", role="group", aria_label="Test")[
        h.div(".stack.tight")[
            field("Input", h.textarea(name="try_input", rows="3")[asked.input]),
            h.p(".faint.small.lab-count", data_part="count"),
            h.div(".lab-expected")[
                field(
                    "Expected answer, if you know it",
                    h.input(name="try_expected", value=asked.expected, autocomplete="off"),
                ),
                h.button(
                    ".button.quiet.small", name="do", value=f"try-remove:{number}", aria_label="Remove this test",
                    title="Remove this test", data_row="remove",
                )["×"],
            ],
        ],
        h.div(".lab-cells")[cells],
    ]  # fmt: skip


def cell(answer: Answer | None, asked: Try, row: int, column: int, subject: Subject | None, many: bool) -> h.Element:
    """What one column says to one test."""
    head = None
    if many:
        head = h.div(".lab-cell-head")[
            h.span(".lab-letter", aria_hidden="true")[LETTERS[column]],
            h.span(".sr")[f"Column {LETTERS[column]}: "],
            h.span(".name")[subject.name if subject else "–"],
        ]
    return h.div(".lab-cell", data_part="cell", data_column=str(column), data_row=str(row))[
        head or h.span(".lab-answer-label")["Answer"],
        _body(answer, asked, subject),
    ]


def _body(answer: Answer | None, asked: Try, subject: Subject | None) -> h.Node:
    if answer is None:
        return h.div(".answer", data_part="answer", data_empty="No answer yet")
    if answer.problem:
        return [h.div(".error.small", data_part="answer", role="alert")[answer.problem]]
    return [
        h.div(".lab-said")[_said(answer), _mark(answer, asked)],
        _bars(answer),
        h.p(".faint.small", data_part="told")[told(answer, subject)],
    ]


def told(answer: Answer, subject: Subject | None = None) -> str:
    """The numbers of an answer in one line; one that was stopped has none."""
    if not answer.total:
        return ENDS.get(answer.stop_reason, "")
    virtual = f" + {answer.virtual_tokens} virtual" if answer.virtual_tokens else ""
    room = f" out of {subject.context}" if subject and subject.context else ""
    line = f"Tokens: {answer.input_tokens} input{virtual} + {answer.generated_tokens} generated = {answer.total}{room}"
    parts = [line, ENDS.get(answer.stop_reason, answer.stop_reason.replace("_", " "))]
    parts += [f"{answer.confidence:.0%} sure"] if answer.confidence is not None else []
    parts += ["the input was too long and lost its end"] if answer.cut else []
    return " · ".join(part for part in parts if part)


def is_right(answer: Answer, asked: Try) -> bool | None:
    """Whether it is the expected answer; None if none is expected, or none came."""
    if not asked.expected.strip() or answer.problem or not answer.stop_reason:
        return None
    return exact([answer.output], [asked.expected])[0]


def _mark(answer: Answer, asked: Try) -> h.Node:
    right = is_right(answer, asked)
    if right is None:
        return None
    return h.span(class_=f"badge {'completed' if right else 'failed'}")["right" if right else "wrong"]


def right(page: LabPage, answers: Answers) -> str:
    """How many answers are right, of each column."""
    told = []
    for place in range(len(page.columns)):
        marks = [is_right(answers[n, place], each) for n, each in enumerate(page.tries) if (n, place) in answers]
        known = [mark for mark in marks if mark is not None]
        if known:
            letter = f"{LETTERS[place]}: " if len(page.columns) > 1 else ""
            told.append(f"{letter}{sum(known)} of {len(known)} right")
    return ", ".join(told)


def _said(answer: Answer) -> list[h.Element]:
    """The text; where its tokens are known, each is one that tells of the others in its place."""
    aligned = _aligned(answer)
    label = f"Answer of {len(answer.tokens)} tokens: the arrow keys go through them"
    told = {"data_tokens": "", "role": "group", "tabindex": "0", "aria_label": label}
    if aligned:
        return [h.div(".answer", data_part="answer", **told)[[_token(text, token) for text, token in aligned]]]
    plain = h.div(".answer", data_part="answer", data_empty="Nothing: the answer is empty")[answer.output]
    if not answer.tokens:
        return [plain]
    # Letters of several tokens: no single one of them is a text.
    return [plain, h.div(".lab-tokens", **told)[[_token(_visible(token.text), token) for token in answer.tokens]]]


def _aligned(answer: Answer) -> list[tuple[str, Token]]:
    """What each token adds to the text; nothing if they do not make it up. The one that ends it adds nothing."""
    whole = "".join(token.text for token in answer.tokens)
    start = whole.find(answer.output)
    if not answer.output or start < 0 or whole[:start].strip():
        return []
    found, place, end = [], 0, start + len(answer.output)
    for token in answer.tokens:
        found.append((whole[max(start, place) : min(end, place + len(token.text))], token))
        place += len(token.text)
    return found


def _token(text: str, token: Token) -> h.Element:
    chance = math.exp(min(token.logprob, 0))
    top = [[_visible(other), round(math.exp(min(value, 0)), 4)] for other, value in token.top]
    others = " · ".join(f"{other} {value:.0%}" for other, value in top)
    signs = ["tok", *(["unsure"] if chance < _UNSURE else []), *([] if text else ["end"])]
    return h.span(
        class_=" ".join(signs),
        title=f"{_visible(token.text)} {chance:.0%}{' – ' + others if others else ''}",
        data_token=_visible(token.text),
        data_chance=f"{chance:.4f}",
        data_top=json.dumps(top, ensure_ascii=False),
    )[text]


def _visible(text: str) -> str:
    return text.replace("\n", "↵").replace("\t", "⇥") or "∅"


def _bars(answer: Answer) -> h.Node:
    """Labels with their probabilities, the likeliest first."""
    if not answer.labels:
        return None
    shown = [
        h.div(".bar")[
            h.span(".name", title=label)[label],
            h.span(".meter")[h.i(style=f"width:{100 * chance:.1f}%")],
            h.span(".count")[f"{chance:.0%}"],
        ]
        for label, chance in answer.labels[:MOST_BARS]
    ]
    rest = len(answer.labels) - len(shown)
    more = h.p(".faint.small")[f"and {rest} less likely ones"] if rest > 0 else None
    return h.div(".bars.lab-bars", data_part="labels", role="group", aria_label="Labels by probability")[shown, more]
