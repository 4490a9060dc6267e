"""People with the roles they have and when they were here last: read for lists, a few questions for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from softprompt.storage.people import ApiKey, BrowserSession, Membership, User
from softprompt.storage.rows import Page
from softprompt.storage.tables import Project, Space
from softprompt.studio.access import Unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A user.

    Attributes:
        places: the projects and spaces they are in, with the role there.
        seen: when a browser signed in or a key was used last.
    """

    user: User
    places: Sequence[tuple[Project | Space, str]]
    seen: datetime | None
    sessions: int


def page(unit: Unit, **paging: Any) -> tuple[list[Entry], Page[User]]:
    """A page of everybody, for admins of the studio."""
    unit.need_studio_admin()
    found = unit.rows.page(User, **paging)
    return entries(unit, found.items), found


def entries(unit: Unit, users: Sequence[User]) -> list[Entry]:
    unit.need_studio_admin()
    ids = [user.id for user in users]
    members = unit.rows.all(Membership, user_id=ids)
    place_ids = list({member.container_id for member in members})
    places: dict[str, Project | Space] = {p.id: p for p in unit.rows.all(Project, id=place_ids)}
    places |= {s.id: s for s in unit.rows.all(Space, id=place_ids)}
    sessions = unit.rows.all(BrowserSession, user_id=ids)
    used = [(key.user_id, key.last_used_at) for key in unit.rows.all(ApiKey, user_id=ids)]
    moments = [*used, *((session.user_id, session.created_at) for session in sessions)]
    return [
        Entry(
            user=user,
            places=[
                (places[m.container_id], m.role) for m in members if m.user_id == user.id and m.container_id in places
            ],
            seen=max((at for owner, at in moments if owner == user.id and at is not None), default=None),
            sessions=sum(session.user_id == user.id for session in sessions),
        )
        for user in users
    ]


def places(unit: Unit) -> list[Project | Space]:
    """Projects, then spaces, that whoever asks can see."""
    seen = unit.visible()
    projects = unit.rows.page(Project, containers=seen, sort="name", limit=200).items
    spaces = unit.rows.page(Space, containers=seen, sort="name", limit=200).items
    return [*projects, *spaces]
