"""Answers to a page of the Prompt Lab: every test in every column, a few at a time; kept in the history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any, cast

from fastapi import Request

from softprompt.api import inference
from softprompt.api.context import in_unit
from softprompt.api.inference import Asked, Behind
from softprompt.errors import ParameterInvalid, SoftpromptError, Unavailable
from softprompt.serving.protocol import Done, Failed, Piece, Way
from softprompt.studio import lab_history, lab_subjects, projects
from softprompt.studio.access import Unit
from softprompt.studio.lab import LETTERS, LabPage, Try, prompt
from softprompt.studio.lab_history import Answer, Token
from softprompt.studio.lab_subjects import Subject

AT_ONCE = 8
"""Answers of one page that are worked on together; others may want some too."""
ALTERNATIVES = 5
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


async def whole(request: Request, page: LabPage, session_id: str | None, project: str | None = None) -> str:
    """Answer everything on the page; id of the generation in the history of a project."""
    cells = await prepared(request, page)
    generation_id = await begun(request, page, session_id, project)
    answers = Answers()

    async def collect() -> None:
        async with aclosing(cast(Any, events(request, cells))) as coming:
            async for cell, event in coming:
                answers.add(cell, event)

    await inference.while_there(request, collect())
    await finished(request, generation_id, answers)
    return generation_id


async def prepared(request: Request, page: LabPage) -> list[Cell]:
    """Everything that is to be asked; whatever is wrong with a column is named before anybody is asked."""
    if not page.asked:
        raise ParameterInvalid("Nothing is asked yet. Write something into a test, then generate.")
    cells = []
    problems = []
    for place, column in enumerate(page.columns):
        try:
            config = column.config()
            subject: Subject = await in_unit(request, _named(column.subject), write=False)
            behind = await behind_subject(request, subject)
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


def _named(value: str) -> Callable[[Unit], Subject]:
    return lambda unit: lab_subjects.find(unit, value)


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


async def begun(request: Request, page: LabPage, session_id: str | None, project: str | None = None) -> str:
    """Write down what is asked, before anybody is."""

    def begin(unit: Unit) -> str:
        return lab_history.begin(unit, projects.find(unit, project), page, session_id).id

    return str(await in_unit(request, begin))


async def finished(request: Request, generation_id: str, answers: Answers) -> None:
    """Put what was answered beside it, once."""
    if not answers.saved:
        await in_unit(request, lambda unit: lab_history.finish(unit, generation_id, answers.all()))
        answers.saved = True


async def behind_subject(request: Request, subject: Subject) -> Behind:
    """What the serving host has to ask for it."""
    if subject.kind == "prompt":
        return await inference.behind_prompt(request, subject.id)
    if subject.kind == "deployment":
        return await inference.behind_deployment(request, subject.id)
    return await inference.behind_model(request, subject.id)
