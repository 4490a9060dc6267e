"""Members of projects and spaces over HTTP: who has which role there. The role is the ETag."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import Response
from pydantic import ConfigDict
from typing_extensions import TypedDict

from softprompt.api.answers import GUARDED, marked, paged, tags_of
from softprompt.api.context import unit_of
from softprompt.api.studio.lists import Whole
from softprompt.api.studio.shapes import Body, Listed, new_router, page_of
from softprompt.storage.people import User
from softprompt.storage.tables import Project, Space
from softprompt.studio import memberships

router = new_router("members")


class Role(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"role": "editor"}]})
    role: Literal["viewer", "editor", "admin"]


class MemberShown(TypedDict):
    user_id: str
    user: str
    role: str


class MemberPaging(Listed):
    sort: Literal["name", "-name", "role", "-role"] = "name"


MEMBERS: Whole[tuple[User, str]] = Whole(
    key=lambda member: member[0].id,
    sorts={"name": lambda member: member[0].name, "role": lambda member: member[1]},
    name=lambda member: member[0].name,
)


def show_member(user: User, role: str) -> MemberShown:
    return {"user_id": user.id, "user": user.name, "role": role}


def _list(request: Request, table: type[Project] | type[Space], key: str, query: MemberPaging) -> Any:
    with unit_of(request, write=False) as unit:
        page = MEMBERS.page(memberships.members(unit, unit.get(table, key)), query)
        return paged(request, page, lambda member: show_member(*member))


def _set(request: Request, table: type[Project] | type[Space], key: str, user: str, role: Any) -> Response:
    with unit_of(request) as unit:
        member = memberships.set_member(unit, unit.get(table, key), user, role, before=tags_of(request))
        if member is None:
            return Response(status_code=204)
        return marked(member.role, {"user_id": member.user_id, "user": user, "role": member.role})


@router.get("/api/projects/{project_id}/members", response_model=page_of(MemberShown, "Members"))
def list_project_members(request: Request, project_id: str, query: Annotated[MemberPaging, Query()]) -> Any:
    """Who may do what in the project."""
    return _list(request, Project, project_id, query)


@router.put("/api/projects/{project_id}/members/{user}", response_model=MemberShown, openapi_extra=GUARDED)
def set_project_member(request: Request, project_id: str, user: str, body: Role) -> Response:
    """Give a user, by name, a role in the project."""
    return _set(request, Project, project_id, user, body.role)


@router.delete("/api/projects/{project_id}/members/{user}", status_code=204, openapi_extra=GUARDED)
def remove_project_member(request: Request, project_id: str, user: str) -> Response:
    """Take a user's role in the project away."""
    return _set(request, Project, project_id, user, None)


@router.get("/api/spaces/{space_id}/members", response_model=page_of(MemberShown, "Members"))
def list_space_members(request: Request, space_id: str, query: Annotated[MemberPaging, Query()]) -> Any:
    """Who may do what in the space."""
    return _list(request, Space, space_id, query)


@router.put("/api/spaces/{space_id}/members/{user}", response_model=MemberShown, openapi_extra=GUARDED)
def set_space_member(request: Request, space_id: str, user: str, body: Role) -> Response:
    """Give a user, by name, a role in the space."""
    return _set(request, Space, space_id, user, body.role)


@router.delete("/api/spaces/{space_id}/members/{user}", status_code=204, openapi_extra=GUARDED)
def remove_space_member(request: Request, space_id: str, user: str) -> Response:
    """Take a user's role in the space away."""
    return _set(request, Space, space_id, user, None)
