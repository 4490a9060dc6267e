"""Pages of people: everybody and each one for admins of the studio, members of a project or space for those in it."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from softprompt.api.context import unit_of
from softprompt.api.pages.admin import Draw, again_for_admins, for_admins
from softprompt.api.pages.shared import (
    Again,
    carry_out,
    form_of,
    frame_of,
    go,
    in_unit,
    once_more,
    page_answer,
    project_of,
    text_of,
)
from softprompt.errors import NotFound, SoftpromptError
from softprompt.storage.people import ApiKey, User
from softprompt.storage.tables import Project, Space
from softprompt.studio import directory, memberships, people
from softprompt.studio.access import RANKS, Role, Unit, called
from softprompt.ui.pages import people as pages
from softprompt.ui.pages import people_members

router = APIRouter(include_in_schema=False)
TITLE = "People"
HOURS = int(people.LINK_LIFE.total_seconds() // 3600)
DONE = {
    "role": "The role was changed.",
    "ended": "Signed out everywhere.",
    "disabled": "Deactivated: keys and browsers open nothing any more.",
    "enabled": "Let in again. Password, keys and roles are as they were.",
    "revoked": "The key was revoked.",
    "member": "The members were changed.",
}


# --- everybody --------------------------------------------------------------------------------------------------------
@router.get("/admin/people")
def show_people(request: Request, search: str = "", cursor: str | None = None) -> Response:
    return for_admins(request, TITLE, _people(request, search, cursor))


def _people(request: Request, search: str = "", cursor: str | None = None, **told: Any) -> Draw:
    def draw(unit: Unit) -> str:
        entries, page = directory.page(unit, search=search.strip(), sort="name", limit=50, cursor=cursor)
        following = f"/admin/people?search={search}&cursor={page.next}" if page.next else None
        return pages.people(
            frame_of(request, unit),
            [_person(entry) for entry in entries],
            [_place(place) for place in directory.places(unit)],
            total=unit.rows.count(User),
            admins=unit.rows.count(User, admin=True, disabled_at=None),
            search=search,
            following=following,
            **told,
        )

    return draw


def _person(entry: directory.Entry) -> pages.Person:
    roles = [(place.name, called(type(place)), role) for place, role in entry.places]
    return pages.Person(user=entry.user, roles=roles, seen=entry.seen)


def _place(place: Project | Space) -> pages.Place:
    return pages.Place(id=place.id, name=place.name, noun=called(type(place)))


@router.post("/admin/people")
async def invite(request: Request) -> Response:
    given = text_of(await form_of(request))

    def make(unit: Unit) -> tuple[str, str]:
        user, secret = people.invite(unit, given.get("name", ""), admin="admin" in given)
        if given.get("place"):
            memberships.set_member(
                unit, _container(unit, given["place"]), user.name, cast(Role, given.get("role", "editor"))
            )
        return user.name, secret

    try:
        name, secret = await in_unit(request, make)
    except SoftpromptError as error:
        again = again_for_admins(request, TITLE, lambda words: _people(request, problem=words, given=given))
        return await once_more(again, error)
    link = pages.Link(address=_address(request, secret), name=name, hours=HOURS, invited=True)
    return await run_in_threadpool(for_admins, request, TITLE, _people(request, link=link))


def _address(request: Request, secret: str) -> str:
    return f"{str(request.base_url).rstrip('/')}/sign-in?link={secret}"


def _container(unit: Unit, key: str) -> Project | Space:
    """A project or space that this person sees."""
    found: Project | Space | None = unit.rows.get(Project, key) or unit.rows.get(Space, key)
    if found is None or unit.role_in(found) == 0:
        raise NotFound(f"There is no project or space {key!r} here.")
    return found


# --- one person -------------------------------------------------------------------------------------------------------
@router.get("/admin/people/{user_id}")
def show_person(request: Request, user_id: str, told: str = "") -> Response:
    return for_admins(request, TITLE, _one(request, user_id, done=DONE.get(told, "")))


def _one(request: Request, user_id: str, **told: Any) -> Draw:
    def draw(unit: Unit) -> str:
        user = people.find_user(unit, user_id)
        (entry,) = directory.entries(unit, [user])
        return pages.person(
            frame_of(request, unit),
            _person(entry),
            [_place(place) for place in directory.places(unit)],
            {place.id: role for place, role in entry.places},
            unit.rows.all(ApiKey, user_id=user.id, sort="-created_at", limit=100),
            sessions=entry.sessions,
            own=user.id == unit.actor.user_id,
            only_admin=user.admin and people.admins(unit.rows) == [user.name],
            **told,
        )

    return draw


async def _changed(request: Request, user_id: str, work: Any, told: str) -> Response:
    """Do something to a person, and show them again."""
    return await carry_out(
        request, work, then=f"/admin/people/{user_id}?told={told}", again=_one_again(request, user_id)
    )


def _one_again(request: Request, user_id: str) -> Again:
    return again_for_admins(request, TITLE, lambda words: _one(request, user_id, problem=words))


@router.post("/admin/people/{user_id}/roles")
async def set_role(request: Request, user_id: str) -> Response:
    given = text_of(await form_of(request))

    def change(unit: Unit) -> None:
        role = given.get("role")
        place = _container(unit, given.get("place", ""))
        memberships.set_member(unit, place, people.find_user(unit, user_id).name, cast(Role, role) if role else None)

    return await _changed(request, user_id, change, "role")


@router.post("/admin/people/{user_id}/admin")
async def set_admin(request: Request, user_id: str) -> Response:
    given = text_of(await form_of(request))
    wanted = given.get("admin") == "yes"
    return await _changed(request, user_id, lambda unit: people.set_admin(unit, user_id, wanted), "role")


@router.post("/admin/people/{user_id}/link")
async def make_link(request: Request, user_id: str) -> Response:
    await form_of(request)
    try:
        user, secret = await in_unit(request, lambda unit: _reset(unit, user_id))
    except SoftpromptError as error:
        return await once_more(_one_again(request, user_id), error)
    link = pages.Link(address=_address(request, secret), name=user, hours=HOURS, invited=False)
    return await run_in_threadpool(for_admins, request, TITLE, _one(request, user_id, link=link))


def _reset(unit: Unit, user_id: str) -> tuple[str, str]:
    user, secret = people.reset(unit, user_id)
    return user.name, secret


@router.post("/admin/people/{user_id}/sessions/end")
async def end_sessions(request: Request, user_id: str) -> Response:
    await form_of(request)
    work = lambda unit: people.end_sessions(unit, people.find_user(unit, user_id).id)  # noqa: E731
    return await _changed(request, user_id, work, "ended")


@router.post("/admin/people/{user_id}/disable")
async def disable(request: Request, user_id: str) -> Response:
    await form_of(request)
    return await _changed(request, user_id, lambda unit: people.disable_user(unit, user_id), "disabled")


@router.post("/admin/people/{user_id}/enable")
async def enable(request: Request, user_id: str) -> Response:
    await form_of(request)
    return await _changed(request, user_id, lambda unit: people.enable_user(unit, user_id), "enabled")


@router.post("/admin/people/{user_id}/keys/{key_id}/revoke")
async def revoke_key(request: Request, user_id: str, key_id: str) -> Response:
    await form_of(request)

    def revoke(unit: Unit) -> None:
        unit.need_studio_admin()
        people.revoke_key(unit, key_id)

    return await _changed(request, user_id, revoke, "revoked")


# --- members ----------------------------------------------------------------------------------------------------------
@router.get("/members")
def choose_members(request: Request, place: str = "") -> Response:
    """On to the project people work in, or the place that was chosen."""
    with unit_of(request, write=False) as unit:
        return go(f"/members/{_container(unit, place).id if place else project_of(unit).id}")


@router.get("/members/{container_id}")
def show_members(request: Request, container_id: str, told: str = "") -> Response:
    return _members(request, container_id, done=DONE.get(told, ""))


def _members(request: Request, container_id: str, status: int = 200, **told: str) -> Response:
    with unit_of(request, write=False) as unit:
        place = _container(unit, container_id)
        found = memberships.members(unit, place)
        may_change = unit.role_in(place) >= RANKS["admin"]
        inside = {user.id for user, _ in found}
        others = unit.rows.all(User, disabled_at=None, sort="name", limit=200) if unit.actor.whole else []
        shown = people_members.Members(
            id=place.id,
            name=place.name,
            noun=called(type(place)),
            people=found,
            may_change=may_change,
            own_id=unit.actor.user_id,
            others=[user.name for user in others if user.id not in inside],
            admins=people.admins(unit.rows),
            places=[(p.id, f"{called(type(p)).capitalize()} {p.name}") for p in directory.places(unit)],
        )
        text = people_members.members(frame_of(request, unit), shown, **told)
    return page_answer(request, text, status)


@router.post("/members/{container_id}")
async def set_member(request: Request, container_id: str) -> Response:
    given = text_of(await form_of(request))
    name, role = given.get("user", ""), given.get("role")

    def change(unit: Unit) -> None:
        memberships.set_member(unit, _container(unit, container_id), name, cast(Role, role) if role else None)

    try:
        await in_unit(request, change)
    except SoftpromptError as error:
        return await once_more(
            lambda words, status: _members(request, container_id, status, problem=words, typed=name), error
        )
    seen = await in_unit(request, lambda unit: unit.visible(), write=False)
    left = seen is not None and container_id not in seen
    return go("/account") if left else go(f"/members/{container_id}?told=member")
