"""The audit log as a page, and as CSV."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode

from fastapi import APIRouter, Request, Response

from softprompt.api.context import caller_of, studio_of
from softprompt.api.pages.admin import for_admins
from softprompt.api.pages.shared import frame_of
from softprompt.api.tables import table
from softprompt.errors import ParameterInvalid
from softprompt.storage.people import User
from softprompt.studio import audit
from softprompt.studio.access import Unit
from softprompt.studio.audit import Filters
from softprompt.ui.pages import audit as pages

router = APIRouter(include_in_schema=False)
TITLE = "Audit log"


@router.get("/admin/audit")
def show_audit(
    request: Request, user: str = "", action: str = "", noun: str = "", since: str = "", until: str = "",
    cursor: str | None = None,
) -> Response:  # fmt: skip
    given = {"user": user.strip(), "action": action, "noun": noun, "since": since, "until": until}

    def draw(unit: Unit) -> str:
        filters, problem = Filters(), ""
        try:
            filters = _filters(given)
        except ParameterInvalid as error:
            problem = str(error)
        lines, found = audit.lines(unit, filters, cursor=cursor)
        chosen = {name: value for name, value in given.items() if value}
        following = f"{pages.HERE}?{urlencode({**chosen, 'cursor': found.next})}" if found.next else None
        people = unit.rows.all(User, sort="name", limit=200)
        return pages.audit(
            frame_of(request, unit),
            lines,
            given,
            total=found.total,
            actions=audit.ACTIONS,
            nouns=audit.NOUNS,
            people=[each.name for each in people],
            following=following,
            problem=problem,
        )

    return for_admins(request, TITLE, draw)


@router.get("/admin/audit/log.csv")
def download(
    request: Request, user: str = "", action: str = "", noun: str = "", since: str = "", until: str = ""
) -> Response:
    """Everything that fits, as a file."""
    filters = _filters({"user": user.strip(), "action": action, "noun": noun, "since": since, "until": until})
    office, actor = studio_of(request).office, caller_of(request).actor
    return table(audit.as_csv(audit.every(office, actor, filters)), audit.file_name())


def _filters(given: dict[str, str]) -> Filters:
    until = _day("until", given["until"])
    return Filters(
        user=given["user"] or None,
        action=given["action"] or None,
        noun=given["noun"] or None,
        since=_day("since", given["since"]),
        until=until + timedelta(days=1) if until else None,  # the whole of the last day
    )


def _day(name: str, text: str) -> datetime | None:
    if not text:
        return None
    try:
        day = date.fromisoformat(text)
        if not 1970 <= day.year <= 9000:
            raise ValueError
    except ValueError:
        raise ParameterInvalid(f"{name}: {text!r} is no day; write it as 2026-01-31.") from None
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
