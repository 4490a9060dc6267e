"""What was deleted, over HTTP: listed, brought back, purged before its time. Deleting is each noun's own."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.answers import paged
from softprompt.api.context import unit_of
from softprompt.api.studio.lists import Whole
from softprompt.api.studio.shapes import Body, Listed, new_router
from softprompt.errors import ParameterInvalid
from softprompt.studio import deployments, trash
from softprompt.studio.access import iso
from softprompt.studio.trash import Deleted

router = new_router("trash")


class TrashPaging(Listed):
    noun: Annotated[str | None, Field(max_length=100, description="Such as dataset, tuning run.")] = None
    sort: Literal["deleted_at", "-deleted_at", "name", "-name"] = "-deleted_at"


TRASH: Whole[Deleted] = Whole(
    key=lambda found: found.id,
    sorts={"deleted_at": lambda found: found.deleted_at.timestamp(), "name": lambda found: found.name.casefold()},
    name=lambda found: found.name,
)


class Restoring(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"nameless": False}]})
    nameless: Annotated[
        bool, Field(description="Of a deployment: without its serving name, which another one has by now.")
    ] = False


class DeletedShown(TypedDict):
    """`goes_at` is when the daily cleaning may take it for good."""

    id: str
    noun: str
    name: str
    deleted_at: str
    goes_at: str


class TrashShown(TypedDict):
    """A page of it, and how much there is of each noun."""

    items: list[DeletedShown]
    total: int
    next: str | None
    counts: dict[str, int]


class RestoredShown(TypedDict):
    id: str
    noun: str
    name: str


class PurgedShown(TypedDict):
    """How many of each noun."""

    purged: dict[str, int]


def show_deleted(found: Deleted) -> DeletedShown:
    return {
        "id": found.id,
        "noun": found.noun,
        "name": found.name,
        "deleted_at": iso(found.deleted_at) or "",
        "goes_at": iso(found.goes_at) or "",
    }


@router.get("/api/trash", response_model=TrashShown)
def list_trash(request: Request, query: Annotated[TrashPaging, Query()]) -> Any:
    """What was deleted and can still be brought back, the newest first."""
    with unit_of(request, write=False) as unit:
        found = trash.everything(unit, query.noun)
        counts = trash.counts(unit)
    return {**paged(request, TRASH.page(found, query), show_deleted), "counts": counts}


@router.post("/api/trash/{deleted_id}/restore", response_model=RestoredShown)
def restore_deleted(request: Request, deleted_id: str, body: Restoring | None = None) -> Any:
    """Bring a deleted noun of any kind back by its id, with what went with it; for whoever may delete it."""
    nameless = body is not None and body.nameless
    with unit_of(request) as unit:
        noun = trash.noun_of(unit, deleted_id)
        if noun == "deployment":
            row: Any = deployments.restore(unit, deleted_id, nameless=nameless)
        elif nameless:
            raise ParameterInvalid(f"nameless: only a deployment has a serving name, and {deleted_id!r} is a {noun}.")
        else:
            row = trash.bring_back(unit, noun, deleted_id)
        return {"id": row.id, "noun": noun, "name": row.name}


@router.delete("/api/trash", response_model=PurgedShown)
def purge_trash(request: Request) -> Any:
    """Remove for good all that is deleted, whenever it was."""
    with unit_of(request) as unit:
        return {"purged": trash.purge_all(unit)}


@router.delete("/api/trash/{deleted_id}", status_code=204)
def purge_deleted(request: Request, deleted_id: str) -> Response:
    """Remove one deleted thing for good."""
    with unit_of(request) as unit:
        trash.purge_one(unit, trash.noun_of(unit, deleted_id), deleted_id)
    return Response(status_code=204)
