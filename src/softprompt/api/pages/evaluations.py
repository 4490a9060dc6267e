"""Pages of evaluations: the list, a new one, one of them."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData

from softprompt.api.context import unit_of
from softprompt.api.pages.shared import carry_out, form_of, frame_of, go, in_unit, page_answer, project_of
from softprompt.api.tables import table
from softprompt.errors import ParameterInvalid, SoftpromptError
from softprompt.jobs import events
from softprompt.storage.tables import LARGE, Dataset, Evaluation, TunedPrompt, TuningRun
from softprompt.studio import evaluations, foundation_models, outcomes
from softprompt.studio.access import RANKS, Unit
from softprompt.ui.pages import evaluation as pages
from softprompt.ui.pages.evaluation_new import Given, new_evaluation
from softprompt.ui.results import PER_PAGE, Asked

router = APIRouter(include_in_schema=False)
HOME = pages.HOME
MOST_CHOICES = 100


@router.get("/tuning/evaluations")
def show_evaluations(request: Request, cursor: str | None = None) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        found = evaluations.listed(unit, cursor=cursor, limit=30)
        wanted = list({each.dataset_id for each in found.items})
        names = {d.id: d.name for d in unit.rows.all(Dataset, id=wanted, deleted=True)} if wanted else {}
        following = f"{HOME}?cursor={found.next}" if found.next else None
        text = pages.evaluations(frame_of(request, unit), found, names, following, editor=_edits(unit))
    return page_answer(request, text)


def _edits(unit: Unit) -> bool:
    """Whether the reader may start one where people work."""
    try:
        return unit.role_in(project_of(unit)) >= RANKS["editor"]
    except SoftpromptError:  # there is no project that this reader is in
        return False


@router.get("/tuning/evaluations/new")
def show_form(request: Request, prompt: str = "", dataset: str = "", examples: str = "", again: str = "") -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        given = _as_before(unit, again) if again else _prefilled(unit, prompt, dataset, examples)
    return _form(request, given)


def _form(request: Request, given: Given, problem: str = "", status: int = 200) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        seen = unit.visible()
        ready = unit.rows.page(
            Dataset, containers=seen, state="ready", limit=MOST_CHOICES, without=LARGE[Dataset]
        ).items
        left_out = LARGE[TunedPrompt]
        prompts = list(
            unit.rows.page(TunedPrompt, containers=seen, limit=MOST_CHOICES, source_id=None, without=left_out).items
        )
        known = {each.id for each in prompts}
        prompts += [unit.get(TunedPrompt, key, need="viewer") for key in given.prompts if key not in known]
        prompts.sort(key=lambda each: each.id not in given.prompts)
        models = foundation_models.all_models(unit.rows)
        text = new_evaluation(frame_of(request, unit), ready, models, prompts, given, problem)
    return page_answer(request, text, status)


def _prefilled(unit: Unit, prompt_id: str, dataset: str, examples: str) -> Given:
    if not prompt_id:
        return Given(dataset=dataset, examples=examples)
    prompt = unit.get(TunedPrompt, prompt_id, need="viewer")
    run = unit.rows.get(TuningRun, prompt.run_id) if prompt.run_id else None
    told = str(((run.results if run else {}).get("ledger") or {}).get("instruction", ""))
    return Given(
        name=f"{prompt.name} against prompting",
        dataset=dataset,
        examples=examples or (run.dataset_id if run else ""),
        model=prompt.model_id,
        prompts=(prompt.id,),
        instruction=told,
    )


def _as_before(unit: Unit, evaluation_id: str) -> Given:
    found = evaluations.get(unit, evaluation_id)
    shots = [m.removesuffix("-shot") for m in found.methods if m.endswith("-shot") and m != "zero-shot"]
    kept = unit.rows.all(TunedPrompt, id=list(found.methods))
    return Given(
        name=found.name,
        dataset=found.dataset_id,
        examples=found.settings.get("examples_dataset_id") or "",
        model=found.model_id,
        prompts=tuple(each.id for each in kept),
        zero_shot="zero-shot" in found.methods,
        shots=", ".join(shots),
        baseline="baseline" in found.methods,
        instruction=found.settings.get("instruction") or "",
        guard=bool(found.settings.get("guard")),
        limit=str(found.settings.get("limit") or ""),
    )


@router.post("/tuning/evaluations/new")
async def start(request: Request) -> Response:
    given = _given(await form_of(request))
    return await carry_out(
        request,
        lambda unit: _started(unit, given),
        then=lambda row: f"{HOME}/{row.id}",
        again=lambda words, status: _form(request, given, words, status),
    )


def _started(unit: Unit, given: Given) -> Evaluation:
    shots = [part.strip() for part in given.shots.split(",") if part.strip()]
    if bad := [part for part in shots if not part.isdecimal() or not 1 <= int(part) <= 99]:
        raise ParameterInvalid(f"K-shot: {', '.join(bad)} is no number of examples; write such as 1, 3.")
    if given.limit and not given.limit.isdecimal():
        raise ParameterInvalid(f"Rows at most: {given.limit!r} is no number.")
    methods = ["zero-shot"] if given.zero_shot else []
    methods += [f"{int(part)}-shot" for part in shots]
    methods += ["baseline"] if given.baseline else []
    settings = {
        **({"instruction": given.instruction} if given.instruction else {}),
        **({"examples_dataset_id": given.examples} if given.examples else {}),
        **({"guard": True} if given.guard else {}),
        **({"limit": int(given.limit)} if given.limit else {}),
    }
    return evaluations.start(
        unit,
        project_of(unit),
        given.name,
        model_id=given.model,
        dataset_id=given.dataset,
        methods=[*methods, *given.prompts],
        settings=settings,
    )


def _given(form: FormData) -> Given:
    def text(name: str) -> str:
        return str(form.get(name, "")).strip()

    return Given(
        name=text("name"),
        dataset=text("dataset"),
        examples=text("examples"),
        model=text("model"),
        prompts=tuple(str(key) for key in form.getlist("prompts")),
        zero_shot=bool(text("zero_shot")),
        shots=text("shots"),
        baseline=bool(text("baseline")),
        instruction=text("instruction"),
        guard=bool(text("guard")),
        limit=text("limit"),
    )


@router.get("/tuning/evaluations/{evaluation_id}")
def show_evaluation(
    request: Request, evaluation_id: str, show: str = "all", search: str = "", method: int = 0, start: int = 0
) -> Response:
    asked = Asked(show if show in outcomes.SHOWS else "all", search[:200], max(0, method), max(0, start))
    with unit_of(request, write=False, need="viewer") as unit:
        found = evaluations.get(unit, evaluation_id)
        examples = found.settings.get("examples_dataset_id")
        last = events.newest_id(unit.rows, found.id)
        shown = pages.Shown(
            evaluation=found,
            dataset=unit.rows.get(Dataset, found.dataset_id),
            examples=unit.rows.get(Dataset, examples) if examples else None,
            methods=evaluations.named_methods(unit, found),
            figures=outcomes.figures(found.results, found.id),
            begun=evaluations.asked(unit, found.id) if found.state in pages.LIVE else [],
            answers=_answers(found, asked),
            asked=asked,
            editor=unit.role_in(found) >= RANKS["editor"],
            last=last,
        )
        text = pages.evaluation(frame_of(request, unit), shown)
    return page_answer(request, text)


def _answers(found: Evaluation, asked: Asked) -> outcomes.Answers | None:
    if not found.results.get("right"):
        return None
    return outcomes.answers(
        found.results, method=asked.method, show=asked.show, search=asked.search, start=asked.start, limit=PER_PAGE
    )


@router.get("/tuning/evaluations/{evaluation_id}/answers.csv")
def answers_file(request: Request, evaluation_id: str) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        found = evaluations.get(unit, evaluation_id)
        text = outcomes.as_csv(outcomes.answers_of(unit, evaluation_id))
    return table(text, f"{found.name} answers.csv")


@router.post("/tuning/evaluations/{evaluation_id}/cancel")
async def cancel(request: Request, evaluation_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: evaluations.cancel(unit, evaluation_id))
    return go(f"{HOME}/{evaluation_id}")


@router.post("/tuning/evaluations/{evaluation_id}/delete")
async def delete(request: Request, evaluation_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: evaluations.delete(unit, evaluation_id))
    return go(HOME)
