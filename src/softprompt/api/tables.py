"""Files to keep: what our interface shows as JSON it gives as a table to whoever accepts `text/csv`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

TABLE: dict[int | str, dict[str, Any]] = {200: {"content": {"text/csv": {"schema": {"type": "string"}}}}}
"""For routes that give their list as a table, too: then it is the whole list, whatever `limit` says."""


def wants_table(request: Request) -> bool:
    """Whether whoever asks accepts a table."""
    return "text/csv" in request.headers.get("accept", "")


def table(text: str | Iterator[str], name: str) -> Response:
    """A table under the name that its file shall have."""
    return file_answer(text, "text/csv; charset=utf-8", name)


def file_answer(body: str | bytes | Iterator[str] | Iterator[bytes], kind: str, name: str) -> Response:
    """A file to keep; what comes in pieces goes out in pieces."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in " ._-()") else "_" for c in name)
    shown = f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
    headers = {"content-disposition": shown, "cache-control": "no-store"}
    if isinstance(body, str | bytes):
        return Response(body, headers=headers, media_type=kind)
    return StreamingResponse(body, headers=headers, media_type=kind)
