"""How the studio and its machine are, over HTTP, for admins of the studio. What everybody may know is in `status`."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.context import studio_of
from softprompt.api.studio.shapes import new_router
from softprompt.studio import health
from softprompt.studio.access import iso

router = new_router("status")


class HealthQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    checks: Annotated[bool, Field(description="Also what `softprompt doctor` finds; takes longer.")] = False


class ProcessShown(TypedDict):
    name: str
    kind: str
    state: str
    pid: int | None
    restarts: int
    problem: str


class DiskShown(TypedDict):
    """A file system that the studio writes to, what of it lies there, and its bytes."""

    holds: list[str]
    path: str
    free: int
    whole: int


class FindingShown(TypedDict):
    """`verdict` is ok, warning or wrong; then `words` say what to do."""

    check: str
    verdict: str
    words: str


class HealthShown(TypedDict):
    """`supervised`: whether `softprompt up` keeps it alive; `checks` is null if nobody asked for them."""

    version: str
    python: str
    system: str
    packages: dict[str, str]
    database: str
    database_address: str
    database_bytes: int | None
    revision: str
    newest_revision: str
    store: str
    supervised: bool
    started: str | None
    processes: list[ProcessShown]
    disks: list[DiskShown]
    checks: list[FindingShown] | None


@router.get("/api/health", response_model=HealthShown)
def show_health(request: Request, query: Annotated[HealthQuery, Query()]) -> Any:
    """Processes, disks, database and versions of this machine."""
    studio = studio_of(request)
    found = health.look(studio.office, studio.settings)
    checks = [dataclasses.asdict(each) for each in studio.examine()] if query.checks else None
    return {**dataclasses.asdict(found), "started": iso(found.started), "checks": checks}
