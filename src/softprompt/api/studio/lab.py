"""The Prompt Lab over HTTP: a page is answered, becomes code for other clients, and stands in the history."""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Literal, cast

from fastapi import Query, Request
from pydantic import Field
from typing_extensions import TypedDict

from softprompt.api import lab_answers
from softprompt.api.answers import paged
from softprompt.api.context import in_unit, unit_of
from softprompt.api.studio.inference import Said, secure_url_of
from softprompt.api.studio.lab_page import LabBody, exported
from softprompt.api.studio.shapes import Cut, Project, Reference, new_router, page_of
from softprompt.storage.tables import LabGeneration
from softprompt.studio import lab_code, lab_history, lab_subjects, projects, prompt_sessions
from softprompt.studio.access import Unit, iso
from softprompt.studio.lab import LabPage, of_content
from softprompt.studio.snippets import Snippet

router = new_router("lab")
Session = Annotated[Reference | None, Field(description="Id of the prompt session whose history it goes into.")]


class LabAsked(LabBody):
    """A page, and where its history is kept. An exported page can be sent as it is."""

    project: Project = None
    session: Session = None


class LabCoded(LabBody):
    """A page that becomes code."""

    project: Project = None


class HistoryPaging(Cut):
    session: Annotated[Reference | None, Field(description="Of this prompt session, whoever asked.")] = None
    sort: Literal["created_at", "-created_at"] = "-created_at"


class TokenShown(TypedDict):
    text: str
    logprob: float
    top: list[tuple[str, float]]


class LabAnswer(Said):
    """What one column said to one test, by their places on the page; `problem` says why there is nothing.

    `tokens` are kept for short answers.
    """

    row: int
    column: int
    tokens: list[TokenShown]
    problem: str


class GenerationFacts(TypedDict):
    """When who asked, and where it is kept."""

    id: str
    created_at: str
    user_id: str | None
    project_id: str
    session_id: str | None


class GenerationListed(GenerationFacts):
    """One Generate: who was asked, how much, and how many answers came."""

    mode: str
    subjects: list[str]
    tests: int
    answers: int


class GenerationShown(GenerationFacts):
    """What stood on the page, with the answers."""

    page: dict[str, Any]
    answers: list[LabAnswer]


class ColumnCode(TypedDict):
    subject: str
    name: str
    snippets: list[Snippet]


class LabCode(TypedDict):
    """Code to paste, for each column. The API key is read from the environment variable SOFTPROMPT_API_KEY."""

    columns: list[ColumnCode]


def show_facts(row: LabGeneration) -> GenerationFacts:
    return {
        "id": row.id,
        "created_at": iso(row.created_at) or "",
        "user_id": row.user_id,
        "project_id": row.project_id,
        "session_id": row.session_id,
    }


def show_listed(row: LabGeneration) -> GenerationListed:
    page = lab_history.page_of(row)
    return {
        **show_facts(row),
        "mode": page.mode,
        "subjects": [column.subject for column in page.columns],
        "tests": len(page.asked),
        "answers": len(row.answers),
    }


def show_generation(row: LabGeneration) -> GenerationShown:
    return {
        **show_facts(row),
        "page": exported(lab_history.page_of(row)),
        "answers": [_answer(each) for each in lab_history.answers_of(row)],
    }


def _answer(found: lab_history.Answer) -> LabAnswer:
    told: Any = dataclasses.asdict(found)
    told["labels"] = [{"label": label, "probability": p} for label, p in found.labels]
    return cast(LabAnswer, told)


@router.post("/api/lab/generate", response_model=GenerationShown)
async def generate_page(request: Request, body: LabAsked) -> Any:
    """Every column answers every test. What was asked and answered is kept in your history."""
    made = await lab_answers.whole(request, body.page(), body.session, body.project)
    return await in_unit(request, lambda unit: show_generation(lab_history.get(unit, made)), write=False)


@router.post("/api/lab/code", response_model=LabCode)
def code_of_page(request: Request, body: LabCoded) -> Any:
    """Code that asks what stands on a page: curl, ibm-watsonx-ai, openai and our library."""
    with unit_of(request, write=False) as unit:
        return code_of(request, unit, body.page(), ("project_id", projects.find(unit, body.project).id))


@router.get("/api/lab/history", response_model=page_of(GenerationListed, "Generations"))
def list_history(request: Request, query: Annotated[HistoryPaging, Query()]) -> Any:
    """What you asked, the newest first; of each person the last 200 are kept."""
    with unit_of(request, write=False) as unit:
        page = lab_history.page(unit, session_id=query.session, limit=query.limit, cursor=query.cursor, sort=query.sort)
        return paged(request, page, show_listed)


@router.get("/api/lab/history/{generation_id}", response_model=GenerationShown)
def get_generation(request: Request, generation_id: str) -> Any:
    """One of them, with page and answers. `page` can be sent again."""
    with unit_of(request, write=False) as unit:
        return show_generation(lab_history.get(unit, generation_id))


@router.get("/api/sessions/{session_id}/snippets", response_model=LabCode)
def session_snippets(request: Request, session_id: str) -> Any:
    """Code that asks what a prompt session holds."""
    with unit_of(request, write=False) as unit:
        row = prompt_sessions.get(unit, session_id)
        page = of_content(row.content, row.mode, row.model_id)
        inside = ("space_id", row.space_id) if row.space_id else ("project_id", row.project_id or "")
        return code_of(request, unit, page, inside)


def code_of(request: Request, unit: Unit, page: LabPage, inside: tuple[str, str]) -> LabCode:
    """Snippets of every column; `inside` names the project or space for IBM's client."""
    url, secure_url = str(request.base_url), secure_url_of(request)
    found: list[ColumnCode] = []
    for column in page.columns:
        subject = lab_subjects.find(unit, column.subject)
        code = lab_code.of(page, column, subject, url=url, secure_url=secure_url, inside=inside)
        found.append({"subject": subject.value, "name": subject.name, "snippets": code})
    return {"columns": found}
