"""Evaluations over HTTP: methods against each other on held-out rows."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import ConfigDict, Field

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
    new_router,
    page_of,
    show_noun,
)
from softprompt.errors import WrongState
from softprompt.storage.tables import Evaluation
from softprompt.studio import datasets, evaluations, projects
from softprompt.studio.access import Unit, iso

router = new_router("evaluations")


class Settings(Body):
    instruction: Annotated[str | None, Field(max_length=20_000)] = None
    examples_dataset: Annotated[Reference | None, Field(description="Where the shots come from.")] = None
    guard: Annotated[bool | None, Field(description="Only known answers may be generated.")] = None
    limit: Annotated[int | None, Field(ge=1, le=1_000_000, description="Rows at most.")] = None


class NewEvaluation(Body):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Does tuning pay?",
                    "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
                    "dataset": "complaints-test",
                    "methods": ["zero-shot", "3-shot", "baseline"],
                    "settings": {"examples_dataset": "complaints"},
                }
            ]
        }
    )
    project: Project = None
    name: Name
    model: Reference
    dataset: Annotated[Reference, Field(description="Id, or the newest version of a name.")]
    methods: Annotated[
        list[Reference],
        Field(min_length=1, max_length=50, description="zero-shot, K-shot, baseline, ids of tuned prompts."),
    ]
    settings: Settings = Field(default_factory=Settings)
    description: Description = ""


class EvaluationPaging(InProjectPaging):
    state: list[Literal["queued", "running", "completed", "failed", "canceled"]] = []

    def where(self, unit: Unit) -> dict[str, Any]:
        return {**super().where(unit), **({"state": self.state} if self.state else {})}


class EvaluationShown(NounShown):
    project_id: str
    state: str
    model_id: str
    dataset_id: str
    methods: list[str]
    settings: dict[str, Any]
    results: dict[str, Any]
    problem: ProblemShown | None
    started_at: str | None
    finished_at: str | None


def show_evaluation(row: Evaluation) -> EvaluationShown:
    problem: Any = row.problem
    return {
        **show_noun(row),
        "project_id": row.project_id,
        "state": row.state,
        "model_id": row.model_id,
        "dataset_id": row.dataset_id,
        "methods": list(row.methods),
        "settings": row.settings,
        "results": row.results,
        "problem": problem,
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
    }


@router.get("/api/evaluations", response_model=page_of(EvaluationShown, "Evaluations"))
def list_evaluations(request: Request, query: Annotated[EvaluationPaging, Query()]) -> Any:
    """Evaluations of the projects that you may see."""
    with unit_of(request, write=False) as unit:
        return paged(request, evaluations.page(unit, **query.where(unit), **query.words()), show_evaluation)


@router.post("/api/evaluations", status_code=201, response_model=EvaluationShown, openapi_extra=REPEATABLE)
def start_evaluation(request: Request, body: NewEvaluation) -> JSONResponse:
    """Queue an evaluation."""

    def make(unit: Unit) -> EvaluationShown:
        project = projects.find(unit, body.project)
        settings = body.settings.model_dump(exclude_none=True)
        if "examples_dataset" in settings:
            settings["examples_dataset_id"] = datasets.id_of(unit, project.id, settings.pop("examples_dataset"))
        row = evaluations.start(
            unit,
            project,
            body.name,
            model_id=body.model,
            dataset_id=datasets.id_of(unit, project.id, body.dataset),
            methods=body.methods,
            settings=settings,
            description=body.description,
        )
        return show_evaluation(row)

    return created(request, body.model_dump(), make)


@router.get("/api/evaluations/{evaluation_id}", response_model=EvaluationShown)
def get_evaluation(request: Request, evaluation_id: str) -> JSONResponse:
    with unit_of(request, write=False) as unit:
        row = evaluations.get(unit, evaluation_id)
        return tagged(row, show_evaluation(row))


@router.get(
    "/api/evaluations/{evaluation_id}/report",
    response_class=Response,
    responses={200: {"content": {"text/markdown": {"schema": {"type": "string"}}}}},
)
def get_evaluation_report(request: Request, evaluation_id: str) -> PlainTextResponse:
    """The report as Markdown."""
    with unit_of(request, write=False) as unit:
        row = evaluations.get(unit, evaluation_id)
        if row.report is None:
            raise WrongState(f"Evaluation {row.name!r} is {row.state}; the report is there when it is completed.")
        return PlainTextResponse(row.report, media_type="text/markdown")


@router.get("/api/evaluations/{evaluation_id}/events", response_model=None, responses=TOLD)
async def evaluation_events(request: Request, evaluation_id: str, query: Annotated[EventsQuery, Query()]) -> Response:
    """As of a tuning run."""
    return await tell(request, Evaluation, evaluation_id, query)


@router.post("/api/evaluations/{evaluation_id}/cancel", response_model=EvaluationShown)
def cancel_evaluation(request: Request, evaluation_id: str) -> JSONResponse:
    with unit_of(request) as unit:
        row = evaluations.cancel(unit, evaluation_id)
        return tagged(row, show_evaluation(row))


@router.delete("/api/evaluations/{evaluation_id}", status_code=204, openapi_extra=GUARDED)
def delete_evaluation(request: Request, evaluation_id: str) -> Response:
    """Hide an evaluation that is over."""
    with unit_of(request) as unit:
        evaluations.delete(unit, evaluation_id, revision_of(request))
    return Response(status_code=204)
