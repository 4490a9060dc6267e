"""How the studio is: versions, queue, workers, and whatever answers."""

from __future__ import annotations

import platform
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict

from softprompt import __version__
from softprompt.api.context import caller_of, studio_of
from softprompt.api.studio.shapes import new_router
from softprompt.errors import SoftpromptError
from softprompt.jobs import workers
from softprompt.storage.rows import Rows
from softprompt.storage.work import Job
from softprompt.studio import standing
from softprompt.studio.access import iso

router = new_router("status")


class WorkerShown(TypedDict):
    id: str
    device: str
    busy: bool
    heartbeat_at: str | None


class StatusShown(TypedDict):
    version: str
    python: str
    tables: str
    database: str
    queue: dict[str, int]
    workers: list[WorkerShown]
    deployments: int
    serving: dict[str, Any]


@router.get("/api/status", response_model=StatusShown)
async def status(request: Request) -> Any:
    """What runs, what waits, which versions."""
    shown = await run_in_threadpool(_shown, request)
    try:
        serving = {"state": "ok", **await studio_of(request).backend.status()}
    except SoftpromptError as error:
        serving = {"state": error.code, "message": str(error)}
    actor = caller_of(request).actor
    if not (actor.admin and actor.container_id is None):  # names of other people's prompts may stand in it
        serving = {"state": serving["state"]}
    return {**shown, "serving": serving}


def _shown(request: Request) -> dict[str, Any]:
    office = studio_of(request).office
    database = office.database
    with database.read() as session:
        rows = Rows(session)
        return {
            "version": __version__,
            "python": platform.python_version(),
            "tables": database.revision() or "",
            "database": "sqlite" if database.sqlite else "postgresql",
            "queue": {state: rows.count(Job, state=state) for state in ("queued", "running")},
            "workers": [
                {
                    "id": row.id,
                    "device": row.device,
                    "busy": row.job_id is not None,
                    "heartbeat_at": iso(row.heartbeat_at),
                }
                for row in workers.present(rows)
            ],
            "deployments": standing.answering(rows, office.store),
        }
