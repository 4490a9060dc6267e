"""What the routes share: bodies that refuse unknown keys, lists with filters, and how any noun is shown.

Shapes of answers are typed dictionaries: they describe the interface without being checked again on every answer.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from fastapi.routing import APIRoute
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from typing_extensions import TypedDict

from softprompt.errors import ParameterInvalid
from softprompt.storage.types import Noun
from softprompt.studio.access import Unit, iso
from softprompt.studio.projects import find as find_project
from softprompt.studio.spaces import find as find_space

MOST_DEPTH = 50
"""Levels of a JSON body."""

Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=300)]
"""An id or a name."""
Tags = Annotated[list[str], Field(max_length=50)]
Description = Annotated[str, StringConstraints(max_length=4000)]
Sort = Literal["created_at", "-created_at", "updated_at", "-updated_at", "name", "-name"]

Project = Annotated[Reference | None, Field(description="Id or name of a project.", examples=["Sandbox"])]
Space = Annotated[Reference | None, Field(description="Id or name of a space.", examples=["Production"])]


class ErrorTold(TypedDict):
    code: str
    message: str
    status: int
    request_id: str


class ErrorShown(TypedDict):
    """Every error has this shape. `code` is stable; `message` says what happened and what to do."""

    error: ErrorTold


ERRORS: dict[int | str, dict[str, Any]] = {"default": {"model": ErrorShown, "description": "What went wrong."}}
BINARY: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}


def new_router(tag: str) -> APIRouter:
    """A router of our interface. Who may is decided by `auth.authorize`; the scheme here is for the documentation."""
    asked = [Depends(HTTPBearer(auto_error=False)), Depends(refuse_unknown_words)]
    return APIRouter(tags=[tag], responses=ERRORS, dependencies=asked)


async def refuse_unknown_words(request: Request) -> None:
    """What is read takes no words behind the `?` that it does not know, and says which it does."""
    if request.method != "GET" or not request.query_params:
        return
    known = known_words(request.scope["route"])
    unknown = [word for word in dict.fromkeys(request.query_params) if word not in known]
    if unknown:
        these = f"It knows {', '.join(known)}." if known else "It knows none at all."
        raise ParameterInvalid(f"{', '.join(unknown)[:300]}: this address knows no such word. {these}")


def known_words(route: APIRoute) -> tuple[str, ...]:
    """The words that may stand behind the `?`, sorted."""
    found: set[str] = set()
    for field in route.dependant.query_params:
        shape = field.field_info.annotation
        several = isinstance(shape, type) and issubclass(shape, BaseModel)
        found |= set(shape.model_fields) if several else {field.alias}  # type: ignore[union-attr]
    return tuple(sorted(found))


class Body(BaseModel):
    """A JSON body: keys that are not known, and text that no database holds, are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        check_storable(value)
        return value


class Cut(BaseModel):
    """Of every list: a page of it."""

    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=1, le=500)] = 50
    cursor: Annotated[str | None, Field(max_length=2000, description="From `next` of the page before.")] = None


class Listed(Cut):
    """Of lists of what has names, but no tags."""

    search: Annotated[str, Field(max_length=200, description="Text in the name, in any case.")] = ""


class Paging(Listed):
    """Of lists of nouns."""

    tag: Annotated[list[str], Field(max_length=50, description="Tags that it has, all of them.")] = []
    sort: Annotated[Sort, Field(description="With - in front: from the largest down.")] = "-created_at"

    def words(self) -> dict[str, Any]:
        """For the `page` functions of `studio`."""
        found = {"search": self.search, "sort": self.sort, "limit": self.limit, "cursor": self.cursor}
        return {**found, "tagged": self.tag} if self.tag else found


class InProjectPaging(Paging):
    project: Project = None

    def where(self, unit: Unit) -> dict[str, Any]:
        return {"project_id": find_project(unit, self.project).id} if self.project else {}


class InContainerPaging(InProjectPaging):
    space: Space = None

    def where(self, unit: Unit) -> dict[str, Any]:
        space = {"space_id": find_space(unit, self.space).id} if self.space else {}
        return {**super().where(unit), **space}


class Ordered(Listed):
    """Of lists of what is never changed, or nobody writes down when: users, keys."""

    sort: Literal["created_at", "-created_at", "name", "-name"] = "-created_at"

    def words(self) -> dict[str, Any]:
        return self.model_dump(include={"search", "sort", "limit", "cursor"})


class NounShown(TypedDict):
    """What every noun shows."""

    id: str
    name: str
    description: str
    tags: list[str]
    created_at: str
    created_by: str | None
    updated_at: str
    revision: int


class ProblemShown(TypedDict):
    code: str
    message: str


def show_noun(row: Noun) -> NounShown:
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "tags": list(row.tags),
        "created_at": iso(row.created_at) or "",
        "created_by": row.created_by,
        "updated_at": iso(row.updated_at) or "",
        "revision": row.revision,
    }


def check_storable(value: Any) -> None:
    """Refuse text with a null character or half a character, numbers that are none, and bottomless nesting."""
    waiting: list[tuple[Any, int]] = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if depth > MOST_DEPTH:
            raise ValueError(f"more than {MOST_DEPTH} levels deep")
        if isinstance(item, str) and ("\x00" in item or any("\ud800" <= c <= "\udfff" for c in item)):
            raise ValueError("a text holds a null character or half a character, which cannot be stored")
        if isinstance(item, float) and not math.isfinite(item):
            raise ValueError(f"{item} is not a finite number")
        if isinstance(item, dict):
            waiting += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            waiting += [(part, depth + 1) for part in item]


def given(body: Body, *names: str) -> dict[str, Any]:
    """The fields that the body has, by the names of the use cases."""
    return {name: getattr(body, name) for name in names if name in body.model_fields_set}


def container(unit: Unit, project: str | None, space: str | None) -> Any:
    """The space or project that is named; the sandbox if neither is."""
    if project and space:
        raise ParameterInvalid("project, space: name one of them, not both.")
    return find_space(unit, space) if space else find_project(unit, project)


def page_of(shown: Any, name: str) -> Any:
    """The shape of a page of something."""
    fields = {"items": list[shown], "total": int, "next": str | None}
    return TypedDict(name, fields)  # type: ignore[operator]
