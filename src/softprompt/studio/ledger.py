"""The token ledger: what a question costs a bare model, with solved examples, and with a tuned prompt; in a person's
own rates. Counts come from the worker (`worker.token_counts`), generated tokens from an evaluation where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from softprompt.errors import ParameterInvalid

WAYS = {"zero-shot": "Base model", "text": "Tuned, as text", "readout": "Tuned, label readout"}
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Rates:
    """What a person pays for a million tokens, and how much they ask.

    Attributes:
        questions: for which the price is shown.
    """

    input: float = 0.0
    virtual: float = 0.0
    generated: float = 0.0
    currency: str = "USD"
    questions: int = 1000

    @property
    def known(self) -> bool:
        return any((self.input, self.virtual, self.generated))

    def price(self, line: Line) -> float:
        """Of so many questions as `questions` says."""
        tokens = (line.input, line.virtual, line.generated)
        each = sum(count * rate for count, rate in zip(tokens, (self.input, self.virtual, self.generated), strict=True))
        return each * self.questions / _MILLION

    def to_text(self) -> str:
        """As a browser keeps it: signs such as € are escaped."""
        return quote(f"{self.input:g}|{self.virtual:g}|{self.generated:g}|{self.questions}|{self.currency}", safe="|")


@dataclass(frozen=True, slots=True)
class Line:
    """One way to ask; means per question.

    Attributes:
        instruction: whether the text goes along in words.
        measured: generated tokens were counted in answers; else they are those of the right answer.
    """

    name: str
    way: str
    instruction: bool
    input: float
    virtual: float
    generated: float
    measured: bool = False

    @property
    def total(self) -> float:
        return self.input + self.virtual + self.generated


@dataclass(frozen=True, slots=True)
class Ledger:
    """The whole table.

    Attributes:
        context: tokens that the model can hold.
        rows: over which the means were taken.
    """

    lines: tuple[Line, ...]
    context: int
    rows: int
    instruction: str

    @property
    def saving(self) -> str:
        """The difference that counts, in a sentence; empty without both sides."""
        shots = next((line for line in self.lines if line.way.endswith("-shot") and line.way != "zero-shot"), None)
        tuned = next((line for line in self.lines if line.way in ("readout", "text") and not line.instruction), None)
        if shots is None or tuned is None or shots.input <= tuned.input:
            return ""
        return (
            f"A question to the tuned prompt carries {tuned.input:.0f} input tokens, one with {shots.way[:-5]} solved "
            f"examples {shots.input:.0f}: {1 - tuned.input / shots.input:.0%} fewer to write and to send."
        )


def ledger(found: Mapping[str, Any] | None, measured: Sequence[Mapping[str, Any]] = ()) -> Ledger | None:
    """The table of a run.

    Args:
        found: what the worker counted.
        measured: methods of evaluations, as they are stored; the first of a name counts.
    """
    if not found or not found.get("lines"):
        return None
    said: dict[str, float] = {}
    for method in measured:
        said.setdefault(_way(str(method.get("name", ""))), float(method.get("generated_tokens") or 0))
    lines = []
    for line in found["lines"]:
        way, told = str(line["way"]), bool(line["instruction"])
        tuned = way in ("text", "readout")
        counted = said.get(way) if not (tuned and told) else None
        lines.append(
            Line(
                name=_name(way, told),
                way=way,
                instruction=told,
                input=float(line["input_tokens"]),
                virtual=float(line["virtual_tokens"]),
                generated=float(line["generated_tokens"]) if counted is None else counted,
                measured=counted is not None,
            )
        )
    return Ledger(tuple(lines), int(found.get("context") or 0), int(found.get("rows") or 0), str(found["instruction"]))


def rates_of(given: Mapping[str, str]) -> Rates:
    """Rates as they were typed in."""
    return Rates(
        input=_amount(given, "input"),
        virtual=_amount(given, "virtual"),
        generated=_amount(given, "generated"),
        currency=given.get("currency", "").strip()[:8] or "USD",
        questions=max(1, int(_amount(given, "questions") or 1000)),
    )


def remembered(text: str | None) -> Rates:
    """Rates as a browser gave them back; what it did not get from us counts as nothing."""
    parts = unquote(text or "").split("|")
    if len(parts) != 5:
        return Rates()
    names = ("input", "virtual", "generated", "questions", "currency")
    try:
        return rates_of(dict(zip(names, parts, strict=True)))
    except ParameterInvalid:
        return Rates()


def _amount(given: Mapping[str, str], name: str) -> float:
    text = given.get(name, "").strip().replace(",", ".")
    if not text:
        return 0.0
    try:
        value = float(text)
    except ValueError:
        raise ParameterInvalid(f"{name}: {text[:40]!r} is no number. Type what a million tokens cost.") from None
    if not math.isfinite(value) or not 0 <= value <= 1e12:
        raise ParameterInvalid(f"{name}: {text[:40]!r} is no amount; 0 and more is.")
    return value


def _name(way: str, instruction: bool) -> str:
    if way in ("text", "readout"):
        return f"{WAYS[way]}, {'with' if instruction else 'without'} instruction"
    if way == "zero-shot":
        return "Base model, instruction"
    return f"Base model, instruction and {way.removesuffix('-shot')} examples"


def _way(method: str) -> str:
    """The way that an evaluation's method stands for: its first word, or what follows the tuned prompt's name."""
    name = method.rsplit(" · ", 1)
    if name[0].endswith("-shot"):
        return name[0]
    return name[-1] if len(name) > 1 else ""
