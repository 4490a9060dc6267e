"""Style sheet, scripts and logo; plotly from its own wheel. Packed once, kept by browsers for ever."""

from __future__ import annotations

import gzip
import re
from functools import cache
from importlib.resources import files

from fastapi import APIRouter, Request, Response

from softprompt.api.pages.shared import static_version
from softprompt.errors import NotFound

router = APIRouter(include_in_schema=False)
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
PLOTLY = "plotly.min.js"
_IMPORT = re.compile(rb'((?:from|import) "\./[\w-]+\.js)"')
"""Modules are imported under the address that pages name, or they would be loaded twice and never renewed."""
FOR_EVER = "public, max-age=31536000, immutable"


@router.get("/static/{name}")
def static(request: Request, name: str) -> Response:
    packed = "gzip" in request.headers.get("accept-encoding", "")
    body = _packed(name) if packed else _bytes(name)
    headers = {"cache-control": FOR_EVER, "vary": "accept-encoding"}
    if packed:
        headers["content-encoding"] = "gzip"
    return Response(body, 200, headers, TYPES[name.rsplit(".", 1)[-1]])


@cache
def _packed(name: str) -> bytes:
    return gzip.compress(_bytes(name), 6)


@cache
def _bytes(name: str) -> bytes:
    if name == PLOTLY:
        return (files("plotly") / "package_data" / PLOTLY).read_bytes()
    folder = files("softprompt.ui") / "static"
    if name not in {file.name for file in folder.iterdir()} or name.rsplit(".", 1)[-1] not in TYPES:
        raise NotFound(f"There is no file {name!r} among the static ones.")
    body = (folder / name).read_bytes()
    return _IMPORT.sub(rb'\1?v=%s"' % static_version().encode(), body) if name.endswith(".js") else body
