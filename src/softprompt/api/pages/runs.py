"""Pages of single runs: watch one, end it early."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from softprompt.api.context import unit_of
from softprompt.api.pages.shared import form_of, frame_of, go, in_unit, page_answer
from softprompt.jobs import events
from softprompt.storage.tables import Dataset, RunEvent, TuningRun
from softprompt.storage.work import Job
from softprompt.studio import runs
from softprompt.studio.access import Unit
from softprompt.ui.pages import run as run_page

router = APIRouter(include_in_schema=False)
MOST_EVENTS = 5000


@router.get("/tuning/runs/{run_id}")
def show_run(request: Request, run_id: str) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        run = runs.get(unit, run_id)
        dataset = unit.rows.get(Dataset, run.dataset_id)
        text = run_page.run(frame_of(request, unit), run, _events(unit, run), dataset, _before(unit, run))
    return page_answer(request, text)


def _events(unit: Unit, run: TuningRun) -> list[RunEvent]:
    """What the run told, the newest thousands."""
    last = events.newest_id(unit.rows, run.id)
    found: list[RunEvent] = []
    seen = 0
    while seen < last and len(found) < MOST_EVENTS:
        some = events.after(unit.rows, run.id, seen, 500)
        if not some:
            break
        found += some
        seen = some[-1].id
    return found


def _before(unit: Unit, run: TuningRun) -> int:
    job = unit.rows.first(Job, subject_id=run.id)
    if job is None or job.state != "queued":
        return 0
    return sum(other.created_at < job.created_at for other in unit.rows.all(Job, state="queued"))


@router.post("/tuning/runs/{run_id}/cancel")
async def cancel(request: Request, run_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: runs.cancel(unit, run_id))
    return go(f"/tuning/runs/{run_id}")


@router.post("/tuning/runs/{run_id}/keep")
async def keep(request: Request, run_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: runs.cancel(unit, run_id, "keep"))
    return go(f"/tuning/runs/{run_id}")
