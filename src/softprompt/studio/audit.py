"""The audit log, read. Every use case writes into it (`Unit.log`); nothing ever changes it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from softprompt.storage.people import AuditEntry, User
from softprompt.storage.rows import Page
from softprompt.studio.access import Unit


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
    **paging: Any,
) -> Page[AuditEntry]:
    """Entries by whoever did it (id or name), what was done to what, where and when."""
    unit.need_studio_admin()
    equals = {"action": action, "noun": noun, "noun_id": noun_id, "container_id": container_id}
    wanted: dict[str, Any] = {name: value for name, value in equals.items() if value is not None}
    if user is not None:
        named = unit.rows.first(User, name=user)
        wanted["user_id"] = named.id if named else user
    having = [AuditEntry.at >= since] if since else []
    having += [AuditEntry.at < until] if until else []
    return unit.rows.page(AuditEntry, having=having, **wanted, **paging)
