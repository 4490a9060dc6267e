"""Spaces over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict
from typing_extensions import TypedDict

from softprompt.api.answers import GUARDED, REPEATABLE, created, paged, revision_of, tagged
from softprompt.api.context import in_unit, unit_of
from softprompt.api.readiness import readiness
from softprompt.api.studio.shapes import (
    Body,
    Description,
    Name,
    NounShown,
    Paging,
    Tags,
    given,
    new_router,
    page_of,
    show_noun,
)
from softprompt.storage.tables import Space
from softprompt.studio import spaces
from softprompt.studio.access import check_revision
from softprompt.studio.spaces import Stage

router = new_router("spaces")


class NewSpace(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Live", "stage": "production"}]})
    name: Name
    stage: Stage = "development"
    description: Description = ""
    tags: Tags = []


class SpaceChanges(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"stage": "testing"}]})
    name: Name | None = None
    stage: Stage | None = None
    description: Description | None = None
    tags: Tags | None = None


class SpaceShown(NounShown):
    stage: str


def show_space(row: Space) -> SpaceShown:
    return {**show_noun(row), "stage": row.stage}


class ReadinessShown(TypedDict):
    """Whether deployments of the space can answer; `waits_for` says what is missing."""

    ready: bool
    message: str
    waits_for: str


class SpacePaging(Paging):
    stage: Stage | None = None


@router.get("/api/spaces", response_model=page_of(SpaceShown, "Spaces"))
def list_spaces(request: Request, query: Annotated[SpacePaging, Query()]) -> Any:
    """Spaces that you may see."""
    with unit_of(request, write=False) as unit:
        where = {"stage": query.stage} if query.stage else {}
        return paged(request, spaces.page(unit, **where, **query.words()), show_space)


@router.post("/api/spaces", status_code=201, response_model=SpaceShown, openapi_extra=REPEATABLE)
def create_space(request: Request, body: NewSpace) -> JSONResponse:
    """Make a space; you become its admin."""
    return created(request, body.model_dump(), lambda unit: show_space(spaces.create(unit, **body.model_dump())))


@router.get("/api/spaces/{space_id}", response_model=SpaceShown)
def get_space(request: Request, space_id: str) -> JSONResponse:
    """A space by its id or name."""
    with unit_of(request, write=False) as unit:
        row = spaces.find(unit, space_id)
        return tagged(row, show_space(row))


@router.get("/api/spaces/{space_id}/readiness", response_model=ReadinessShown)
async def space_readiness(request: Request, space_id: str) -> Any:
    """Whether store and serving host are there; ask again until they are."""
    await in_unit(request, lambda unit: spaces.find(unit, space_id), write=False)
    found = await readiness(request)
    return {"ready": found.ready, "message": found.words, "waits_for": found.waits_for}


@router.patch("/api/spaces/{space_id}", response_model=SpaceShown, openapi_extra=GUARDED)
def update_space(request: Request, space_id: str, body: SpaceChanges) -> JSONResponse:
    """Change name, stage, description or tags."""
    with unit_of(request) as unit:
        changes = given(body, "name", "stage", "description", "tags")
        row = spaces.update(unit, space_id, revision=revision_of(request), **changes)
        return tagged(row, show_space(row))


@router.delete("/api/spaces/{space_id}", status_code=204, openapi_extra=GUARDED)
def delete_space(request: Request, space_id: str) -> Response:
    """Hide a space; refused while a deployment stands in it."""
    with unit_of(request) as unit:
        check_revision(unit.get(Space, space_id), revision_of(request))
        spaces.delete(unit, space_id)
    return Response(status_code=204)
