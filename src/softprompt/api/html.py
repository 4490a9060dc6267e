"""HTML as an answer: its headers, packed where the browser takes that, and the version of the files beside it."""

from __future__ import annotations

import gzip
import hashlib
from functools import cache
from importlib.resources import files

from fastapi import Request
from fastapi.responses import Response

CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Styles may be inline: plotly writes them, and widths of bars are styles. Scripts may not."""
_LEAST = 1000
"""Bytes from which packing pays."""


def page_answer(
    request: Request, text: str, status: int = 200, more: dict[str, str] | None = None
) -> Response:  # fmt: skip
    """HTML with the headers that all pages have, and more, packed if the browser takes it."""
    body, headers = (
        text.encode(),
        {"content-security-policy": CSP, "cache-control": "no-store", "vary": "accept-encoding", **(more or {})},
    )
    if len(body) > _LEAST and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["content-encoding"] = gzip.compress(body, 5), "gzip"
    return Response(body, status, headers, "text/html; charset=utf-8")


@cache
def static_version() -> str:
    """Changes when a static file does, so that browsers may keep them for ever."""
    digest = hashlib.sha256()
    folder = files("softprompt.ui") / "static"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:10]
