"""What stands on a page of the Prompt Lab, and the text that each of its tests becomes. Does not ask anybody."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from softprompt.data.template import DEFAULT_TEXT, Template
from softprompt.errors import ParameterInvalid, TemplateInvalid
from softprompt.params import LAB_INSTRUCTION, GenerateConfig
from softprompt.studio import prompt_sessions

Mode = Literal["structured", "freeform"]
Takes = Literal["words", "input", "template"]
"""What somebody reads: the whole prompt, the bare input (tuned prompts), or the input in a prompt template."""
MOST_COLUMNS = 4
MOST_ROWS = 50
"""Examples, and tests, on one page."""
MOST_STOPS = 6
LETTERS = "ABCD"
INPUT = "input"
"""The placeholder of a freeform prompt where the text of a test goes."""
INPUT_PREFIX, OUTPUT_PREFIX = "Input:", "Output:"
WHOLE = ("top_k", "seed", "min_new_tokens", "max_new_tokens")
NUMBERS = ("temperature", "top_p", *WHOLE[:2], "repetition_penalty", *WHOLE[2:])
DEFAULTS = {
    item.name: "" if item.default is None else f"{item.default:g}"
    for item in dataclasses.fields(GenerateConfig)
    if item.name in NUMBERS
}
"""Of each number, as it is typed."""


@dataclass(frozen=True, slots=True)
class Try:
    """A test: what is asked, and the answer that would be right, if one knows it."""

    input: str = ""
    expected: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """Who is asked, and how.

    Attributes:
        subject: `model:ID`, `prompt:ID` or `deployment:ID`.
        shots: so many of the examples are shown; None: all.
        words: send instruction and examples to a tuned prompt too.
        way: auto takes the label readout where there is one.
        decoding, numbers, stop: parameters; numbers as they were typed.
    """

    subject: str = ""
    shots: int | None = None
    words: bool = False
    way: Literal["auto", "text"] = "auto"
    decoding: str = "greedy"
    numbers: Mapping[str, str] = field(default_factory=dict)
    stop: tuple[str, ...] = ()

    def number(self, name: str) -> str:
        return self.numbers.get(name, DEFAULTS[name])

    def config(self) -> GenerateConfig:
        """The parameters, or every reason why they are none."""
        values: dict[str, Any] = {}
        problems = []
        for name in NUMBERS:
            text = self.number(name).strip()
            if text:
                try:
                    values[name] = int(text) if name in WHOLE else float(text)
                except ValueError:
                    problems.append(f"{name}: {text[:40]!r} is no {'whole ' if name in WHOLE else ''}number")
        try:
            config = GenerateConfig(decoding=self.decoding, stop=self.stop, **values)  # type: ignore[arg-type]
        except ParameterInvalid as error:
            problems.append(str(error).rstrip("."))
        if problems:
            raise ParameterInvalid("; ".join(problems) + ".")
        return config


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPage:
    """All that a person has put on the page."""

    mode: Mode = "structured"
    instruction: str = ""
    input_prefix: str = INPUT_PREFIX
    output_prefix: str = OUTPUT_PREFIX
    examples: tuple[tuple[str, str], ...] = ()
    text: str = ""
    """The prompt in freeform mode."""
    variables: Mapping[str, str] = field(default_factory=dict)
    tries: tuple[Try, ...] = (Try(),)
    columns: tuple[Column, ...] = (Column(),)

    @property
    def solved(self) -> list[tuple[str, str]]:
        """The examples that say something."""
        return [(i, o) for i, o in self.examples if i.strip() and o.strip()]

    @property
    def asked(self) -> list[int]:
        """Numbers of the tests that are asked: those with a text; in freeform the prompt alone is one."""
        found = [number for number, each in enumerate(self.tries) if each.input.strip()]
        return found or ([0] if self.mode == "freeform" and self.text.strip() else [])

    @property
    def has_words(self) -> bool:
        """Whether there is something that a tuned prompt sets aside."""
        return bool(self.text.strip()) if self.mode == "freeform" else bool(self.instruction.strip() or self.solved)

    @property
    def places(self) -> list[str]:
        """Names of the `{variables}`, in their order."""
        texts = [each.input for each in self.tries]
        if self.mode == "freeform":
            names = prompt_sessions.names_in(self.text, *texts)
            return [name for name in names if name != INPUT]
        pairs = [text for pair in self.examples for text in pair]
        return prompt_sessions.names_in(self.instruction, self.input_prefix, self.output_prefix, *pairs, *texts)


def example() -> LabPage:
    """A page to start from: the task of the lab, routing complaints to departments."""
    return LabPage(
        instruction=LAB_INSTRUCTION,
        examples=(
            ("The manual shows a screw that is not in the box.", "Packaging"),
            ("My order has been on its way for three weeks.", "Warehouse"),
        ),
        tries=(
            Try("The chair broke when I sat down, and nobody answers the phone.", "Development, Service"),
            Try("Half of the parts were missing in the parcel.", "Packaging"),
        ),
    )


def as_freeform(page: LabPage) -> LabPage:
    """The page in freeform mode; a prompt that was built in parts comes along as one text."""
    text = page.text or (_whole(replace(page, variables={}), Column(), Try("{input}")) if page.has_words else "")
    return replace(page, mode="freeform", text=text)


def prompt(page: LabPage, column: Column, asked: Try, takes: Takes, template: str = DEFAULT_TEXT) -> str:
    """The text that is sent for one test in one column.

    Args:
        takes: what the subject reads.
        template: of a tuned prompt, which stands around whatever is sent.
    """
    if takes == "words" or (column.words and takes == "input" and page.mode == "freeform"):
        return _whole(page, column, asked)
    if not column.words or takes == "template":
        alone = page.text if page.mode == "freeform" and not asked.input.strip() else asked.input
        return prompt_sessions.fill(alone, page.variables)
    shots = page.solved[: column.shots]
    return prompt_sessions.fill(_inside(template, page.instruction, shots, asked.input), page.variables)


def content(page: LabPage) -> dict[str, Any]:
    """The page as content of a prompt session, from which the same prompt is rendered wherever it is deployed."""
    first = page.tries[0].input if page.tries else ""
    kept = {name: value for name, value in to_dict(page).items() if name in ("variables", "tries", "columns")}
    if page.mode == "freeform":
        return {"text": page.text, prompt_sessions.LAB: kept}
    return {**_structured(page, page.solved, first), prompt_sessions.LAB: kept}


def of_content(found: Mapping[str, Any], mode: str, model_id: str | None) -> LabPage:
    """The page of a prompt session, also of one that another client has saved."""
    kept = dict(found.get(prompt_sessions.LAB) or {})
    data = found.get("data") or {}
    asked = found.get("input") or []
    texts = [asked] if isinstance(asked, str) else [each if isinstance(each, str) else each[0] for each in asked]
    kept.setdefault("tries", [{"input": text} for text in texts] or [{}])
    if not kept.get("columns"):
        kept["columns"] = [{"subject": f"model:{model_id}" if model_id else ""}]
    return of_dict(
        {
            "mode": "freeform" if mode == "freeform" or found.get("text") is not None else "structured",
            "instruction": data.get("instruction") or "",
            "input_prefix": data.get("input_prefix") or "",
            "output_prefix": data.get("output_prefix") or "",
            "examples": [{"input": e[0], "output": e[1]} for e in data.get("examples") or ()],
            "text": found.get("text") or "",
            **kept,
        }
    )


def to_dict(page: LabPage) -> dict[str, Any]:
    """As JSON: what is exported, and kept in the history."""
    return {
        "mode": page.mode,
        "instruction": page.instruction,
        "input_prefix": page.input_prefix,
        "output_prefix": page.output_prefix,
        "examples": [{"input": i, "output": o} for i, o in page.examples],
        "text": page.text,
        "variables": dict(page.variables),
        "tries": [{"input": each.input, "expected": each.expected} for each in page.tries],
        "columns": [
            {
                "subject": each.subject,
                "shots": each.shots,
                "words": each.words,
                "way": each.way,
                "parameters": {
                    "decoding": each.decoding,
                    **{name: _number(each.number(name)) for name in NUMBERS},
                    "stop": list(each.stop),
                },
            }
            for each in page.columns
        ],
    }


def of_dict(found: Mapping[str, Any]) -> LabPage:
    """The page of what `to_dict` made; what is missing has its default."""
    plain = LabPage()
    columns: Sequence[Mapping[str, Any]] = found.get("columns") or ({},)
    tries = tuple(Try(str(t.get("input", "")), str(t.get("expected", ""))) for t in found.get("tries") or ())
    return LabPage(
        mode="freeform" if found.get("mode") == "freeform" else "structured",
        instruction=str(found.get("instruction", "")),
        input_prefix=str(found.get("input_prefix", plain.input_prefix)),
        output_prefix=str(found.get("output_prefix", plain.output_prefix)),
        examples=tuple((str(e.get("input", "")), str(e.get("output", ""))) for e in found.get("examples") or ()),
        text=str(found.get("text", "")),
        variables={str(name): str(value) for name, value in (found.get("variables") or {}).items()},
        tries=tries[:MOST_ROWS] or plain.tries,
        columns=tuple(_column(each) for each in columns)[:MOST_COLUMNS],
    )


def _column(found: Mapping[str, Any]) -> Column:
    given = dict(found.get("parameters") or {})
    shots = found.get("shots")
    return Column(
        subject=str(found.get("subject", "")),
        shots=shots if isinstance(shots, int) and shots >= 0 else None,
        words=bool(found.get("words")),
        way="text" if found.get("way") == "text" else "auto",
        decoding=str(given.get("decoding", "greedy")),
        numbers={n: "" if given[n] is None else str(given[n]) for n in NUMBERS if n in given},
        stop=tuple(str(each) for each in given.get("stop") or ())[:MOST_STOPS],
    )


def _number(text: str) -> float | int | str | None:
    """A number as JSON has it; what is none stays as it was typed."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text or None


def _whole(page: LabPage, column: Column, asked: Try) -> str:
    if page.mode == "structured":
        shown = page.solved[: column.shots]
        return prompt_sessions.rendered(_structured(page, shown, asked.input), dict(page.variables))
    text = page.text
    if INPUT not in prompt_sessions.names_in(text):
        gap = "\n" if text and asked.input and not text[-1].isspace() else ""
        text = f"{text}{gap}{asked.input}"
    return prompt_sessions.fill(text, {**page.variables, INPUT: asked.input})


def _structured(page: LabPage, shown: Sequence[tuple[str, str]], asked: str) -> dict[str, Any]:
    data = {
        "instruction": page.instruction.strip(),
        "input_prefix": page.input_prefix.strip(),
        "output_prefix": page.output_prefix.strip(),
        "examples": [list(pair) for pair in shown],
    }
    return {"input": [[asked, ""]], "data": data}


def _inside(template: str, instruction: str, shots: Sequence[tuple[str, str]], asked: str) -> str:
    """Instruction and examples as the input of a tuned prompt: its template adds the first words and the cue itself."""
    try:
        plain = Template(template)
    except TemplateInvalid:
        plain = Template()
    whole = Template(plain.text, instruction=instruction.strip()).with_shots(list(shots))
    text = whole.render(asked).removesuffix(plain.cue)
    return text if instruction.strip() else text.removeprefix(plain.head)
