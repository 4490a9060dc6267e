"""Pages of tuning: the list of runs, and the form that starts one."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from softprompt.api.context import unit_of
from softprompt.api.pages.shared import form_of, frame_of, go, in_unit, page_answer, project_of, text_of
from softprompt.errors import ParameterInvalid, SoftpromptError
from softprompt.storage.tables import Dataset
from softprompt.studio import experiments, foundation_models, runs
from softprompt.studio.access import Unit
from softprompt.ui.pages import tuning as pages

router = APIRouter(include_in_schema=False)
WHOLE = ("epochs", "batch_size", "accumulate", "virtual_tokens", "max_input_tokens", "seed")
WORDS = ("readout", "init", "init_text")


@router.get("/tuning")
def show_runs(request: Request, state: str = "", cursor: str | None = None) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        found = runs.page(unit, state=state or None, cursor=cursor)
        following = f"/tuning?state={state}&cursor={found.next}" if found.next else None
        text = pages.runs(frame_of(request, unit), found, state, following)
    return page_answer(request, text)


@router.get("/tuning/new")
def show_form(request: Request, dataset: str = "", again: str = "") -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        given = _as_before(unit, again) if again else {"dataset": dataset}
    return _form(request, given)


def _form(request: Request, given: dict[str, str], problem: str = "", status: int = 200) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        ready = unit.rows.page(Dataset, containers=unit.visible(), state="ready", limit=200).items
        models = foundation_models.all_models(unit.rows)
        text = pages.new_run(frame_of(request, unit), ready, models, given, problem)
    return page_answer(request, text, status)


@router.post("/tuning/new")
async def start(request: Request) -> Response:
    given = text_of(await form_of(request))
    try:
        run = await in_unit(request, lambda unit: runs.start(unit, project_of(unit), _plan(given)))
    except SoftpromptError as error:
        return await run_in_threadpool(_form, request, given, str(error), error.status)
    return go(f"/tuning/runs/{run.id}")


def _plan(given: dict[str, str]) -> runs.Plan:
    config: dict[str, Any] = {name: given[name] for name in WORDS if name in given}
    if config.get("readout") == "auto":
        del config["readout"]
    for name in (*WHOLE, "learning_rate"):
        if name in given:
            try:
                config[name] = float(given[name]) if name == "learning_rate" else int(given[name])
            except ValueError:
                raise ParameterInvalid(f"{name}: {given[name]!r} is no number.") from None
    held = given.get("validation", "")
    share = held.replace(".", "", 1).isdecimal()
    validation: dict[str, Any] = {"share": float(held)} if held and share else ({"dataset_id": held} if held else {})
    return runs.Plan(
        experiment=given.get("experiment", ""),
        model_id=given.get("model", ""),
        dataset_id=given.get("dataset", ""),
        config=config,
        validation=validation,
        test_dataset_id=given.get("test"),
    )


def _as_before(unit: Unit, run_id: str) -> dict[str, str]:
    """The form as it was for an earlier run."""
    run = runs.get(unit, run_id)
    held = run.validation.get("dataset_id") or run.validation.get("share") or ""
    return {
        **{name: str(value) for name, value in run.config.items()},
        "experiment": experiments.get(unit, run.experiment_id).name,
        "model": run.model_id,
        "dataset": run.dataset_id,
        "test": run.test_dataset_id or "",
        "validation": str(held),
    }
