"""One's own account as pages: keys, profile, password, browsers."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from softprompt.api.auth import COOKIE
from softprompt.api.context import caller_of, unit_of
from softprompt.api.pages.shared import (
    Again,
    carry_out,
    form_of,
    frame_of,
    go,
    in_unit,
    once_more,
    page_answer,
    text_of,
)
from softprompt.api.studio.sign_in import slow_down
from softprompt.errors import Forbidden, NotFound, ParameterInvalid, SoftpromptError
from softprompt.storage.people import ApiKey, User
from softprompt.storage.tables import Project, Space
from softprompt.studio import memberships, people
from softprompt.studio.access import Role, Unit, called
from softprompt.studio.secrets import digest
from softprompt.ui.pages import account as pages

router = APIRouter(include_in_schema=False)
DONE = {
    "revoked": "The key was revoked. Programs that use it are refused from now on.",
    "password": "Your password was set. Other browsers were signed out.",
    "name": "Your name was changed. Sign in with the new one from now on.",
    "sessions": "All other browsers were signed out.",
}


@router.get("/account")
def show_account(request: Request, told: str = "") -> Response:
    return _page(request, pages.Told(done=DONE.get(told, "")))


def _page(request: Request, told: pages.Told, status: int = 200) -> Response:
    with unit_of(request, write=False) as unit:
        user = unit.rows.get(User, unit.actor.user_id) if unit.actor.user_id else None
        shown = pages.Account(
            name=unit.actor.name,
            admin=unit.actor.admin,
            created_at=user.created_at if user else None,
            has_password=user is None or user.password_hash is not None,
            keys=unit.rows.all(ApiKey, user_id=unit.actor.user_id, sort="-created_at", limit=200),
            places=_places(unit),
            roles=[(place.name, called(type(place)), role) for place, role in _roles(unit)],
            sessions=people.sessions(unit),
            current=digest(request.cookies.get(COOKIE, "")),
        )
        text = pages.account(frame_of(request, unit), shown, told)
    return page_answer(request, text, status)


def _places(unit: Unit) -> dict[str, str]:
    """What a key can be bound to."""
    seen = unit.visible()
    projects = unit.rows.page(Project, containers=seen, sort="name", limit=200).items
    spaces = unit.rows.page(Space, containers=seen, sort="name", limit=200).items
    return {p.id: f"Project {p.name}" for p in projects} | {s.id: f"Space {s.name}" for s in spaces}


def _roles(unit: Unit) -> list[tuple[Project | Space, str]]:
    return memberships.of_user(unit, unit.actor.user_id) if unit.actor.user_id else []


@router.post("/account/keys")
async def make_key(request: Request) -> Response:
    given = text_of(await form_of(request))

    def make(unit: Unit) -> str:
        place = given.get("place")
        if place:
            _place(unit, place)
        role = cast(Role, given.get("role", "editor"))
        return people.create_key(unit, given.get("name", ""), role=role, container_id=place, days=_days(given))[1]

    try:
        secret = await in_unit(request, make)
    except SoftpromptError as error:
        return await once_more(_again(request, given), error)
    told = pages.Told(secret=secret, secret_name=given.get("name", ""))
    return await run_in_threadpool(_page, request, told)


def _days(given: dict[str, str]) -> int | None:
    days = given.get("days", "")
    if not days:
        return None
    if not days.isascii() or not days.isdecimal() or not 1 <= int(days) <= 3650:
        raise ParameterInvalid(f"days: {days!r} is not between 1 and 3650. Leave it out for a key without an end.")
    return int(days)


def _place(unit: Unit, key: str) -> None:
    """Refuse a project or space that this person does not see."""
    found = unit.rows.get(Project, key) or unit.rows.get(Space, key)
    if found is None or unit.role_in(found) == 0:
        raise NotFound(f"There is no project or space {key!r} here.")


@router.post("/account/keys/{key_id}/revoke")
async def revoke_key(request: Request, key_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: people.revoke_key(unit, key_id))
    return go("/account?told=revoked")


@router.post("/account/profile")
async def rename(request: Request) -> Response:
    given = text_of(await form_of(request))

    def change(unit: Unit) -> None:
        people.rename(unit, _oneself(request, unit), given.get("name", ""))

    return await carry_out(request, change, then="/account?told=name", again=_again(request))


@router.post("/account/password")
async def set_password(request: Request) -> Response:
    given = text_of(await form_of(request))
    secret = request.cookies.get(COOKIE, "")

    def change(unit: Unit) -> None:
        user = _oneself(request, unit)
        if user.password_hash is not None:
            people.check_password(unit.rows, user.name, given.get("old", ""))
        people.set_password(unit, user, given.get("password", ""), keep=secret)

    try:
        slow_down(request)
        await in_unit(request, change)
    except SoftpromptError as error:
        if error.status == 401:  # they are signed in; it is the password that does not fit
            error = ParameterInvalid(
                "Current password: it does not fit. An admin can make you a link to set a new one."
            )
        return await once_more(_again(request), error)
    return go("/account?told=password")


@router.post("/account/sessions/end")
async def end_sessions(request: Request) -> Response:
    """Sign out in all other browsers, or in this one too."""
    given = text_of(await form_of(request))
    kept = "" if given.get("which") == "all" else request.cookies.get(COOKIE, "")

    def end(unit: Unit) -> None:
        people.end_sessions(unit, _oneself(request, unit).id, keep=kept)

    await in_unit(request, end)
    return go("/account?told=sessions") if kept else go("/sign-in")


def _oneself(request: Request, unit: Unit) -> User:
    if caller_of(request).csrf is None:  # a person can do more than the key that would change them
        raise Forbidden("This is changed from a browser that is signed in, not with an API key.")
    user = unit.rows.get(User, unit.actor.user_id)
    if user is None:
        raise NotFound("There is no user behind this request.")
    return user


def _again(request: Request, given: dict[str, str] | None = None) -> Again:
    return lambda words, status: _page(request, pages.Told(problem=words, given=given), status)
