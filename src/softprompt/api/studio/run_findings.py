"""What is known of a run over HTTP: what a plan means before it starts, its curve in numbers and words, its recipe."""

from __future__ import annotations

import json
from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.context import studio_of, unit_of
from softprompt.api.studio.runs import NewRun, plan_of
from softprompt.api.studio.shapes import new_router
from softprompt.api.tables import TABLE, table, wants_table
from softprompt.errors import ParameterInvalid
from softprompt.storage.tables import Dataset, TunedPrompt, TuningRun
from softprompt.studio import curves, measurements, outlook, projects, recipes, runs, verdicts
from softprompt.studio.access import Unit
from softprompt.studio.outlook import Outlook
from softprompt.studio.verdicts import Verdict

router = new_router("runs")


class CurveQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    whole: Annotated[bool, Field(description="Every update, however many there are.")] = False


class RemarkShown(TypedDict):
    """`kind` is error (it cannot start), warn (it will hurt) or note."""

    kind: str
    field: str
    text: str


class Taken(TypedDict):
    """What is taken where a parameter is left open, and why."""

    value: str
    why: str


class OutlookShown(TypedDict):
    """What a plan means. Numbers are null while model or data are missing, `seconds` while nothing was measured.

    `measuring` says whether a worker measures it, or will.
    """

    name: str
    startable: bool
    remarks: list[RemarkShown]
    task: str
    labels: list[str]
    rows: int | None
    held_rows: int | None
    test_rows: int | None
    updates: int | None
    cut_rows: int | None
    learning_rate: float | None
    taken: dict[str, Taken]
    seconds: float | None
    measuring: bool


class EpochShown(TypedDict):
    """`update` is its last one."""

    number: int
    update: int
    loss: float
    validation: float | None
    metric: float | None
    best: bool


class NextTry(TypedDict):
    """A setting to try next, in words and by parameter."""

    words: str
    settings: dict[str, str]


class VerdictShown(TypedDict):
    """The curve in words; `kind` is good, try or bad."""

    kind: str
    title: str
    words: str
    changes: list[NextTry]


class CurveShown(TypedDict):
    """Lists have one number for each update in `update`. `last` is the event to go on behind; `before` are the jobs
    whose turn comes first."""

    updates: int
    last: int
    before: int
    update: list[int]
    loss: list[float]
    learning_rate: list[float]
    tokens_per_second: list[float]
    epochs: list[EpochShown]
    verdict: VerdictShown | None


class RecipeShown(TypedDict):
    """`recipe` is all that decides where the run ends, and where it ended; the others make it again."""

    recipe: dict[str, Any]
    command: str
    program: str


def show_outlook(found: Outlook) -> OutlookShown:
    size = found.size
    return {
        "name": found.known.name,
        "startable": found.startable,
        "remarks": [{"kind": each.kind, "field": each.field, "text": each.text} for each in found.remarks],
        "task": found.task,
        "labels": list(found.labels),
        "rows": size.rows if size else None,
        "held_rows": size.held if size else None,
        "test_rows": size.test if size else None,
        "updates": size.updates if size else None,
        "cut_rows": found.cut,
        "learning_rate": found.learning_rate,
        "taken": {name: {"value": each.value, "why": each.why} for name, each in found.defaults.items()},
        "seconds": found.estimate.seconds if found.estimate else None,
        "measuring": found.known.waiting is not None,
    }


def show_verdict(found: Verdict) -> VerdictShown:
    changes: list[NextTry] = [{"words": each.words, "settings": dict(each.settings)} for each in found.changes]
    return {"kind": found.kind, "title": found.title, "words": found.words, "changes": changes}


@router.post("/api/runs/check", response_model=OutlookShown)
def check_run(request: Request, body: NewRun) -> Any:
    """What a run would do, with what will hurt and how long it takes here. Starts nothing."""
    return show_outlook(_looked(request, body))


@router.post("/api/runs/measure", status_code=202, response_model=OutlookShown)
def measure_run(request: Request, body: NewRun) -> Any:
    """Let a worker measure a few updates of a plan; then `check` knows how long it takes."""
    with unit_of(request, write=False) as unit:
        unit.require(projects.find(unit, body.project))
    found = _looked(request, body)
    if not found.startable:
        told = [remark.text for remark in found.remarks if remark.kind == "error"]
        raise ParameterInvalid(f"This plan cannot be started, so it is not measured. {' '.join(told)}")
    with unit_of(request) as unit:
        plan = found.known.plan
        measurements.ask(
            unit,
            projects.find(unit, body.project),
            model_id=plan.model_id,
            dataset_id=plan.dataset_id,
            config=found.measure,
            validation=bool(plan.validation),
            test_dataset_id=plan.test_dataset_id,
        )
    return show_outlook(_looked(request, body))


@router.get("/api/runs/{run_id}/curve", response_model=CurveShown, responses=TABLE)
def run_curve(request: Request, run_id: str, query: Annotated[CurveQuery, Query()]) -> Any:
    """Loss, learning rate and speed by update, validation by epoch; when it is over, what the curve says."""
    with unit_of(request, write=False) as unit:
        run = runs.find(unit, run_id)
        if wants_table(request):
            return table(curves.as_csv(curves.curve(unit, run, whole=True)), f"{run.name} curve.csv")
        found = curves.curve(unit, run, whole=query.whole)
        verdict = _verdict(unit, run, found)
        return {
            "updates": found.updates,
            "last": found.last,
            "before": 0 if run.state in runs.OVER else runs.before(unit, run),
            "update": found.update,
            "loss": found.loss,
            "learning_rate": found.rate,
            "tokens_per_second": found.speed,
            "epochs": [{name: getattr(each, name) for name in EpochShown.__annotations__} for each in found.epochs],
            "verdict": show_verdict(verdict) if verdict else None,
        }


@router.get("/api/runs/{run_id}/recipe", response_model=RecipeShown)
def run_recipe(request: Request, run_id: str) -> Any:
    """How to make the run again: as a document, for the command line, and for Python."""
    with unit_of(request, write=False) as unit:
        run = runs.find(unit, run_id)
        prompt = _prompt(unit, run)
        held, tested = run.validation.get("dataset_id"), run.test_dataset_id
        wanted = {"train": run.dataset_id, "validation": held, "test": tested}
        data = {name: unit.rows.get(Dataset, key) if key else None for name, key in wanted.items()}
        files = {name: found.file_name or f"{found.name}.jsonl" for name, found in data.items() if found}
        files.setdefault("train", "train.jsonl")
        card = prompt.card if prompt else None
        return {
            "recipe": json.loads(recipes.document(run, prompt, data)),
            "command": recipes.command(run, files, card),
            "program": recipes.program(run, files, card),
        }


def _looked(request: Request, body: NewRun) -> Outlook:
    with unit_of(request, write=False, need="viewer") as unit:
        project = projects.find(unit, body.project)
        known = outlook.ask(unit, project, plan_of(unit, project, body))
    return outlook.look(studio_of(request).office.store, known)


def _verdict(unit: Unit, run: TuningRun, curve: curves.Curve) -> Verdict | None:
    prompt = _prompt(unit, run)
    chosen = recipes.chosen(run, prompt.card if prompt else None)
    if run.state == "failed":
        return verdicts.failed(run.problem, chosen)
    return verdicts.verdict(curve, chosen) if run.state == "completed" else None


def _prompt(unit: Unit, run: TuningRun) -> TunedPrompt | None:
    return unit.rows.get(TunedPrompt, run.tuned_prompt_id) if run.tuned_prompt_id else None
