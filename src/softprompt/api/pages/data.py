"""Pages of datasets: load, look, repair."""

from __future__ import annotations

import uuid
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from softprompt.api.context import studio_of, unit_of
from softprompt.api.pages.shared import form_of, frame_of, go, in_unit, page_answer, project_of
from softprompt.errors import SoftpromptError, UsageError
from softprompt.studio import datasets
from softprompt.studio.access import Unit
from softprompt.ui.pages import data as pages

router = APIRouter(include_in_schema=False)
ROWS = 25
_PIECE = 2**20


@router.get("/data")
def show_datasets(request: Request, cursor: str | None = None) -> Response:
    return _listed(request, cursor=cursor)


def _listed(request: Request, problem: str = "", status: int = 200, cursor: str | None = None) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        found = datasets.page(unit, limit=100, cursor=cursor)
        text = pages.datasets(frame_of(request, unit), found, problem)
    return page_answer(request, text, status)


@router.post("/data")
async def load(request: Request) -> Response:
    form = await form_of(request)
    path = studio_of(request).uploads / f"{uuid.uuid4().hex}.part"
    try:
        file_name = await _written(form, path)
        name = str(form.get("name", "")).strip() or Path(file_name).stem or "pasted rows"
        dataset_id = await run_in_threadpool(_stored, request, path, name, file_name)
    except SoftpromptError as error:
        return await run_in_threadpool(_listed, request, str(error), error.status)
    finally:
        path.unlink(missing_ok=True)
        await form.close()
    return go(f"/data/{dataset_id}")


async def _written(form: FormData, path: Path) -> str:
    """What was sent as a file, and its name."""
    sent, pasted = form.get("file"), str(form.get("pasted", "")).strip()
    with path.open("xb") as file:
        if isinstance(sent, UploadFile) and sent.filename:
            while piece := await sent.read(_PIECE):
                await run_in_threadpool(file.write, piece)
            return Path(sent.filename.replace("\\", "/")).name
        if pasted:
            file.write(pasted.encode())
            return "pasted.jsonl"
    raise UsageError("Choose a file, or paste rows.")


def _stored(request: Request, path: Path, name: str, file_name: str) -> str:
    studio = studio_of(request)
    found = datasets.examine(path, most_rows=studio.settings.limits.rows)
    datasets.keep(studio.office.store, found)
    with unit_of(request) as unit:
        return datasets.create(unit, project_of(unit), name, found, file_name=file_name).id


@router.get("/data/{dataset_id}")
def show_dataset(request: Request, dataset_id: str, start: int = 0, search: str = "") -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        found = datasets.get(unit, dataset_id)
        frame = frame_of(request, unit)
    rows = []
    if found.key:
        path = studio_of(request).office.store.file(found.key)
        rows = datasets.rows(path, start=max(0, start), limit=ROWS, search=search)
    return page_answer(request, pages.dataset(frame, found, rows, max(0, start), search))


@router.post("/data/{dataset_id}/repair")
async def repair(request: Request, dataset_id: str) -> Response:
    """A new version with the repairs made and the unusable rows left out."""
    await form_of(request)
    found = await in_unit(request, lambda unit: datasets.get(unit, dataset_id), write=False)
    path = studio_of(request).uploads / f"{uuid.uuid4().hex}.part"

    def write() -> str:
        source = studio_of(request).office.store.file(found.key or "")
        with path.open("wb") as file:
            file.writelines(datasets.repaired(source))
        return _stored(request, path, found.name, found.file_name)

    try:
        return go(f"/data/{await run_in_threadpool(write)}")
    finally:
        path.unlink(missing_ok=True)


__all__ = ["Unit", "router"]
