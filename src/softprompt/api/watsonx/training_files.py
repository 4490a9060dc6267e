"""Files of a training run that IBM's client reads by their paths: the log, and the request that keeps its model."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response

from softprompt.api.context import unit_of
from softprompt.api.watsonx import trainings_view
from softprompt.api.watsonx.models import MODEL_TYPE, SOFTWARE
from softprompt.errors import NotFound
from softprompt.storage.tables import TuningRun
from softprompt.studio import runs
from softprompt.studio.access import Unit

router = APIRouter(tags=["watsonx: tuning runs"])


@router.get("/v2/asset_files/{path:path}", response_model=None)
def asset_file(request: Request, path: str) -> Response:
    """`…/RUN/training.log` or `…/RUN/…/request.json`."""
    folder, _, name = path.rpartition("/")
    parts = folder.split("/")
    if len(parts) < 2 or parts[0] != "wx_prompt_tune" or name not in ("training.log", "request.json"):
        raise NotFound(f"There is no file {path!r}. A run has its training.log and the request.json of its model.")
    with unit_of(request, write=False) as unit:
        run = runs.get(unit, parts[1])
        if name == "training.log":
            return PlainTextResponse(_log(unit, run))
        return JSONResponse(_model_request(run))


def _log(unit: Unit, run: TuningRun) -> str:
    lines: list[str] = []
    last = 0
    while told := runs.events_after(unit, run.id, last):
        lines += [line for event in told if (line := trainings_view.log_line(event))]
        last = told[-1].id
    return "\n".join([f"Run {run.name!r} of {run.model_id}", *lines, ""])


def _model_request(run: TuningRun) -> dict[str, Any]:
    if run.state != "completed":
        raise NotFound(f"Run {run.name!r} is {run.state}; only a completed run has a model to keep.")
    return {
        "name": run.name,
        "type": MODEL_TYPE,
        "software_spec": SOFTWARE,
        "training_id": run.id,
        "project_id": run.project_id,
    }
