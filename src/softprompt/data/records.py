"""The row of a dataset. What can be wrong with one stands in `problems`."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled example: what comes in and what should come out."""

    input: str
    output: str
    line: int = 0
    """1-based line of the file it came from; 0 if it came from no file."""


def trimmed(example: Example) -> Example:
    """The example without blanks and line breaks around its output: "Service " is no label beside "Service"."""
    bare = example.output.strip()
    return example if bare == example.output else replace(example, output=bare)
