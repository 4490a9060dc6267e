"""Foundation models on the studio's disk over HTTP: fetched while one follows, stopped, taken off again."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict
from typing_extensions import TypedDict

from softprompt.api.answers import REPEATABLE, created, paged
from softprompt.api.context import unit_of
from softprompt.api.studio.lists import Whole
from softprompt.api.studio.shapes import Body, Listed, Reference, new_router, page_of
from softprompt.errors import NotFound
from softprompt.studio import foundation_models, model_pulls, model_use
from softprompt.studio.access import Unit, iso
from softprompt.studio.model_pulls import Pull

router = new_router("models")


class NewPull(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"model": "HuggingFaceTB/SmolLM2-135M-Instruct"}]})
    model: Reference


class PullShown(TypedDict):
    """`state` is running, here, failed, stopped or interrupted; `done` and `total` are bytes, `rate` bytes a second.

    `problem` may name folders of the server, so only admins of the studio see it.
    """

    model_id: str
    state: str
    step: str
    done: int
    total: int | None
    rate: float
    problem: str
    started_at: str
    updated_at: str


class PullPaging(Listed):
    sort: Literal["started_at", "-started_at", "updated_at", "-updated_at", "name", "-name"] = "-started_at"


PULLS: Whole[Pull] = Whole(
    key=lambda pull: pull.model_id,
    sorts={
        "started_at": lambda pull: pull.started_at.timestamp(),
        "updated_at": lambda pull: pull.updated_at.timestamp(),
        "name": lambda pull: pull.model_id.casefold(),
    },
    name=lambda pull: pull.model_id,
)


class ModelFiles(TypedDict):
    """`whole` is false where a fetch broke off and its bytes wait for the next one."""

    model_id: str
    bytes: int
    whole: bool


class FilesPaging(Listed):
    sort: Literal["name", "-name", "bytes", "-bytes"] = "name"


FILES: Whole[ModelFiles] = Whole(
    key=lambda files: f"{files['model_id']} {files['whole']}",
    sorts={"name": lambda files: files["model_id"].casefold(), "bytes": lambda files: files["bytes"]},
    name=lambda files: files["model_id"],
)


class Disk(TypedDict):
    """Bytes of each model, of all together, and what is free where models are kept."""

    items: list[ModelFiles]
    total: int
    next: str | None
    used: int
    free: int


class Freed(TypedDict):
    """In bytes."""

    freed: int


def show_pull(unit: Unit, pull: Pull) -> PullShown:
    return {
        "model_id": pull.model_id,
        "state": pull.state,
        "step": pull.step,
        "done": pull.done,
        "total": pull.total,
        "rate": pull.rate,
        "problem": pull.problem if unit.actor.whole else "",
        "started_at": iso(pull.started_at) or "",
        "updated_at": iso(pull.updated_at) or "",
    }


@router.get("/api/pulls", response_model=page_of(PullShown, "Pulls"))
def list_pulls(request: Request, query: Annotated[PullPaging, Query()]) -> Any:
    """The newest fetch of each model."""
    with unit_of(request, write=False) as unit:
        page = PULLS.page(model_pulls.all_pulls().values(), query)
        return paged(request, page, lambda pull: show_pull(unit, pull))


@router.post("/api/pulls", status_code=202, response_model=PullShown, openapi_extra=REPEATABLE)
def pull_model(request: Request, body: NewPull) -> JSONResponse:
    """Begin to fetch a model of the catalogue, or go on where it broke off; what is on its way stays so."""

    def begin(unit: Unit) -> PullShown:
        return show_pull(unit, model_pulls.start(unit, body.model))

    return created(request, body.model_dump(), begin, status=202)


@router.get("/api/pulls/{model_id:path}", response_model=PullShown)
def get_pull(request: Request, model_id: str) -> Any:
    """How far the newest fetch of a model is."""
    with unit_of(request, write=False) as unit:
        return _newest(unit, model_id)


@router.delete("/api/pulls/{model_id:path}", response_model=PullShown)
def stop_pull(request: Request, model_id: str) -> Any:
    """Stop fetching a model; what has arrived stays for the next time."""
    with unit_of(request) as unit:
        model_pulls.stop(unit, model_id)
        return _newest(unit, model_id)


def _newest(unit: Unit, model_id: str) -> PullShown:
    model = foundation_models.find(unit.rows, model_id)
    pull = model_pulls.get(model.id)
    if pull is None:
        raise NotFound(f"{model.label} was never fetched from here. `POST /api/pulls` begins to.")
    return show_pull(unit, pull)


@router.get("/api/model-files", response_model=Disk)
def list_model_files(request: Request, query: Annotated[FilesPaging, Query()]) -> Any:
    """Models that lie on this server, whole or in part, with the room they take."""
    with unit_of(request, write=False) as unit:
        disk = model_use.disk(foundation_models.all_models(unit.rows))
    found = [ModelFiles(model_id=key, bytes=files.size, whole=True) for key, files in disk.prints.items()]
    found += [ModelFiles(model_id=key, bytes=size, whole=False) for key, size in disk.left.items()]
    return {**paged(request, FILES.page(found, query), lambda files: files), "used": disk.used, "free": disk.free}


@router.delete("/api/model-files/{model_id:path}", response_model=Freed)
def remove_model_files(request: Request, model_id: str) -> Any:
    """Take a model off the disk; refused while something works with it. Its tuned prompts wait for it to come back."""
    with unit_of(request) as unit:
        return {"freed": model_use.remove(unit, model_id)}
