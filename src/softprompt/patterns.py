"""Regular expressions that people give, for the form of answers: compiled once, matched as a whole, never for ever.

The `regex` package is what matches: it can tell whether the beginning of a text may still become a match, and it stops
after a time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from softprompt.errors import ParameterInvalid

LONGEST = 1000
"""Characters that an expression may have."""
SECONDS = 0.1
"""Longest time for one match: some expressions take for ever on some texts."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> Any:
    """The expression, ready to match; refused (`ParameterInvalid`) if it is none."""
    import regex

    if len(pattern) > LONGEST:
        raise ParameterInvalid(f"pattern: it has {len(pattern):,} characters; {LONGEST:,} are allowed.")
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise ParameterInvalid(f"pattern: {pattern!r} is no regular expression: {error}.") from error


def matches(pattern: str, text: str, *, partial: bool = False) -> bool:
    """Whether the text matches as a whole; with `partial`, whether it could with more text behind it."""
    try:
        return compiled(pattern).fullmatch(text, partial=partial, timeout=SECONDS) is not None
    except TimeoutError as error:
        raise ParameterInvalid(
            f"pattern: {pattern!r} took longer than {SECONDS:g} s on {text[:40]!r}. Write it without a repetition "
            "inside a repetition."
        ) from error
