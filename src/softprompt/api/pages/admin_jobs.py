"""The page of the queue, the live part of it, and the little that may be changed there."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from softprompt.api.context import unit_of
from softprompt.api.pages.admin import Draw, again_for_admins, for_admins
from softprompt.api.pages.shared import carry_out, form_of, frame_of, page_answer, text_of
from softprompt.errors import ParameterInvalid
from softprompt.studio import queue
from softprompt.studio.access import Unit
from softprompt.ui.pages import jobs as pages

router = APIRouter(include_in_schema=False)
TITLE = "Jobs"
DONE = {
    "priority": "The order was changed.",
    "canceled": "Canceled. What was at work ends as soon as its worker hears of it.",
    "retry": "It is tried as soon as a worker is free.",
}


@router.get("/admin/jobs")
def show_jobs(request: Request, state: str = "failed", cursor: str | None = None, told: str = "") -> Response:
    return for_admins(request, TITLE, _jobs(request, state, cursor, done=DONE.get(told, "")))


def _jobs(request: Request, state: str = "failed", cursor: str | None = None, **told: str) -> Draw:
    def draw(unit: Unit) -> str:
        over, found = queue.ended(unit, state, cursor=cursor)
        following = f"/admin/jobs?state={state}&cursor={found.next}#over" if found.next else None
        return pages.jobs(frame_of(request, unit), queue.overview(unit), over, state, following=following, **told)

    return draw


@router.get("/admin/jobs/live")
def show_live(request: Request) -> Response:
    """The part that changes, alone."""
    with unit_of(request, write=False) as unit:
        return page_answer(request, str(pages.live(frame_of(request, unit), queue.overview(unit))))


@router.post("/admin/jobs/{job_id}/priority")
async def set_priority(request: Request, job_id: str) -> Response:
    given = text_of(await form_of(request))
    return await _changed(request, lambda unit: queue.set_priority(unit, job_id, _whole(given)), "priority")


def _whole(given: dict[str, str]) -> int:
    try:
        return int(given.get("priority", ""))
    except ValueError:
        raise ParameterInvalid(f"priority: {given.get('priority', '')!r} is no whole number.") from None


@router.post("/admin/jobs/{job_id}/retry")
async def retry(request: Request, job_id: str) -> Response:
    await form_of(request)
    return await _changed(request, lambda unit: queue.retry_now(unit, job_id), "retry")


@router.post("/admin/jobs/{job_id}/cancel")
async def cancel(request: Request, job_id: str) -> Response:
    await form_of(request)
    return await _changed(request, lambda unit: queue.cancel(unit, job_id), "canceled")


async def _changed(request: Request, work: Any, told: str) -> Response:
    again = again_for_admins(request, TITLE, lambda words: _jobs(request, problem=words))
    return await carry_out(request, work, then=f"/admin/jobs?told={told}", again=again)
