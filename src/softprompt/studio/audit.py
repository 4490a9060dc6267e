"""The audit log, read. Every use case writes into it (`Unit.log`); nothing ever changes it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from softprompt.errors import NotFound
from softprompt.storage.people import ApiKey, AuditEntry, User
from softprompt.storage.rows import MOST, Page
from softprompt.storage.tables import Project, Space
from softprompt.studio.access import Actor, Office, Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which entries: by whoever did it (id or name), what was done to what, where and when."""

    user: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    action: str | None = None
    noun: str | None = None
    noun_id: str | None = None
    container_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """An entry with names in place of ids.

    Attributes:
        key: name of the API key by which it was done.
        name: of what it was done to, as it was called then.
        data: the rest of what was written down.
    """

    id: int
    at: datetime
    user: str
    key: str
    action: str
    noun: str
    noun_id: str
    name: str
    place: str
    request_id: str
    data: dict[str, Any]


def page(
    unit: Unit,
    *,
    user: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    action: str | None = None,
    noun: str | None = None,
    noun_id: str | None = None,
    container_id: str | None = None,
    search: str = "",
    **paging: Any,
) -> Page[AuditEntry]:
    """Entries, see `Filters`; `search`: text in the name that a thing had then."""
    unit.need_studio_admin()
    equals = {"action": action, "noun": noun, "noun_id": noun_id, "container_id": container_id}
    wanted: dict[str, Any] = {name: value for name, value in equals.items() if value is not None}
    if user is not None:
        named = unit.rows.first(User, name=user)
        wanted["user_id"] = named.id if named else user
    having = [AuditEntry.at >= since] if since else []
    having += [AuditEntry.at < until] if until else []
    having += [AuditEntry.data["name"].as_string().icontains(search, autoescape=True)] if search else []
    return unit.rows.page(AuditEntry, having=having, **wanted, **paging)


def user_id_of(unit: Unit, id_or_name: str) -> str:
    """Of somebody who is there; `NotFound` in words."""
    unit.need_studio_admin()
    user = unit.rows.first(User, name=id_or_name) or unit.rows.get(User, id_or_name)
    if user is None:
        raise NotFound(f"user: there is no user {id_or_name!r} here. The list shows who there is.")
    return user.id


def container_id_of(unit: Unit, id_or_name: str) -> str:
    """Of a project or space by its name, or by its id as long as the log names it; `NotFound` in words."""
    unit.need_studio_admin()
    named = unit.rows.first(Project, name=id_or_name) or unit.rows.first(Space, name=id_or_name)
    known = named or unit.rows.get(Project, id_or_name) or unit.rows.get(Space, id_or_name)
    if known is not None:
        return known.id
    if unit.rows.first(AuditEntry, container_id=id_or_name) is None:
        raise NotFound(f"container: there is no project or space {id_or_name!r} here. The lists show what there is.")
    return id_or_name


def lines(
    unit: Unit, filters: Filters, *, limit: int = 50, cursor: str | None = None
) -> tuple[list[Line], Page[AuditEntry]]:
    """A page of the log with names, the newest first."""
    chosen = {name: getattr(filters, name) for name in Filters.__dataclass_fields__}
    found = page(unit, **chosen, sort="-id", limit=limit, cursor=cursor)
    return _named(unit, found.items), found


def every(office: Office, actor: Actor, filters: Filters) -> Iterator[list[Line]]:
    """All that fit, the newest first, a few hundred at a time and each time in a unit of its own: a long log must
    keep nobody from writing.
    """
    cursor: str | None = None
    while True:
        with office.unit(actor, write=False) as unit:
            found, piece = lines(unit, filters, limit=MOST, cursor=cursor)
        yield found
        cursor = piece.next
        if cursor is None:
            return


def _named(unit: Unit, entries: Sequence[AuditEntry]) -> list[Line]:
    users = _names(unit, User, {e.user_id for e in entries})
    keys = _names(unit, ApiKey, {e.key_id for e in entries})
    places = {e.container_id for e in entries}
    containers = _names(unit, Project, places) | _names(unit, Space, places)
    found = []
    for entry in entries:
        data = dict(entry.data)
        found.append(
            Line(
                id=entry.id,
                at=entry.at,
                user=users.get(entry.user_id or "", entry.user_id or "the studio"),
                key=keys.get(entry.key_id or "", entry.key_id or ""),
                action=entry.action,
                noun=entry.noun,
                noun_id=entry.noun_id or "",
                name=str(data.pop("name", "")),
                place=containers.get(entry.container_id or "", entry.container_id or ""),
                request_id=entry.request_id or "",
                data=data,
            )
        )
    return found


def _names(unit: Unit, table: Any, ids: set[str | None]) -> dict[str, str]:
    wanted = [key for key in ids if key]
    return {row.id: row.name for row in unit.rows.all(table, id=wanted, deleted=True)} if wanted else {}


ACTIONS = (
    "create", "update", "delete", "bring back", "purge", "start", "cancel", "keep", "deploy", "import", "promote",
    "sign in", "sign out", "revoke", "set member", "set role", "set password", "reset", "rename", "disable", "enable",
    "set priority", "retry now", "backup", "download",
)  # fmt: skip
NOUNS = (
    "dataset", "tuning experiment", "tuning run", "tuned prompt", "deployment", "prompt session", "evaluation",
    "project", "space", "foundation model", "user", "API key", "job", "backup", "studio", "deleted things",
)  # fmt: skip
"""What `Unit.log` is called with; a filter of a page offers them."""
