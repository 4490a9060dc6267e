"""Tuned prompts over HTTP: shown, promoted, renamed, deleted, carried away as a ZIP file. Imports stand beside it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, Field

from softprompt.api.answers import GUARDED, REPEATABLE, created, paged, revision_of, tagged
from softprompt.api.context import unit_of
from softprompt.api.studio.shapes import (
    BINARY,
    Body,
    Description,
    InContainerPaging,
    Name,
    NounShown,
    Reference,
    Tags,
    given,
    new_router,
    page_of,
    show_noun,
)
from softprompt.storage.tables import TunedPrompt, TuningRun
from softprompt.studio import spaces, tuned_prompts
from softprompt.studio.access import Unit
from softprompt.studio.filters import ids_of, model_id_of

router = new_router("prompts")


class PromptPaging(InContainerPaging):
    model: Annotated[Reference | None, Field(description="Id or another name of a foundation model.")] = None
    run: Annotated[Reference | None, Field(description="Id or name of a run.")] = None

    def where(self, unit: Unit) -> dict[str, Any]:
        found = super().where(unit)
        if self.model:
            found["model_id"] = model_id_of(unit, TunedPrompt, self.model)
        if self.run:
            found["run_id"] = ids_of(unit, "run", TuningRun, self.run)
        return found


class PromptChanges(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Routing, April"}]})
    name: Name | None = None
    description: Description | None = None
    tags: Tags | None = None


class Promotion(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"space": "Production"}]})
    space: Reference
    description: Description | None = None


class PromptShown(NounShown):
    project_id: str | None
    space_id: str | None
    run_id: str | None
    source_id: str | None
    model_id: str
    fingerprint: str
    task: str
    answers_by: str
    virtual_tokens: int
    labels: list[str]
    metrics: dict[str, Any]
    size: int


class PromptDetail(PromptShown):
    card: dict[str, Any]


def show_prompt(row: TunedPrompt) -> PromptShown:
    return {
        **show_noun(row),
        "project_id": row.project_id,
        "space_id": row.space_id,
        "run_id": row.run_id,
        "source_id": row.source_id,
        "model_id": row.model_id,
        "fingerprint": row.fingerprint,
        "task": row.task,
        "answers_by": row.answers_by,
        "virtual_tokens": row.virtual_tokens,
        "labels": list(row.labels),
        "metrics": row.metrics,
        "size": row.size,
    }


def show_prompt_detail(row: TunedPrompt) -> PromptDetail:
    return {**show_prompt(row), "card": row.card}


@router.get("/api/prompts", response_model=page_of(PromptShown, "Prompts"))
def list_prompts(request: Request, query: Annotated[PromptPaging, Query()]) -> Any:
    """Tuned prompts of the projects and spaces that you may see."""
    with unit_of(request, write=False) as unit:
        return paged(request, tuned_prompts.page(unit, **query.where(unit), **query.words()), show_prompt)


@router.get("/api/prompts/{prompt_id}", response_model=PromptDetail)
def get_prompt(request: Request, prompt_id: str) -> JSONResponse:
    """A tuned prompt with its card, by its id, or the newest one of a name."""
    with unit_of(request, write=False) as unit:
        row = tuned_prompts.find(unit, prompt_id)
        return tagged(row, show_prompt_detail(row))


@router.get(
    "/api/prompts/{prompt_id}/file",
    response_class=Response,
    responses={200: {"content": {"application/zip": BINARY}}},
)
def download_prompt(request: Request, prompt_id: str) -> Response:
    """The folder as a ZIP file; it opens in our library and in PEFT, and can be imported again."""
    with unit_of(request, write=False) as unit:
        row = tuned_prompts.get(unit, prompt_id)
        folder = unit.store.folder(row.key)
    headers = {"content-disposition": f'attachment; filename="{row.id}.zip"'}
    return Response(tuned_prompts.packed(folder), media_type="application/zip", headers=headers)


@router.post("/api/prompts/{prompt_id}/promote", status_code=201, response_model=PromptShown, openapi_extra=REPEATABLE)
def promote_prompt(request: Request, prompt_id: str, body: Promotion) -> JSONResponse:
    """Put a tuned prompt into a space; promoted twice, it is there once."""

    def make(unit: Unit) -> PromptShown:
        space = spaces.find(unit, body.space)
        return show_prompt(tuned_prompts.promote(unit, prompt_id, space.id, description=body.description))

    return created(request, body.model_dump(), make)


@router.patch("/api/prompts/{prompt_id}", response_model=PromptShown, openapi_extra=GUARDED)
def update_prompt(request: Request, prompt_id: str, body: PromptChanges) -> JSONResponse:
    """Change name, description or tags; the vectors never change."""
    with unit_of(request) as unit:
        changes = given(body, "name", "description", "tags")
        row = tuned_prompts.update(unit, prompt_id, revision=revision_of(request), **changes)
        return tagged(row, show_prompt(row))


@router.delete("/api/prompts/{prompt_id}", status_code=204, openapi_extra=GUARDED)
def delete_prompt(request: Request, prompt_id: str) -> Response:
    """Refused while a deployment serves it."""
    with unit_of(request) as unit:
        tuned_prompts.delete(unit, prompt_id, revision_of(request))
    return Response(status_code=204)
