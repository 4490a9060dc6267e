"""Memberships: who is in a project or space, and what they may there."""

from __future__ import annotations

from collections.abc import Collection

from softprompt.errors import Conflict, NotFound, ParameterInvalid, VersionMismatch
from softprompt.storage.people import Membership, User
from softprompt.storage.tables import Project, Space
from softprompt.studio.access import RANKS, Role, Unit


def set_member(
    unit: Unit,
    container: Project | Space,
    user_name: str,
    role: Role | None,
    *,
    before: Collection[str] | None = None,
) -> Membership | None:
    """Give a user a role in a project or space; None takes it away.

    Args:
        before: the role that the user was seen to have, or several; None: any or none.
    """
    unit.require(container, "admin")
    user = unit.rows.first(User, name=user_name)
    if user is None:
        raise NotFound(f"There is no user {user_name!r}. An admin of the studio can make one.")
    if role is not None and role not in RANKS:
        raise ParameterInvalid(f"role: {role!r} is not one of {', '.join(RANKS)}.")
    member = unit.rows.first(Membership, user_id=user.id, container_id=container.id)
    if before is not None:
        _check_role(unit, container, user, member, before)
    if member is not None and member.role == "admin" and role != "admin" and not unit.actor.whole:
        others = unit.rows.count(Membership, container_id=container.id, role="admin")
        if others == 1:
            raise Conflict(f"{user.name} is the only admin of {container.name!r}. Make another member an admin first.")
    unit.log("set member", container, name=container.name, user=user.name, role=role)
    if role is None:
        unit.rows.remove(Membership, user_id=user.id, container_id=container.id)
        return None
    if member is None:
        return unit.rows.add(Membership(user_id=user.id, container_id=container.id, role=role))
    member.role = role
    return member


def _check_role(
    unit: Unit, container: Project | Space, user: User, member: Membership | None, before: Collection[str]
) -> None:
    if member is not None:
        unit.rows.lock(member)
        if member.role in before:
            return
    raise VersionMismatch(
        f"{user.name} was changed since you read it: the role in {container.name!r} is "
        f"{member.role if member else 'none'} now, you had {', '.join(sorted(before)) or 'none'}. Read it again."
    )


def members(unit: Unit, container: Project | Space) -> list[tuple[User, str]]:
    """Who is in a project or space, with their role there."""
    unit.require(container, "viewer")
    found = unit.rows.all(Membership, container_id=container.id)
    named = {u.id: u for u in unit.rows.all(User, id=[m.user_id for m in found])}
    return [(named[m.user_id], m.role) for m in found if m.user_id in named]


def of_user(unit: Unit, user_id: str) -> list[tuple[Project | Space, str]]:
    """The projects and spaces a user is in, with the role there."""
    if user_id != unit.actor.user_id:
        unit.need_studio_admin()
    roles = {m.container_id: m.role for m in unit.rows.all(Membership, user_id=user_id)}
    places: list[Project | Space] = [*unit.rows.all(Project, id=list(roles)), *unit.rows.all(Space, id=list(roles))]
    return [(place, roles[place.id]) for place in places]
