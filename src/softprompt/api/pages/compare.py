"""Runs side by side, and the same questions to their tuned prompts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from softprompt.api import inference
from softprompt.api.context import unit_of
from softprompt.api.pages.shared import form_of, frame_of, once_more, page_answer
from softprompt.errors import NotFound, ParameterInvalid, SoftpromptError
from softprompt.params import GenerateConfig
from softprompt.storage.tables import TuningRun
from softprompt.studio import comparisons, curves, outcomes, runs
from softprompt.studio.access import Unit
from softprompt.studio.comparisons import Side
from softprompt.ui.pages.compare import Reply, Shown
from softprompt.ui.pages.compare import compare as compare_page
from softprompt.ui.results import PER_PAGE, Asked

router = APIRouter(include_in_schema=False)
MOST_QUESTIONS = 20
MOST_CHOICES = 60
_LONGEST = 60
"""Tokens of an answer."""
DIFFERENT = Asked("different")


@router.get("/tuning/compare")
def show(
    request: Request,
    runs: Annotated[list[str] | None, Query()] = None,
    label: str = "",
    show: str = "different",
    search: str = "",
    method: int = 0,
    start: int = 0,
) -> Response:
    asked = Asked(show if show in outcomes.SHOWS else "all", search[:200], max(0, method), max(0, start))
    return _page(request, _ids(runs or []), asked=asked, label=label)


@router.post("/tuning/compare")
async def ask(request: Request) -> Response:
    """Every tuned prompt answers every question; what is asked is kept by nobody."""
    form = await form_of(request)
    wanted, typed = _ids([str(key) for key in form.getlist("runs")]), str(form.get("questions", ""))
    try:
        questions = _questions(typed)
        found = await run_in_threadpool(_prompts, request, wanted)
        replies = await _replies(request, found, questions)
    except SoftpromptError as error:
        return await once_more(
            lambda words, status: _page(request, wanted, typed=typed, problem=words, status=status), error
        )
    return await run_in_threadpool(_page, request, wanted, typed=typed, replies=replies)


def _page(
    request: Request,
    wanted: Sequence[str],
    *,
    asked: Asked = DIFFERENT,
    label: str = "",
    typed: str = "",
    replies: Sequence[tuple[str, Sequence[Reply | None]]] = (),
    problem: str = "",
    status: int = 200,
) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        sides = comparisons.sides(unit, wanted)
        shown = Shown(
            sides=sides,
            curves=[curves.curve(unit, side.run) for side in sides],
            choices=_choices(unit),
            differing=comparisons.differing(sides),
            alike=comparisons.alike(sides),
            counts=comparisons.counts(sides),
            label=label,
            proofs=_proofs(unit, sides, asked),
            asked=asked,
            questions=typed,
            replies=replies,
            problem=problem,
        )
        text = compare_page(frame_of(request, unit), shown)
    return page_answer(request, text, status)


def _ids(given: Sequence[str]) -> list[str]:
    """From `runs=a,b` or `runs=a&runs=b`."""
    return list(dict.fromkeys(key for part in given for key in part.split(",") if key))


def _choices(unit: Unit) -> list[tuple[str, str]]:
    found = runs.page(unit, limit=MOST_CHOICES, without=("results", "progress", "wire"), state="completed,running")
    return [(run.id, run.name) for run in found.items]


def _proofs(unit: Unit, sides: Sequence[Side], asked: Asked) -> outcomes.Answers | None:
    """What the runs said to the same test rows, each by its best way."""
    if len(sides) < 2 or len({side.run.test_dataset_id for side in sides}) > 1:
        return None
    try:
        joined = comparisons.joined(unit, sides)
    except NotFound:
        return None
    if joined is None:
        return None
    return outcomes.answers(
        joined, method=asked.method, show=asked.show, search=asked.search, start=asked.start, limit=PER_PAGE
    )


def _questions(text: str) -> list[str]:
    found = [line.strip() for line in text.splitlines() if line.strip()]
    if not found:
        raise ParameterInvalid("questions: nothing was asked. Write one question on each line.")
    if len(found) > MOST_QUESTIONS:
        raise ParameterInvalid(f"questions: {len(found)} were asked; at most {MOST_QUESTIONS} at once.")
    return found


def _prompts(request: Request, wanted: Sequence[str]) -> list[str | None]:
    """Ids of the runs' tuned prompts, in their order."""
    with unit_of(request, write=False, need="viewer") as unit:
        return [unit.get(TuningRun, key).tuned_prompt_id for key in wanted]


async def _replies(
    request: Request, prompts: Sequence[str | None], questions: Sequence[str]
) -> list[tuple[str, list[Reply | None]]]:
    config = GenerateConfig(max_new_tokens=_LONGEST)
    columns: list[list[Reply | None]] = []
    for prompt_id in prompts:
        if prompt_id is None:
            columns.append([None] * len(questions))
            continue
        behind = await inference.behind_prompt(request, prompt_id)
        asked = [inference.Asked(text=text, config=config) for text in questions]
        done = await inference.answers(request, behind, asked)
        columns.append(
            [
                Reply(
                    each.output.strip(),
                    each.confidence,
                    each.input_tokens + each.virtual_tokens + each.generated_tokens,
                )
                for each in done
            ]
        )
    return [(question, [column[n] for column in columns]) for n, question in enumerate(questions)]
