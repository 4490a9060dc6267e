"""Rows out of CSV text with a header naming `input` and `output`. A forgotten quote costs its line, not the rest.

Delimiter: comma, semicolon or tab, taken from the header. Quotes are doubled inside quoted cells (RFC 4180).
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator

from softprompt.data.problems import Problem, excerpt
from softprompt.data.records import Example
from softprompt.data.rows import ALIASES, KEYS, Pairs, build
from softprompt.data.source import LONGEST_ROW

_MOST_LINES = 1000
"""Lines of one quoted cell; a quote open for longer was forgotten."""

Line = tuple[int, str]


def header(line: str) -> tuple[list[str], str] | None:
    """Cells and delimiter of a header line, None if it names neither `input` nor `output`."""
    for delimiter in ",;\t":
        cells = _cells(line, delimiter) or []
        if {cell.strip().lower() for cell in cells} & set(KEYS):
            return cells, delimiter
    return None


def missing_header(line: str) -> Problem:
    """What to say about a file that is neither JSON nor CSV with a usable header."""
    delimiter = max(",;\t", key=line.count)
    cells = [cell.strip() for cell in (_cells(line, delimiter) or [])]
    names = {name: cell for name in KEYS for cell in cells if cell.lower() in ALIASES[name]}
    if len(cells) < 2:
        message = "The file is neither JSON lines, nor a JSON array, nor CSV with a header."
        return Problem(1, 1, "format", message, 'Write one {"input": "…", "output": "…"} a line.', False, excerpt(line))
    if names:
        fix = " and ".join(f'rename the column "{cell}" to "{name}"' for name, cell in names.items())
        fix = f"{fix[0].upper()}{fix[1:]}."
    else:
        fix = f"Put a first line into the file: input{delimiter}output"
    message = "The first line of the CSV file names no columns input and output."
    return Problem(1, 1, "header", message, fix, False, excerpt(line))


class CsvReader:
    """Walks over the lines that `lines` gives; the first one is the header."""

    def __init__(self, lines: Iterator[Line | Problem]) -> None:
        self._lines = lines
        self._ahead: deque[Line | Problem] = deque()

    def rows(self) -> Iterator[Example | Problem]:
        number, text = next(self._blankless(), (1, ""))
        names, delimiter = header(text) or ([], ",")
        keys = [name.strip().lower() for name in names]
        if not set(KEYS) <= set(keys):
            yield missing_header(text)
            return
        yield from _header_notes(number, names, delimiter)
        while (item := self._next()) is not None:
            if isinstance(item, Problem):
                yield item
            elif item[1].strip():
                yield from self._record(item, keys, delimiter)

    def _blankless(self) -> Iterator[Line]:
        while (item := self._next()) is not None:
            if not isinstance(item, Problem) and item[1].strip():
                yield item

    def _record(self, start: Line, names: list[str], delimiter: str) -> Iterator[Example | Problem]:
        number, text = start
        more = self._quoted_rest(text) if text.count('"') % 2 else []
        whole = "\n".join([text, *(line for _, line in more)])
        cells = _cells(whole, delimiter)
        if (cells is None or len(cells) != len(names)) and more:
            # The quote was forgotten rather than opened: the lines behind it are rows of their own.
            self._ahead.extendleft(reversed(more))
            whole, cells = text, _cells(text, delimiter)
        if cells is None:
            message = "A quote opens a cell and never closes it, or text follows a closing quote."
            fix = 'Close the cell with "; write a quote inside a cell twice: "".'
            yield Problem(number, max(1, text.find('"') + 1), "quote", message, fix, False, excerpt(text))
        elif len(cells) != len(names):
            message = f"The row has {len(cells)} columns, the header has {len(names)}."
            fix = f'Put cells that contain "{delimiter}" in quotes.' if delimiter != "\t" else "Put cells in quotes."
            yield Problem(number, 1, "columns", message, fix, False, excerpt(text))
        else:
            pairs = Pairs(pair for pair in zip(names, cells, strict=True) if pair[0] in KEYS)
            yield from build(pairs, number, lambda _: (number, 1), whole)

    def _quoted_rest(self, text: str) -> list[Line]:
        """The lines up to the closing quote; none if there is no such line in reach."""
        more: list[Line] = []
        size = len(text)
        while len(more) < _MOST_LINES and size <= LONGEST_ROW:
            item = self._next()
            if item is None:
                break
            if isinstance(item, Problem):
                self._ahead.appendleft(item)
                break
            more.append(item)
            size += len(item[1])
            if item[1].count('"') % 2:
                return more
        self._ahead.extendleft(reversed(more))
        return []

    def _next(self) -> Line | Problem | None:
        return self._ahead.popleft() if self._ahead else next(self._lines, None)


def _header_notes(number: int, names: list[str], delimiter: str) -> Iterator[Problem]:
    if delimiter != ",":
        what = "semicolons" if delimiter == ";" else "tabs"
        yield Problem(number, 1, "delimiter", f"The columns are parted by {what}; read so.", "Use commas.", True)
    for name in names:
        key = name.strip().lower()
        if key not in KEYS:
            message = f'Unknown column "{excerpt(name)}"; dropped.'
            yield Problem(number, 1, "extra_key", message, "Keep input and output only.", True, excerpt(name))
        elif key != name:
            message = f'The column is named "{excerpt(name)}"; it was read as "{key}".'
            yield Problem(number, 1, "key_case", message, f'Write "{key}".', True, excerpt(name))


def split_lines(chunks: Iterator[str]) -> Iterator[Line | Problem]:
    """Numbered lines; one that is too long is named and dropped, and never held in memory."""
    number, rest, dropping = 1, "", False
    for chunk in chunks:
        *whole, rest = (rest + chunk).split("\n")
        for line in whole:
            if dropping or len(line) > LONGEST_ROW:
                yield _too_long(number)
            else:
                yield number, line
            number, dropping = number + 1, False
        if len(rest) > LONGEST_ROW:
            rest, dropping = "", True
    if dropping:
        yield _too_long(number)
    elif rest:
        yield number, rest


def _too_long(number: int) -> Problem:
    message = f"The line is longer than {LONGEST_ROW:,} characters; no model reads that much."
    return Problem(number, 1, "too_long", message, "Shorten its input, or cut it into several rows.", False)


def _cells(text: str, delimiter: str) -> list[str] | None:
    limit = csv.field_size_limit(LONGEST_ROW * 2)
    try:
        records = list(csv.reader([text], delimiter=delimiter, strict=True))
    except csv.Error:
        return None
    finally:
        csv.field_size_limit(limit)
    return records[0] if len(records) == 1 else None
