"""Prompt templates as IBM's client keeps them: prompt sessions with a lock, variables and a rendered text."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field

from softprompt.api.answers import GUARDED, REPEATABLE, revision_of, tagged
from softprompt.api.context import unit_of
from softprompt.api.watsonx.shared import Body, Objects, container, home, made
from softprompt.errors import InUse
from softprompt.storage.tables import PromptSession
from softprompt.studio import prompt_sessions
from softprompt.studio.access import Unit, iso

router = APIRouter(tags=["watsonx: prompt templates"])
Pair = Annotated[list[str], Field(min_length=1, max_length=2)]
ABOUT = "about"
"""Where a session's content keeps what IBM has beside the prompt."""


class PromptData(Body):
    model_config = ConfigDict(extra="allow")

    instruction: str | None = None
    input_prefix: str | None = None
    output_prefix: str | None = None
    examples: list[Annotated[list[str], Field(min_length=2, max_length=2)]] | None = None


class Prompt(Body):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model_id: str | None = None
    model_parameters: dict[str, Any] | None = None
    input: list[Pair] | None = None
    data: PromptData | None = None
    chat_items: list[dict[str, Any]] | None = None
    system_prompt: str | None = None


class Lock(Body):
    locked: bool


class ChangedTemplate(Body):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    name: str | None = None
    description: str | None = None
    input_mode: str | None = None
    task_ids: list[str] | None = None
    prompt_variables: dict[str, dict[str, Any]] | None = None
    model_version: dict[str, Any] | None = None
    prompt: Prompt | None = None
    lock: Lock | None = None


class NewTemplate(ChangedTemplate):
    name: str


@router.post("/wx/v1/prompts", status_code=201, response_model=dict[str, Any], openapi_extra=REPEATABLE)
def create_template(request: Request, body: NewTemplate) -> JSONResponse:
    def make(unit: Unit) -> dict[str, Any]:
        session = prompt_sessions.create(
            unit,
            container(unit, request),
            body.name,
            mode=body.input_mode or "structured",
            model_id=body.prompt.model_id if body.prompt else None,
            content=_content(body, {}),
            description=body.description or "",
        )
        if body.lock is not None and body.lock.locked:
            prompt_sessions.lock(unit, session.id, True)
        return document(session)

    return made(request, body, make)


@router.get("/wx/v1/prompts/{prompt_id}", response_model=dict[str, Any])
def get_template(request: Request, prompt_id: str) -> JSONResponse:
    with unit_of(request, write=False) as unit:
        session = prompt_sessions.get(unit, prompt_id)
        return tagged(session, document(session))


@router.patch("/wx/v1/prompts/{prompt_id}", response_model=dict[str, Any], openapi_extra=GUARDED)
def update_template(request: Request, prompt_id: str, body: ChangedTemplate) -> JSONResponse:
    with unit_of(request) as unit:
        before = prompt_sessions.get(unit, prompt_id)
        changed = prompt_sessions.update(
            unit,
            prompt_id,
            revision=revision_of(request),
            name=body.name,
            description=body.description,
            mode=body.input_mode,
            model_id=body.prompt.model_id if body.prompt else None,
            content=_content(body, before.content),
        )
        return tagged(changed, document(changed))


@router.delete("/wx/v1/prompts/{prompt_id}", status_code=204, openapi_extra=GUARDED)
def delete_template(request: Request, prompt_id: str) -> Response:
    with unit_of(request) as unit:
        _check_lock(unit, prompt_sessions.get(unit, prompt_id))
        prompt_sessions.delete(unit, prompt_id, revision_of(request))
    return Response(status_code=204)


@router.get("/wx/v1/prompts/{prompt_id}/lock")
def get_lock(request: Request, prompt_id: str) -> dict[str, Any]:
    with unit_of(request, write=False) as unit:
        return _lock(prompt_sessions.get(unit, prompt_id))


@router.put("/wx/v1/prompts/{prompt_id}/lock")
def put_lock(request: Request, prompt_id: str, body: Lock) -> dict[str, Any]:
    with unit_of(request) as unit:
        return _lock(prompt_sessions.lock(unit, prompt_id, body.locked))


@router.post("/wx/v1/prompts/{prompt_id}/input")
def render_template(request: Request, prompt_id: str) -> dict[str, str]:
    """The whole prompt as text; variables stay as they are."""
    with unit_of(request, write=False) as unit:
        return {"input": prompt_sessions.rendered(prompt_sessions.get(unit, prompt_id).content)}


@router.post(
    "/wx/v1/prompts/{prompt_id}/chat_items",
    status_code=201,
    response_model=dict[str, Any],
    openapi_extra=REPEATABLE,
)
def add_chat_items(request: Request, prompt_id: str, body: Objects) -> JSONResponse:
    def make(unit: Unit) -> dict[str, Any]:
        before = prompt_sessions.get(unit, prompt_id)
        items = [*(before.content.get("chat_items") or []), *body]
        return document(prompt_sessions.update(unit, prompt_id, content={**before.content, "chat_items": items}))

    return made(request, body, make)


def _content(body: ChangedTemplate, before: dict[str, Any]) -> dict[str, Any]:
    """A session's content: IBM's `prompt`, and what stands beside it under a key of its own."""
    prompt = body.prompt.model_dump(exclude_none=True) if body.prompt else dict(before)
    prompt.pop(ABOUT, None)
    given = {"task_ids": body.task_ids, "prompt_variables": body.prompt_variables, "model_version": body.model_version}
    about = {**(before.get(ABOUT) or {}), **{name: value for name, value in given.items() if value is not None}}
    return {**prompt, ABOUT: about}


def _check_lock(unit: Unit, session: PromptSession) -> None:
    if session.locked_by and session.locked_by != (unit.actor.user_id or "studio"):
        raise InUse(f"{session.name!r} is locked by somebody else. Ask them to unlock it.")


def _lock(session: PromptSession) -> dict[str, Any]:
    if not session.locked_by:
        return {"locked": False}
    return {"locked": True, "lock_type": "edit", "locked_by": session.locked_by}


def document(session: PromptSession) -> dict[str, Any]:
    prompt = {
        name: value for name, value in session.content.items() if name not in (ABOUT, "text", prompt_sessions.LAB)
    }
    if session.model_id:
        prompt["model_id"] = session.model_id
    if session.content.get("text") is not None and not prompt.get("input"):
        prompt["input"] = [[str(session.content["text"]), ""]]
    about = dict(session.content.get(ABOUT) or {})
    if not about.get("prompt_variables") and (names := prompt_sessions.places(session.content)):
        about["prompt_variables"] = {name: {} for name in names}  # made in the Prompt Lab, which declares none
    return {
        "id": session.id,
        "name": session.name,
        "description": session.description,
        "created_at": int(session.created_at.timestamp() * 1000),
        "created_by": session.created_by or "studio",
        "last_updated_at": iso(session.updated_at),
        "input_mode": session.mode,
        "is_template": bool(about.get("prompt_variables")),
        "lock": _lock(session),
        "prompt": prompt,
        **about,
        **home(session),
    }
