"""What projects and spaces have in common: a name of their own, a founder, nothing in them that still answers."""

from __future__ import annotations

from softprompt.errors import InUse, NameTaken
from softprompt.storage.people import Membership
from softprompt.storage.tables import Deployment, Project, Space
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


def check_nothing_serves(unit: Unit, container: Project | Space) -> None:
    """Refuse to delete what a deployment stands in."""
    if isinstance(container, Space):
        serving = unit.rows.first(Deployment, space_id=container.id)
    else:
        serving = unit.rows.first(Deployment, project_id=container.id)
    if serving:
        raise InUse(f"{container.name!r} cannot be deleted: deployment {serving.name!r} is in it. Delete that first.")
