"""What the routes of pages share: the frame, the answer with its strict policy, forms with their token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from softprompt.api.context import caller_of
from softprompt.api.context import in_unit as in_unit
from softprompt.api.html import page_answer as page_answer
from softprompt.api.html import static_version as static_version
from softprompt.errors import SoftpromptError, StaleForm
from softprompt.storage.tables import Project
from softprompt.studio import projects
from softprompt.studio.access import Unit
from softprompt.ui.layout import Frame

Again = Callable[[str, int], Response | Awaitable[Response]]
"""Draws the page of a form once more, with what was wrong and the status that goes with it."""


def frame_of(request: Request, unit: Unit) -> Frame:
    """The frame of a page for whoever asks."""
    caller = caller_of(request)
    project = unit.rows.first(Project, sandbox=True)
    return Frame(
        user=caller.actor.name,
        path=request.url.path,
        project=project.name if project and unit.role_in(project) else "",
        csrf=caller.csrf or "",
        version=static_version(),
        admin=caller.actor.whole,
    )


async def form_of(request: Request, *, files: int = 0) -> FormData:
    """A posted form; refused without the token of the browser session. Whoever takes files closes it."""
    form = await request.form(max_files=files, max_fields=2000)
    caller = caller_of(request)
    token = str(form.get("csrf", ""))
    if caller.csrf is not None and not hmac.compare_digest(caller.csrf.encode(), token.encode()):
        await form.close()
        raise StaleForm
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


async def carry_out(
    request: Request, work: Callable[[Unit], Any], *, then: str | Callable[[Any], str], again: Again
) -> Response:
    """What a form asks for, and on to another page (`then` may tell it from what was made); refused: the form again."""
    try:
        made = await in_unit(request, work)
    except SoftpromptError as error:
        return await once_more(again, error)
    return go(then if isinstance(then, str) else then(made))


async def once_more(again: Again, error: SoftpromptError) -> Response:
    """The page of a form, with why it was refused. It refuses by itself whoever may not see it, or what is gone."""
    answer = await run_in_threadpool(again, str(error), error.status)
    return answer if isinstance(answer, Response) else await answer
