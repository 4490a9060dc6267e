"""What the list of foundation models and the page of one have in common: states, progress of a download, orders."""

from __future__ import annotations

from typing import TypedDict
from urllib.parse import quote

import htpy as h

from softprompt.studio.foundation_models import Model
from softprompt.studio.model_pulls import Pull
from softprompt.ui.components import size
from softprompt.ui.layout import Frame, csrf_field

REFRESH = 3
"""Seconds after which a browser without scripts loads the page again while something is fetched."""


class PullShown(TypedDict):
    """How far a pull is, for the page's script."""

    id: str
    state: str
    step: str
    words: str
    share: float | None


def pull_shown(pull: Pull) -> PullShown:
    share = min(pull.done / pull.total, 1.0) if pull.total else None
    words = pull_words(pull)
    return {"id": pull.model_id, "state": pull.state, "step": pull.step, "words": words, "share": share}


def pull_words(pull: Pull) -> str:
    """How far it is, with numbers."""
    if pull.state != "running":
        return f"{size(pull.done)} have arrived" if pull.done else ""
    if not pull.total:
        return f"{size(pull.done)} so far" if pull.done else ""
    parts = [f"{size(min(pull.done, pull.total))} of {size(pull.total)}"]
    if pull.rate > 1000:
        left = max(pull.total - pull.done, 0) / pull.rate
        parts += [f"{size(int(pull.rate))}/s", f"about {_short(left)} left"]
    return " · ".join(parts)


def progress(pull: Pull) -> h.Element:
    """The bar of a pull at work; the page's script moves it."""
    shown = pull_shown(pull)
    share = shown["share"]
    now = None if share is None else f"{100 * share:.0f}"
    bar = h.div(
        class_="meter" if share is not None else "meter unknown", role="progressbar", aria_label="Fetched",
        aria_valuemin="0", aria_valuemax="100", aria_valuenow=now, aria_valuetext=shown["words"] or shown["step"],
    )[h.i(style=f"width:{now or 0}%")]  # fmt: skip
    return h.div(".pull", data_pull=pull.model_id, data_state=pull.state)[
        h.p(".small", data_part="step")[pull.step], bar, h.p(".small.muted", data_part="words")[shown["words"]]
    ]


def address(model_id: str) -> str:
    return f"/models/{quote(model_id)}"


def order(frame: Frame, words: str, what: str, model_id: str, style: str = "") -> h.Element:
    """A button that changes something about a model."""
    return h.form(method="post", action=f"/models/{what}")[
        csrf_field(frame),
        h.input(type="hidden", name="model", value=model_id),
        h.button(class_=f"button {style}".strip(), aria_label=f"{words}: {model_id}")[words],
    ]


def state_badge(model: Model, pull: Pull | None) -> h.Node:
    if model.available:
        return h.span(".badge.ready")["on this machine"]
    if pull is None or pull.state == "here":
        return None
    words = {"running": "on its way", "stopped": "stopped", "interrupted": "broke off", "failed": "failed"}
    return h.span(class_=f"badge {'failed' if pull.state == 'failed' else 'running'}")[words[pull.state]]


def _short(seconds: float) -> str:
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
