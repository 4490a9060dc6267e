"""Bytes of a file as text, in pieces: encodings, byte order marks and line ends. Knows neither JSON nor CSV.

Bytes that do not fit the encoding stay visible as lone surrogates (U+DC80 and up), so that only their row is refused.
"""

from __future__ import annotations

import codecs
import io
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from softprompt.data.problems import Problem
from softprompt.errors import DatasetUnreadable

CHUNK = 1 << 18
LONGEST_ROW = 1 << 20
"""Characters of one row; more than that cannot be read by any model and would cost memory."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark starts with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_CONTAINERS = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook", "Export the sheet as CSV (UTF-8), or unpack the archive."),
    (b"\x1f\x8b", "compressed with gzip", "Unpack it first: gunzip FILE."),
    (b"PAR1", "a Parquet file", "Convert it to JSON lines first."),
    (b"\x89PNG", "a picture (PNG)", "Choose the file with the examples: JSON lines, a JSON array or CSV."),
    (b"\xff\xd8\xff", "a picture (JPEG)", "Choose the file with the examples: JSON lines, a JSON array or CSV."),
    (b"\xd0\xcf\x11\xe0", "an old Office document", "Export the sheet as CSV (UTF-8)."),
    (b"%PDF", "a PDF document", 'Copy the examples into JSON lines: {"input": "…", "output": "…"}.'),
)


class Source:
    """One open dataset file. `notes` are the problems of the file as a whole, known before its first row."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._file = _open(self.path)
        start = self._file.read(CHUNK)
        mark, self.encoding = _encoding(start)
        self._start = start[len(mark) :]
        self.notes = list(_notes(mark, self.encoding, start))
        self.usable = all(note.repaired for note in self.notes)

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def chunks(self) -> Iterator[str]:
        """The text, with every kind of line end as a newline. Can be read once."""
        decoder = io.IncrementalNewlineDecoder(
            codecs.getincrementaldecoder(self.encoding)(
                "surrogateescape" if self.encoding == "utf-8" else "softprompt-mark"
            ),
            translate=True,
        )
        piece = self._start
        while piece:
            if text := decoder.decode(piece):
                yield text
            try:
                piece = self._file.read(CHUNK)
            except OSError as error:
                raise _unreadable(self.path, error) from error
        if text := decoder.decode(b"", final=True):
            yield text


def _open(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        if stat.S_ISREG(mode) or stat.S_ISDIR(mode):  # opening a pipe would wait for its writer
            return path.open("rb", buffering=0)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _unreadable(path, error) from error
    raise DatasetUnreadable(f"{path} is a pipe or a device. Save the rows to a file first.")


def _unreadable(path: Path, error: Exception) -> DatasetUnreadable:
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return DatasetUnreadable(f"{path} is a link to {path.readlink()}, which does not exist. Mend the link.")
        near = sorted(p.name for p in path.parent.glob("*.json*"))[:5] if path.parent.is_dir() else []
        hint = f" Beside it there is: {', '.join(near)}." if near else ""
        return DatasetUnreadable(f"{path} does not exist. Check the name and the folder.{hint}")
    if isinstance(error, IsADirectoryError):
        return DatasetUnreadable(f"{path} is a folder. Name the file inside it: JSON lines, a JSON array or CSV.")
    if isinstance(error, PermissionError):
        return DatasetUnreadable(f"{path} may not be read by this user. Change its permissions: chmod u+r {path}")
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return DatasetUnreadable(f"{path} cannot be read: {reason}. Copy the file to a local disk and try again.")


def _encoding(start: bytes) -> tuple[bytes, str]:
    for mark, name in _MARKS:
        if start.startswith(mark):
            return mark, name
    head = start[:256]
    if len(head) >= 4:  # text that is mostly ASCII has a NUL in every second byte of UTF-16
        even, odd = head[0::2].count(0), head[1::2].count(0)
        if odd > len(head) * 0.4 and even == 0:
            return b"", "utf-16-le"
        if even > len(head) * 0.4 and odd == 0:
            return b"", "utf-16-be"
    return b"", "utf-8"


def _notes(mark: bytes, encoding: str, start: bytes) -> Iterator[Problem]:
    for signature, what, fix in _CONTAINERS:
        if start.startswith(signature):
            yield Problem(0, 0, "format", f"The file is {what}, not text.", fix, False, repr(start[:4]))
            return
    if encoding != "utf-8":
        name = encoding.upper().replace("-LE", " (little endian)").replace("-BE", " (big endian)")
        yield Problem(
            1, 1, "encoding", f"The file is {name}; it was read as such.", "Save it as UTF-8.", True, repr(start[:4])
        )
    elif mark:
        message = "The file starts with a byte order mark (BOM); it was taken off."
        yield Problem(1, 1, "bom", message, "Save it as UTF-8 without BOM.", True, "\\ufeff")


def _mark(error: UnicodeError) -> tuple[str, int]:
    """UTF-16 has no surrogateescape of its own."""
    assert isinstance(error, UnicodeDecodeError)
    return "\udcff", error.end


codecs.register_error("softprompt-mark", _mark)
