"""Tuning runs over HTTP: started, watched, canceled, kept early, done again."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, Field, create_model

from softprompt.api.answers import GUARDED, REPEATABLE, created, paged, revision_of, tagged
from softprompt.api.context import unit_of
from softprompt.api.studio.run_events import TOLD, EventsQuery, tell
from softprompt.api.studio.shapes import (
    Body,
    Description,
    InProjectPaging,
    Name,
    NounShown,
    ProblemShown,
    Project,
    Reference,
    Tags,
    given,
    new_router,
    page_of,
    show_noun,
)
from softprompt.api.studio.tuned_prompts import PromptShown, show_prompt
from softprompt.params import TuneConfig
from softprompt.storage.tables import Dataset, TuningExperiment, TuningRun
from softprompt.storage.tables import Project as ProjectRow
from softprompt.studio import datasets, projects, runs
from softprompt.studio.access import Unit, iso
from softprompt.studio.filters import ids_of, model_id_of
from softprompt.studio.runs import Plan

router = new_router("runs")
HIDDEN = ("prompt_key", "card", "size")
"""Of the results: where things lie, and what the tuned prompt shows."""


def _settings_model() -> Any:
    """A body with the fields of `TuneConfig`: help, ranges and defaults stand in `params` alone."""
    hints = get_type_hints(TuneConfig)
    fields: dict[str, Any] = {
        item.name: (
            hints[item.name],
            Field(item.default, description=item.metadata["help"], ge=item.metadata["low"], le=item.metadata["high"]),
        )
        for item in dataclasses.fields(TuneConfig)
    }
    return create_model("TuneSettings", __base__=Body, __doc__="What is left out follows model and data.", **fields)


if TYPE_CHECKING:
    TuneSettings = Body
else:
    TuneSettings = _settings_model()


class Validation(Body):
    """Held-out rows by which the best epoch is kept: a share of the rows, or another dataset."""

    share: Annotated[float | None, Field(gt=0, lt=1)] = None
    dataset: Reference | None = None


class NewRun(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "project": "Sandbox",
                    "experiment": "Routing",
                    "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
                    "dataset": "complaints",
                    "config": {"virtual_tokens": 20, "epochs": 5},
                    "validation": {"share": 0.2},
                }
            ]
        }
    )
    project: Project = None
    experiment: Annotated[Name, Field(description="Name or id; made if it is not there. The run is its next one.")]
    model: Annotated[Reference, Field(description="Id of a foundation model.")]
    dataset: Annotated[Reference, Field(description="Id, or the newest version of a name.")]
    config: TuneSettings = Field(default_factory=TuneSettings)
    validation: Validation = Field(default_factory=Validation)
    test_dataset: Reference | None = None
    description: Description = ""
    tags: Tags = []
    keep_prompt: Annotated[bool, Field(description="Whether the result becomes a tuned prompt by itself.")] = True
    priority: Annotated[int, Field(ge=-10, le=10, description="Larger goes first.")] = 0


class RunChanges(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"tags": ["best"]}]})
    description: Description | None = None
    tags: Tags | None = None


class Again(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"config": {"epochs": 10}}]})
    config: TuneSettings = Field(default_factory=TuneSettings)


class RunPaging(InProjectPaging):
    state: Annotated[
        list[Literal["queued", "running", "completed", "failed", "canceled"]], Field(description="One of these.")
    ] = []
    experiment: Annotated[Reference | None, Field(description="Id or name of an experiment.")] = None
    model: Annotated[Reference | None, Field(description="Id or another name of a foundation model.")] = None
    dataset: Annotated[Reference | None, Field(description="Id of a dataset, or a name: all its versions.")] = None

    def where(self, unit: Unit) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.model:
            found["model_id"] = model_id_of(unit, TuningRun, self.model)
        if self.dataset:
            found["dataset_id"] = ids_of(unit, "dataset", Dataset, self.dataset)
        if self.experiment:
            found["experiment_ids"] = ids_of(unit, "experiment", TuningExperiment, self.experiment)
        if self.state:
            found["state"] = ",".join(self.state)
        return {**super().where(unit), **found}

    def words(self) -> dict[str, Any]:
        found = super().words()
        found["tags"] = found.pop("tagged", [])
        return found


class RunShown(NounShown):
    project_id: str
    experiment_id: str
    number: int
    state: str
    model_id: str
    dataset_id: str
    validation: dict[str, Any]
    test_dataset_id: str | None
    config: dict[str, Any]
    keep_prompt: bool
    progress: dict[str, Any]
    results: dict[str, Any]
    tuned_prompt_id: str | None
    problem: ProblemShown | None
    started_at: str | None
    finished_at: str | None


def show_run(row: TuningRun) -> RunShown:
    problem: Any = row.problem
    return {
        **show_noun(row),
        "project_id": row.project_id,
        "experiment_id": row.experiment_id,
        "number": row.number,
        "state": row.state,
        "model_id": row.model_id,
        "dataset_id": row.dataset_id,
        "validation": row.validation,
        "test_dataset_id": row.test_dataset_id,
        "config": row.config,
        "keep_prompt": row.keep_prompt,
        "progress": row.progress,
        "results": {name: value for name, value in row.results.items() if name not in HIDDEN},
        "tuned_prompt_id": row.tuned_prompt_id,
        "problem": problem,
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
    }


@router.get("/api/runs", response_model=page_of(RunShown, "Runs"))
def list_runs(request: Request, query: Annotated[RunPaging, Query()]) -> Any:
    """Runs of the projects that you may see."""
    with unit_of(request, write=False) as unit:
        return paged(request, runs.page(unit, **query.where(unit), **query.words()), show_run)


@router.post("/api/runs", status_code=201, response_model=RunShown, openapi_extra=REPEATABLE)
def start_run(request: Request, body: NewRun) -> JSONResponse:
    """Queue a tuning run; all that is wrong with it is told at once."""

    def make(unit: Unit) -> RunShown:
        project = projects.find(unit, body.project)
        return show_run(runs.start(unit, project, plan_of(unit, project, body)))

    return created(request, body.model_dump(exclude_unset=True), make)


@router.get("/api/runs/{run_id}", response_model=RunShown)
def get_run(request: Request, run_id: str) -> JSONResponse:
    """A run by its id, or the newest one of a name."""
    with unit_of(request, write=False) as unit:
        row = runs.find(unit, run_id)
        return tagged(row, show_run(row))


@router.get("/api/runs/{run_id}/events", response_model=None, responses=TOLD)
async def run_events(request: Request, run_id: str, query: Annotated[EventsQuery, Query()]) -> Response:
    """What the run tells, as a page of JSON, or live with `Accept: text/event-stream`.

    The stream goes on behind the header `Last-Event-ID`; it ends with an event `end` when the run is over.
    """
    return await tell(request, TuningRun, run_id, query)


@router.post("/api/runs/{run_id}/cancel", response_model=RunShown)
def cancel_run(request: Request, run_id: str) -> JSONResponse:
    """Stop a run: one that waits at once, one that is at work within two seconds."""
    with unit_of(request) as unit:
        row = runs.cancel(unit, run_id)
        return tagged(row, show_run(row))


@router.post("/api/runs/{run_id}/keep", response_model=RunShown)
def keep_run(request: Request, run_id: str) -> JSONResponse:
    """Stop a run that is at work and keep the best prompt so far; it ends as completed."""
    with unit_of(request) as unit:
        row = runs.cancel(unit, run_id, "keep")
        return tagged(row, show_run(row))


@router.post("/api/runs/{run_id}/again", status_code=201, response_model=RunShown, openapi_extra=REPEATABLE)
def run_again(request: Request, run_id: str, body: Again) -> JSONResponse:
    """The same with other settings, as the next run of its experiment."""
    changes = body.config.model_dump(exclude_unset=True)
    return created(request, changes, lambda unit: show_run(runs.again(unit, run_id, changes)))


@router.post("/api/runs/{run_id}/prompt", status_code=201, response_model=PromptShown, openapi_extra=REPEATABLE)
def keep_prompt_of_run(request: Request, run_id: str) -> JSONResponse:
    """The tuned prompt of a completed run; made now if the run was told to leave that to you."""
    return created(request, {}, lambda unit: show_prompt(runs.prompt_of(unit, run_id)))


@router.patch("/api/runs/{run_id}", response_model=RunShown, openapi_extra=GUARDED)
def update_run(request: Request, run_id: str, body: RunChanges) -> JSONResponse:
    """Change description or tags."""
    with unit_of(request) as unit:
        changes = given(body, "description", "tags")
        row = runs.update(unit, run_id, revision=revision_of(request), **changes)
        return tagged(row, show_run(row))


@router.delete("/api/runs/{run_id}", status_code=204, openapi_extra=GUARDED)
def delete_run(request: Request, run_id: str) -> Response:
    """Hide a run that is over. Its tuned prompt stays."""
    with unit_of(request) as unit:
        runs.delete(unit, run_id, revision_of(request))
    return Response(status_code=204)


def plan_of(unit: Unit, project: ProjectRow, body: NewRun) -> Plan:
    """What the body asks for; names of datasets stand for their newest versions."""
    tested = body.test_dataset
    return Plan(
        experiment=body.experiment,
        model_id=body.model,
        dataset_id=datasets.id_of(unit, project.id, body.dataset),
        config=body.config.model_dump(exclude_unset=True),
        validation=_validation(unit, project.id, body.validation),
        test_dataset_id=tested and datasets.id_of(unit, project.id, tested),
        description=body.description,
        tags=tuple(body.tags),
        keep_prompt=body.keep_prompt,
        priority=body.priority,
    )


def _validation(unit: Unit, project_id: str, wanted: Validation) -> dict[str, Any]:
    dataset_id = wanted.dataset and datasets.id_of(unit, project_id, wanted.dataset)
    return {
        **({"share": wanted.share} if wanted.share is not None else {}),
        **({"dataset_id": dataset_id} if dataset_id else {}),
    }
