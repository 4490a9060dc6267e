"""The audit log over HTTP: who changed what, and when. For admins of the studio."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import AfterValidator, AwareDatetime, Field
from typing_extensions import TypedDict

from softprompt.api.answers import paged
from softprompt.api.context import caller_of, studio_of, unit_of
from softprompt.api.studio.shapes import Listed, new_router, page_of
from softprompt.api.tables import TABLE, table, wants_table
from softprompt.storage.people import AuditEntry
from softprompt.studio import audit
from softprompt.studio.access import iso
from softprompt.studio.audit import Filters

router = new_router("audit")


def _in_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("before the year 1 or after the year 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Word = Annotated[str | None, Field(max_length=100)]


class AuditPaging(Listed):
    user: Annotated[Word, Field(description="Id or name of a user.")] = None
    action: Annotated[Word, Field(description="Such as create, update, delete, start, deploy.")] = None
    noun: Annotated[Word, Field(description="Such as dataset, tuning run, deployment.")] = None
    noun_id: Word = None
    container: Annotated[Word, Field(description="Id or name of a project or space.")] = None
    since: Moment | None = None
    until: Moment | None = None
    sort: Literal["id", "-id"] = "-id"

    def cut(self) -> dict[str, Any]:
        return self.model_dump(include={"sort", "limit", "cursor"})


class EntryShown(TypedDict):
    id: int
    at: str
    user_id: str | None
    key_id: str | None
    request_id: str | None
    action: str
    noun: str
    noun_id: str | None
    container_id: str | None
    data: dict[str, Any]


def show_entry(row: AuditEntry) -> EntryShown:
    return {
        "id": row.id,
        "at": iso(row.at) or "",
        "user_id": row.user_id,
        "key_id": row.key_id,
        "request_id": row.request_id,
        "action": row.action,
        "noun": row.noun,
        "noun_id": row.noun_id,
        "container_id": row.container_id,
        "data": row.data,
    }


@router.get("/api/audit", response_model=page_of(EntryShown, "Entries"), responses=TABLE)
def list_audit(request: Request, query: Annotated[AuditPaging, Query()]) -> Any:
    """What was done, the newest first. As a table, names stand in place of ids."""
    with unit_of(request, write=False) as unit:
        filters = Filters(
            user=query.user and audit.user_id_of(unit, query.user),
            action=query.action,
            noun=query.noun,
            noun_id=query.noun_id,
            container_id=query.container and audit.container_id_of(unit, query.container),
            since=query.since,
            until=query.until,
            search=query.search,
        )
        if not wants_table(request):
            return paged(request, audit.page(unit, filters, **query.cut()), show_entry)
    entries = audit.every(studio_of(request).office, caller_of(request).actor, filters)
    return table(audit.as_csv(entries), audit.file_name())
