"""A dataset file as examples and problems: JSON lines, JSON array or CSV, told apart by content, never by name.

`stream` never stops at the first error and holds one row at a time; `read` gathers; `read_examples` refuses bad files.
What a row may look like stands in `rows`, the two formats in `read_json` and `read_csv`.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from softprompt.data import read_csv
from softprompt.data.problems import Problem, Rows
from softprompt.data.read_json import JsonReader
from softprompt.data.records import Example, trimmed
from softprompt.data.source import Source
from softprompt.errors import DatasetInvalid, UsageError

NAMED = 50
"""Problems that an error message names; the rest is counted."""

_OBJECT = re.compile(r"^[ \t,\[\x00\ufeff]*\{", re.MULTILINE)
_OBJECT_LINE = re.compile(r"[ \t,\[\x00\ufeff]*\{\s*[\"'“”„‟‘]")


def stream(path: str | Path) -> Iterator[Example | Problem]:
    """Every row of the file as an example or a problem, in order; repaired rows give both, the problem first."""
    with Source(path) as source:
        yield from source.notes
        if not source.usable:
            return
        rows = refused = blanks = first = 0
        for item in _rows(source):
            if isinstance(item, Example):
                rows += 1
                bare = trimmed(item)
                if bare is not item:
                    blanks, first = blanks + 1, first or item.line
                yield bare
            else:
                refused += not item.repaired
                yield item
        if blanks:
            yield _blanks(blanks, first)
        if not rows and not refused:
            fix = 'Write one {"input": "…", "output": "…"} a line.'
            yield Problem(0, 0, "empty", "The file holds no rows.", fix, False)


def read(path: str | Path) -> Rows:
    """All examples and all problems of the file."""
    examples, problems = [], []
    for item in stream(path):
        if isinstance(item, Example):
            examples.append(item)
        else:
            problems.append(item)
    return Rows(tuple(examples), tuple(problems))


def read_examples(path: str | Path) -> list[Example]:
    """The examples of a file whose every row can be used; else an error that names what cannot."""
    rows = read(path)
    if refused := rows.refused:
        raise DatasetInvalid(describe(path, refused, len(rows.examples)))
    return list(rows.examples)


def describe(path: str | Path, refused: tuple[Problem, ...], valid: int) -> str:
    """One message for all rows that cannot be used."""
    named = "\n".join(f"  {problem}" for problem in refused[:NAMED])
    rest = f"\n  … and {len(refused) - NAMED} more." if len(refused) > NAMED else ""
    count = "1 problem" if len(refused) == 1 else f"{len(refused)} problems"
    rows = "1 valid row" if valid == 1 else f"{valid} valid rows"
    return (
        f"{path}: {count} beside {rows}.\n{named}{rest}\n"
        f"Correct them, or write the valid rows to a new file: softprompt data check {path} --fix NEW.jsonl"
    )


def write_jsonl(examples: Iterable[Example], path: str | Path) -> int:
    """Write the examples as JSON lines and return their number; after a crash the old file is still whole."""
    path = Path(path)
    temporary = None
    count = 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            for count, example in enumerate(examples, start=1):  # noqa: B007
                row = {"input": example.input, "output": example.output}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp lets nobody else read
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}. Choose another folder.") from error
    except UnicodeEncodeError as error:
        raise DatasetInvalid(f"Row {count} holds half a character, which UTF-8 cannot write. Take it out.") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
    return count


def _rows(source: Source) -> Iterator[Example | Problem]:
    chunks = source.chunks()
    head = ""
    while len(head) < 1 << 16 and (piece := next(chunks, None)) is not None:
        head += piece
    chunks = itertools.chain([head], chunks)
    lines = [line for line in head.split("\n") if line.strip()]
    if not lines or lines[0].lstrip(" \t\x00\ufeff").startswith(("{", "[")):
        return JsonReader(chunks).rows()
    header = read_csv.header(lines[0])
    if _json_below(header, lines[1:], head):
        if header is None or not header.complete:
            return JsonReader(chunks).rows()
        note = Problem(
            1, 1, "header", "A CSV header stands above rows of JSON; passed over.", "Remove it.", True, lines[0][:60]
        )
        below = itertools.chain([head.replace(lines[0], "", 1)], itertools.islice(chunks, 1, None))
        return itertools.chain([note], JsonReader(below).rows())
    if header is None:
        return iter([read_csv.missing_header(lines[0])])
    return read_csv.CsvReader(read_csv.split_lines(chunks)).rows()


def _json_below(header: read_csv.Header | None, lines: list[str], head: str) -> bool:
    """Whether the rows are JSON although the first line is not: one odd line must not cost all others."""
    if header is None or not header.complete:  # as CSV, the file would hold no row at all
        return _OBJECT.search(head) is not None
    objects = sum(_OBJECT_LINE.match(line) is not None for line in lines)
    return objects * 2 > len(lines) or (bool(lines) and lines[0].strip() in ("{", "[", "[{"))


def _blanks(count: int, first: int) -> Problem:
    where = f"1 output (line {first})" if count == 1 else f"{count:,} outputs (first: line {first})"
    message = f"Blanks stand around {where}; they were taken off."
    return Problem(0, 0, "blanks", message, "Write outputs without blanks around them.", True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
