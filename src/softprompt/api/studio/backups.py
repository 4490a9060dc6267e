"""Backups that the studio makes of itself, over HTTP: made, listed, carried away, deleted."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import FileResponse, Response
from typing_extensions import TypedDict

from softprompt.api.answers import paged, refuse_key
from softprompt.api.context import caller_of, studio_of, unit_of
from softprompt.api.studio.lists import Whole
from softprompt.api.studio.shapes import BINARY, Listed, new_router, page_of
from softprompt.studio import backups
from softprompt.studio.access import iso
from softprompt.studio.backups import Kept

router = new_router("backups")


class BackupShown(TypedDict):
    name: str
    bytes: int
    made_at: str


class BackupPaging(Listed):
    sort: Literal["made_at", "-made_at", "name", "-name", "bytes", "-bytes"] = "-made_at"


BACKUPS: Whole[Kept] = Whole(
    key=lambda kept: kept.name,
    sorts={
        "made_at": lambda kept: kept.made_at.timestamp(),
        "name": lambda kept: kept.name,
        "bytes": lambda kept: kept.size,
    },
    name=lambda kept: kept.name,
)


class NewBackup(BackupShown):
    """`rows` by table; `missing` are files that a row names and the store did not have."""

    rows: dict[str, int]
    missing: list[str]


def show_backup(found: Kept) -> BackupShown:
    return {"name": found.name, "bytes": found.size, "made_at": iso(found.made_at) or ""}


@router.get("/api/backups", response_model=page_of(BackupShown, "Backups"))
def list_backups(request: Request, query: Annotated[BackupPaging, Query()]) -> Any:
    """Backups in the data folder, the newest first."""
    with unit_of(request, write=False) as unit:
        found = backups.kept(unit, studio_of(request).settings.data_dir)
        return paged(request, BACKUPS.page(found, query), show_backup)


@router.post("/api/backups", status_code=201, response_model=NewBackup)
def make_backup(request: Request) -> Any:
    """Write everything, as of this moment, into one file of the data folder; others go on working meanwhile.

    It holds digests of keys and passwords. `softprompt restore` makes a studio of it.
    """
    refuse_key(request, "every backup is of another moment")
    studio = studio_of(request)
    made, manifest = backups.make(studio.office, caller_of(request).actor, studio.settings.data_dir)
    return {**show_backup(made), "rows": manifest.rows, "missing": manifest.missing}


@router.get(
    "/api/backups/{name}/file",
    response_class=FileResponse,
    responses={200: {"content": {"application/zip": BINARY}}},
)
def download_backup(request: Request, name: str) -> FileResponse:
    """The ZIP file. Keep it elsewhere, where only you can read it."""
    with unit_of(request) as unit:
        path = backups.path_of(unit, studio_of(request).settings.data_dir, name)
    return FileResponse(path, media_type="application/zip", filename=name, headers={"cache-control": "no-store"})


@router.delete("/api/backups/{name}", status_code=204)
def delete_backup(request: Request, name: str) -> Response:
    """Delete a backup from the data folder."""
    with unit_of(request) as unit:
        backups.remove(unit, studio_of(request).settings.data_dir, name)
    return Response(status_code=204)
