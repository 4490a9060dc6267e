"""API keys over HTTP: made (the answer shows the key, once), listed, revoked."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.answers import paged, refuse_key
from softprompt.api.context import unit_of
from softprompt.api.studio.shapes import Body, Ordered, Reference, new_router, page_of
from softprompt.errors import NotFound, UsageError
from softprompt.storage.people import ApiKey, User
from softprompt.storage.tables import Project, Space
from softprompt.studio import people
from softprompt.studio.access import Unit, iso

router = new_router("keys")


class NewKey(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "ci", "role": "editor", "days": 90}]})
    name: Annotated[str, Field(min_length=1, max_length=100)]
    role: Annotated[Literal["viewer", "editor", "admin"], Field(description="Nothing above it.")] = "editor"
    project: Annotated[Reference | None, Field(description="Id of the only project it works in.")] = None
    space: Annotated[Reference | None, Field(description="Id of the only space it works in.")] = None
    days: Annotated[int | None, Field(ge=1, le=3650, description="Until it expires.")] = None
    user: Annotated[Reference | None, Field(description="Whose, by id or name; an admin of the studio may.")] = None


class KeyShown(TypedDict):
    id: str
    name: str
    prefix: str
    role: str
    user_id: str
    project_id: str | None
    space_id: str | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    made_by: Annotated[str | None, Field(description="The key that made this one, and ends it when it is revoked.")]


class NewKeyShown(KeyShown):
    """`key` is shown here and never again."""

    key: str


def show_key(row: ApiKey) -> KeyShown:
    return {
        "id": row.id,
        "name": row.name,
        "prefix": row.prefix,
        "role": row.role,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "space_id": row.space_id,
        "created_at": iso(row.created_at) or "",
        "expires_at": iso(row.expires_at),
        "revoked_at": iso(row.revoked_at),
        "last_used_at": iso(row.last_used_at),
        "made_by": row.made_by,
    }


@router.get("/api/keys", response_model=page_of(KeyShown, "Keys"))
def list_keys(request: Request, query: Annotated[Ordered, Query()]) -> Any:
    """Your keys; an admin of the studio sees all."""
    with unit_of(request, write=False) as unit:
        return paged(request, people.keys(unit, **query.words()), show_key)


@router.post("/api/keys", status_code=201, response_model=NewKeyShown)
def create_key(request: Request, body: NewKey) -> Any:
    """Make a key. It can do nothing that you cannot do; one that is made with a key ends with it, and makes none."""
    refuse_key(request)
    with unit_of(request) as unit:
        container = _container(unit, body)
        user = _user(unit, body.user) if body.user else None
        row, secret = people.create_key(
            unit, body.name, role=body.role, user=user, container_id=container, days=body.days
        )
        return {**show_key(row), "key": secret}


@router.delete("/api/keys/{key_id}", response_model=KeyShown)
def revoke_key(request: Request, key_id: str) -> Any:
    """By id or name; it, its tokens and the keys that it made work no longer."""
    with unit_of(request) as unit:
        return show_key(people.revoke_key(unit, key_id))


def _container(unit: Unit, body: NewKey) -> str | None:
    if body.project and body.space:
        raise UsageError("project, space: a key is bound to one of them at most.")
    if body.project:
        return unit.get(Project, body.project, need="viewer").id
    return unit.get(Space, body.space, need="viewer").id if body.space else None


def _user(unit: Unit, id_or_name: str) -> User:
    own = id_or_name in (unit.actor.user_id, unit.actor.name)
    if not own:
        unit.need_studio_admin()
    user = unit.rows.get(User, id_or_name) or unit.rows.first(User, name=id_or_name)
    if user is None:
        raise NotFound(f"There is no user {id_or_name!r}.")
    return user
