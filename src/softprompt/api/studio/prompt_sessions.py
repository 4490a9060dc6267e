"""Prompt sessions over HTTP: saved pages of the Prompt Lab."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, Field

from softprompt.api.answers import GUARDED, REPEATABLE, created, paged, revision_of, tagged
from softprompt.api.context import unit_of
from softprompt.api.studio.shapes import (
    Body,
    Description,
    InContainerPaging,
    Name,
    NounShown,
    Project,
    Reference,
    Space,
    Tags,
    container,
    given,
    new_router,
    page_of,
    show_noun,
)
from softprompt.storage.tables import PromptSession
from softprompt.studio import prompt_sessions
from softprompt.studio.access import Unit

router = new_router("sessions")
Mode = Literal["structured", "freeform", "chat", "detached"]
Content = Annotated[
    dict[str, Any],
    Field(
        description="`input`, `data` with `instruction`, `input_prefix`, `output_prefix`, `examples`; or `text`.",
    ),
]
EXAMPLE: Any = {
    "name": "Routing by hand",
    "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "content": {
        "input": [["The lamp is broken.", ""]],
        "data": {
            "instruction": "Which department?",
            "input_prefix": "Complaint:",
            "output_prefix": "Department:",
            "examples": [["The sofa is late.", "Warehouse"]],
        },
    },
}


class NewSession(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})
    project: Project = None
    space: Space = None
    name: Name
    mode: Mode = "structured"
    model: Reference | None = None
    content: Content = {}
    description: Description = ""
    tags: Tags = []


class SessionChanges(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"mode": "freeform", "content": {"text": "Hello {x}"}}]})
    name: Name | None = None
    mode: Mode | None = None
    model: Reference | None = None
    content: Content | None = None
    description: Description | None = None
    tags: Tags | None = None


class SessionShown(NounShown):
    project_id: str | None
    space_id: str | None
    mode: str
    model_id: str | None
    content: dict[str, Any]
    locked_by: str | None


def show_session(row: PromptSession) -> SessionShown:
    return {
        **show_noun(row),
        "project_id": row.project_id,
        "space_id": row.space_id,
        "mode": row.mode,
        "model_id": row.model_id,
        "content": row.content,
        "locked_by": row.locked_by,
    }


@router.get("/api/sessions", response_model=page_of(SessionShown, "Sessions"))
def list_sessions(request: Request, query: Annotated[InContainerPaging, Query()]) -> Any:
    """Prompt sessions of the projects and spaces that you may see."""
    with unit_of(request, write=False) as unit:
        return paged(request, prompt_sessions.page(unit, **query.where(unit), **query.words()), show_session)


@router.post("/api/sessions", status_code=201, response_model=SessionShown, openapi_extra=REPEATABLE)
def create_session(request: Request, body: NewSession) -> JSONResponse:
    """Save a page of the Prompt Lab."""

    def make(unit: Unit) -> SessionShown:
        row = prompt_sessions.create(
            unit,
            container(unit, body.project, body.space),
            body.name,
            model_id=body.model,
            **body.model_dump(include={"mode", "content", "description", "tags"}),
        )
        return show_session(row)

    return created(request, body.model_dump(), make)


@router.get("/api/sessions/{session_id}", response_model=SessionShown)
def get_session(request: Request, session_id: str) -> JSONResponse:
    with unit_of(request, write=False) as unit:
        row = prompt_sessions.get(unit, session_id)
        return tagged(row, show_session(row))


@router.patch("/api/sessions/{session_id}", response_model=SessionShown, openapi_extra=GUARDED)
def update_session(request: Request, session_id: str, body: SessionChanges) -> JSONResponse:
    """Refused while somebody else holds the lock."""
    with unit_of(request) as unit:
        changes = given(body, "name", "mode", "content", "description", "tags")
        if body.model is not None:
            changes["model_id"] = body.model
        row = prompt_sessions.update(unit, session_id, revision=revision_of(request), **changes)
        return tagged(row, show_session(row))


@router.post("/api/sessions/{session_id}/lock", response_model=SessionShown)
def lock_session(request: Request, session_id: str) -> JSONResponse:
    """Keep others from changing it."""
    return _lock(request, session_id, True)


@router.post("/api/sessions/{session_id}/unlock", response_model=SessionShown)
def unlock_session(request: Request, session_id: str) -> JSONResponse:
    """Let others change it again."""
    return _lock(request, session_id, False)


@router.delete("/api/sessions/{session_id}", status_code=204, openapi_extra=GUARDED)
def delete_session(request: Request, session_id: str) -> Response:
    """Refused while a deployment serves it."""
    with unit_of(request) as unit:
        prompt_sessions.delete(unit, session_id, revision_of(request))
    return Response(status_code=204)


def _lock(request: Request, session_id: str, locked: bool) -> JSONResponse:
    with unit_of(request) as unit:
        row = prompt_sessions.lock(unit, session_id, locked)
        return tagged(row, show_session(row))
