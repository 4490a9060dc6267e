"""What the routes of pages share: the frame, the answer with its strict policy, forms with their token."""

from __future__ import annotations

import gzip
import hmac
from functools import cache
from importlib.resources import files
from typing import Any

from fastapi import Request
from fastapi.responses import RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from softprompt.api.context import caller_of, unit_of
from softprompt.errors import Forbidden
from softprompt.storage.tables import Project
from softprompt.studio import projects
from softprompt.studio.access import Unit
from softprompt.ui.layout import Frame

CSP = (
    "default-src 'self'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
"""Styles may be inline: plotly writes them, and widths of bars are styles. Scripts may not."""
_LEAST = 1000
"""Bytes from which packing pays."""


def frame_of(request: Request, unit: Unit) -> Frame:
    """The frame of a page for whoever asks."""
    caller = caller_of(request)
    project = unit.rows.first(Project, sandbox=True)
    return Frame(
        user=caller.actor.name,
        path=request.url.path,
        project=project.name if project and unit.role_in(project) else "–",
        csrf=caller.csrf or "",
        version=static_version(),
    )


def page_answer(request: Request, text: str, status: int = 200) -> Response:
    """HTML with the headers that all pages have, packed if the browser takes it."""
    body, headers = (
        text.encode(),
        {"content-security-policy": CSP, "cache-control": "no-store", "vary": "accept-encoding"},
    )
    if len(body) > _LEAST and "gzip" in request.headers.get("accept-encoding", ""):
        body, headers["content-encoding"] = gzip.compress(body, 5), "gzip"
    return Response(body, status, headers, "text/html; charset=utf-8")


async def form_of(request: Request) -> FormData:
    """A posted form; refused without the token of the browser session."""
    form = await request.form(max_files=4, max_fields=2000)
    caller = caller_of(request)
    token = str(form.get("csrf", ""))
    if caller.csrf is not None and not hmac.compare_digest(caller.csrf.encode(), token.encode()):
        await form.close()
        raise Forbidden("This form is from an older page. Load the page again, then send it.")
    caller.checked = True
    return form


def text_of(form: FormData) -> dict[str, str]:
    """The form's fields that are text and not empty."""
    return {name: value.strip() for name, value in form.items() if isinstance(value, str) and value.strip()}


def go(path: str) -> RedirectResponse:
    """On to another page, as a GET."""
    return RedirectResponse(path, 303)


def project_of(unit: Unit) -> Project:
    """The project people work in."""
    return projects.find(unit, None)


async def in_unit(request: Request, work: Any, *, write: bool = True) -> Any:
    """`work(unit)` in a unit of work, away from the event loop."""

    def inside() -> Any:
        with unit_of(request, write=write) as unit:
            return work(unit)

    return await run_in_threadpool(inside)


@cache
def static_version() -> str:
    """Changes when a static file does, so that browsers may keep them for ever."""
    import hashlib

    digest = hashlib.sha256()
    folder = files("softprompt.ui") / "static"
    for file in sorted(folder.iterdir(), key=lambda f: f.name):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:10]
