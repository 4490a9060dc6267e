"""Smaller pages: foundation models, and one's account."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from softprompt.api.context import unit_of
from softprompt.api.pages.shared import form_of, frame_of, go, in_unit, page_answer, text_of
from softprompt.errors import NotFound, SoftpromptError
from softprompt.storage.people import ApiKey, User
from softprompt.studio import foundation_models, people
from softprompt.studio.access import Role, Unit
from softprompt.ui.pages import account as account_page
from softprompt.ui.pages import models as models_page

router = APIRouter(include_in_schema=False)


@router.get("/models")
def show_models(request: Request, search: str = "") -> Response:
    needle = search.strip().lower()
    with unit_of(request, write=False) as unit:
        found = [m for m in foundation_models.all_models(unit.rows) if needle in _told(m)]
        text = models_page.models(frame_of(request, unit), found, search)
    return page_answer(request, text)


def _told(model: foundation_models.Model) -> str:
    card = model.card
    return f"{model.id} {model.label} {card.good_at if card else ''} {card.licence if card else ''}".lower()


@router.get("/account")
def show_account(request: Request) -> Response:
    return _account(request)


def _account(request: Request, *, secret: str = "", problem: str = "", done: str = "", status: int = 200) -> Response:
    with unit_of(request, write=False) as unit:
        keys = unit.rows.all(ApiKey, user_id=unit.actor.user_id, sort="-created_at", limit=100)
        text = account_page.account(frame_of(request, unit), keys, secret=secret, problem=problem, done=done)
    return page_answer(request, text, status)


@router.post("/account/keys")
async def make_key(request: Request) -> Response:
    given = text_of(await form_of(request))

    def make(unit: Unit) -> str:
        days = int(given["days"]) if given.get("days", "").isdecimal() else None
        return people.create_key(unit, given.get("name", ""), role=cast(Role, given.get("role", "editor")), days=days)[
            1
        ]

    try:
        secret = await in_unit(request, make)
    except SoftpromptError as error:
        told, status = str(error), error.status
        return await run_in_threadpool(lambda: _account(request, problem=told, status=status))
    return await run_in_threadpool(lambda: _account(request, secret=secret))


@router.post("/account/keys/{key_id}/revoke")
async def revoke_key(request: Request, key_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: people.revoke_key(unit, key_id))
    return go("/account")


@router.post("/account/password")
async def set_password(request: Request) -> Response:
    given = text_of(await form_of(request))

    def change(unit: Unit) -> None:
        user = unit.rows.get(User, unit.actor.user_id)
        if user is None:
            raise NotFound("There is no user behind this request.")
        people.set_password(unit, user, given.get("password", ""))

    try:
        await in_unit(request, change)
    except SoftpromptError as error:
        told, status = str(error), error.status
        return await run_in_threadpool(lambda: _account(request, problem=told, status=status))
    return go("/sign-in")
