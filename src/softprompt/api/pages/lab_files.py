"""The Prompt Lab's page as code for other clients, and as a file that goes out and comes in again."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile

from softprompt.api.context import unit_of
from softprompt.api.pages.lab import Standing, shown
from softprompt.api.pages.lab_forms import read, text
from softprompt.api.pages.shared import form_of, frame_of, in_unit, page_answer, project_of
from softprompt.api.studio.lab import code_of
from softprompt.api.studio.lab_page import PageFile, exported
from softprompt.errors import SoftpromptError, TooLarge, UsageError
from softprompt.studio.access import Unit
from softprompt.studio.lab import LabPage
from softprompt.ui.pages.lab_lists import code_page, import_page

router = APIRouter(include_in_schema=False)
_MOST_BYTES = 4 * 2**20
_PROBLEMS = 8


@router.post("/lab/code")
async def show_code(request: Request) -> Response:
    """Code for every column, ready to paste."""
    form = await form_of(request)
    page = read(form)

    def make(unit: Unit) -> str:
        found = code_of(request, unit, page, ("project_id", project_of(unit).id))["columns"]
        return code_page(frame_of(request, unit), [(each["name"], each["snippets"]) for each in found])

    try:
        return page_answer(request, await in_unit(request, make, write=False))
    except SoftpromptError as error:
        standing = Standing(page, text(form, "generation"), text(form, "session"), str(error))
        return await shown(request, standing, error.status)


@router.post("/lab/export")
async def export_page(request: Request) -> Response:
    form = await form_of(request)
    content = exported(read(form))
    name = quote((text(form, "name").strip() or "prompt").replace("/", "-") + ".json")
    headers = {"content-disposition": f"attachment; filename*=UTF-8''{name}", "cache-control": "no-store"}
    return Response(json.dumps(content, ensure_ascii=False, indent=2) + "\n", 200, headers, "application/json")


@router.get("/lab/import")
def show_import(request: Request) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        return page_answer(request, import_page(frame_of(request, unit)))


@router.post("/lab/import")
async def import_file(request: Request) -> Response:
    form = await form_of(request, files=1)
    written = ""
    try:
        written = await _sent(form)
        return await shown(request, Standing(parsed(written), told="The page is imported."))
    except SoftpromptError as error:
        problem, status = str(error), error.status
    finally:
        await form.close()
    answer = await in_unit(request, lambda unit: import_page(frame_of(request, unit), problem, written), write=False)
    return page_answer(request, answer, status)


def parsed(written: str) -> LabPage:
    """The page of a file; everything that does not fit is named."""
    try:
        found = json.loads(written)
    except ValueError as error:
        raise UsageError(f"This is no JSON: {error}. Give a file that “Export as JSON” has written.") from error
    try:
        return PageFile.model_validate(found).page()
    except ValidationError as error:
        raise UsageError(f"{_sentence(error)} Give a file that “Export as JSON” has written.") from error


def _sentence(error: ValidationError) -> str:
    problems = error.errors()
    told = [f"{'.'.join(map(str, each['loc'])) or 'file'}: {each['msg']}" for each in problems[:_PROBLEMS]]
    more = f"; and {len(problems) - _PROBLEMS} more" if len(problems) > _PROBLEMS else ""
    return f"{'; '.join(told)}{more}."


async def _sent(form: FormData) -> str:
    sent: Any = form.get("file")
    if isinstance(sent, UploadFile) and sent.filename:
        content = await sent.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise TooLarge(f"The file has more than {_MOST_BYTES // 2**20} MB; a page of the lab is smaller.")
        return content.decode("utf-8-sig", "replace")
    pasted = text(form, "pasted").strip()
    if not pasted:
        raise UsageError("Choose a file, or paste its content.")
    return pasted
