"""What projects and spaces have in common: a name of their own, and a founder."""

from __future__ import annotations

from softprompt.errors import NameTaken
from softprompt.storage.people import Membership
from softprompt.storage.tables import Project, Space
from softprompt.studio.access import Unit, called


def check_new_name(
    unit: Unit, table: type[Project] | type[Space], name: object, own: Project | Space | None = None
) -> None:
    """Refuse a name that another one has."""
    taken = unit.rows.first(table, name=name)
    if taken is not None and (own is None or taken.id != own.id):
        raise NameTaken(f"There is a {called(table)} {name!r} already. Choose another name.")


def founded(unit: Unit, container: Project | Space) -> None:
    """Whoever made it becomes its admin."""
    if unit.actor.user_id:
        unit.rows.add(Membership(user_id=unit.actor.user_id, container_id=container.id, role="admin"))
    unit.log("create", container, name=container.name)
