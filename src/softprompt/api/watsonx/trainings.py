"""Tuning runs as IBM's client starts, lists, watches, cancels and deletes them.

The client checks no ranges and no data: whatever is wrong with either is named in one answer when a run starts.
"""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ConfigDict
from pydantic.config import JsonDict

from softprompt.api.answers import REPEATABLE
from softprompt.api.context import unit_of
from softprompt.api.watsonx import trainings_params, trainings_view
from softprompt.api.watsonx.shared import Limit, Placed, listed, made, nothing, placed, project_of
from softprompt.errors import Forbidden, SoftpromptError, StorageFull, Unavailable, UsageError, WrongState
from softprompt.storage.rows import MOST
from softprompt.storage.tables import Dataset, Project, TunedPrompt, TuningRun
from softprompt.studio import datasets, foundation_models, runs
from softprompt.studio.access import Unit
from softprompt.studio.runs import Plan

router = APIRouter(tags=["watsonx: tuning runs"])
_ASSET = re.compile(r"/assets/([0-9a-f-]{36})")
_EXAMPLE: JsonDict = {
    "name": "route complaints",
    "project_id": "2f0a36d4-1c2b-4a52-8f0f-5f9f9a1f8c11",
    "training_data_references": [
        {"type": "data_asset", "location": {"id": "8f2c5c1e-5d06-4c9c-9b7b-0f0c6a1b2d3e"}},
    ],
    "prompt_tuning": {"base_model": {"model_id": "google/flan-t5-xl"}, "task_id": "classification", "num_epochs": 20},
    "auto_update_model": True,
}


class NewTraining(Placed):
    model_config = ConfigDict(extra="ignore", json_schema_extra={"example": _EXAMPLE})

    name: str = "Prompt tuning"
    description: str | None = None
    tags: list[str] | None = None
    training_data_references: list[dict[str, Any]]
    results_reference: dict[str, Any] | None = None
    prompt_tuning: dict[str, Any]
    auto_update_model: bool = True


@router.post("/ml/v4/trainings", status_code=201, response_model=dict[str, Any], openapi_extra=REPEATABLE)
def start_training(request: Request, body: NewTraining) -> JSONResponse:
    """Queue a run; every bad parameter and every bad line of the data is named at once."""

    def make(unit: Unit) -> dict[str, Any]:
        project = project_of(unit, request, body, what="tuning runs")
        run = _start(unit, project, body)
        return trainings_view.document(run, [], trainings_view.parameters_of(run))

    return made(request, body, make)


@router.get("/ml/v4/trainings")
def list_trainings(
    request: Request,
    limit: Limit = 100,
    type: str | None = None,
    state: str | None = None,
    cursor: str | None = None,
) -> dict[str, Any]:
    """Runs, the newest first; of several `tag.value` a run has all."""
    where = placed(request)
    if "space_id" in where or type not in (None, "prompt_tuning"):
        return nothing(request, limit)
    tags = [tag for tag in request.query_params.getlist("tag.value") if tag != trainings_view.KIND_TAG]
    ids = [tag.removeprefix(trainings_view.ASSET_TAG) for tag in tags if tag.startswith(trainings_view.ASSET_TAG)]
    tags = [tag for tag in tags if not tag.startswith(trainings_view.ASSET_TAG)]
    if len(set(ids)) > 1:
        return nothing(request, limit)
    ours = ",".join(trainings_view.OURS.get(word, word) for word in state.split(",")) if state else None
    exact: dict[str, Any] = {"id": ids[0]} if ids else {}
    with unit_of(request, write=False) as unit:
        page = runs.page(
            unit,
            project_id=where.get("project_id"),
            state=ours,
            tags=tags,
            limit=min(limit, MOST),
            cursor=cursor,
            **exact,
        )
        return listed(request, page, lambda run: _brief(unit, run), limit)


@router.get("/ml/v4/trainings/{training_id}")
def get_training(request: Request, training_id: str) -> dict[str, Any]:
    with unit_of(request, write=False) as unit:
        run = runs.get(unit, training_id)
        parameters = trainings_view.parameters_of(run)
        if run.state == "completed":
            parameters = trainings_params.chosen(parameters, _card(unit, run))
        return trainings_view.document(run, trainings_view.metrics_of(unit, run), parameters)


@router.delete("/ml/v4/trainings/{training_id}", status_code=204)
def cancel_training(request: Request, training_id: str, hard_delete: bool = False) -> Response:
    """Cancel a run; with `hard_delete` it also goes from the lists, even if it was over."""
    with unit_of(request) as unit:
        run = runs.get(unit, training_id)
        if not hard_delete or run.state not in runs.OVER:
            try:
                run = runs.cancel(unit, training_id)
            except WrongState as error:  # the client expects a 400 with just these words in it
                raise UsageError(str(error)) from None
        if hard_delete:
            # A worker that still has it hears of the cancel; nobody has to wait for that.
            unit.delete(run)
    return Response(status_code=204)


def _start(unit: Unit, project: Project, body: NewTraining) -> TuningRun:
    problems: list[str] = []
    sent = body.prompt_tuning
    dataset_id = _dataset_id(body.training_data_references, problems)
    dataset = _readable(unit, project, dataset_id)
    model_id = (sent.get("base_model") or {}).get("model_id") if isinstance(sent.get("base_model"), dict) else None
    if not isinstance(model_id, str):
        problems.append('base_model: {"model_id": ID} is needed')
        model_id = None
    model = _tunable(unit, model_id, problems) if model_id else None
    config, wrong = trainings_params.read(sent, model, dataset)
    problems += wrong
    if dataset_id and model_id and model and not wrong:
        shown = trainings_params.shown(sent, config, model, dataset) if dataset else {}
        plan = _plan(body, model_id, dataset_id, config, shown)
        try:
            run = runs.start(unit, project, plan)
            if not problems:
                return run
        except (Forbidden, Unavailable, StorageFull):
            raise
        except SoftpromptError as error:
            problems.append(str(error).rstrip("."))
    elif dataset_id:
        try:
            datasets.usable(unit, dataset_id, "training_data_references", need="viewer")
        except SoftpromptError as error:
            problems.append(str(error).rstrip("."))
    # Whatever was written is taken back with the unit.
    raise UsageError("; ".join(problems) + ".")


def _plan(body: NewTraining, model_id: str, dataset_id: str, config: dict[str, Any], shown: dict[str, Any]) -> Plan:
    references = [{"connection": {}, **reference} for reference in body.training_data_references]
    for reference in references:
        location = reference.get("location") or {}
        reference["location"] = {"href": f"/v2/assets/{dataset_id}", "id": dataset_id, **location}
    return Plan(
        experiment=body.name,
        model_id=model_id,
        dataset_id=dataset_id,
        config=config,
        description=body.description or "",
        tags=tuple(tag for tag in body.tags or () if tag != trainings_view.KIND_TAG),
        keep_prompt=body.auto_update_model,
        wire={
            "name": body.name,
            "prompt_tuning": shown,
            "training_data_references": references,
            "results_reference": body.results_reference or {},
        },
    )


def _dataset_id(references: list[dict[str, Any]], problems: list[str]) -> str | None:
    if len(references) != 1:
        problems.append(f"training_data_references: {len(references)} are given; a run learns from exactly one")
        return None
    location = references[0].get("location")
    location = location if isinstance(location, dict) else {}
    if isinstance(location.get("id"), str):
        return str(location["id"])
    found = _ASSET.search(str(location.get("href") or ""))
    if found is None:
        kind = references[0].get("type")
        problems.append(f"training_data_references: {kind!r} names no data asset. Use DataConnection(data_asset_id=ID)")
    return found.group(1) if found else None


def _readable(unit: Unit, project: Project, dataset_id: str | None) -> Dataset | None:
    """The dataset, to know its rows and task; what is wrong with it is told by the start of the run."""
    dataset = unit.rows.get(Dataset, dataset_id) if dataset_id else None
    return dataset if dataset is not None and dataset.project_id == project.id else None


def _tunable(unit: Unit, model_id: str, problems: list[str]) -> foundation_models.Model | None:
    try:
        return foundation_models.tunable(unit.rows, model_id)
    except SoftpromptError as error:
        problems.append(f"base_model: {str(error).rstrip('.')}")
        return None


def _brief(unit: Unit, run: TuningRun) -> dict[str, Any]:
    """A row of a list: nothing is looked up for it, so that figures of a run that goes on are left out."""
    metrics = trainings_view.metrics_of(unit, run) if run.results else []
    return trainings_view.document(run, metrics, trainings_view.parameters_of(run))


def _card(unit: Unit, run: TuningRun) -> dict[str, Any]:
    prompt = unit.rows.get(TunedPrompt, run.tuned_prompt_id, deleted=True) if run.tuned_prompt_id else None
    found = prompt.card if prompt is not None else run.results.get("card")
    return found if isinstance(found, dict) else {}
