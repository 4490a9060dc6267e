"""The Prompt Lab's form: read into a page, and the small changes that its buttons make without a script."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from starlette.datastructures import FormData

from softprompt.errors import ParameterInvalid
from softprompt.studio.lab import (
    INPUT_PREFIX,
    MOST_COLUMNS,
    MOST_ROWS,
    MOST_STOPS,
    NUMBERS,
    OUTPUT_PREFIX,
    Column,
    LabPage,
    Try,
    as_freeform,
)
from softprompt.ui.pages.lab_columns import named

T = TypeVar("T")
_BREAKS = {"\\n": "\n", "\\t": "\t"}
"""What a person types for characters that a field of one line cannot hold."""


def read(form: FormData) -> LabPage:
    """What stands in the form. Rows beyond the most that a page has are refused, never left out in silence."""
    inputs, outputs = texts(form, "example_input"), texts(form, "example_output")
    asked = texts(form, "try_input")
    expected = [*texts(form, "try_expected"), *[""] * len(asked)]
    for name, rows in (("examples", inputs), ("tests", asked)):
        if len(rows) > MOST_ROWS:
            raise ParameterInvalid(f"{name}: {len(rows)} rows given; a page has at most {MOST_ROWS}.")
    values = dict(zip(texts(form, "variable_name"), texts(form, "variable_value"), strict=False))
    count = text(form, "columns")
    columns = min(int(count), MOST_COLUMNS) if count.isdecimal() else 1
    return LabPage(
        mode="freeform" if text(form, "mode") == "freeform" else "structured",
        instruction=text(form, "instruction"),
        input_prefix=text(form, "input_prefix", INPUT_PREFIX),
        output_prefix=text(form, "output_prefix", OUTPUT_PREFIX),
        examples=tuple(zip(inputs, outputs, strict=False)),
        text=text(form, "text"),
        variables={name: value for name, value in values.items() if value},
        tries=tuple(Try(i, e) for i, e in zip(asked, expected, strict=False)) or (Try(),),
        columns=tuple(_column(form, number) for number in range(max(1, columns))),
    )


def edited(page: LabPage, do: str) -> LabPage:
    """The page after one of its buttons; unknown words leave it as it is."""
    word, *given = do.split(":")
    places = [int(part) if part.isdecimal() else 0 for part in given]
    place = places[0] if places else 0
    if word == "mode":
        return as_freeform(page) if given == ["freeform"] else replace(page, mode="structured")
    if word.startswith("example-"):
        return replace(page, examples=_rows(page.examples, word.removeprefix("example-"), place, ("", "")))
    if word.startswith("try-"):
        return replace(page, tries=_rows(page.tries, word.removeprefix("try-"), place, Try()) or (Try(),))
    if word == "column-add" and len(page.columns) < MOST_COLUMNS:
        return replace(page, columns=(*page.columns, page.columns[-1]))
    if word == "column-remove" and len(page.columns) > 1:
        return replace(page, columns=_rows(page.columns, "remove", place, Column()))
    if place >= len(page.columns):
        return page
    column = page.columns[place]
    if word == "reset":
        column = replace(column, decoding="greedy", numbers={}, stop=())
    elif word == "words":
        column = replace(column, words=given[1:] == ["send"])
    elif word == "stop-remove":
        column = replace(column, stop=_rows(column.stop, "remove", places[1] if places[1:] else 0, ""))
    return replace(page, columns=(*page.columns[:place], column, *page.columns[place + 1 :]))


def text(form: FormData, name: str, default: str = "") -> str:
    value = form.get(name, default)
    return value.replace("\r\n", "\n") if isinstance(value, str) else default


def texts(form: FormData, name: str) -> list[str]:
    return [value.replace("\r\n", "\n") for value in form.getlist(name) if isinstance(value, str)]


def _column(form: FormData, number: int) -> Column:
    shots = text(form, named("shots", number))
    stops = [_BREAKS.get(each.strip(), each) for each in texts(form, named("stop", number))]
    given = {name: text(form, named(name, number)) for name in NUMBERS if named(name, number) in form}
    return Column(
        subject=text(form, named("subject", number)),
        shots=int(shots) if shots.isdecimal() else None,
        words=text(form, named("words", number)) == "send",
        way="text" if text(form, named("way", number)) == "text" else "auto",
        decoding=text(form, named("decoding", number), "greedy"),
        numbers=given,
        stop=tuple(dict.fromkeys(each for each in stops if each))[: MOST_STOPS + 1],
    )


def _rows(rows: Sequence[T], how: str, place: int, new: T) -> tuple[T, ...]:
    """The rows with one more, one less, or one moved."""
    found = list(rows)
    if how == "add":
        return (*found, new) if len(found) < MOST_ROWS else tuple(found)
    if place >= len(found):
        return tuple(found)
    row = found.pop(place)
    if how == "up":
        found.insert(max(0, place - 1), row)
    elif how == "down":
        found.insert(place + 1, row)
    return tuple(found)
