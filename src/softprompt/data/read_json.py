"""Rows out of JSON lines and JSON arrays, one by one, whatever stands between them. Memory does not grow with the file.

Both are read as what they share: objects with separators in between. So two objects on a line, an object over several
lines and commas after lines are no special cases. After a broken object reading goes on at the next line that starts
with `{`, or at the next `{"input"` after a closing bracket: a valid row is never lost to its neighbour.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterator

from softprompt.data.problems import SEEN, Problem, excerpt
from softprompt.data.records import Example
from softprompt.data.repair import DECODER, explain, repair
from softprompt.data.rows import Pairs, build, is_row
from softprompt.data.source import LONGEST_ROW

_SEPARATOR = re.compile(r"[ \t\n\f\v,\[\]\x00\ufeff]*")
_KEY = r"\{\s*[\"“”„‘']\s*(?:input|output)\b"
_BOUNDARY = re.compile(rf"(?:\n[ \t,\[\x00\ufeff]*(?=\{{))|(?:(?<=[}}\],])[ \t\n]*(?={_KEY}))", re.IGNORECASE)
_LINE_START = re.compile(r"\n[ \t]*(?=\{)")
_START = re.compile(_KEY, re.IGNORECASE)
_ENVELOPE = re.compile(
    rf'\{{\s*(?:"[^"]*"\s*:\s*(?:"[^"]*"|[\w.+-]+)\s*,\s*)*"(?!(?:input|output)")([^"]+)"\s*:\s*\[\s*(?={_KEY})',
    re.IGNORECASE,
)
"""`{"data": [` in front of the first row."""
_AFTER_GARBAGE = re.compile(rf"\n|{_KEY}", re.IGNORECASE)
_TAIL = 64
"""Characters kept when a too long row is dropped piecewise: no boundary is longer."""
_INNER_TRIES = 50
_PASSED = 1 << 13
"""Characters behind us that are kept in the window when rows are broken: each error counts all lines from its start."""


class JsonReader:
    """Walks over a window of the text. `line` and `column` belong to `pos`."""

    def __init__(self, chunks: Iterator[str]) -> None:
        self._chunks = chunks
        self._text = ""
        self._pos = 0
        self._line = self._column = 1
        self._ended = False
        self._array = False
        self._first = self._at_start = True
        self._enveloped = self._behind_list = False
        """Whether the rows stand in a list inside of one object, and whether that list has ended."""
        self._mended = False
        """The object before was broken: what separates it from the next one says nothing."""

    def rows(self) -> Iterator[Example | Problem]:
        while True:
            yield from self._separator()
            text, pos = self._text, self._pos
            if pos >= len(text):
                return
            if self._behind_list:
                self._end_envelope()
                continue
            if text[pos] != "{":
                yield self._garbage()
                continue
            if self._at_start and (envelope := _ENVELOPE.match(text, pos)):
                yield self._open_envelope(envelope)
                continue
            self._at_start = False
            value, end = self._decode()
            if value is None:
                yield from self._broken()
                continue
            if is_row(value):
                question, answer = value if value[0][0] == "input" else reversed(value)
                yield Example(question[1], answer[1], self._line)
            else:
                end = yield from self._unusual(value, end)
            self._advance(end)

    def _open_envelope(self, found: re.Match[str]) -> Problem:
        self._at_start, self._enveloped, self._array, self._mended = False, True, True, True
        message = f'The rows stand in a list under "{excerpt(found[1])}"; they were read from there.'
        fix = "Write the list alone, or one row a line."
        problem = self._problem(self._pos, "envelope", message, fix, repaired=True, seen=found.group())
        self._advance(found.end())
        return problem

    def _end_envelope(self) -> None:
        """Pass over what stands behind the list, up to the end of the object around it."""
        self._behind_list = self._enveloped = False
        self._mended = True
        end = self._text.find("}", self._pos)
        if end >= 0 and not _START.search(self._text, self._pos, end):
            self._advance(end + 1)

    def _decode(self) -> tuple[Pairs | None, int]:
        """The object at `pos`; None if it is broken, and then the window reaches to its end (or its limit)."""
        while True:
            try:
                value, end = DECODER.raw_decode(self._text, self._pos)
            except (ValueError, RecursionError) as error:
                known_end = not self._cut_by_window(error) and _BOUNDARY.search(self._text, self._pos + 1)
                if known_end or not self._fill():
                    return None, self._pos
            else:
                return value, end

    def _cut_by_window(self, error: Exception) -> bool:
        if self._ended or not isinstance(error, json.JSONDecodeError):
            return False
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._text) - 16

    def _unusual(self, pairs: Pairs, end: int) -> Generator[Example | Problem, None, int]:
        """A parsed object that needs a second look; returns where reading goes on."""
        inner = self._swallowed(pairs, end)
        if inner is not None:
            message = "The object is not closed before the next row starts."
            seen = self._text[self._pos : inner]
            yield self._problem(self._pos, "unfinished", message, "Close it with }.", seen=seen)
            self._mended = True
            return inner
        yield from self._build(pairs, end)
        return end

    def _swallowed(self, pairs: Pairs, end: int) -> int | None:
        """Where a valid row on a line of its own, or in a list such as `{"data": […]}`, starts inside the object."""
        keyed = any(key.strip().lower() in ("input", "output") for key, _ in pairs)
        pattern, at = (_LINE_START if keyed else _START), self._pos + 1
        for _ in range(_INNER_TRIES):
            match = pattern.search(self._text, at, end)
            if match is None:
                return None
            start = match.end() if keyed else match.start()
            if self._row_at(start):
                return start
            at = start + 1
        return None

    def _row_at(self, start: int) -> bool:
        try:
            value, _ = DECODER.raw_decode(self._text, start)
        except (ValueError, RecursionError):
            return False
        return is_row(value)

    def _broken(self) -> Iterator[Example | Problem]:
        self._mended = True
        if self._pos > _PASSED:
            self._text, self._pos = self._text[self._pos :], 0
        match = _BOUNDARY.search(self._text, self._pos + 1)
        end = match.start() if match else len(self._text)
        if match is None and not self._ended:
            yield self._too_long()
            return
        segment = self._text[self._pos : end]
        if repaired := repair(segment):
            for change in repaired.changes:
                at, seen = self._pos + change.offset, segment[change.offset :]
                yield self._problem(at, change.kind, change.message, change.fix, repaired=True, seen=seen)
            yield from self._build(repaired.pairs, end)
            self._advance(end)
            return
        offset, kind, message, fix = explain(segment)
        inner = self._inner_row(self._pos + 1, end)
        yield self._problem(self._pos + offset, kind, message, fix, seen=segment)
        self._advance(inner if inner is not None else end)

    def _inner_row(self, at: int, end: int) -> int | None:
        for _ in range(_INNER_TRIES):
            match = _START.search(self._text, at, end)
            if match is None:
                return None
            if self._row_at(match.start()):
                return match.start()
            at = match.start() + 1
        return None

    def _too_long(self) -> Problem:
        """Drop the object piece by piece up to the next boundary."""
        message = f"The row is longer than {LONGEST_ROW:,} characters; no model reads that much."
        problem = self._problem(
            self._pos,
            "too_long",
            message,
            "Shorten its input, or cut it into several rows.",
            seen=self._text[self._pos : self._pos + SEEN],
        )
        self._drop(_BOUNDARY)
        return problem

    def _garbage(self) -> Problem:
        self._mended = True
        match = _AFTER_GARBAGE.search(self._text, self._pos)
        while match is None and self._fill():
            match = _AFTER_GARBAGE.search(self._text, self._pos)
        end = match.start() if match else len(self._text)
        seen = self._text[self._pos : end]
        message = "Text stands outside of any object."
        fix = 'Each row is one object: {"input": "…", "output": "…"}.'
        if seen.lstrip().startswith(('"', "“")):
            message, fix = "The row does not start with {.", 'Write {"input": "…", "output": "…"}.'
        problem = self._problem(self._pos, "garbage", message, fix, seen=seen)
        if match is None and not self._ended:
            self._drop(_AFTER_GARBAGE)
        else:
            self._advance(end)
        return problem

    def _drop(self, pattern: re.Pattern[str]) -> None:
        while True:
            match = pattern.search(self._text, self._pos + 1)
            if match:
                self._advance(match.start())
                return
            if self._ended:
                self._advance(len(self._text))
                return
            self._advance(max(self._pos, len(self._text) - _TAIL))
            self._fill()

    def _separator(self) -> Iterator[Problem]:
        """Go to the next object or to the end; name what should not stand in between."""
        line, column, between = self._line, self._column, ""
        while True:
            match = _SEPARATOR.match(self._text, self._pos)
            assert match is not None  # the pattern matches nothing, too
            between += match.group()
            self._advance(match.end())
            self._behind_list = self._enveloped and "]" in between
            if self._pos < len(self._text) or not self._fill():
                break
            if len(between) > LONGEST_ROW:
                between = "".join(sorted(set(between)))
        if between != "\n" or self._array:
            if self._first:
                self._array = "[" in between
            for kind, message, fix in () if self._mended else self._judge(between):
                yield Problem(line, column, kind, message, fix, True, excerpt(between) or repr(between[:9]))
        self._first = self._mended = False

    def _judge(self, between: str) -> Iterator[tuple[str, str, str]]:
        at_end, commas = self._pos >= len(self._text), between.count(",")
        if "\x00" in between:
            yield "nul", f"{between.count(chr(0))} NUL characters stand between rows; passed over.", "Export again."
        if at_end and self._array and "]" not in between:
            yield "unclosed_array", "The array is not closed; the file may be cut off.", "Export the file again."
        elif self._array and not self._first and not at_end and commas != 1 and "]" not in between:
            yield "separator", f"{commas} commas stand between two elements; both were read.", "Write one comma."
        elif commas and (not self._array or self._first or at_end):
            yield "trailing_comma", "A comma stands outside of the rows; passed over.", "Remove it."
        elif not self._array and not self._first and not at_end and "\n" not in between:
            yield "same_line", "Two objects share a line; both were read.", "Start each on a line of its own."

    def _build(self, pairs: Pairs, end: int) -> Iterator[Example | Problem]:
        start = self._pos

        def place(key: str) -> tuple[int, int]:
            found = self._text.find(json.dumps(key, ensure_ascii=False), start, end) if key else -1
            return self._locate(found if found >= 0 else start)

        return build(pairs, self._line, place, self._text[start:end])

    def _problem(
        self, at: int, kind: str, message: str, fix: str, *, repaired: bool = False, seen: str = ""
    ) -> Problem:
        line, column = self._locate(at)
        return Problem(line, column, kind, message, fix, repaired, excerpt(seen))

    def _locate(self, at: int) -> tuple[int, int]:
        breaks = self._text.count("\n", self._pos, at)
        if breaks:
            return self._line + breaks, at - self._text.rfind("\n", self._pos, at)
        return self._line, self._column + at - self._pos

    def _advance(self, to: int) -> None:
        self._line, self._column = self._locate(to)
        self._pos = to

    def _fill(self) -> bool:
        """Read one more piece; False at the end of the file, or if the row at `pos` has reached its limit."""
        if self._ended or len(self._text) - self._pos > LONGEST_ROW:
            return False
        piece = next(self._chunks, None)
        if piece is None:
            self._ended = True
            return False
        self._text = self._text[self._pos :] + piece
        self._pos = 0
        return True
