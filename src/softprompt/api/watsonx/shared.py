"""What the routes of the watsonx wire share: lenient bodies, creates, the place of a request, pages, JSON patches.

IBM's client sends more than it needs, so unknown fields of a body are left alone here, unlike on our own interface.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from softprompt.api.answers import created
from softprompt.api.context import caller_of
from softprompt.errors import UsageError
from softprompt.storage.rows import MOST, Page
from softprompt.storage.tables import Project, Space
from softprompt.studio.access import Unit

Limit = Annotated[int, Query(ge=1, description=f"Rows of a page; {MOST} at most are given.")]


def whole(data: Any) -> Any:
    """Refuse what no answer could show again, and what would only be noticed where nobody can say so."""
    try:
        json.dumps(data, ensure_ascii=False, allow_nan=False).encode()
    except UnicodeEncodeError:
        raise ValueError("the text holds half a character (an unpaired surrogate)") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except TypeError:  # bare bytes
        raise ValueError("it is not said to be JSON; send the header Content-Type: application/json") from None
    return data


Objects = Annotated[list[dict[str, Any]], BeforeValidator(whole)]
Patch = Objects
"""A JSON patch: a list of {"op", "path", "value"}."""


class Body(BaseModel):
    """Of a request; what is not known is left alone."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _whole(cls, data: Any) -> Any:
        return whole(data)


class Placed(Body):
    """A body that names its project or space."""

    project_id: str | None = None
    space_id: str | None = None


def made(
    request: Request, body: BaseModel | Objects, make: Callable[[Unit], dict[str, Any]], status: int = 201
) -> JSONResponse:
    """Make something in one unit of work and answer with it; once only for an `Idempotency-Key`.

    What is asked for stands in the query as well: IBM's client names the project there.
    """
    sent = body.model_dump() if isinstance(body, BaseModel) else body
    return created(request, [sent, request.query_params.multi_items()], make, status)


def placed(request: Request, body: Placed | None = None) -> dict[str, str]:
    """{"project_id"} or {"space_id"} as the body or the query names it; {} if neither does."""
    query = request.query_params
    project_id = (body.project_id if body else None) or query.get("project_id")
    space_id = (body.space_id if body else None) or query.get("space_id")
    if project_id and space_id:
        raise UsageError("project_id, space_id: both are given. Name the one in which this is to happen.")
    if project_id:
        return {"project_id": project_id}
    return {"space_id": space_id} if space_id else {}


def container(unit: Unit, request: Request, body: Placed | None = None) -> Project | Space:
    """The project or space of a request that has to name one."""
    where = placed(request, body)
    if not where:
        raise UsageError(
            "project_id or space_id: neither is given. Call client.set.default_project(ID) or default_space(ID) first."
        )
    if "space_id" in where:
        return unit.get(Space, where["space_id"])
    return unit.get(Project, where["project_id"])


def project_of(unit: Unit, request: Request, body: Placed | None = None, *, what: str) -> Project:
    """The same, for what only projects hold."""
    found = container(unit, request, body)
    if isinstance(found, Space):
        raise UsageError(f"space_id: {what} belong to projects. Name a project_id (client.set.default_project).")
    return found


def home(row: Any) -> dict[str, str]:
    """Project or space of a row, as documents show it."""
    if getattr(row, "space_id", None):
        return {"space_id": row.space_id}
    return {"project_id": row.project_id}


def listed(request: Request, page: Page[Any], show: Callable[[Any], dict[str, Any]], limit: int) -> dict[str, Any]:
    """A page. The next address has the whole query in it and no host: whatever proxy is between does not matter."""
    document: dict[str, Any] = {
        "resources": [show(row) for row in page.items],
        "limit": limit,
        "total_count": page.total,
        "first": {"href": _relative(request)},
    }
    if page.next is not None:
        document["next"] = {"href": _relative(request, cursor=page.next)}
    return document


def nothing(request: Request, limit: int) -> dict[str, Any]:
    """A page without anything on it."""
    return listed(request, Page((), 0, None), dict, limit)


def absolute(request: Request, path: str) -> str:
    """A full address on this server, as the client reached it."""
    return f"{str(request.base_url).rstrip('/')}/{path.lstrip('/')}"


def for_mode(request: Request, path: str) -> str:
    """An address of a file: clients that logged in the cloud's way want it whole, the others without the host."""
    return absolute(request, path) if caller_of(request).mode == "cloud" else path


NAMED: dict[str, tuple[str, type]] = {
    "/name": ("name", str),
    "/description": ("description", str),
    "/tags": ("tags", list),
}
"""What can be changed of every noun: our name and the kind of value, by path."""


def patched(operations: Patch, known: Mapping[str, tuple[str, type]]) -> dict[str, Any]:
    """Values by our names of a JSON patch; everything in it that cannot be done is named at once."""
    values: dict[str, Any] = {}
    problems = []
    for operation in operations:
        path, op, value = str(operation.get("path", "")), operation.get("op", "replace"), operation.get("value")
        name, kind = known.get(path.removeprefix("/metadata").removeprefix("/entity"), ("", str))
        if op not in ("add", "replace"):
            problems.append(f"op {op!r} on {path}: only add and replace are known")
        elif not name:
            problems.append(f"{path}: cannot be changed; what can is {', '.join(known)}")
        elif not isinstance(value, kind) or (isinstance(value, list) and not all(isinstance(x, str) for x in value)):
            problems.append(f"{path}: {str(value)[:60]!r} is not {_KINDS[kind]}")
        else:
            values[name] = value
    if problems:
        raise UsageError("; ".join(problems) + ".")
    return values


_KINDS: dict[type, str] = {str: "a text", list: "a list of texts", dict: "an object"}


def _relative(request: Request, **more: str) -> str:
    url = request.url.include_query_params(**more)
    return f"{url.path.lstrip('/')}?{url.query}" if url.query else url.path.lstrip("/")
