"""The Prompt Lab's page: shown anew, from the history, a prompt session or an example; and changed by its buttons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from softprompt.api import lab_answers
from softprompt.api.context import studio_of, unit_of
from softprompt.api.pages.lab_forms import edited, read, text
from softprompt.api.pages.shared import form_of, frame_of, go, page_answer, project_of
from softprompt.errors import NotFound, ParameterInvalid, SoftpromptError
from softprompt.storage.tables import LARGE, Dataset, PromptSession
from softprompt.studio import datasets, lab_history, lab_rows, lab_subjects, prompt_sessions
from softprompt.studio.access import RANKS, Unit
from softprompt.studio.lab import MOST_ROWS, LabPage, Try, example, of_content
from softprompt.studio.lab_history import Answer
from softprompt.ui.pages.lab import View
from softprompt.ui.pages.lab import lab as lab_page
from softprompt.ui.pages.lab_lists import history as history_page

router = APIRouter(include_in_schema=False)
SHOWN = 6
"""Generations beside the page."""
MOST_IMPORTED = 20


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known before the page is made.

    Attributes:
        generation: id of the one whose answers are shown.
        empty: whether nothing was asked for: then one can go on where one left off.
    """

    page: LabPage
    generation: str = ""
    session: str = ""
    problem: str = ""
    told: str = ""
    empty: bool = False


@router.get("/lab")
def show_lab(request: Request, subject: str = "", generation: str = "", session: str = "", start: str = "") -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        standing = _found(unit, generation, session, start)
        if subject:
            first = replace(standing.page.columns[0], subject=subject)
            standing = replace(standing, page=replace(standing.page, columns=(first, *standing.page.columns[1:])))
        return page_answer(request, _page(request, unit, standing))


@router.post("/lab")
async def change_lab(request: Request) -> Response:
    """One of the page's buttons, without a script: generate, or another look at what stands there."""
    form = await form_of(request)
    do = text(form, "do", "generate")
    standing = Standing(LabPage(), text(form, "generation"), text(form, "session"))
    try:
        standing = replace(standing, page=read(form))
        if do == "generate":
            made = await lab_answers.whole(request, standing.page, standing.session or None)
            return go(f"/lab?generation={made}")
        changed = await _imported(request, form, standing) if do == "import" else _edited(standing, do)
        return await shown(request, changed)
    except SoftpromptError as error:
        return await shown(request, replace(standing, problem=str(error)), error.status)


@router.get("/lab/history")
def show_history(request: Request, session: str = "", cursor: str | None = None) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        found = lab_history.page(unit, session_id=session or None, limit=50, cursor=cursor)
        of = prompt_sessions.get(unit, session) if session else None
        names = {value: words for group in lab_subjects.groups(unit) for value, words in group.items}
        return page_answer(request, history_page(frame_of(request, unit), found, names, of))


async def shown(request: Request, standing: Standing, status: int = 200) -> Response:
    """The page, from a route that waits for other things too."""

    def make() -> Response:
        with unit_of(request, write=False, need="viewer") as unit:
            return page_answer(request, _page(request, unit, standing), status)

    return await run_in_threadpool(make)


def _found(unit: Unit, generation: str, session: str, start: str) -> Standing:
    if generation:
        row = lab_history.get(unit, generation)
        return Standing(lab_history.page_of(row), row.id, row.session_id or "")
    if session:
        saved = prompt_sessions.get(unit, session)
        kept = saved.content.get(prompt_sessions.LAB) or {}
        page = of_content(saved.content, saved.mode, saved.model_id)
        return Standing(page, str(kept.get("generation") or ""), saved.id)
    return Standing(example() if start == "example" else LabPage(), empty=start != "example")


def _edited(standing: Standing, do: str) -> Standing:
    return replace(standing, page=edited(standing.page, do))


async def _imported(request: Request, form: FormData, standing: Standing) -> Standing:
    """Rows of a dataset as examples or tests, drawn by a seed."""
    page = standing.page
    count, seed = _whole(form, "count", 3, MOST_IMPORTED), _whole(form, "seed_rows", 73, 2**32 - 1)
    tests = text(form, "into") == "tests"
    known = [each.input for each in page.tries] if tests else [given for given, _ in page.examples]

    def drawn() -> tuple[str, list[tuple[str, str]]]:
        with unit_of(request, write=False, need="viewer") as unit:
            dataset = datasets.usable(unit, text(form, "dataset"), "dataset", need="viewer")
        path = studio_of(request).office.store.file(dataset.key or "")
        return dataset.name, lab_rows.drawn(path, count, seed=seed, without=known)

    name, rows = await run_in_threadpool(drawn)
    if not rows:
        raise ParameterInvalid(f"Dataset {name!r} has no further rows that are not on the page already.")
    if tests:
        kept = tuple(each for each in page.tries if each.input.strip())
        page = replace(page, tries=(*kept, *(Try(i, o) for i, o in rows))[:MOST_ROWS])
    else:
        filled = tuple(pair for pair in page.examples if "".join(pair).strip())
        page = replace(page, examples=(*filled, *rows)[:MOST_ROWS])
    some = f"{len(rows)} row{'' if len(rows) == 1 else 's'}"
    return replace(standing, page=page, told=f"{some} of “{name}” came in as {'tests' if tests else 'examples'}.")


def _whole(form: FormData, name: str, default: int, most: int) -> int:
    given = text(form, name).strip() or str(default)
    if not given.isdecimal() or not 0 <= int(given) <= most:
        label = {"count": "Rows", "seed_rows": "Seed"}[name]
        raise ParameterInvalid(f"{label}: {given[:40]!r} is no whole number up to {most}.")
    return int(given)


def _page(request: Request, unit: Unit, standing: Standing) -> str:
    session = unit.rows.get(PromptSession, standing.session) if standing.session else None
    session = session if session is not None and unit.role_in(session) else None
    past = lab_history.page(unit, session_id=session.id if session else None, limit=SHOWN).items
    groups = lab_subjects.groups(unit, lab_history.recent_subjects(past))
    first = next((value for group in groups for value, _ in group.items), "")
    columns = tuple(each if each.subject else replace(each, subject=first) for each in standing.page.columns)
    page = replace(standing.page, columns=columns)
    view = View(
        page=page,
        groups=groups,
        subjects=[lab_subjects.maybe(unit, each.subject) for each in columns],
        answers=_answers(unit, page, standing.generation),
        generation=standing.generation,
        session=session,
        history=past,
        datasets=unit.rows.page(
            Dataset, containers=unit.visible(), state="ready", limit=50, without=LARGE[Dataset]
        ).items,
        may_save=unit.role_in(project_of(unit)) >= RANKS["editor"],
        problem=standing.problem,
        told=standing.told,
        resume=past[0] if standing.empty and past else None,
    )
    return lab_page(frame_of(request, unit), view)


def _answers(unit: Unit, page: LabPage, generation: str) -> dict[tuple[int, int], Answer]:
    """The answers of a generation, where test and subject are still the ones that were asked."""
    try:
        row = lab_history.get(unit, generation) if generation else None
    except NotFound:
        return {}
    if row is None:
        return {}
    return moved(lab_history.answers_of(row), lab_history.page_of(row), page)


def moved(answers: Sequence[Answer], before: LabPage, now: LabPage) -> dict[tuple[int, int], Answer]:
    """Each answer where its test and its subject stand now; those of rows that are gone are left out."""
    rows: dict[int, int] = {}
    waiting = {number: each.input for number, each in enumerate(before.tries)}
    for number, each in enumerate(now.tries):
        same = next((old for old, asked in waiting.items() if asked == each.input), None)
        if same is not None:
            rows[same] = number
            del waiting[same]
    columns: dict[int, int] = {}
    for number, column in enumerate(now.columns):
        free = [old for old, other in enumerate(before.columns) if other == column and old not in columns]
        alike = [o for o, other in enumerate(before.columns) if other.subject == column.subject and o not in columns]
        if free or alike:
            columns[(free or alike)[0]] = number
    return {
        (rows[each.row], columns[each.column]): each for each in answers if each.row in rows and each.column in columns
    }
