"""The page of health; its live part and the checks, alone, for the script that asks for them."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from softprompt.api.context import studio_of, unit_of
from softprompt.api.pages.admin import for_admins
from softprompt.api.pages.shared import frame_of, page_answer
from softprompt.errors import SoftpromptError
from softprompt.studio import health, queue
from softprompt.studio.access import Unit
from softprompt.studio.health import Finding
from softprompt.ui.pages import health as pages

router = APIRouter(include_in_schema=False)
TITLE = "Health"


@router.get("/admin/health")
async def show_health(request: Request, checks: str = "") -> Response:
    serving = await _serving(request)

    def answer() -> Response:
        def draw(unit: Unit) -> str:
            findings = _findings(request) if checks else None
            shown = _look(request)
            return pages.health(frame_of(request, unit), shown, serving, queue.overview(unit), findings)

        return for_admins(request, TITLE, draw)

    return await run_in_threadpool(answer)


@router.get("/admin/health/live")
async def show_live(request: Request) -> Response:
    """The part that changes, alone."""
    serving = await _serving(request)

    def answer() -> Response:
        with unit_of(request, write=False) as unit:
            return page_answer(request, str(pages.live(_look(request), serving, queue.overview(unit))))

    return await run_in_threadpool(answer)


@router.get("/admin/health/checks")
def show_checks(request: Request) -> Response:
    """What `softprompt doctor` says, alone."""
    with unit_of(request, write=False) as unit:
        unit.need_studio_admin()
    return page_answer(request, str(pages.checks(_findings(request))))


def _findings(request: Request) -> list[Finding]:
    return list(studio_of(request).examine())


def _look(request: Request) -> health.Health:
    studio = studio_of(request)
    return health.look(studio.office, studio.settings)


async def _serving(request: Request) -> pages.Serving:
    try:
        return pages.Serving(await studio_of(request).backend.status())
    except SoftpromptError as error:
        return pages.Serving({}, str(error))
