"""Prompt sessions in the browser: saved pages of the Prompt Lab, opened, renamed, deleted and brought back."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from softprompt.api.context import unit_of
from softprompt.api.pages.lab import Standing, shown
from softprompt.api.pages.lab_forms import read, text
from softprompt.api.pages.shared import carry_out, form_of, frame_of, go, in_unit, page_answer, project_of
from softprompt.storage.people import User
from softprompt.storage.tables import PromptSession
from softprompt.studio import lab_subjects, prompt_sessions, trash
from softprompt.studio.access import RANKS, Unit
from softprompt.studio.lab import LabPage, content
from softprompt.studio.names import free_name
from softprompt.ui.pages.lab_lists import sessions as sessions_page

router = APIRouter(include_in_schema=False)
UNNAMED = "Prompt session"


@router.get("/lab/sessions")
def show_sessions(request: Request, search: str = "", cursor: str | None = None, deleted: str = "") -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        project = project_of(unit)
        found = prompt_sessions.page(
            unit, project_id=project.id, search=search, cursor=cursor, sort="-updated_at", limit=30
        )
        makers = list({row.created_by for row in found.items if row.created_by})
        people = {user.id: user.name for user in unit.rows.all(User, id=makers)} if makers else {}
        gone = unit.rows.get(PromptSession, deleted, deleted=True) if deleted else None
        gone = gone if gone is not None and gone.deleted_at is not None and unit.role_in(gone) else None
        may = unit.role_in(project) >= RANKS["editor"]
        text = sessions_page(frame_of(request, unit), found, people, search, may_change=may, deleted=gone)
        return page_answer(request, text)


@router.post("/lab/sessions")
async def save_session(request: Request) -> Response:
    """What stands on the page, under a name of its own."""
    form = await form_of(request)
    page, generation, session = read(form), text(form, "generation"), text(form, "session")

    def work(unit: Unit) -> str:
        project = project_of(unit)
        taken = lambda name: unit.rows.first(PromptSession, project_id=project.id, name=name) is not None  # noqa: E731
        name = free_name(text(form, "name").strip() or _called(page), taken)
        made = prompt_sessions.create(unit, project, name, **_saved(unit, page, generation))
        return made.id

    return await carry_out(
        request,
        work,
        then=lambda made: f"/lab?session={made}",
        again=lambda words, status: shown(request, Standing(page, generation, session, words), status),
    )


@router.get("/lab/sessions/{session_id}")
def open_session(request: Request, session_id: str) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        return go(f"/lab?session={prompt_sessions.get(unit, session_id).id}")


@router.post("/lab/sessions/{session_id}")
async def save_over(request: Request, session_id: str) -> Response:
    """What stands on the page, in the session that is open."""
    form = await form_of(request)
    page, generation = read(form), text(form, "generation")

    def work(unit: Unit) -> None:
        saved = _saved(unit, page, generation)
        kept = prompt_sessions.get(unit, session_id).content
        fresh = {"data", "input", "text", *saved["content"]}
        saved["content"] |= {name: value for name, value in kept.items() if name not in fresh}
        prompt_sessions.update(unit, session_id, name=text(form, "name").strip() or None, **saved)

    return await carry_out(
        request,
        work,
        then=f"/lab?session={session_id}",
        again=lambda words, status: shown(request, Standing(page, generation, session_id, words), status),
    )


@router.post("/lab/sessions/{session_id}/rename")
async def rename_session(request: Request, session_id: str) -> Response:
    form = await form_of(request)
    await in_unit(request, lambda unit: prompt_sessions.update(unit, session_id, name=text(form, "name")))
    return go("/lab/sessions")


@router.post("/lab/sessions/{session_id}/delete")
async def delete_session(request: Request, session_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: prompt_sessions.delete(unit, session_id))
    return go(f"/lab/sessions?deleted={session_id}")


@router.post("/lab/sessions/{session_id}/restore")
async def restore_session(request: Request, session_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: trash.bring_back(unit, "prompt session", session_id))
    return go("/lab/sessions")


def _saved(unit: Unit, page: LabPage, generation: str) -> dict[str, Any]:
    """Mode, model and content of the session that the page becomes."""
    found = content(page)
    if generation:
        found[prompt_sessions.LAB]["generation"] = generation
    subject = lab_subjects.maybe(unit, page.columns[0].subject)
    return {"mode": page.mode, "model_id": subject.model_id if subject else None, "content": found}


def _called(page: LabPage) -> str:
    """A name from the first words, for whoever gives none."""
    words = (page.text if page.mode == "freeform" else page.instruction).split()
    return " ".join(words[:6])[:60] or UNNAMED
