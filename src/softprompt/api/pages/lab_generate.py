"""The Prompt Lab's answers as one stream of all cells; counts of tokens while somebody types."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, cast

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect

from softprompt.api import inference
from softprompt.api.context import in_unit, studio_of
from softprompt.api.inference import Behind
from softprompt.api.lab_answers import Answers, Cell, begun, behind_subject, events, finished, prepared
from softprompt.api.pages.lab_forms import read, text
from softprompt.errors import ParameterInvalid, SoftpromptError
from softprompt.storage.tables import LabGeneration
from softprompt.studio import lab_history, lab_subjects, prompt_sessions
from softprompt.studio.access import Unit
from softprompt.studio.lab import LETTERS, LabPage, Try, prompt
from softprompt.studio.lab_subjects import Subject
from softprompt.ui.pages import lab_answers as shown
from softprompt.ui.pages.lab_lists import history_item

router = APIRouter(include_in_schema=False)
MOST_COUNTED = 40
"""Tests, times columns, whose tokens are counted while somebody types."""


@router.post("/lab/stream")
async def stream(request: Request) -> Response:
    """All cells of the page, piece by piece. Whoever leaves stops them; what was said by then is in the history."""
    form = await _sent(request)
    page = read(form)
    cells = await prepared(request, page)
    generation_id = await begun(request, page, text(form, "session") or None)
    answers = Answers()
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    saving = BackgroundTask(finished, request, generation_id, answers)
    content = _told(request, page, cells, generation_id, answers)
    return StreamingResponse(content, media_type="text/event-stream", headers=headers, background=saving)


async def _told(
    request: Request, page: LabPage, cells: Sequence[Cell], generation_id: str, answers: Answers
) -> AsyncIterator[str]:
    yield _line({"generation": generation_id, "cells": len(cells)})
    many = len(page.columns) > 1
    async with aclosing(cast(Any, events(request, cells))) as coming:
        async for cell, event in coming:
            place = {"row": cell.row, "column": cell.column}
            answer = answers.add(cell, event)
            if answer is None:
                yield _line({"piece": event.text, **place})
                continue
            html = str(shown.cell(answer, cell.asked, cell.row, cell.column, cell.subject, many))
            if answer.problem:
                yield _line({"problem": answer.problem, **place, "html": html})
            else:
                yield _line({"told": shown.told(answer, cell.subject), **place, "html": html})
    await finished(request, generation_id, answers)
    item = await in_unit(request, _item(generation_id), write=False)
    yield _line({"end": True, "right": shown.right(page, answers.done), "history": item})


@router.post("/lab/count")
async def count(request: Request) -> Response:
    """Tokens of each test as it stands, and of what tuned prompts set aside."""
    form = await _sent(request)
    page = read(form)
    subjects = await in_unit(request, lambda unit: _subjects(unit, page), write=False)
    rows = page.asked[: max(1, MOST_COUNTED // len(page.columns))]
    counts: dict[int, list[str]] = {row: [] for row in rows}
    aside = []
    for place, subject in enumerate(subjects):
        letter = f"{LETTERS[place]} " if len(page.columns) > 1 else ""
        if subject is None:
            continue
        try:
            behind = await behind_subject(request, subject)
            ask = [_text(page, place, page.tries[row], subject, behind) for row in rows]
            other = [_text(_turned(page, place), place, page.tries[rows[0]], subject, behind)] if rows else []
            both = other if subject.takes == "input" and page.has_words else []
            found = await _tokens(request, behind, [*ask, *both])
        except SoftpromptError:
            continue  # said when somebody generates; a count is only a help
        for row, (tokens, virtual) in zip(rows, found, strict=False):
            counts[row].append(f"{letter}{tokens}{f' + {virtual} virtual' if virtual else ''}")
        if both:
            aside.append([place, f"{found[0][0]} input tokens instead of {found[-1][0]}."])
    lines = [[row, f"Input tokens: {' · '.join(parts)}"] for row, parts in counts.items() if parts]
    return JSONResponse({"rows": lines, "aside": aside}, headers={"cache-control": "no-store"})


async def _sent(request: Request) -> FormData:
    """The form; a script that has something newer to ask leaves at any moment."""
    try:
        return await request.form(max_files=0, max_fields=2000)
    except ClientDisconnect:
        raise HTTPException(inference.CLIENT_LEFT, "The client left before its form was there.") from None


def _subjects(unit: Unit, page: LabPage) -> list[Subject | None]:
    return [lab_subjects.maybe(unit, column.subject) for column in page.columns]


def _turned(page: LabPage, place: int) -> LabPage:
    """The page with instruction and examples sent where they were set aside, and the other way round."""
    columns = list(page.columns)
    columns[place] = replace(columns[place], words=not columns[place].words)
    return replace(page, columns=tuple(columns))


def _text(page: LabPage, place: int, asked: Try, subject: Subject, behind: Behind) -> str:
    said = prompt(page, page.columns[place], asked, subject.takes, subject.template)
    if behind.template is None:
        return said
    return prompt_sessions.rendered(
        {**behind.template, **({"input": [[said, ""]]} if said else {})}, dict(page.variables)
    )


async def _tokens(request: Request, behind: Behind, texts: Sequence[str]) -> list[tuple[int, int]]:
    studio = studio_of(request)
    most = studio.settings.limits.prompt_chars
    if any(len(each) > most for each in texts):
        raise ParameterInvalid(f"A prompt has more than {most:,} characters.")

    async def ask() -> list[tuple[int, int]]:
        found = await asyncio.gather(*(studio.backend.tokenize(behind.target, each) for each in texts))
        return [(each.count, each.virtual_tokens) for each in found]

    return await inference.while_there(request, ask())


def _item(generation_id: str) -> Callable[[Unit], str]:
    def made(unit: Unit) -> str:
        row: LabGeneration = lab_history.get(unit, generation_id)
        names = {value: words for group in lab_subjects.groups(unit) for value, words in group.items}
        return str(history_item(row, names, here=True))

    return made


def _line(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
