"""Pages that change what is there: editing, fixing, restoring, splitting and deleting datasets."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from softprompt.api.context import unit_of
from softprompt.api.pages.data_store import LARGEST_NUMBER, index_of, number, shown_of, stored_lines
from softprompt.api.pages.shared import form_of, frame_of, go, in_unit, once_more, page_answer
from softprompt.errors import DatasetUnreadable, SoftpromptError
from softprompt.storage.datasets import Listed
from softprompt.storage.tables import Dataset
from softprompt.studio import datasets, datasets_edit, datasets_fix, trash
from softprompt.studio.access import Unit
from softprompt.studio.datasets_diff import diff, labels_between
from softprompt.studio.datasets_edit import Added, Draft
from softprompt.studio.datasets_find import Wanted, find
from softprompt.studio.datasets_fix import Steps, line_of
from softprompt.studio.datasets_split import Shares, parts
from softprompt.ui.pages import data_edit, data_fix, data_split, data_versions
from softprompt.ui.pages.data_parts import address
from softprompt.ui.pages.data_versions import Between

router = APIRouter(include_in_schema=False)
ROWS = 25
_COMPARED = 25


@router.get("/data/{dataset_id}/edit")
def show_edit(request: Request, dataset_id: str, start: int = 0) -> Response:
    return _edit(request, dataset_id, start)


def _edit(
    request: Request, dataset_id: str, start: int, *, draft: Draft | None = None, problem: str = "", status: int = 200
) -> Response:
    with unit_of(request, write=False) as unit:
        found = datasets.get(unit, dataset_id)
        shown, frame = shown_of(unit, found), frame_of(request, unit)
    index = index_of(request, found)
    first = max(0, min(start, LARGEST_NUMBER)) // ROWS * ROWS
    piece = find(index, Wanted(start=first, limit=ROWS), found.report or {})
    refused = {place: list(marks) for place, marks in piece.refused.items()}
    page = data_edit.edit(
        frame, shown, piece.rows, first, ROWS, len(index), refused=refused, draft=draft, problem=problem
    )
    return page_answer(request, page, status)


@router.post("/data/{dataset_id}/edit")
async def save_edit(request: Request, dataset_id: str, start: int = 0) -> Response:
    """A new version with the changes; nothing is saved if any of them cannot be."""
    form = await form_of(request)
    draft: Draft | None = None
    try:
        found = await in_unit(request, lambda unit: datasets.get(unit, dataset_id), write=False)
        index = await run_in_threadpool(index_of, request, found)
        sent = str(form.get("draft", ""))
        draft = datasets_edit.read(sent) if sent else _fields(form)
        datasets_edit.check(draft, index)
        draft = datasets_edit.without_idle(draft, index)
        if draft.empty:
            return go(address(f"/data/{dataset_id}/edit", start=start))
        lines = datasets_edit.edited(index, draft)
        made: Dataset = await run_in_threadpool(stored_lines, request, lines, found.name, like=found)
    except SoftpromptError as error:
        kept = draft
        return await once_more(
            lambda words, status: _edit(request, dataset_id, start, draft=kept, problem=words, status=status), error
        )
    return go(f"/data/{made.id}")


def _fields(form: FormData) -> Draft:
    """A draft out of the fields of one page of rows."""
    texts = {name: value for name, value in form.multi_items() if isinstance(value, str)}
    numbers = [int(name[6:]) for name in texts if name.startswith("input.") and name[6:].isdecimal()]
    changed = {n: (_plain(texts[f"input.{n}"]), _plain(texts.get(f"output.{n}", ""))) for n in numbers}
    deleted = frozenset(int(name[7:]) for name in texts if name.startswith("delete.") and name[7:].isdecimal())
    columns = [[str(each) for each in form.getlist(name)] for name in ("new_after", "new_input", "new_output")]
    added = tuple(
        Added(int(after), _plain(question), _plain(answer))
        for after, question, answer in zip(*columns, strict=False)
        if (question.strip() or answer.strip()) and after.lstrip("-").isdecimal()
    )
    return Draft({n: pair for n, pair in changed.items() if n not in deleted}, deleted, added)


def _plain(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\x00", "")


@router.get("/data/{dataset_id}/fix")
def show_fix(request: Request, dataset_id: str) -> Response:
    with unit_of(request, write=False) as unit:
        found = datasets.get(unit, dataset_id)
        shown, frame = shown_of(unit, found), frame_of(request, unit)
    plan = datasets_fix.plan(index_of(request, found), found.report or {})
    return page_answer(request, data_fix.fix(frame, shown, plan))


@router.post("/data/{dataset_id}/repair")
async def repair(request: Request, dataset_id: str) -> Response:
    """A new version with the repairs made, the unusable rows left out, and what else was ticked."""
    form = await form_of(request)
    steps = Steps.of(str(step) for step in form.getlist("step"))
    found = await in_unit(request, lambda unit: datasets.get(unit, dataset_id), write=False)

    def work() -> Dataset:
        index = index_of(request, found)
        if not len(index):
            raise DatasetUnreadable("No row of the dataset can be used, so a repaired version would be empty.")
        return stored_lines(request, datasets_fix.fixed(index, found.report or {}, steps), found.name, like=found)

    return go(f"/data/{(await run_in_threadpool(work)).id}")


@router.get("/data/{dataset_id}/versions")
def show_versions(request: Request, dataset_id: str, older: str = "", newer: str = "") -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        found = datasets.get(unit, dataset_id)
        history = datasets.history(unit, found)
        pair = _two(history, found, older, newer)
        rows = [unit.rows.get(Dataset, each.id) for each in pair] if pair else []
        shown, frame = shown_of(unit, found), frame_of(request, unit)
    between = _between(request, pair, rows) if pair else None
    return page_answer(request, data_versions.versions(frame, shown, history, between))


def _two(history: list[Listed], found: Dataset, older: str, newer: str) -> tuple[Listed, Listed] | None:
    """The two versions that are asked for; else this one and the one before it."""
    with_file = [each for each in history if each.sha256]
    by_id = {each.id: each for each in with_file}
    if older in by_id and newer in by_id:
        first, second = sorted((by_id[older], by_id[newer]), key=lambda each: each.version)
        return first, second
    place = next((i for i, each in enumerate(with_file) if each.id == found.id), None)
    if place is None or len(with_file) < 2:
        return None
    place = min(place, len(with_file) - 2)
    return with_file[place + 1], with_file[place]


def _between(request: Request, pair: tuple[Listed, Listed], rows: list[Any]) -> Between | None:
    if None in rows:
        return None
    old, new = (index_of(request, row) for row in rows)
    found = diff(old, new)
    return Between(
        older=pair[0],
        newer=pair[1],
        same=found.same,
        removed=list(old.rows(found.removed[:_COMPARED])),
        removed_count=len(found.removed),
        added=list(new.rows(found.added[:_COMPARED])),
        added_count=len(found.added),
        changed=list(found.pairs(old, new, _COMPARED)),
        changed_count=len(found.changed[0]),
        labels=labels_between(rows[0].report, rows[1].report),
    )


@router.post("/data/{dataset_id}/restore")
async def restore(request: Request, dataset_id: str) -> Response:
    await form_of(request)
    made = await in_unit(request, lambda unit: datasets.restore(unit, dataset_id).id)
    return go(f"/data/{made}/versions")


@router.get("/data/{dataset_id}/split")
def show_split(request: Request, dataset_id: str, train: str = "", validation: str = "", test: str = "") -> Response:
    made = {"train": train, "validation": validation, "test": test}
    return _split(request, dataset_id, Shares(), {name: key for name, key in made.items() if key})


def _split(
    request: Request, dataset_id: str, shares: Shares, made: dict[str, str], problem: str = "", status: int = 200
) -> Response:
    with unit_of(request, write=False) as unit:
        found = datasets.get(unit, dataset_id)
        shown, frame = shown_of(unit, found), frame_of(request, unit)
        there = {name: unit.rows.get(Dataset, key) for name, key in made.items()}
        seen = {name: row for name, row in there.items() if row is not None and unit.role_in(row)}
    return page_answer(request, data_split.split(frame, shown, shares, seen, problem=problem), status)


@router.post("/data/{dataset_id}/split")
async def make_split(request: Request, dataset_id: str) -> Response:
    form = await form_of(request)
    shares = Shares(
        validation=number(form.get("validation"), 0, 0, 1000),
        test=number(form.get("test"), 0, 0, 1000),
        seed=number(form.get("seed"), 73, 0, 2**40),
    )

    def work() -> dict[str, str]:
        with unit_of(request, write=False) as unit:
            found = datasets.usable(unit, dataset_id, "dataset")
            names = {part: datasets.name_of_part(unit, found, part) for part in ("train", "validation", "test")}
        told = f"{datasets.split_of(found)} version {found.version}, seed {shares.seed}."
        made = {}
        for part, rows in parts(index_of(request, found), found.report or {}, shares).items():
            lines = (line_of(row.input, row.output) for row in rows)
            made[part] = stored_lines(request, lines, names[part], like=found, description=told).id
        return made

    try:
        made = await run_in_threadpool(work)
    except SoftpromptError as error:
        return await once_more(lambda words, status: _split(request, dataset_id, shares, {}, words, status), error)
    return go(address(f"/data/{dataset_id}/split", **made))


@router.post("/data/{dataset_id}/delete")
async def delete(request: Request, dataset_id: str) -> Response:
    """Refused while a run or an evaluation that is not over needs it."""
    await form_of(request)
    await in_unit(request, lambda unit: datasets.delete(unit, dataset_id))
    return go(address("/data", deleted=dataset_id))


@router.post("/data/{dataset_id}/undelete")
async def undelete(request: Request, dataset_id: str) -> Response:
    await form_of(request)

    def work(unit: Unit) -> str:
        return str(trash.bring_back(unit, "dataset", dataset_id).id)

    return go(f"/data/{await in_unit(request, work)}")
