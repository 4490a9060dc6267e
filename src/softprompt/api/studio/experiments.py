"""Tuning experiments over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict

from softprompt.api.answers import GUARDED, REPEATABLE, created, paged, revision_of, tagged
from softprompt.api.context import unit_of
from softprompt.api.studio.shapes import (
    Body,
    Description,
    InProjectPaging,
    Name,
    NounShown,
    Project,
    Tags,
    given,
    new_router,
    page_of,
    show_noun,
)
from softprompt.storage.tables import TuningExperiment
from softprompt.studio import experiments, projects
from softprompt.studio.access import Unit

router = new_router("experiments")


class NewExperiment(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"project": "Sandbox", "name": "Routing"}]})
    project: Project = None
    name: Name
    description: Description = ""
    tags: Tags = []


class ExperimentChanges(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"tags": ["spring"]}]})
    name: Name | None = None
    description: Description | None = None
    tags: Tags | None = None


class ExperimentShown(NounShown):
    project_id: str
    runs_made: int


def show_experiment(row: TuningExperiment) -> ExperimentShown:
    return {**show_noun(row), "project_id": row.project_id, "runs_made": row.runs_made}


@router.get("/api/experiments", response_model=page_of(ExperimentShown, "Experiments"))
def list_experiments(request: Request, query: Annotated[InProjectPaging, Query()]) -> Any:
    """Experiments of the projects that you may see."""
    with unit_of(request, write=False) as unit:
        return paged(request, experiments.page(unit, **query.where(unit), **query.words()), show_experiment)


@router.post("/api/experiments", status_code=201, response_model=ExperimentShown, openapi_extra=REPEATABLE)
def create_experiment(request: Request, body: NewExperiment) -> JSONResponse:
    """Make an experiment. Starting a run under a new name makes one, too."""

    def make(unit: Unit) -> ExperimentShown:
        project = projects.find(unit, body.project)
        row = experiments.create(unit, project, body.name, description=body.description, tags=body.tags)
        return show_experiment(row)

    return created(request, body.model_dump(), make)


@router.get("/api/experiments/{experiment_id}", response_model=ExperimentShown)
def get_experiment(request: Request, experiment_id: str) -> JSONResponse:
    """An experiment; its runs are in `/api/runs?experiment=ID`."""
    with unit_of(request, write=False) as unit:
        row = experiments.get(unit, experiment_id)
        return tagged(row, show_experiment(row))


@router.patch("/api/experiments/{experiment_id}", response_model=ExperimentShown, openapi_extra=GUARDED)
def update_experiment(request: Request, experiment_id: str, body: ExperimentChanges) -> JSONResponse:
    """Change name, description or tags."""
    with unit_of(request) as unit:
        changes = given(body, "name", "description", "tags")
        row = experiments.update(unit, experiment_id, revision=revision_of(request), **changes)
        return tagged(row, show_experiment(row))


@router.delete("/api/experiments/{experiment_id}", status_code=204, openapi_extra=GUARDED)
def delete_experiment(request: Request, experiment_id: str) -> Response:
    """Hide an experiment with its runs; refused while one of them is not over. Tuned prompts stay."""
    with unit_of(request) as unit:
        experiments.delete(unit, experiment_id, revision_of(request))
    return Response(status_code=204)
