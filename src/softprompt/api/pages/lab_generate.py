"""The Prompt Lab's answers: whole for browsers without scripts, as one stream of all cells for the others; counts."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, cast

from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.background import BackgroundTask
from starlette.datastructures import FormData
from starlette.requests import ClientDisconnect

from softprompt.api import inference
from softprompt.api.context import studio_of
from softprompt.api.inference import Asked, Behind
from softprompt.api.pages.lab_forms import read, text
from softprompt.api.pages.shared import in_unit, project_of
from softprompt.errors import ParameterInvalid, SoftpromptError, Unavailable
from softprompt.serving.protocol import Done, Failed, Piece, Way
from softprompt.storage.tables import LabGeneration
from softprompt.studio import lab_history, lab_subjects, prompt_sessions
from softprompt.studio.access import Unit
from softprompt.studio.lab import LETTERS, LabPage, Try, prompt
from softprompt.studio.lab_history import Answer, Token
from softprompt.studio.lab_subjects import Subject
from softprompt.ui.pages import lab_answers as shown
from softprompt.ui.pages.lab_lists import history_item

router = APIRouter(include_in_schema=False)
AT_ONCE = 8
"""Answers of one page that are worked on together; others may want some too."""
ALTERNATIVES = 5
MOST_COUNTED = 40
"""Tests, times columns, whose tokens are counted while somebody types."""
Event = Piece | Done | Failed


@dataclass(frozen=True, slots=True)
class Cell:
    """One test in one column."""

    row: int
    column: int
    asked: Try
    subject: Subject
    behind: Behind
    question: Asked


@dataclass(slots=True)
class Answers:
    """What has come in so far."""

    pieces: dict[tuple[int, int], str] = field(default_factory=dict)
    done: dict[tuple[int, int], Answer] = field(default_factory=dict)
    saved: bool = False

    def add(self, cell: Cell, event: Event) -> Answer | None:
        """The whole answer of the cell, if this was its end."""
        place = (cell.row, cell.column)
        if isinstance(event, Piece):
            self.pieces[place] = self.pieces.get(place, "") + event.text
            return None
        self.done[place] = failed(cell, event) if isinstance(event, Failed) else answered(cell, event)
        return self.done[place]

    def all(self) -> list[Answer]:
        """With what was said before somebody stopped."""
        said = {
            place: Answer(row=place[0], column=place[1], output=text, stop_reason="cancelled")
            for place, text in self.pieces.items()
        }
        return list({**said, **self.done}.values())


async def whole(request: Request, page: LabPage, session_id: str | None) -> str:
    """Answer everything on the page; id of the generation in the history."""
    cells = await prepared(request, page)
    generation_id = await _begun(request, page, session_id)
    answers = Answers()

    async def collect() -> None:
        async with aclosing(cast(Any, events(request, cells))) as coming:
            async for cell, event in coming:
                answers.add(cell, event)

    await inference.while_there(request, collect())
    await _finished(request, generation_id, answers)
    return generation_id


@router.post("/lab/stream")
async def stream(request: Request) -> Response:
    """All cells of the page, piece by piece. Whoever leaves stops them; what was said by then is in the history."""
    form = await _sent(request)
    page = read(form)
    cells = await prepared(request, page)
    generation_id = await _begun(request, page, text(form, "session") or None)
    answers = Answers()
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    saving = BackgroundTask(_finished, request, generation_id, answers)
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
    await _finished(request, generation_id, answers)
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
            behind = await _behind(request, subject)
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


async def prepared(request: Request, page: LabPage) -> list[Cell]:
    """Everything that is to be asked; whatever is wrong with a column is named before anybody is asked."""
    if not page.asked:
        raise ParameterInvalid("Nothing is asked yet. Write something into a test, then generate.")
    cells = []
    problems = []
    for place, column in enumerate(page.columns):
        try:
            config = column.config()
            subject = await in_unit(request, lambda unit, v=column.subject: lab_subjects.find(unit, v), write=False)
            behind = await _behind(request, subject)
        except SoftpromptError as error:
            problems.append((place, error))
            continue
        way: Way = "text" if column.way == "text" and subject.readout else "auto"
        values = dict(page.variables) if subject.takes == "template" else None
        for row in page.asked:
            said = prompt(page, column, page.tries[row], subject.takes, subject.template)
            question = Asked(text=said, config=config, variables=values, way=way, details=ALTERNATIVES)
            cells.append(Cell(row, place, page.tries[row], subject, behind, question))
    if problems:
        if len(page.columns) == 1:
            raise problems[0][1]
        raise ParameterInvalid(" ".join(f"Column {LETTERS[place]}: {error}" for place, error in problems))
    return sorted(cells, key=lambda cell: cell.row)


async def events(request: Request, cells: Sequence[Cell]) -> AsyncIterator[tuple[Cell, Event]]:
    """What comes in, from all cells; each ends with `Done` or `Failed`, whatever happens to the others."""
    queue: asyncio.Queue[tuple[Cell, Event]] = asyncio.Queue()
    room = asyncio.Semaphore(AT_ONCE)

    async def follow(cell: Cell) -> None:
        last: Event = Failed.of(Unavailable("The serving host stopped amid an answer. Generate again."))
        try:
            async with room, aclosing(cast(Any, inference.stream(request, cell.behind, cell.question))) as coming:
                async for event in coming:
                    if isinstance(event, Piece):
                        queue.put_nowait((cell, event))
                    else:
                        last = event
                        break
        except Exception as error:
            last = Failed.of(error)
        queue.put_nowait((cell, last))

    tasks = [asyncio.ensure_future(follow(cell)) for cell in cells]
    waiting = len(cells)
    try:
        while waiting:
            cell, event = await queue.get()
            waiting -= not isinstance(event, Piece)
            yield cell, event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def answered(cell: Cell, done: Done) -> Answer:
    return Answer(
        row=cell.row,
        column=cell.column,
        output=done.output,
        input_tokens=done.input_tokens,
        virtual_tokens=done.virtual_tokens,
        generated_tokens=done.generated_tokens,
        stop_reason=done.stop_reason,
        confidence=done.confidence,
        cut=done.cut,
        way=done.way,
        labels=done.labels,
        tokens=tuple(Token(text=token.text, logprob=token.logprob, top=token.top) for token in done.tokens),
    )


def failed(cell: Cell, event: Failed) -> Answer:
    return Answer(row=cell.row, column=cell.column, problem=event.message)


async def _sent(request: Request) -> FormData:
    """The form; a script that has something newer to ask leaves at any moment."""
    try:
        return await request.form(max_files=0, max_fields=2000)
    except ClientDisconnect:
        raise HTTPException(inference.CLIENT_LEFT, "The client left before its form was there.") from None


async def _behind(request: Request, subject: Subject) -> Behind:
    if subject.kind == "prompt":
        return await inference.behind_prompt(request, subject.id)
    if subject.kind == "deployment":
        return await inference.behind_deployment(request, subject.id)
    return await inference.behind_model(request, subject.id)


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


async def _begun(request: Request, page: LabPage, session_id: str | None) -> str:
    def begin(unit: Unit) -> str:
        return lab_history.begin(unit, project_of(unit), page, session_id).id

    return str(await in_unit(request, begin))


async def _finished(request: Request, generation_id: str, answers: Answers) -> None:
    if not answers.saved:
        await in_unit(request, lambda unit: lab_history.finish(unit, generation_id, answers.all()))
        answers.saved = True


def _item(generation_id: str) -> Callable[[Unit], str]:
    def made(unit: Unit) -> str:
        row: LabGeneration = lab_history.get(unit, generation_id)
        names = {value: words for group in lab_subjects.groups(unit) for value, words in group.items}
        return str(history_item(row, names, here=True))

    return made


def _line(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"
