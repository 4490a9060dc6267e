"""The row of a dataset. What can be wrong with one stands in `problems`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled example: what comes in and what should come out."""

    input: str
    output: str
    line: int = 0
    """1-based line of the file it came from; 0 if it came from no file."""
