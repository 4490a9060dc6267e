"""`GET /v1/models`: what may be asked by the caller, under the names that go into `model`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from softprompt.api.context import unit_of
from softprompt.api.openai.documented import MODEL, MODELS
from softprompt.errors import ModelUnknown, NotFound
from softprompt.storage.tables import Deployment, Project, Space
from softprompt.studio import deployments, foundation_models, standing
from softprompt.studio.access import Unit
from softprompt.studio.foundation_models import Model

router = APIRouter(tags=["OpenAI"])
COLUMNS = (
    *("id", "name", "serving_name", "model_id", "tuned_prompt_id"),
    *("project_id", "space_id", "state", "created_at"),
)


@router.get("/v1/models", responses=MODELS)
def list_models(request: Request) -> JSONResponse:
    """Deployments by serving name (by id where they have none), then the foundation models that lie on this machine."""
    with unit_of(request, write=False) as unit:
        shown = _deployments(unit, _ready(unit))
        shown += [_foundation(model) for model in foundation_models.all_models(unit.rows) if model.available]
    return JSONResponse({"object": "list", "data": shown})


@router.get("/v1/models/{model_id:path}", responses=MODEL)
def get_model(request: Request, model_id: str) -> dict[str, Any]:
    """One of them, by serving name, deployment id or model id."""
    with unit_of(request, write=False) as unit:
        return _found(unit, model_id)


def _found(unit: Unit, name: str) -> dict[str, Any]:
    if not name.isprintable():
        raise ModelUnknown(f"{name!r} is no name of a model.")
    try:
        row = deployments.find(unit, name)
        if standing.one(unit.rows, unit.store, row).state == "ready":
            return _deployments(unit, [row])[0]
    except NotFound:
        try:
            model = foundation_models.find(unit.rows, name)
            if model.available:
                return _foundation(model)
        except ModelUnknown:
            pass
    raise ModelUnknown(f"There is no model {name!r} here that answers. GET /v1/models lists those that do.")


def _ready(unit: Unit) -> list[Any]:
    """All of them, the newest first: this wire has no pages. Rows of the columns that are shown."""
    found = unit.rows.columns(Deployment, COLUMNS, containers=unit.visible(), state="ready")
    states = standing.of(unit.rows, unit.store, found)
    there = (row for row in found if states[row.id].state == "ready")
    return sorted(there, key=lambda row: (row.created_at, row.id), reverse=True)


def _deployments(unit: Unit, rows: Sequence[Deployment]) -> list[dict[str, Any]]:
    projects = unit.rows.all(Project, id={row.project_id for row in rows if row.project_id})
    spaces = unit.rows.all(Space, id={row.space_id for row in rows if row.space_id})
    places = {project.id: project.name for project in projects} | {space.id: space.name for space in spaces}
    return [
        {
            "id": row.serving_name or row.id,
            "object": "model",
            "created": int(row.created_at.timestamp()),
            "owned_by": places.get(row.project_id or row.space_id or "", "softprompt"),
            "softprompt": {"deployment_id": row.id, "name": row.name, "model_id": row.model_id},
        }
        for row in rows
    ]


def _foundation(model: Model) -> dict[str, Any]:
    created = int(model.row.created_at.timestamp()) if model.row else 0
    owner = model.card.provider if model.card else "softprompt"
    return {"id": model.id, "object": "model", "created": created, "owned_by": owner}
