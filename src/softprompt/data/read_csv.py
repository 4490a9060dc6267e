"""Rows out of CSV text with a header naming `input` and `output`. A forgotten quote costs its line, not the rest.

Delimiter: comma, semicolon or tab, taken from the header. Quotes are doubled inside quoted cells (RFC 4180). Blanks
behind the delimiter are passed over where the header has them. A line that is a JSON row is read as one.
"""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from softprompt.data.problems import SEEN, Problem, excerpt
from softprompt.data.records import Example
from softprompt.data.repair import read_row
from softprompt.data.rows import ALIASES, KEYS, Pairs, build
from softprompt.data.source import LONGEST_ROW

_MOST_LINES = 1000
"""Lines of one quoted cell; a quote open for longer was forgotten."""
_MOST_KNOWN = 1000
"""Different outputs remembered, to tell rows from lines of a text."""
_QUOTE_BEHIND_BLANK = re.compile(r' +"')
_JSON_ROW = re.compile(r"[ \t,\[\x00\ufeff]*(?=\{)")

Line = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Header:
    """The first line. `skips`: blanks follow its delimiters, and are no part of the cells."""

    names: tuple[str, ...]
    delimiter: str
    skips: bool

    @property
    def keys(self) -> list[str]:
        return [name.strip().lower() for name in self.names]

    @property
    def complete(self) -> bool:
        return set(KEYS) <= set(self.keys)


def header(line: str) -> Header | None:
    """The columns of a header line, None if it names neither `input` nor `output`."""
    for delimiter in ",;\t":
        cells = _cells(line, delimiter, skips=True) or []
        if {cell.strip().lower() for cell in cells} & set(KEYS):
            return Header(tuple(cells), delimiter, cells != _cells(line, delimiter, skips=False))
    return None


def missing_header(line: str) -> Problem:
    """What to say about a file that is neither JSON nor CSV with a usable header."""
    delimiter = max(",;\t", key=line.count)
    cells = [cell.strip() for cell in (_cells(line, delimiter, skips=True) or [])]
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
        self._header = Header((), ",", False)
        self._keys: list[str] = []
        self._known: set[str] = set()
        """Outputs seen so far."""
        self._blanks_said = False

    def rows(self) -> Iterator[Example | Problem]:
        number, text = next(self._blankless(), (1, ""))
        found = header(text)
        if found is None or not found.complete:
            yield missing_header(text)
            return
        self._header, self._keys, self._blanks_said = found, found.keys, found.skips
        yield from _header_notes(number, text, found)
        while (item := self._next()) is not None:
            if isinstance(item, Problem):
                yield item
            elif item[1].strip():
                yield from self._row(item)

    def _blankless(self) -> Iterator[Line]:
        while (item := self._next()) is not None:
            if not isinstance(item, Problem) and item[1].strip():
                yield item

    def _row(self, line: Line) -> Iterator[Example | Problem]:
        rows = self._json(*line) if _JSON_ROW.match(line[1]) else None
        for item in self._record(line) if rows is None else rows:
            if isinstance(item, Example) and len(self._known) < _MOST_KNOWN:
                self._known.add(item.output.strip())
            yield item

    def _json(self, number: int, text: str) -> list[Example | Problem] | None:
        """A row of JSON between those of CSV; None if it is none."""
        start = text.index("{")
        found = read_row(text[start:])
        if found is None:
            return None
        if isinstance(found, Pairs):
            message = "The row is JSON, in a file of CSV; it was read as such."
            note = Problem(number, start + 1, "json_line", message, "Write one format.", True, excerpt(text))
            return [note, *build(found, number, lambda _: (number, start + 1), text)]
        offset, kind, message, fix = found
        return [Problem(number, start + offset + 1, kind, message, fix, False, excerpt(text))]

    def _record(self, start: Line) -> Iterator[Example | Problem]:
        number, text = start
        delimiter, wanted = self._header.delimiter, len(self._keys)
        more = self._quoted_rest(text) if text.count('"') % 2 else []
        whole = "\n".join([text, *(line for _, line in more)])
        cells = self._cells(whole)
        if more and (cells is None or len(cells) != wanted or self._swallows(text, more)):
            # The quote was forgotten rather than opened: the lines behind it are rows of their own.
            self._ahead.extendleft(reversed(more))
            whole, cells, more = text, self._cells(text), []
        if cells is None or len(cells) != wanted or any(_QUOTE_BEHIND_BLANK.match(cell) for cell in cells):
            skipping = _cells(whole, delimiter, skips=True)
            if skipping and len(skipping) == wanted:
                cells = skipping
                yield from self._blanks_note(number, text)
        if cells is None:
            message = "A quote opens a cell and never closes it, or text follows a closing quote."
            fix = 'Close the cell with "; write a quote inside a cell twice: "".'
            yield Problem(number, max(1, text.find('"') + 1), "quote", message, fix, False, excerpt(text))
        elif len(cells) != wanted:
            message = f"The row has {len(cells)} columns, the header has {wanted}."
            fix = f'Put cells that contain "{delimiter}" in quotes.' if delimiter != "\t" else "Put cells in quotes."
            starts = _starts(whole, delimiter)
            at = starts[wanted] if len(cells) > wanted and len(starts) > wanted else len(whole)
            yield Problem(*_place(whole, at, number), "columns", message, fix, False, excerpt(text))
        else:
            yield from self._quote_notes(number, text, more)
            pairs = Pairs(pair for pair in zip(self._keys, cells, strict=True) if pair[0] in KEYS)
            yield from build(pairs, number, lambda key: self._place(whole, number, key), whole)

    def _cells(self, text: str) -> list[str] | None:
        return _cells(text, self._header.delimiter, skips=self._header.skips)

    def _place(self, whole: str, number: int, key: str) -> tuple[int, int]:
        starts = _starts(whole, self._header.delimiter)
        column = self._keys.index(key) if key in self._keys else 0
        return _place(whole, starts[column] if column < len(starts) else 0, number)

    def _blanks_note(self, number: int, text: str) -> Iterator[Problem]:
        if not self._blanks_said:
            self._blanks_said = True
            yield _blanks(number, text, self._header.delimiter)

    def _quote_notes(self, number: int, text: str, more: list[Line]) -> Iterator[Problem]:
        column = text.find('"') + 1
        if not more and text.count('"') % 2:
            message = "A quote stands alone in a cell; it was kept as text."
            fix = "Take it out, or open the cell with a quote, too."
            yield Problem(number, column, "quote", message, fix, True, excerpt(text))
        elif more and (any(self._plain(line) for _, line in more[:-1]) or self._ends_look_alike(text, more)):
            message = f"A cell goes on up to line {more[-1][0]}, over lines that look like rows; it was kept as one."
            fix = "If a quote was forgotten, close it."
            yield Problem(number, column, "quote", message, fix, True, excerpt(text))

    def _swallows(self, text: str, more: list[Line]) -> bool:
        """Whether the lines between two quotes are rows, rather than the text of one cell."""
        inner = [self._plain(line) for _, line in more[:-1]]
        output = self._keys.index("output")
        if any(cells and cells[output].strip() in self._known for cells in inner):
            return True
        return bool(inner) and all(inner) and self._plain(_without_quote(text)) is not None

    def _ends_look_alike(self, text: str, more: list[Line]) -> bool:
        ends = (_without_quote(text), _without_quote(more[-1][1]))
        return all(self._plain(line) for line in ends)

    def _plain(self, line: str) -> list[str] | None:
        """The cells of a line that is a whole row; commas with blanks behind them are those of a text."""
        cells = self._cells(line)
        if cells is None or len(cells) != len(self._keys) or not all(cell.strip() for cell in cells):
            return None
        prose = not self._header.skips and any(cell.startswith(" ") for cell in cells[1:])
        return None if prose else cells

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


def _header_notes(number: int, text: str, found: Header) -> Iterator[Problem]:
    if found.delimiter != ",":
        what = "semicolons" if found.delimiter == ";" else "tabs"
        yield Problem(
            number, 1, "delimiter", f"The columns are parted by {what}; read so.", "Use commas.", True, excerpt(text)
        )
    if found.skips:
        yield _blanks(number, text, found.delimiter)
    for name, start in zip(found.names, _starts(text, found.delimiter), strict=False):
        key, place = name.strip().lower(), _place(text, start, number)
        if key not in KEYS:
            message = f'Unknown column "{excerpt(name)}"; dropped.'
            yield Problem(*place, "extra_key", message, "Keep input and output only.", True, excerpt(name))
        elif key != name.strip():
            message = f'The column is named "{excerpt(name)}"; it was read as "{key}".'
            yield Problem(*place, "key_case", message, f'Write "{key}".', True, excerpt(name))


def _blanks(number: int, text: str, delimiter: str) -> Problem:
    what = {",": "commas", ";": "semicolons"}.get(delimiter, "tabs")
    message = f"Blanks stand behind the {what}; they were passed over."
    return Problem(number, 0, "blanks", message, "Write no blanks between the cells.", True, excerpt(text))


def _starts(text: str, delimiter: str) -> list[int]:
    """Where each cell begins, blanks in front of it left out."""
    starts, quoted = [0], False
    for at, character in enumerate(text):
        if character == '"':
            quoted = not quoted
        elif character == delimiter and not quoted:
            starts.append(at + 1)
    return [start + len(text[start:]) - len(text[start:].lstrip(" ")) for start in starts]


def _place(text: str, at: int, number: int) -> tuple[int, int]:
    return number + text.count("\n", 0, at), at - text.rfind("\n", 0, at)


def _without_quote(text: str) -> str:
    return text.replace('"', "", 1)


def split_lines(chunks: Iterator[str]) -> Iterator[Line | Problem]:
    """Numbered lines; one that is too long is named and dropped, and never held in memory."""
    number, rest, start, dropping = 1, "", "", False
    for chunk in chunks:
        *whole, rest = (rest + chunk).split("\n")
        for line in whole:
            if dropping or len(line) > LONGEST_ROW:
                yield _too_long(number, start or line)
                start = ""
            else:
                yield number, line
            number, dropping = number + 1, False
        if len(rest) > LONGEST_ROW:
            rest, start, dropping = "", start or rest[: SEEN + 1], True
    if dropping:
        yield _too_long(number, start)
    elif rest:
        yield number, rest


def _too_long(number: int, seen: str) -> Problem:
    message = f"The line is longer than {LONGEST_ROW:,} characters; no model reads that much."
    return Problem(
        number, 1, "too_long", message, "Shorten its input, or cut it into several rows.", False, excerpt(seen)
    )


def _cells(text: str, delimiter: str, *, skips: bool) -> list[str] | None:
    limit = csv.field_size_limit(LONGEST_ROW * 2)
    try:
        records = list(csv.reader([text], delimiter=delimiter, strict=True, skipinitialspace=skips))
    except csv.Error:
        return None
    finally:
        csv.field_size_limit(limit)
    return records[0] if len(records) == 1 else None
