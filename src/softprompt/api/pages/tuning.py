"""Pages of tuning: experiments, and the form of a new run with all that is told before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from softprompt.api.context import studio_of, unit_of
from softprompt.api.pages import tuning_form
from softprompt.api.pages.shared import carry_out, form_of, frame_of, go, in_unit, page_answer, project_of, text_of
from softprompt.errors import ModelUnknown, ParameterInvalid, SoftpromptError
from softprompt.storage.tables import LARGE, Dataset, TunedPrompt, TuningExperiment, TuningRun
from softprompt.studio import experiments, foundation_models, measurements, outlook, runs, trash, tuned_prompts
from softprompt.studio.access import RANKS, Unit
from softprompt.studio.outlook import Outlook
from softprompt.studio.runs import Plan
from softprompt.ui.pages import tuning as pages
from softprompt.ui.pages import tuning_new as form_page
from softprompt.ui.pages.tuning_new import Desk
from softprompt.ui.tuning_fields import Filled

router = APIRouter(include_in_schema=False)
RUNS = 50


# --- experiments ------------------------------------------------------------------------------------------------------
@router.get("/tuning")
def show_experiments(
    request: Request,
    search: str = "",
    state: str = "",
    cursor: str | None = None,
    experiment: str = "",
    removed: str = "",
) -> Response:
    if experiment:
        return go(f"/tuning/experiments/{experiment}")
    problem, status = "", 200
    search = search.strip()[:200]
    with unit_of(request, write=False, need="viewer") as unit:
        try:
            shown, found = experiments.listed(unit, search=search, state=state, cursor=cursor)
        except ParameterInvalid as error:
            problem, status, state, cursor = str(error), error.status, "", None
            shown, found = experiments.listed(unit, search=search)
        text = pages.listing(
            frame_of(request, unit),
            shown,
            found,
            search=search,
            state=state,
            first=cursor is None,
            editor=_may_start(unit),
            problem=problem,
            removed=_removed(unit, removed),
        )
    return page_answer(request, text, status)


def _removed(unit: Unit, experiment_id: str) -> TuningExperiment | None:
    """What was deleted just now, to be undone."""
    found = unit.rows.get(TuningExperiment, experiment_id, deleted=True) if experiment_id else None
    return found if found is not None and found.deleted_at is not None and unit.role_in(found) else None


def _may_start(unit: Unit) -> bool:
    try:
        return unit.role_in(project_of(unit)) >= RANKS["editor"]
    except SoftpromptError:
        return False


@router.get("/tuning/experiments/{experiment_id}")
def show_experiment(request: Request, experiment_id: str, state: str = "", cursor: str | None = None) -> Response:
    return _experiment(request, experiment_id, state, cursor)


def _experiment(
    request: Request,
    experiment_id: str,
    state: str = "",
    cursor: str | None = None,
    problem: str = "",
    status: int = 200,
) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        found = experiments.get(unit, experiment_id)
        page = runs.page(unit, experiment_id=found.id, state=state or None, cursor=cursor, limit=RUNS)
        text = pages.experiment(
            frame_of(request, unit),
            found,
            page,
            experiments.counted(unit, found),
            state=state,
            first=cursor is None,
            editor=unit.role_in(found) >= RANKS["editor"],
            problem=problem,
        )
    return page_answer(request, text, status)


@router.post("/tuning/experiments/{experiment_id}")
async def change_experiment(request: Request, experiment_id: str) -> Response:
    given = text_of(await form_of(request))
    revision = int(given["revision"]) if given.get("revision", "").isdecimal() else None

    def change(unit: Unit) -> None:
        name, description = given.get("name", ""), given.get("description", "")
        experiments.update(unit, experiment_id, name=name, description=description, revision=revision)

    return await carry_out(
        request,
        change,
        then=f"/tuning/experiments/{experiment_id}",
        again=lambda words, status: _experiment(request, experiment_id, problem=words, status=status),
    )


@router.post("/tuning/experiments/{experiment_id}/delete")
async def delete_experiment(request: Request, experiment_id: str) -> Response:
    await form_of(request)
    return await carry_out(
        request,
        lambda unit: experiments.delete(unit, experiment_id),
        then=f"/tuning?removed={experiment_id}",
        again=lambda words, status: _experiment(request, experiment_id, problem=words, status=status),
    )


@router.post("/tuning/experiments/{experiment_id}/undelete")
async def undelete_experiment(request: Request, experiment_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: trash.bring_back(unit, "tuning experiment", experiment_id))
    return go(f"/tuning/experiments/{experiment_id}")


# --- a new run --------------------------------------------------------------------------------------------------------
@router.get("/tuning/new")
def show_form(request: Request) -> Response:
    """Every field may stand in the address; `again` fills in an earlier run first."""
    known = {*tuning_form.NAMES, *tuning_form.OTHERS}
    asked = {name: text.strip() for name, text in request.query_params.items() if name in known and text.strip()}
    with unit_of(request, write=False, need="viewer") as unit:
        given = _first_words(unit, asked)
    return _form(request, given)


def _first_words(unit: Unit, asked: Mapping[str, str]) -> dict[str, str]:
    """What the form shows to begin with: an earlier run's settings, else the newest data and a model that is here."""
    if asked.get("again"):
        return {**_before(unit, asked["again"]), **asked}
    given = dict(asked)
    if "experiment" in given:
        named = unit.rows.get(TuningExperiment, given["experiment"])
        if named is not None and unit.role_in(named):
            given["experiment"] = named.name
    ready = _ready(unit)
    if "dataset" not in given and ready:
        given["dataset"] = tuning_form.to_train_on(ready).id
    chosen = next((each for each in ready if each.id == given.get("dataset")), None)
    if "test" not in given and chosen is not None:
        given["test"] = tuning_form.to_test_on(ready, chosen)
    if "experiment" not in given and chosen is not None:
        given["experiment"] = chosen.name
    if "validation" not in given:
        given |= {"validation": tuning_form.SHARE, "share": "20"}
    if "model" not in given:
        given["model"] = _usual_model(unit)
    return given


def _usual_model(unit: Unit) -> str:
    """The model of the newest run, else the first one that is here."""
    newest = runs.page(unit, limit=1).items
    if newest:
        with suppress(ModelUnknown):
            model = foundation_models.find(unit.rows, newest[0].model_id)
            if model.tunable and model.available:
                return model.id
    usable = (model.id for model in foundation_models.all_models(unit.rows) if model.tunable and model.available)
    return next(usable, "")


def _ready(unit: Unit) -> list[Dataset]:
    seen = unit.visible()
    return list(unit.rows.page(Dataset, containers=seen, state="ready", limit=200, without=LARGE[Dataset]).items)


def _startable(unit: Unit) -> list[TunedPrompt]:
    """Tuned prompts that a run may start from, the newest first."""
    project = project_of(unit)
    found = tuned_prompts.page(unit, project_id=project.id, limit=200, without=LARGE[TunedPrompt]).items
    return [prompt for prompt in found if prompt.virtual_tokens]


def _before(unit: Unit, run_id: str) -> dict[str, str]:
    run = runs.get(unit, run_id)
    return tuning_form.as_before(run, experiments.get(unit, run.experiment_id).name)


def _form(
    request: Request, given: Mapping[str, str], found: Outlook | None = None, problem: str = "", status: int = 200
) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        earlier = runs.get(unit, given["again"]) if given.get("again") else None
        before = tuning_form.differences(given, _before(unit, earlier.id)) if earlier else {}
        filled = Filled(
            given,
            before,
            earlier.name if earlier else "",
            found.defaults if found else {},
            found.remarks if found else (),
        )
        desk = Desk(
            datasets=_ready(unit),
            models=foundation_models.all_models(unit.rows),
            experiments=[
                each.name for each in unit.rows.page(TuningExperiment, containers=unit.visible(), limit=100).items
            ],
            prompts=_startable(unit),
            again=earlier.id if earlier else "",
        )
        text = form_page.new_run(frame_of(request, unit), desk, filled, found, problem)
    return page_answer(request, text, status)


def _looked(request: Request, given: Mapping[str, str]) -> Outlook:
    """What the form's plan means."""
    read = tuning_form.read(given)
    with unit_of(request, write=False, need="viewer") as unit:
        known = outlook.ask(unit, project_of(unit), read.plan, read.problems)
    return outlook.look(studio_of(request).office.store, known)


@router.post("/tuning/check")
async def check(request: Request) -> Response:
    """The form again, with what it will do."""
    given = text_of(await form_of(request))
    return await run_in_threadpool(lambda: _form(request, given, _looked(request, given)))


@router.post("/tuning/measure")
async def measure(request: Request) -> Response:
    """Let a worker measure a few updates of this plan; the form again, which tells how far that is."""
    given = text_of(await form_of(request))
    await in_unit(request, lambda unit: unit.require(project_of(unit)), write=False)
    found = await run_in_threadpool(_looked, request, given)

    def ask(unit: Unit) -> None:
        plan = found.known.plan
        measurements.ask(
            unit,
            project_of(unit),
            model_id=plan.model_id,
            dataset_id=plan.dataset_id,
            config=found.measure,
            validation=bool(plan.validation),
            test_dataset_id=plan.test_dataset_id,
        )

    if found.startable:
        await in_unit(request, ask)
    return await run_in_threadpool(lambda: _form(request, given, _looked(request, given)))


@router.post("/tuning/new")
async def start(request: Request) -> Response:
    given = text_of(await form_of(request))
    read = tuning_form.read(given)

    def begin(unit: Unit) -> TuningRun:
        if read.problems:
            raise ParameterInvalid(" ".join(read.problems))
        return _start(unit, given, read.plan)

    return await carry_out(
        request,
        begin,
        then=lambda run: f"/tuning/runs/{run.id}",
        again=lambda words, status: _form(request, given, _looked(request, given), words, status),
    )


def _start(unit: Unit, given: Mapping[str, str], plan: Plan) -> TuningRun:
    project = project_of(unit)
    earlier = runs.get(unit, given["again"]) if given.get("again") else None
    run = runs.start(unit, project, runs.as_earlier(plan, earlier) if earlier else plan)
    if given.get("description"):
        experiment = experiments.get(unit, run.experiment_id)
        if experiment.description != given["description"]:
            experiments.update(unit, experiment.id, description=given["description"])
    return run
