"""Users over HTTP, for admins of the studio."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.answers import GUARDED, REPEATABLE, check_mark, created, mark_of, marked, paged, refuse_key
from softprompt.api.context import unit_of
from softprompt.api.studio.shapes import Body, Ordered, new_router, page_of
from softprompt.errors import NotFound
from softprompt.storage.people import User
from softprompt.studio import directory, people
from softprompt.studio.access import Unit, called, iso
from softprompt.studio.directory import Entry

router = new_router("users")
Password = Annotated[str, Field(min_length=people.SHORTEST_PASSWORD, max_length=1000)]


class NewUser(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "kim", "password": "correct horse battery"}]})
    name: Annotated[str, Field(min_length=1, max_length=100)]
    password: Annotated[Password | None, Field(description="Without one only a link signs in.")] = None
    admin: Annotated[bool, Field(description="Of the whole studio.")] = False


class NewPassword(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"password": "correct horse battery"}]})
    password: Password


class UserChanges(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"admin": True}]})
    name: Annotated[str | None, Field(min_length=1, max_length=100)] = None
    admin: Annotated[bool | None, Field(description="Of the whole studio.")] = None


class UserShown(TypedDict):
    id: str
    name: str
    admin: bool
    disabled: bool
    created_at: str


class Place(TypedDict):
    """A project or space, and the role there."""

    container_id: str
    noun: str
    name: str
    role: str


class UserDetail(UserShown):
    """`seen_at` is when a browser signed in or a key was used last, `sessions` how many browsers are signed in."""

    seen_at: str | None
    sessions: int
    places: list[Place]


class Ended(TypedDict):
    """Sessions."""

    ended: int


class LinkShown(TypedDict):
    """The address signs in once, within a day."""

    link: str


def show_user(row: User) -> UserShown:
    return {
        "id": row.id,
        "name": row.name,
        "admin": row.admin,
        "disabled": row.disabled_at is not None,
        "created_at": iso(row.created_at) or "",
    }


def show_user_detail(found: Entry) -> UserDetail:
    places: list[Place] = [
        {"container_id": place.id, "noun": called(type(place)), "name": place.name, "role": role}
        for place, role in found.places
    ]
    return {
        **show_user(found.user),
        "seen_at": iso(found.seen),
        "sessions": found.sessions,
        "places": places,
    }


@router.get("/api/users", response_model=page_of(UserShown, "Users"))
def list_users(request: Request, query: Annotated[Ordered, Query()]) -> Any:
    with unit_of(request, write=False) as unit:
        return paged(request, people.users(unit, **query.words()), show_user)


@router.post("/api/users", status_code=201, response_model=UserShown, openapi_extra=REPEATABLE)
def create_user(request: Request, body: NewUser) -> JSONResponse:
    return created(request, body.model_dump(), lambda unit: show_user(people.create_user(unit, **_user_words(body))))


@router.get("/api/users/{user_id}", response_model=UserDetail)
def get_user(request: Request, user_id: str) -> JSONResponse:
    """A user by id or name, with the roles they have and when they were here last."""
    with unit_of(request, write=False) as unit:
        (found,) = directory.entries(unit, [_user(unit, user_id)])
        return marked(user_mark(found.user), show_user_detail(found))


@router.patch("/api/users/{user_id}", response_model=UserShown, openapi_extra=GUARDED)
def update_user(request: Request, user_id: str, body: UserChanges) -> JSONResponse:
    """Change the name, or make somebody an admin of the studio or no longer. One admin always stays."""
    with unit_of(request) as unit:
        user = _as_read(request, unit, user_id)
        if body.name is not None:
            people.rename(unit, user, body.name)
        if body.admin is not None:
            people.set_admin(unit, user.id, body.admin)
        return marked_user(user)


@router.post("/api/users/{user_id}/disable", response_model=UserShown, openapi_extra=GUARDED)
def disable_user(request: Request, user_id: str) -> JSONResponse:
    """Keys, tokens and sessions of the user end at once."""
    with unit_of(request) as unit:
        return marked_user(people.disable_user(unit, _as_read(request, unit, user_id).id))


@router.post("/api/users/{user_id}/enable", response_model=UserShown, openapi_extra=GUARDED)
def enable_user(request: Request, user_id: str) -> JSONResponse:
    """Let somebody in again who was disabled: password, keys and roles are as they were."""
    with unit_of(request) as unit:
        return marked_user(people.enable_user(unit, _as_read(request, unit, user_id).id))


@router.delete("/api/users/{user_id}/sessions", response_model=Ended)
def end_user_sessions(request: Request, user_id: str) -> Any:
    """Sign the user out in all browsers. Keys go on working."""
    with unit_of(request) as unit:
        return {"ended": people.end_sessions(unit, _user(unit, user_id).id)}


@router.put("/api/users/{user_id}/password", response_model=UserShown, openapi_extra=GUARDED)
def set_user_password(request: Request, user_id: str, body: NewPassword) -> JSONResponse:
    """Sessions of the user end, and tokens that were made with the old password."""
    with unit_of(request) as unit:
        user = _as_read(request, unit, user_id)
        people.set_password(unit, user, body.password)
        return marked_user(user)


@router.post("/api/users/{user_id}/link", status_code=201, response_model=LinkShown)
def create_sign_in_link(request: Request, user_id: str) -> Any:
    """A link that signs the user in once."""
    refuse_key(request)
    with unit_of(request) as unit:
        secret = people.sign_in_link(unit, _user(unit, user_id))
    return {"link": _address(request, secret)}


@router.post("/api/users/{user_id}/reset", status_code=201, response_model=LinkShown)
def reset_user(request: Request, user_id: str) -> Any:
    """Take the user's password away and end their sessions; a link that signs in once, to set a new one."""
    refuse_key(request)
    with unit_of(request) as unit:
        _, secret = people.reset(unit, _user(unit, user_id).id)
    return {"link": _address(request, secret)}


def _address(request: Request, secret: str) -> str:
    return f"{str(request.base_url).rstrip('/')}/sign-in?link={secret}"


def marked_user(user: User) -> JSONResponse:
    """A user with an ETag."""
    return marked(user_mark(user), show_user(user))


def user_mark(user: User) -> str:
    """Changes with the password, too."""
    return mark_of(show_user(user), people.password_mark(user))


def hold_as_read(request: Request, unit: Unit, user: User) -> User:
    """The user, held, if nobody changed them since they were read."""
    unit.rows.lock(user)
    check_mark(request, user_mark(user), f"User {user.name!r}")
    return user


def _as_read(request: Request, unit: Unit, user_id: str) -> User:
    return hold_as_read(request, unit, _user(unit, user_id))


def _user(unit: Unit, user_id: str) -> User:
    unit.need_studio_admin()
    user = unit.rows.get(User, user_id) or unit.rows.first(User, name=user_id)
    if user is None:
        raise NotFound(f"There is no user {user_id!r}.")
    return user


def _user_words(body: NewUser) -> dict[str, Any]:
    return body.model_dump(include={"name", "password", "admin"})
