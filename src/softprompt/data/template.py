"""How an example becomes text. One object, used in tuning and in serving, stored in the tuned prompt.

Covers rendering and the split into head, input and cue, so that a too long *input* can be cut and the cue never is.
Does not know tokenizers: counting and cutting tokens is `engine.tokens`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from softprompt.data.wrapper import Wrapper
from softprompt.errors import TemplateInvalid

_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")

DEFAULT_TEXT = "Input: {{input}} Output: "
"""The verbalizer of IBM's tuning studio; the default of every task."""


@dataclass(frozen=True, slots=True)
class Template:
    """Text with one `{{input}}`. An instruction, if any, stands in front of it on a line of its own.

    The wrapper is what all training rows had around their inputs before they were bared; a question that comes in it is
    bared, too (`inner`), or it would look like nothing that was ever tuned on.

    The blanks at the end of the text belong to the target: byte-pair vocabularies write " Warehouse" as one token,
    and a prompt ending in a blank would tear it apart.
    """

    text: str = DEFAULT_TEXT
    instruction: str = ""
    wrapper: Wrapper = Wrapper()

    def __post_init__(self) -> None:
        names = _PLACEHOLDER.findall(self.text)
        if "output" in names:
            raise TemplateInvalid(
                f"The template {self.text!r} contains {{{{output}}}}: the answer would stand in the question. "
                "Remove it; the model's answer always follows the end of the template."
            )
        unknown = sorted({name for name in names if name != "input"})
        if unknown:
            raise TemplateInvalid(
                f"The template {self.text!r} names {', '.join(repr(n) for n in unknown)}; only {{{{input}}}} is known."
            )
        if names.count("input") != 1:
            raise TemplateInvalid(
                f"The template {self.text!r} has {names.count('input')} places for {{{{input}}}}; it needs exactly one."
            )

    @property
    def head(self) -> str:
        """What stands in front of every input, instruction included."""
        before = self.text[: self._span()[0]]
        return f"{self.instruction}\n{before}" if self.instruction else before

    @property
    def cue(self) -> str:
        """What stands after every input, without the blanks at its end."""
        return self.text[self._span()[1] :].rstrip(" ")

    @property
    def target_gap(self) -> str:
        """The blank that goes in front of the target: what `cue` left off."""
        return " " if self.text.endswith(" ") else ""

    def inner(self, text: str) -> str:
        """The input itself, out of the wrapper if it came in it."""
        return self.wrapper.strip(text)

    def render(self, text: str) -> str:
        """The whole prompt for one input, as the model reads it (nothing cut)."""
        return f"{self.head}{text}{self.cue}"

    def with_shots(self, shots: list[tuple[str, str]]) -> Template:
        """The template with solved examples in front of the question (k-shot prompting)."""
        if not shots:
            return self
        before, after = self.text[: self._span()[0]], self.text[self._span()[1] :]
        solved = "\n\n".join(f"{before}{_escape(q)}{after}{_escape(a)}" for q, a in shots)
        separator = "\n\n" if self.instruction else ""
        return Template(text=f"{separator}{solved}\n\n{self.text}", instruction=self.instruction)

    def _span(self) -> tuple[int, int]:
        match = _PLACEHOLDER.search(self.text)
        assert match is not None  # __post_init__ counted exactly one
        return match.span()


def _escape(text: str) -> str:
    """Solved examples must not bring placeholders of their own."""
    return text.replace("{{", "{ {").replace("}}", "} }")
