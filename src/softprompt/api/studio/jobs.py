"""The queue over HTTP, for admins of the studio: what runs, waits and failed, whose turn it is, another try now.

What a run or an evaluation may be told by those who work with it, such as to stop, is theirs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.answers import GUARDED, marked, paged, tags_of
from softprompt.api.context import unit_of
from softprompt.api.studio.lists import Whole
from softprompt.api.studio.shapes import Body, Listed, ProblemShown, new_router
from softprompt.storage.work import Job
from softprompt.studio import queue
from softprompt.studio.access import Unit, iso
from softprompt.studio.queue import MOST_PRIORITY, Seen

router = new_router("jobs")
State = Literal["running", "queued", "completed", "failed", "canceled"]


class JobsQuery(Listed):
    state: Annotated[State | None, Field(description="By default what runs, then what waits, in turn.")] = None
    sort: Annotated[
        Literal["created_at", "-created_at"] | None, Field(description="By default in turn; of those over -created_at.")
    ] = None


JOBS: Whole[Job] = Whole(key=lambda job: job.id, sorts={"created_at": lambda job: job.created_at.timestamp()})
"""Of what runs and waits. The names are not theirs, so the database looks for them."""


class Turn(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"priority": 5}]})
    priority: Annotated[
        int, Field(ge=-MOST_PRIORITY, le=MOST_PRIORITY, description="Larger goes first, before any fairness.")
    ]


class Holder(TypedDict):
    id: str
    host: str
    pid: int
    device: str


class JobShown(TypedDict):
    """`subject_id` is the run or evaluation that the job is for; `not_before` when it may be tried next."""

    id: str
    kind: str
    subject_id: str
    name: str
    project: str
    state: str
    priority: int
    attempts: int
    most_attempts: int
    not_before: str
    lease_until: str | None
    cancel_requested: str | None
    problem: ProblemShown | None
    created_at: str
    started_at: str | None
    finished_at: str | None
    worker: Holder | None
    progress: dict[str, Any]


class Jobs(TypedDict):
    """`counts` are jobs by state."""

    items: list[JobShown]
    total: int
    next: str | None
    counts: dict[str, int]


def show_job(found: Seen) -> JobShown:
    problem: Any = found.problem
    holder = found.holder
    return {
        "id": found.id,
        "kind": found.kind,
        "subject_id": found.subject_id,
        "name": found.name,
        "project": found.project,
        "state": found.state,
        "priority": found.priority,
        "attempts": found.attempts,
        "most_attempts": found.most_attempts,
        "not_before": iso(found.not_before) or "",
        "lease_until": iso(found.lease_until),
        "cancel_requested": found.cancel_requested,
        "problem": problem,
        "created_at": iso(found.created_at) or "",
        "started_at": iso(found.started_at),
        "finished_at": iso(found.finished_at),
        "worker": {"id": holder.id, "host": holder.host, "pid": holder.pid, "device": holder.device}
        if holder
        else None,
        "progress": found.progress,
    }


@router.get("/api/jobs", response_model=Jobs)
def list_jobs(request: Request, query: Annotated[JobsQuery, Query()]) -> Any:
    """The queue: what runs and who holds it, what waits in the order of its turns; or those that are over."""
    with unit_of(request, write=False) as unit:
        if query.state in ("completed", "failed", "canceled"):
            words = query.model_dump(include={"search", "limit", "cursor"})
            found, page = queue.ended(unit, query.state, sort=query.sort or "-created_at", **words)
        else:
            states = (query.state,) if query.state else ("running", "queued")
            page = JOBS.page(queue.at_hand(unit, states, search=query.search), query)
            found = queue.all_seen(unit, page.items)
        seen = {each.id: each for each in found}
        return {**paged(request, page, lambda job: show_job(seen[job.id])), "counts": queue.counts(unit)}


@router.patch("/api/jobs/{job_id}", response_model=JobShown, openapi_extra=GUARDED)
def set_job_priority(request: Request, job_id: str, body: Turn) -> JSONResponse:
    """Let a job that waits go earlier or later. Named by its id, or by that of its run or evaluation.

    Its priority is its ETag.
    """
    before = tags_of(request)
    shown = _changed(request, lambda unit: queue.set_priority(unit, job_id, body.priority, before=before))
    return marked(shown["priority"], shown)


@router.post("/api/jobs/{job_id}/retry", response_model=JobShown)
def retry_job(request: Request, job_id: str) -> Any:
    """Do not wait any longer until the next attempt of a job that broke off."""
    return _changed(request, lambda unit: queue.retry_now(unit, job_id))


@router.post("/api/jobs/{job_id}/cancel", response_model=JobShown)
def cancel_job(request: Request, job_id: str) -> Any:
    """End a job: what waits at once, what runs as soon as its worker hears of it."""
    return _changed(request, lambda unit: queue.cancel(unit, job_id))


def _changed(request: Request, work: Callable[[Unit], Job]) -> JobShown:
    with unit_of(request) as unit:
        return show_job(queue.seen(unit, work(unit)))
