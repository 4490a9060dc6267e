"""What stands before *Start tuning*: the numbers of the run, how long it will take and how that is known, warnings."""

from __future__ import annotations

from collections.abc import Mapping

import htpy as h

from softprompt.studio.estimates import Estimate
from softprompt.studio.outlook import Outlook
from softprompt.studio.outlook_words import Remark
from softprompt.ui.components import lasting, when
from softprompt.ui.tuning_fields import ADVANCED, CHOICES, NUMBERS, Filled, shown

_SIGNS = {"error": "Cannot start", "warn": "Warning", "note": "Note"}
_NAMES: Mapping[str, str] = {
    **{knob.name: knob.words for knob in (*NUMBERS, *ADVANCED)},
    **{name: words for name, (words, _) in CHOICES.items()},
    "experiment": "Name", "model": "Foundation model", "dataset": "Training data", "validation": "Validation rows",
    "share": "Share of the rows", "test": "Test rows", "task": "Task", "readout": "How it answers", "init": "Start",
    "init_text": "Text to start from", "init_prompt": "Tuned prompt to start from",
    "instruction": "Instruction", "template": "Template", "pattern": "Pattern of answers",
}  # fmt: skip


def panel(outlook: Outlook | None, filled: Filled, names: Mapping[str, str]) -> h.Element:
    """The card beside the form.

    Args:
        names: of datasets, by their ids, for fields that differ.
    """
    waiting = outlook is not None and outlook.known.waiting is not None and outlook.known.waiting.state != "failed"
    return h.section("#outlook.card.outlook", aria_labelledby="outlook-title")[
        h.h2("#outlook-title")["Before you start"],
        h.div("#outlook-told.stack.tight", data_live="", data_waiting="" if waiting else None, aria_live="polite")[
            _told(outlook, filled, names)
        ],
        h.div(".row.end")[
            h.button(".button.primary", name="do", value="start")["Start tuning"],
            h.button(".button", formaction="/tuning/check", formnovalidate="", data_part="check")["Check"],
        ],
    ]


def _told(outlook: Outlook | None, filled: Filled, names: Mapping[str, str]) -> h.Node:
    if outlook is None:
        return [
            h.p(".muted")["“Check” tells what this run will do: updates, virtual tokens, rows that are cut, its time."],
            _differences(filled, names),
        ]
    called = h.p[h.strong[outlook.known.name], " will be its name."] if outlook.known.name else None
    return [
        called,
        _differences(filled, names),
        _numbers(outlook),
        _time(outlook),
        _remarks(outlook.remarks),
        _queue(outlook),
    ]


def _numbers(outlook: Outlook) -> h.Node:
    size = outlook.size
    if size is None:
        return h.p(".muted")["Choose a model and training data to see its numbers."]
    updates = f"{size.updates:,}" if size.schedule else "none"
    cut = (
        "?" if outlook.cut is None else f"{'≈ ' if outlook.lengths and outlook.lengths.sampled else ''}{outlook.cut:,}"
    )
    virtual = f"{size.shape.virtual_tokens:,}" if size.schedule else "none"
    return [
        h.div(".facts.tight")[
            _fact(updates, "updates", _made_of(outlook)),
            _fact(virtual, "virtual tokens", None),
            _fact(cut, "rows cut", None),
        ],
        h.dl(".pairs.small")[
            h.dt["Rows"],
            h.dd[_rows_words(outlook)],
            h.dt["Learning rate"],
            h.dd[_rate_words(outlook)],
        ],
    ]


def _fact(value: str, name: str, help: str | None) -> h.Element:
    return h.div(".fact", title=help)[h.b[value], h.span[name]]


def _made_of(outlook: Outlook) -> str | None:
    schedule = outlook.size.schedule if outlook.size else None
    if schedule is None:
        return None
    return f"Batch {schedule.batch_size}, accumulate {schedule.accumulate}, {schedule.epochs} epochs"


def _rows_words(outlook: Outlook) -> str:
    size = outlook.size
    assert size is not None
    told = [f"{size.rows:,} to train on"]
    told.append(f"{size.held:,} to validate" if size.held else "none to validate")
    told.append(f"{size.test:,} to test" if size.test else "none to test")
    if size.schedule:
        schedule = size.schedule
        told[0] += f", in batches of {schedule.batch_size}"
        told[0] += f" × {schedule.accumulate} an update" if schedule.accumulate > 1 else ""
        told[0] += f", {schedule.epochs} times"
    return "; ".join(told)


def _rate_words(outlook: Outlook) -> str:
    if outlook.size is not None and outlook.size.schedule is None:
        return "no vectors are trained"
    if outlook.learning_rate is None:
        return "follows the model; the run says it"
    own = f"{outlook.learning_rate:.3g}"
    return own if outlook.rms is None else f"{own} = {outlook.learning_rate / outlook.rms:.2g} × the embeddings’ scale"


# --- time -------------------------------------------------------------------------------------------------------------
def _time(outlook: Outlook) -> h.Node:
    if outlook.size is None:
        return None
    waiting = outlook.known.waiting
    found = outlook.estimate
    return h.div(".time", data_part="time")[
        _known(found) if found else _unknown(outlook),
        h.p(".small", role="status")[_waiting(waiting.state, waiting.before, waiting.problem)] if waiting else None,
        None
        if waiting and waiting.state != "failed"
        else h.button(
            ".button.small", formaction="/tuning/measure", formnovalidate="", data_part="measure",
            disabled=not outlook.startable,
        )["Measure again" if found else "Measure now"],
    ]  # fmt: skip


def _known(found: Estimate) -> h.Node:
    longest = max((part.seconds or 0 for part in found.parts), default=0) or 1
    rows = [
        h.div(".time-part")[
            h.span[part.words],
            h.span(".meter")[h.i(style=f"width:{100 * (part.seconds or 0) / longest:.0f}%")],
            h.span(".num")["not measured" if part.seconds is None else _lasting(part.seconds)],
        ]
        for part in found.parts
    ]
    missing = " at least" if found.missing else ""
    return [
        h.div(".fact")[h.b[f"{'≈' if not missing else '≥'} {_lasting(found.seconds)}"], h.span[f"to tune{missing}"]],
        h.details(".small", data_keep="time-parts")[
            h.summary["How this is known"],
            h.div(".time-parts")[rows],
            h.p(".muted")[_source(found)],
        ],
    ]


def _source(found: Estimate) -> h.Node:
    speed = (
        ""
        if found.speed is None
        else f"{found.speed:,.0f} tokens a second over {found.updates:,} update{'s' if found.updates != 1 else ''}. "
    )
    where = f"{found.host}, {found.device}" if found.host else found.device
    origin: h.Node = "a measurement"
    if found.run_id:
        origin = h.a(href=f"/tuning/runs/{found.run_id}")["a run"]
    words: list[h.Node] = [speed, "From ", origin, f" on {where}, ", when(found.at), "."]
    if not found.close:
        ratio = found.ratio if found.ratio >= 1 else 1 / found.ratio
        side = "larger" if found.ratio >= 1 else "smaller"
        words.append(f" Forward passes here are {ratio:.1f} times {side} than there, so it may be off; measure again.")
    if found.others:
        words.append(f" {found.others} more of this model are known here.")
    return words


def _unknown(outlook: Outlook) -> h.Node:
    why = "Nobody has tuned this model here yet, so its time is not known."
    if outlook.known.measured:
        why = "What was measured of this model does not fit this run, so its time is not known."
        if outlook.size is not None and outlook.size.row_tokens is None:
            why = "The rows’ tokens cannot be counted here, so the time is not known."
    return [
        h.div(".fact")[h.b["?"], h.span["to tune"]],
        h.p(".small.muted")[why, " A worker can measure a few updates on your rows: about a minute for small models."],
    ]


def _waiting(state: str, before: str, problem: str) -> h.Node:
    if state == "failed":
        return h.span(".wrong")[f"It could not be measured: {problem}"]
    if state == "running":
        return "A worker is measuring a few updates …"
    return f"The measurement waits until {before} is over." if before else "The measurement waits for a worker …"


def _lasting(seconds: float) -> str:
    """In steps that an estimate deserves."""
    if seconds < 10:
        return f"{max(seconds, 0.1):.1f} s"
    if seconds < 600:
        return lasting(seconds)
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02d} min"


# --- words ------------------------------------------------------------------------------------------------------------
def _remarks(remarks: tuple[Remark, ...]) -> h.Node:
    ordered = sorted(remarks, key=lambda remark: list(_SIGNS).index(remark.kind))
    if not ordered:
        return h.p(".remark.is-good")["Nothing to warn about."]
    return h.ul(".remarks")[[h.li(class_=f"remark is-{each.kind}")[_remark(each)] for each in ordered]]


def _remark(remark: Remark) -> h.Node:
    sign = h.span(".sr")[f"{_SIGNS[remark.kind]}: "]
    name = _NAMES.get(remark.field, "")
    words: h.Node = f"{name}: {remark.text}" if remark.kind == "error" and name else remark.text
    main = h.a(href=f"#field-{remark.field}")[words] if remark.field else words
    return [sign, main, [" ", h.a(".small", href=remark.link)[remark.link_words]] if remark.link else None]


def _differences(filled: Filled, names: Mapping[str, str]) -> h.Node:
    if not filled.run:
        return None
    if not filled.before:
        return h.p(".was")[f"The same as {filled.run} so far."]

    def value(text: str) -> str:
        return shown(names.get(text, text), 28) or "left open"

    rows = [
        h.li[h.a(href=f"#field-{name}")[_NAMES.get(name, name)], f": {value(was)} → {value(filled.get(name))}"]
        for name, was in filled.before.items()
    ]
    return h.div(".was", data_part="differences")[f"Differs from {filled.run}:", h.ul[rows]]


def _queue(outlook: Outlook) -> h.Node:
    count = outlook.known.queue
    if not count:
        return None
    return h.p(".small.muted")[f"{count} run{'s are' if count > 1 else ' is'} at work or waiting before it."]
