"""Foundation models over HTTP: the catalogue, folders that an admin added, and what can be set when tuning one."""

from __future__ import annotations

import dataclasses
from functools import cache
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.answers import GUARDED, REPEATABLE, check_mark, created, mark_of, marked, paged
from softprompt.api.context import unit_of
from softprompt.api.studio.lists import Whole
from softprompt.api.studio.shapes import Body, Listed, Reference, new_router, page_of
from softprompt.catalogue import SEQ2SEQ_LEARNING_RATE
from softprompt.params import TuneConfig
from softprompt.storage.rows import Rows
from softprompt.studio import foundation_models
from softprompt.studio.access import Unit
from softprompt.studio.foundation_models import Model

router = new_router("models")


class ModelQuery(Listed):
    search: Annotated[str, Field(max_length=200, description="Text in id or label, in any case.")] = ""
    sort: Annotated[Literal["name", "-name"] | None, Field(description="By default added ones first.")] = None
    tunable: bool | None = None
    available: Annotated[bool | None, Field(description="Whether it lies on this server.")] = None
    architecture: Literal["causal", "seq2seq"] | None = None


class NewModel(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "acme/small", "path": "/models/acme-small"}]})
    id: Reference
    path: Annotated[str, Field(min_length=1, max_length=2000, description="Folder on the server.")]


class Limit(TypedDict):
    default: float | int | None
    low: float | int | None
    high: float | int | None


class ModelShown(TypedDict):
    id: str
    label: str
    provider: str
    parameters: str
    architecture: str
    context: int
    languages: list[str]
    licence: str
    description: str
    available: bool
    tunable: bool
    reason: str
    added: bool
    limits: dict[str, Limit]


MODELS: Whole[Model] = Whole(
    key=lambda model: model.id,
    sorts={"name": lambda model: model.label.casefold()},
    name=lambda model: f"{model.id}\n{model.label}",
)


def show_model(model: Model) -> ModelShown:
    card = model.card
    return {
        "id": model.id,
        "label": model.label,
        "provider": card.provider if card else "",
        "parameters": card.parameters if card else "",
        "architecture": model.architecture,
        "context": model.context,
        "languages": list(card.languages) if card else [],
        "licence": card.licence if card else "",
        "description": card.short_description if card else "",
        "available": model.available,
        "tunable": model.tunable,
        "reason": model.reason,
        "added": model.row is not None,
        "limits": _limits(model) if model.tunable else {},
    }


@router.get("/api/models", response_model=page_of(ModelShown, "ModelsShown"))
def list_models(request: Request, query: Annotated[ModelQuery, Query()]) -> Any:
    """All foundation models, added ones first, with the limits of what can be set when tuning them."""
    with unit_of(request, write=False) as unit:
        found = [model for model in foundation_models.all_models(unit.rows) if _fits(model, query)]
        return paged(request, MODELS.page(found, query), show_model)


@router.post("/api/models", status_code=201, response_model=ModelShown, openapi_extra=REPEATABLE)
def add_model(request: Request, body: NewModel) -> JSONResponse:
    """Make a folder of the server known under an id."""

    def make(unit: Unit) -> ModelShown:
        foundation_models.add(unit, body.id, body.path)
        return _shown(unit.rows, body.id)

    return created(request, body.model_dump(), make)


@router.get("/api/models/{model_id:path}", response_model=ModelShown)
def get_model(request: Request, model_id: str) -> JSONResponse:
    """A foundation model by its id or one of its other names."""
    with unit_of(request, write=False) as unit:
        shown = _shown(unit.rows, model_id)
        return marked(mark_of(shown), shown)


@router.delete("/api/models/{model_id:path}", status_code=204, openapi_extra=GUARDED)
def remove_model(request: Request, model_id: str) -> Response:
    """Forget a folder that was added; its files stay."""
    with unit_of(request) as unit:
        check_mark(request, mark_of(_shown(unit.rows, model_id)), f"Foundation model {model_id!r}")
        foundation_models.remove(unit, model_id)
    return Response(status_code=204)


def _shown(rows: Rows, model_id: str) -> ModelShown:
    return show_model(foundation_models.find(rows, model_id))


def _fits(model: Model, query: ModelQuery) -> bool:
    return (
        query.tunable in (None, model.tunable)
        and query.available in (None, model.available)
        and query.architecture in (None, model.architecture)
    )


def _limits(model: Model) -> dict[str, Limit]:
    """Ranges of the numbers of a run, narrowed to the model: no prompt is longer than its context."""
    found: dict[str, Limit] = {name: limit.copy() for name, limit in _ranges().items()}
    for name in ("virtual_tokens", "max_input_tokens", "max_output_tokens"):
        found[name]["high"] = min(found[name]["high"] or model.context, model.context)
    known = model.card.learning_rate if model.card else None
    # Decoders take theirs from the embeddings, which nobody has read yet.
    found["learning_rate"]["default"] = known or (SEQ2SEQ_LEARNING_RATE if model.architecture == "seq2seq" else None)
    return found


@cache
def _ranges() -> dict[str, Limit]:
    defaults: dict[str, Any] = {item.name: item.default for item in dataclasses.fields(TuneConfig)}
    return {
        item.name: {"default": defaults[item.name], "low": item.metadata["low"], "high": item.metadata["high"]}
        for item in dataclasses.fields(TuneConfig)
        if item.metadata["low"] is not None
    }
