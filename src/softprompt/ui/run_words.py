"""Events and numbers of runs in words, for every page that shows some."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

REASONS = {"all epochs done": "all epochs are done", "stopped on request": "it was stopped, and the best is kept"}


def in_words(kind: str, data: Mapping[str, Any]) -> str:
    """An event as a sentence; empty for those that only move the curve. `run.js` says the same."""
    if kind == "state":
        return _state(data)
    if kind == "Note":
        return _sentence(str(data.get("text", "")))
    if kind == "Started":
        goes_on = f" It goes on after update {data['done']:,}." if data.get("done") else ""
        return (
            f"{data.get('updates', 0):,} updates on {data.get('rows', 0):,} rows, "
            f"{data.get('virtual_tokens', 0):,} virtual tokens.{goes_on}"
        )
    if kind == "EpochDone":
        held = f", validation {data['validation_loss']:.3f}" if data.get("validation_loss") is not None else ""
        metric = f", {data['metric']:.0%} right" if data.get("metric") is not None else ""
        best = " Best so far." if data.get("best") else ""
        return f"Epoch {data.get('epoch', 0) + 1}: loss {data.get('loss') or 0:.3f}{held}{metric}.{best}"
    if kind == "ReadoutEpochDone":
        metric = f", {data['metric']:.0%} right" if data.get("metric") is not None else ""
        return f"Pass {data.get('epoch', 0) + 1} through the readout: loss {data.get('loss') or 0:.3f}{metric}."
    if kind == "Finished":
        reason = str(data.get("reason", ""))
        return f"Tuning ended: {REASONS.get(reason, reason)}."
    if kind == "Method":
        return f"Asking: {data.get('name')}."
    return ""


def number(value: object, form: str = ".3f") -> str:
    """A number, or a dash."""
    return format(value, form) if isinstance(value, int | float) else "–"


def share(value: float | None) -> str:
    """A share between 0 and 1 as people say it."""
    return "–" if value is None else f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def tokens(value: float) -> str:
    """A mean count of tokens."""
    return f"{value:,.1f}".removesuffix(".0")


def _state(data: Mapping[str, Any]) -> str:
    words = {
        "queued": "Waiting for a worker.",
        "running": "A worker has begun.",
        "completed": "Done.",
        "canceled": "Canceled.",
        "failed": "Failed.",
    }
    said = words.get(str(data.get("state")), str(data.get("state")))
    problem = (data.get("problem") or {}).get("message")
    return f"{said} {problem}" if problem else said


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?", "…")) else ".") if text else ""
