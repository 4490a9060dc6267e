"""The rows of a stored dataset, laid out on this machine so that any of them is found at once, in files of any size.

An index is made in one pass when a file comes in, and made again where it is missing: it is a copy, never the data.
Row numbers are those of the rows that can be used, from 0. What pages ask of it stands in `datasets_find`.
"""

from __future__ import annotations

import json
import mmap
import os
import shutil
import time
import uuid
from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

from softprompt.data.problems import Problem
from softprompt.data.read import stream
from softprompt.data.records import Example
from softprompt.data.source import Source

FORM = 1
"""Of the files; an index of another form is made anew."""
UNKNOWN = 2**32 - 1
"""In place of the number of an output, where there are too many different ones to count."""
_MOST_OUTPUTS = 20_000
_MOST_PROBLEMS = 2_000
_BEFORE, _BEHIND = 80, 240
"""Characters of the file that are kept around the place of a problem."""
_UNUSED = 30 * 86400
_NUMBERS: dict[str, Literal["Q", "I"]] = {
    "offsets": "Q", "folded_offsets": "Q", "lines": "I", "outputs": "I", "inputs": "Q", "pairs": "Q", "words": "I",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be used."""

    number: int
    line: int
    input: str
    output: str


@dataclass(frozen=True, slots=True)
class Mark:
    """A problem with the piece of the file around it.

    Attributes:
        row: number of the row that was kept, or of the one that follows.
        text: of the line, around the place.
        at: where in `text` the place is.
        cut: whether the line goes on before and behind `text`.
    """

    problem: Problem
    row: int
    text: str = ""
    at: int = 0
    cut: tuple[bool, bool] = (False, False)


class RowIndex:
    """One dataset's rows. Opened with `open_index`; numbers are read from the files, nothing is held."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        self.count: int = facts["rows"]
        self.answers: list[str] = facts["outputs"]
        """Different outputs, each once."""
        self.counts: list[int] = facts["counts"]
        """Rows of each of them."""
        self.marks = [_mark(each) for each in facts["marks"]]
        self.word_counts: dict[int, int] = {int(words): rows for words, rows in facts["words"].items()}
        """Rows by the number of words in their input."""
        self._texts = _mapped(folder / "texts")
        self.folded = _mapped(folder / "folded")
        """Inputs and outputs without case, for searching."""
        self._columns = {name: _numbers(folder / name, kind) for name, kind in _NUMBERS.items()}
        self._by_output = _numbers(folder / "by_output", "I")
        self._starts = [0]
        for count in self.counts:
            self._starts.append(self._starts[-1] + count)

    def __len__(self) -> int:
        return self.count

    def row(self, number: int) -> Row:
        start, end = self._columns["offsets"][number], self._columns["offsets"][number + 1]
        question, answer = bytes(self._texts[start:end]).decode().split("\x00")
        return Row(number, self._columns["lines"][number], question, answer)

    def rows(self, numbers: Iterable[int] | None = None) -> Iterator[Row]:
        return map(self.row, range(self.count) if numbers is None else numbers)

    def column(self, name: str) -> memoryview:
        """One number a row: `lines`, `outputs`, `words`, and digests of `inputs` and `pairs`."""
        return self._columns[name]

    def with_output(self, output: int) -> memoryview:
        """Numbers of the rows with the output of that number, in order."""
        return self._by_output[self._starts[output] : self._starts[output + 1]]

    def at_line(self, line: int) -> int | None:
        """The first row that begins in a line of the file."""
        lines = self._columns["lines"]
        number = bisect_left(lines, line, 0, self.count)
        return number if number < self.count and lines[number] == line else None

    def at_byte(self, place: int) -> int:
        """The row to which a byte of `folded` belongs."""
        offsets = self._columns["folded_offsets"]
        number = bisect_left(offsets, place, 0, self.count + 1)
        return number if offsets[number] == place else number - 1


def open_index(folder: Path, sha256: str, file: Callable[[], Path]) -> RowIndex:
    """The index of a file, made if it is not there."""
    target = folder / f"{sha256}-{FORM}"
    if not (target / "facts.json").exists():
        build(folder, sha256, file())
    return _opened(target)


def build(folder: Path, sha256: str, path: Path) -> None:
    """Lay out the rows of a file. May be done by several at once: the first one counts."""
    target = folder / f"{sha256}-{FORM}"
    if (target / "facts.json").exists():
        return
    _forget(folder)
    partial = folder / f"{uuid.uuid4().hex}.partial"
    partial.mkdir(parents=True)
    try:
        _write(partial, path)
        with suppress(OSError):  # another one was quicker
            partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@lru_cache(maxsize=16)
def _opened(folder: Path) -> RowIndex:
    os.utime(folder)
    return RowIndex(folder)


def _write(folder: Path, path: Path) -> None:
    columns = {name: array(kind) for name, kind in _NUMBERS.items()}
    known: dict[str, int] = {}
    marks: list[Mark] = []
    sizes = [0, 0]
    with (folder / "texts").open("wb") as texts, (folder / "folded").open("wb") as folded:
        for item in stream(path):
            if isinstance(item, Problem):
                if len(marks) < _MOST_PROBLEMS:
                    marks.append(Mark(item, len(columns["lines"])))
                continue
            for number, (file, name) in enumerate(((texts, "offsets"), (folded, "folded_offsets"))):
                columns[name].append(sizes[number])
                text = f"{item.input}\x00{item.output}"
                sizes[number] += file.write((text.casefold() if number else text).encode())
            _note(columns, known, item)
    columns["offsets"].append(sizes[0])
    columns["folded_offsets"].append(sizes[1])
    counts, by_output = _grouped(columns["outputs"], len(known))
    for name, numbers in (*columns.items(), ("by_output", by_output)):
        with (folder / name).open("wb") as file:
            numbers.tofile(file)
    facts = {
        "rows": len(columns["lines"]),
        "outputs": list(known),
        "counts": counts,
        "words": Counter(columns["words"]),
        "marks": [asdict(mark) for mark in _with_text(path, marks)],
    }
    (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")


def _note(columns: dict[str, array[int]], known: dict[str, int], example: Example) -> None:
    output = example.output.strip()
    number = known.get(output)
    if number is None:
        number = known[output] = len(known) if len(known) < _MOST_OUTPUTS else UNKNOWN
        if number == UNKNOWN:
            del known[output]
    columns["lines"].append(example.line)
    columns["outputs"].append(number)
    columns["words"].append(len(example.input.split()))
    columns["inputs"].append(digest(example.input))
    columns["pairs"].append(digest(f"{example.input}\x00{example.output}"))


def digest(text: str) -> int:
    """64 bits that are the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _grouped(outputs: array[int], known: int) -> tuple[list[int], array[int]]:
    """How many rows each output has, and the numbers of all rows, output by output."""
    groups = [array("I") for _ in range(known)]
    for row, output in enumerate(outputs):
        if output != UNKNOWN:
            groups[output].append(row)
    joined = array("I")
    for group in groups:
        joined.extend(group)
    return [len(group) for group in groups], joined


def _with_text(path: Path, marks: list[Mark]) -> Iterator[Mark]:
    """The marks with the pieces of the file around them: one more pass, which holds no line whole."""
    wanted = sorted({mark.problem.line for mark in marks if mark.problem.line})
    spans: dict[int, list[tuple[int, int]]] = {mark.problem.line: [] for mark in marks}
    for mark in marks:
        start = max(0, mark.problem.column - 1 - _BEFORE)
        spans[mark.problem.line].append((start, start + _BEFORE + _BEHIND))
    kept: dict[tuple[int, int], str] = {}
    ends: dict[int, int] = {}
    if wanted:
        with Source(path) as source:
            _read_spans(source, set(wanted), spans, kept, ends)
    for mark in marks:
        line, start = mark.problem.line, max(0, mark.problem.column - 1 - _BEFORE)
        text = kept.get((line, start), "")
        at = max(0, mark.problem.column - 1 - start)
        more = start + len(text) < ends.get(line, 0)
        yield Mark(mark.problem, mark.row, _printable(text), at, (start > 0, more))


def _read_spans(
    source: Source,
    wanted: set[int],
    spans: dict[int, list[tuple[int, int]]],
    kept: dict[tuple[int, int], str],
    ends: dict[int, int],
) -> None:
    line, base, last = 1, 0, max(wanted)
    for chunk in source.chunks():
        position = 0
        while position < len(chunk) and line <= last:
            end = chunk.find("\n", position)
            stop = len(chunk) if end < 0 else end
            if line in wanted:
                ends[line] = base + stop - position
                for start, behind in dict.fromkeys(spans[line]):
                    low, high = max(start, base), min(behind, base + stop - position)
                    if low < high:
                        piece = chunk[position + low - base : position + high - base]
                        kept[line, start] = kept.get((line, start), "") + piece
            if end < 0:
                base += stop - position
                break
            line, base, position = line + 1, 0, end + 1
        if line > last:
            return


def _printable(text: str) -> str:
    """As it can be shown and stored: what is no character becomes a sign, one for one."""
    return "".join(c if c.isprintable() or c == "\t" else "␀" if c == "\x00" else "\ufffd" for c in text)


def _mark(facts: dict[str, Any]) -> Mark:
    return Mark(Problem(**facts["problem"]), facts["row"], facts["text"], facts["at"], tuple(facts["cut"]))


def _mapped(path: Path) -> mmap.mmap | bytes:
    with path.open("rb") as file:
        if path.stat().st_size == 0:  # which cannot be mapped
            return b""
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _numbers(path: Path, kind: Literal["Q", "I"]) -> memoryview:
    return memoryview(_mapped(path)).cast(kind)


def _forget(folder: Path) -> None:
    """Remove indices that nobody opened for long, and what a process that died left behind."""
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        with suppress(OSError):
            if path.stat().st_mtime < time.time() - _UNUSED:
                shutil.rmtree(path, ignore_errors=True)
