"""The audit log, read. Every use case writes into it (`Unit.log`); nothing ever changes it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from softprompt.errors import NotFound
from softprompt.storage.people import ApiKey, AuditEntry, User
from softprompt.storage.rows import MOST, Page
from softprompt.storage.tables import Project, Space
from softprompt.studio.access import Actor, Office, Unit, iso

COLUMNS = ("id", "at", "user", "key", "action", "noun", "noun_id", "name", "place", "request_id", "data")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True, kw_only=True)
class Filters:
    """Which entries: by whoever did it (id or name), what was done to what, where and when.

    Attributes:
        search: text in the name that a thing had then.
    """

    user: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    action: str | None = None
    noun: str | None = None
    noun_id: str | None = None
    container_id: str | None = None
    search: str = ""


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


def page(unit: Unit, filters: Filters, **paging: Any) -> Page[AuditEntry]:
    """Entries that fit."""
    unit.need_studio_admin()
    wanted: dict[str, Any] = {
        name: getattr(filters, name)
        for name in ("action", "noun", "noun_id", "container_id")
        if getattr(filters, name) is not None
    }
    if filters.user is not None:
        named = unit.rows.first(User, name=filters.user)
        wanted["user_id"] = named.id if named else filters.user
    having = [AuditEntry.at >= filters.since] if filters.since else []
    having += [AuditEntry.at < filters.until] if filters.until else []
    named_so = AuditEntry.data["name"].as_string().icontains(filters.search, autoescape=True)
    having += [named_so] if filters.search else []
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
    found = page(unit, filters, sort="-id", limit=limit, cursor=cursor)
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


def as_csv(pieces: Iterator[list[Line]]) -> Iterator[str]:
    """What `every` found, as a table."""
    yield _row(COLUMNS)
    for piece in pieces:
        yield "".join(_row(_cells(line)) for line in piece)


def file_name() -> str:
    """Of a table that is made today."""
    return f"softprompt-audit-{datetime.now(UTC):%Y%m%d}.csv"


def _cells(line: Line) -> list[str]:
    data = json.dumps(line.data, ensure_ascii=False) if line.data else ""
    return [
        str(line.id), iso(line.at) or "", line.user, line.key, line.action, line.noun, line.noun_id, line.name,
        line.place, line.request_id, data,
    ]  # fmt: skip


def _row(cells: Sequence[str]) -> str:
    out = io.StringIO()
    # A table program would run what begins like a formula, and people choose their names.
    csv.writer(out).writerow([f"'{cell}" if cell.startswith(_FORMULA) else cell for cell in cells])
    return out.getvalue()


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
