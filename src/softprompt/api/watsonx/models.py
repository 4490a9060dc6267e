"""Models as IBM's client knows them: tuned prompts. They are deleted as assets; no other kind of model is kept here."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from softprompt.api.answers import GUARDED, REPEATABLE, revision_of, tagged
from softprompt.api.context import unit_of
from softprompt.api.watsonx.shared import NAMED, Limit, Patch, Placed, home, listed, made, patched, placed
from softprompt.errors import UsageError
from softprompt.storage.tables import TunedPrompt
from softprompt.studio import runs, tuned_prompts
from softprompt.studio.access import Unit, iso

router = APIRouter(tags=["watsonx: models"])
MODEL_TYPE = "prompt_tune_1.0"
SOFTWARE = {"id": "6e2e5b6d-3d7a-5cd3-9a4a-0f6c5cf0a5d1", "name": "watsonx-textgen-fm-1.0"}


class NewModel(Placed):
    """The request that a finished run prepares, with the name that the person wants."""

    name: str | None = None
    description: str | None = None
    type: str | None = None
    training_id: str | None = None
    tags: list[str] | None = None


@router.get("/v2/software_specifications")
def software_specifications(request: Request) -> dict[str, Any]:
    """The one that tuned prompts run on."""
    meta = {"asset_id": SOFTWARE["id"], "name": SOFTWARE["name"], "created_at": "2024-01-01T00:00:00.000Z"}
    entity = {"software_specification": {"type": "base", "display_name": SOFTWARE["name"]}}
    return {"resources": [{"metadata": meta, "entity": entity}], "total_results": 1}


@router.get("/ml/v4/models")
def list_models(request: Request, limit: Limit = 100, cursor: str | None = None) -> dict[str, Any]:
    with unit_of(request, write=False) as unit:
        page = tuned_prompts.page(unit, **placed(request), limit=limit, cursor=cursor)
        return listed(request, page, document, limit)


@router.post("/ml/v4/models", status_code=202, response_model=dict[str, Any], openapi_extra=REPEATABLE)
def create_model(request: Request, body: NewModel) -> JSONResponse:
    """Keep the result of a run that was started with auto_update_model=False."""
    training_id = body.training_id
    if training_id is None:
        kind = f" (given: {body.type!r})" if body.type else ""
        raise UsageError(f"training_id: only models of finished prompt tuning runs are kept here{kind}.")

    def make(unit: Unit) -> dict[str, Any]:
        prompt = runs.prompt_of(unit, training_id)
        if body.name or body.description or body.tags:
            tuned_prompts.update(unit, prompt.id, name=body.name, description=body.description, tags=body.tags)
        return document(prompt)

    return made(request, body, make, 202)


@router.get("/ml/v4/models/{model_id}", response_model=dict[str, Any])
def get_model(request: Request, model_id: str) -> JSONResponse:
    with unit_of(request, write=False) as unit:
        prompt = tuned_prompts.get(unit, model_id)
        return tagged(prompt, document(prompt))


@router.patch("/ml/v4/models/{model_id}", response_model=dict[str, Any], openapi_extra=GUARDED)
def update_model(request: Request, model_id: str, body: Patch) -> JSONResponse:
    values = patched(body, NAMED)
    with unit_of(request) as unit:
        prompt = tuned_prompts.update(unit, model_id, revision=revision_of(request), **values)
        return tagged(prompt, document(prompt))


def document(prompt: TunedPrompt) -> dict[str, Any]:
    entity: dict[str, Any] = {
        "name": prompt.name,
        "type": MODEL_TYPE,
        "software_spec": SOFTWARE,
        "base_model_id": prompt.model_id,
        "task_id": prompt.task,
        **home(prompt),
    }
    if prompt.run_id:
        entity["training_id"] = prompt.run_id
    return {
        "metadata": {
            "id": prompt.id,
            "name": prompt.name,
            "description": prompt.description,
            "tags": prompt.tags,
            "created_at": iso(prompt.created_at),
            "modified_at": iso(prompt.updated_at),
            **home(prompt),
        },
        "entity": entity,
    }
