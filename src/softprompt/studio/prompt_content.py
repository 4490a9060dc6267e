"""The shape of a prompt session's content, which any client may write: what the prompt is made of has to fit.

Whatever stands beside that is kept as it is. A shape is a type, `[shape]` for a list, a mapping for an object whose
named values have to fit, or a tuple of shapes of which one has to. Nothing, and null, fits everywhere but in a list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from softprompt.errors import ParameterInvalid

LAB = "lab"
"""Where a session's content keeps what the Prompt Lab has beside the prompt: tests, columns, values."""


@dataclass(frozen=True, slots=True)
class Texts:
    """A list that begins with so many texts."""

    least: int


Shape = type | list["Shape"] | Mapping[str, "Shape"] | tuple["Shape", ...] | Texts
CONTENT: Shape = {
    "text": str,
    "input": (str, [(str, Texts(1))]),
    "data": {"instruction": str, "input_prefix": str, "output_prefix": str, "examples": [Texts(2)]},
    LAB: {
        "variables": dict,
        "tries": [{"input": str, "expected": str}],
        "columns": [{"subject": str, "parameters": {"stop": [str]}}],
    },
}
_MOST = 5
"""Misfits that an error names."""


def check(content: Mapping[str, Any]) -> None:
    """Refuse content that no prompt can be made of.

    Raises:
        ParameterInvalid: with the places that do not fit, and what would.
    """
    found = list(_misfits(content, CONTENT, "content"))
    if found:
        more = f"; and {len(found) - _MOST} more" if len(found) > _MOST else ""
        raise ParameterInvalid(f"{'; '.join(found[:_MOST])}{more}.")


def _misfits(value: Any, shape: Shape, where: str) -> Iterator[str]:
    if value is None:
        return
    if isinstance(shape, Mapping) and isinstance(value, Mapping):
        for name, inner in shape.items():
            yield from _misfits(value.get(name), inner, f"{where}.{name}")
    elif isinstance(shape, list) and isinstance(value, list):
        for number, item in enumerate(value):
            if item is None:
                yield f"{where}.{number}: null is not {_words(shape[0])}"
            yield from _misfits(item, shape[0], f"{where}.{number}")
    elif not _fits(value, shape):
        yield f"{where}: {str(value)[:40]!r} is not {_words(shape)}"


def _fits(value: Any, shape: Shape) -> bool:
    if isinstance(shape, tuple):
        return any(not list(_misfits(value, each, "")) for each in shape)
    if isinstance(shape, Texts):
        first = value[: shape.least] if isinstance(value, list) else []
        return len(first) == shape.least and all(isinstance(each, str) for each in first)
    return isinstance(shape, type) and isinstance(value, shape)


def _words(shape: Shape) -> str:
    if isinstance(shape, tuple):
        return " or ".join(_words(each) for each in shape)
    if isinstance(shape, Texts):
        return "a list of texts" if shape.least == 1 else f"a list of {shape.least} texts"
    if isinstance(shape, list):
        return "a list"
    return "a text" if shape is str else "an object"
