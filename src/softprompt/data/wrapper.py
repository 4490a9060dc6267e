"""The text that all rows of a file share around their inputs, e.g. "Narrative: …\\nProduct:\\n": find it, take it off.

A model tuned inside one wrapper and asked inside another loses accuracy; so training and test rows are both bared.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from softprompt.data.records import Example

SHORTEST = 8
"""Characters of prefix and suffix together; less is chance."""
FEWEST_ROWS = 3


@dataclass(frozen=True, slots=True)
class Wrapper:
    """Text in front of and behind every input. Empty (and false) if there is none."""

    prefix: str = ""
    suffix: str = ""

    def __bool__(self) -> bool:
        return bool(self.prefix or self.suffix)

    def __str__(self) -> str:
        return f"{self.prefix}…{self.suffix}" if self else ""

    def strip(self, text: str) -> str:
        """The text inside; a text that is not wrapped, or nothing but wrapper, comes back as it is.

        Blanks and line breaks around the whole do not count: whoever types a question seldom sends the last one.
        """
        prefix, suffix, whole = self.prefix.lstrip(), self.suffix.rstrip(), text.strip()
        if not self or not (whole.startswith(prefix) and whole.endswith(suffix)):
            return text
        return whole[len(prefix) : len(whole) - len(suffix)].strip() or text


class WrapperFinder:
    """Finds the wrapper of any number of texts, one text at a time."""

    def __init__(self) -> None:
        self._prefix = self._suffix = ""
        self._rows = 0
        self._shortest = self._longest = 0

    def add(self, text: str) -> None:
        if not self._rows:
            self._prefix = self._suffix = text
            self._shortest = self._longest = len(text)
        self._rows += 1
        if not text.startswith(self._prefix):
            self._prefix = _common_start(self._prefix, text)
        if not text.endswith(self._suffix):
            self._suffix = _common_start(self._suffix[::-1], text[::-1])[::-1]
        self._shortest, self._longest = min(self._shortest, len(text)), max(self._longest, len(text))

    def wrapper(self) -> Wrapper:
        """What all texts so far share, cut back to whole words."""
        if self._rows < FEWEST_ROWS or not (self._prefix or self._suffix):
            return Wrapper()
        found = Wrapper(_whole_words_start(self._prefix), _whole_words_end(self._suffix))
        length = len(found.prefix) + len(found.suffix)
        overlapping = length > self._shortest or length >= self._longest
        return Wrapper() if length < SHORTEST or overlapping else found


def find_wrapper(texts: Iterable[str]) -> Wrapper:
    """What all texts share at their start and end; an empty wrapper if that is less than a few words."""
    finder = WrapperFinder()
    for text in texts:
        finder.add(text)
    return finder.wrapper()


def strip_examples(examples: Sequence[Example]) -> tuple[list[Example], Wrapper | None]:
    """The examples without their shared wrapper, and that wrapper if there was one."""
    wrapper = find_wrapper(example.input for example in examples)
    if not wrapper:
        return list(examples), None
    return [dataclasses.replace(example, input=wrapper.strip(example.input)) for example in examples], wrapper


def _common_start(left: str, right: str) -> str:
    return os.path.commonprefix([left, right])


def _whole_words_start(text: str) -> str:
    end = next((i for i in range(len(text), 0, -1) if text[i - 1].isspace() or text[i - 1] in ":>]|"), 0)
    return text[:end]


def _whole_words_end(text: str) -> str:
    start = next((i for i, c in enumerate(text) if c.isspace() or c in "<[|"), len(text))
    return text[start:]
