"""Deployment spaces as IBM's client knows them, and promotion of assets into them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from softprompt.api.answers import GUARDED, REPEATABLE, revision_of, tagged
from softprompt.api.context import unit_of
from softprompt.api.watsonx.projects import storage
from softprompt.api.watsonx.shared import NAMED, Body, Limit, Patch, listed, made, patched
from softprompt.errors import UsageError
from softprompt.storage.tables import Dataset, PromptSession, Space, TunedPrompt
from softprompt.studio import prompt_sessions, spaces, tuned_prompts
from softprompt.studio.access import Unit, check_revision, iso

router = APIRouter(tags=["watsonx: spaces"])


class NewSpace(Body):
    name: str
    description: str | None = None
    tags: list[str] | None = None
    storage: dict[str, Any] | None = None
    stage: dict[str, Any] | None = None
    """{"production": true} makes a space of the stage production."""


class Promotion(Body):
    spaceId: str
    projectId: str | None = None
    assetDescription: str | None = None


@router.get("/v2/spaces")
def list_spaces(request: Request, limit: Limit = 100, name: str = "", cursor: str | None = None) -> dict[str, Any]:
    with unit_of(request, write=False) as unit:
        exact = {"name": name} if name else {}
        page = spaces.page(unit, limit=limit, cursor=cursor, **exact)
        return listed(request, page, lambda row: document(request, row), limit)


@router.post("/v2/spaces", status_code=202, response_model=dict[str, Any], openapi_extra=REPEATABLE)
def create_space(request: Request, body: NewSpace) -> JSONResponse:
    stage = body.stage or {}
    word = stage.get("name") if stage.get("name") in ("development", "testing", "production") else None

    def make(unit: Unit) -> dict[str, Any]:
        space = spaces.create(
            unit,
            body.name,
            stage=word or ("production" if stage.get("production") else "development"),
            description=body.description or "",
            tags=body.tags,
            storage=body.storage,
        )
        return document(request, space)

    return made(request, body, make, 202)


@router.get("/v2/spaces/{space_id}", response_model=dict[str, Any])
def get_space(request: Request, space_id: str) -> JSONResponse:
    with unit_of(request, write=False) as unit:
        space = spaces.get(unit, space_id)
        return tagged(space, document(request, space))


@router.patch("/v2/spaces/{space_id}", response_model=dict[str, Any], openapi_extra=GUARDED)
def update_space(request: Request, space_id: str, body: Patch) -> JSONResponse:
    values = patched(body, NAMED)
    with unit_of(request) as unit:
        space = spaces.update(unit, space_id, revision=revision_of(request), **values)
        return tagged(space, document(request, space))


@router.delete("/v2/spaces/{space_id}", status_code=202, openapi_extra=GUARDED)
def delete_space(request: Request, space_id: str) -> dict[str, str]:
    with unit_of(request) as unit:
        check_revision(spaces.get(unit, space_id), revision_of(request))
        spaces.delete(unit, space_id)
    return {"id": space_id, "state": "deleted"}


@router.post(
    "/projects/api/rest/catalogs/assets/{asset_id}/promote", response_model=dict[str, Any], openapi_extra=REPEATABLE
)
def promote(request: Request, asset_id: str, body: Promotion) -> JSONResponse:
    """A tuned prompt or a prompt template of a project, again in a space."""

    def make(unit: Unit) -> dict[str, Any]:
        promoted = _promoted(unit, asset_id, body)
        return {"promotedAsset": {"asset_id": promoted.id, "space_id": promoted.space_id, "name": promoted.name}}

    return made(request, body, make, 200)


def _promoted(unit: Unit, asset_id: str, body: Promotion) -> TunedPrompt | PromptSession:
    if unit.seen(Dataset, asset_id) is not None:
        unit.get(Dataset, asset_id, need="viewer")
        raise UsageError("Data assets stay in their project. What can be promoted: tuned prompts and prompt templates.")
    if unit.seen(PromptSession, asset_id) is None:
        return tuned_prompts.promote(unit, asset_id, body.spaceId, description=body.assetDescription)
    session = unit.get(PromptSession, asset_id, need="viewer")
    return prompt_sessions.create(
        unit,
        spaces.get(unit, body.spaceId),
        session.name,
        mode=session.mode,
        model_id=session.model_id,
        content=session.content,
        description=session.description if body.assetDescription is None else body.assetDescription,
        tags=session.tags,
    )


def document(request: Request, space: Space) -> dict[str, Any]:
    stage: dict[str, Any] = {"name": space.stage, "production": space.stage == "production"}
    return {
        "metadata": {
            "id": space.id,
            "url": f"/v2/spaces/{space.id}",
            "created_at": iso(space.created_at),
            "updated_at": iso(space.updated_at),
            "creator_id": space.created_by or "studio",
        },
        "entity": {
            "name": space.name,
            "description": space.description,
            "tags": space.tags,
            "stage": stage,
            "storage": storage(request, space.id),
            "status": {"state": "active"},
        },
    }
