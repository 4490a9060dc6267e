"""Pages of single runs: watch one, end it early, see what came out of it, carry its files away."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from softprompt.api.context import unit_of
from softprompt.api.pages.shared import form_of, frame_of, go, in_unit, page_answer, text_of
from softprompt.api.tables import file_answer, table
from softprompt.errors import NotFound
from softprompt.storage.tables import Dataset, TunedPrompt, TuningExperiment, TuningRun
from softprompt.studio import curves, ledger, outcomes, recipes, runs, tuned_prompts, verdicts
from softprompt.studio.access import RANKS, Unit
from softprompt.studio.curves import Curve
from softprompt.ui.pages.run import LIVE, Shown
from softprompt.ui.pages.run import run as run_page
from softprompt.ui.results import PER_PAGE, Asked

router = APIRouter(include_in_schema=False)
RATES = "softprompt_rates"
_YEAR = 365 * 24 * 3600


@router.get("/tuning/runs/{run_id}")
def show_run(
    request: Request, run_id: str, show: str = "all", search: str = "", method: int = 0, start: int = 0
) -> Response:
    asked = Asked(show if show in outcomes.SHOWS else "all", search[:200], max(0, method), max(0, start))
    with unit_of(request, write=False, need="viewer") as unit:
        shown = _shown(unit, runs.get(unit, run_id), asked, request.cookies.get(RATES))
        text = run_page(frame_of(request, unit), shown)
    return page_answer(request, text)


def _shown(unit: Unit, run: TuningRun, asked: Asked, rates: str | None) -> Shown:
    """Everything that the page shows; of a run that is not over, only what there is."""
    curve = curves.curve(unit, run)
    prompt = unit.rows.get(TunedPrompt, run.tuned_prompt_id) if run.tuned_prompt_id else None
    card = prompt.card if prompt else None
    data = _data(unit, run)
    files = {name: found.file_name or f"{found.name}.jsonl" for name, found in data.items() if found}
    files.setdefault("train", "train.jsonl")
    over = run.state not in LIVE
    found = outcomes.outcome(unit, run) if over else None
    return Shown(
        run=run,
        experiment=unit.rows.get(TuningExperiment, run.experiment_id, deleted=True),
        curve=curve,
        log=curves.log(unit, run.id),
        dataset=data["train"],
        held=data["validation"],
        test=data["test"],
        prompt=prompt,
        waiting=0 if over else runs.before(unit, run),
        editor=unit.role_in(run) >= RANKS["editor"],
        verdict=_verdict(run, curve, recipes.chosen(run, card)) if over else None,
        outcome=found,
        answers=_answers(unit, found.proof, asked) if found and found.proof else None,
        asked=asked,
        ledger=ledger.ledger(run.results.get("ledger"), outcomes.counted(found)) if over else None,
        rates=ledger.remembered(rates),
        chosen=recipes.chosen(run, card),
        command=recipes.command(run, files, card),
        program=recipes.program(run, files, card),
        others=runs.beside(unit, run),
    )


def _data(unit: Unit, run: TuningRun) -> dict[str, Dataset | None]:
    wanted = {"train": run.dataset_id, "validation": run.validation.get("dataset_id"), "test": run.test_dataset_id}
    return {name: unit.rows.get(Dataset, key) if key else None for name, key in wanted.items()}


def _verdict(run: TuningRun, curve: Curve, chosen: dict[str, object]) -> verdicts.Verdict | None:
    if run.state == "failed":
        return verdicts.failed(run.problem, chosen)
    return verdicts.verdict(curve, chosen) if run.state == "completed" else None


def _answers(unit: Unit, evaluation_id: str, asked: Asked) -> outcomes.Answers | None:
    try:
        results = outcomes.answers_of(unit, evaluation_id)
    except NotFound:  # somebody deleted the evaluation: the figures are still the run's
        return None
    return outcomes.answers(
        results, method=asked.method, show=asked.show, search=asked.search, start=asked.start, limit=PER_PAGE
    )


@router.get("/tuning/runs/{run_id}/curve")
def curve_of(request: Request, run_id: str) -> Response:
    """The curve so far, for the script that draws it and then follows the run."""
    with unit_of(request, write=False, need="viewer") as unit:
        found = curves.curve(unit, runs.get(unit, run_id)).to_dict()
    return JSONResponse(found, headers={"cache-control": "no-store"})


@router.get("/tuning/runs/{run_id}/{name}.csv")
def table_of(request: Request, run_id: str, name: str) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        run = runs.get(unit, run_id)
        if name == "curve":
            text = curves.as_csv(curves.curve(unit, run, whole=True))
        elif name == "answers":
            proof = (run.results.get("test") or {}).get("evaluation_id") or ""
            text = outcomes.as_csv(outcomes.answers_of(unit, proof))
        else:
            raise NotFound(f"There is no table {name!r} of a run; there are curve and answers.")
    return table(text, f"{run.name} {name}.csv")


@router.get("/tuning/runs/{run_id}/recipe.json")
def recipe_of(request: Request, run_id: str) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        run = runs.get(unit, run_id)
        prompt = unit.rows.get(TunedPrompt, run.tuned_prompt_id) if run.tuned_prompt_id else None
        text = recipes.document(run, prompt, _data(unit, run))
    return file_answer(text, "application/json", f"{run.name} recipe.json")


@router.get("/tuning/runs/{run_id}/peft.zip")
def adapter_of(request: Request, run_id: str) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        run = runs.get(unit, run_id)
        if not run.tuned_prompt_id:
            raise NotFound(f"Run {run.name!r} is {run.state} and has no tuned prompt.")
        packed = tuned_prompts.peft_adapter(unit, run.tuned_prompt_id)
    return file_answer(packed, "application/zip", f"{run.name} peft.zip")


@router.post("/tuning/runs/{run_id}/rates")
async def remember_rates(request: Request, run_id: str) -> Response:
    """Rates stay with the browser: they are the person's, not the project's."""
    given = text_of(await form_of(request))
    await in_unit(request, lambda unit: runs.get(unit, run_id), write=False)
    answer = go(f"/tuning/runs/{run_id}#ledger")
    answer.set_cookie(RATES, ledger.rates_of(given).to_text(), max_age=_YEAR, httponly=True, samesite="lax")
    return answer


@router.post("/tuning/runs/{run_id}/cancel")
async def cancel(request: Request, run_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: runs.cancel(unit, run_id))
    return go(f"/tuning/runs/{run_id}")


@router.post("/tuning/runs/{run_id}/keep")
async def keep(request: Request, run_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: runs.cancel(unit, run_id, "keep"))
    return go(f"/tuning/runs/{run_id}")
