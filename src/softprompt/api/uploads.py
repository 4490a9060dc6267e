"""A request's body becomes a file while it comes in: raw, or the one file of a multipart form. Never whole in memory.

Whatever goes wrong, and after the work is done, the file is gone. Limits on bytes are the middleware's.
"""

from __future__ import annotations

import contextlib
import errno
import time
import uuid
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import BinaryIO

from fastapi import Request
from python_multipart.multipart import MultipartParser
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from softprompt.errors import StorageFull, UsageError

PIECE = 2**20
"""Bytes that are gathered before they are written."""
FORGOTTEN = 24 * 3600
"""Seconds after which a file of a process that died is removed."""
UPLOAD_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {"file": {"type": "string", "format": "binary"}},
                    "required": ["file"],
                }
            },
        },
    }
}
"""For the documentation of routes that take a file."""


@dataclass(frozen=True, slots=True)
class Received:
    """A file that came in.

    Attributes:
        file_name: as the form says; empty for a raw body.
    """

    path: Path
    size: int
    file_name: str
    media_type: str


@asynccontextmanager
async def received(request: Request, folder: Path) -> AsyncIterator[Received]:
    """The file in the body, for as long as the block lasts."""
    _forget(folder)
    path = folder / f"{uuid.uuid4().hex}.part"
    try:
        with path.open("xb") as file:
            got = await _receive(request, path, file)
        yield got
    except ClientDisconnect as error:
        raise UsageError("The upload broke off; nothing was stored. Send the file again.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"There is no room for the upload in {folder.name}. Nothing was stored.") from error
        raise
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def written(folder: Path, lines: Iterable[bytes]) -> Iterator[Path]:
    """A file of lines that are made here, for as long as the block lasts."""
    path = folder / f"{uuid.uuid4().hex}.part"
    try:
        with path.open("xb") as file:
            file.writelines(lines)
        yield path
    finally:
        path.unlink(missing_ok=True)


async def _receive(request: Request, path: Path, file: BinaryIO) -> Received:
    media_type = request.headers.get("content-type", "application/octet-stream")
    form = _Form.of(media_type)
    waiting, size = bytearray(), 0
    async for chunk in request.stream():
        waiting += form.take(chunk) if form else chunk
        if len(waiting) >= PIECE:
            size += len(waiting)
            await run_in_threadpool(file.write, bytes(waiting))
            waiting.clear()
    size += len(waiting)
    await run_in_threadpool(file.write, bytes(waiting))
    if form is None:
        return Received(path, size, "", media_type)
    form.finish()
    return Received(path, size, form.file_name, form.media_type)


@dataclass(slots=True)
class _Form:
    """Takes the one file out of a multipart form."""

    boundary: bytes
    file_name: str = ""
    media_type: str = "application/octet-stream"
    _parser: MultipartParser = field(init=False)
    _out: bytearray = field(default_factory=bytearray)
    _header: tuple[bytearray, bytearray] = field(default_factory=lambda: (bytearray(), bytearray()))
    _headers: dict[str, str] = field(default_factory=dict)
    _files: int = 0
    _inside: bool = False
    _ended: bool = False

    def __post_init__(self) -> None:
        self._parser = MultipartParser(
            self.boundary,
            {
                "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
                "on_header_end": self._header_ended,
                "on_headers_finished": self._headers_ended,
                "on_part_data": self._data,
                "on_part_end": self._part_ended,
                "on_end": self._form_ended,
            },
        )

    @classmethod
    def of(cls, content_type: str) -> _Form | None:
        """None if the body is no form."""
        message = Message()
        message["content-type"] = content_type
        if message.get_content_type() != "multipart/form-data":
            return None
        boundary = None
        with contextlib.suppress(ValueError):  # it may be written in a character set that is none
            boundary = message.get_boundary()
        if not boundary or len(boundary) > 200:
            raise UsageError("Content-Type: multipart/form-data needs its boundary, of at most 200 characters.")
        return cls(boundary.encode("latin-1", "replace"))

    def take(self, chunk: bytes) -> bytes:
        """Bytes of the file in this piece of the body."""
        self._out.clear()
        try:
            self._parser.write(chunk)
        except ValueError as error:  # of the parser, or of a file name in a character set that is none
            raise UsageError(f"The multipart form cannot be read: {error}. Send the bare file instead.") from error
        return bytes(self._out)

    def finish(self) -> None:
        if self._files != 1 or not self._ended:
            told = "it breaks off" if not self._ended else f"it holds {self._files} files"
            raise UsageError(f"The multipart form cannot be used: {told}; one whole file is wanted, in a field `file`.")

    def _header_ended(self) -> None:
        name, value = (part.decode("utf-8", "replace") for part in self._header)
        self._headers[name.lower()] = value
        self._header = (bytearray(), bytearray())

    def _headers_ended(self) -> None:
        message = Message()
        message["content-disposition"] = self._headers.get("content-disposition", "form-data")
        name = message.get_filename()
        self._inside = name is not None
        if name is not None:
            self._files += 1
            self.file_name = Path(name.replace("\\", "/")).name
            self.media_type = self._headers.get("content-type", self.media_type)
        self._headers = {}

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._inside:
            self._out += data[start:end]

    def _part_ended(self) -> None:
        self._inside = False

    def _form_ended(self) -> None:
        self._ended = True


def _forget(folder: Path) -> None:
    """Remove what a process that died left behind."""
    for path in folder.glob("*.part"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < time.time() - FORGOTTEN:
                path.unlink()
