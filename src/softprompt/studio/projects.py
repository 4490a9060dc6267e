"""Projects: workshops for datasets, experiments and lab sessions. One, the sandbox, is made at the first start."""

from __future__ import annotations

from softprompt.errors import InUse
from softprompt.storage.rows import Page
from softprompt.storage.tables import Project
from softprompt.studio import containers, trash
from softprompt.studio.access import Revision, Unit
from softprompt.studio.in_use import refuse_if_used
from softprompt.studio.names import changes, clean_name, clean_tags, clean_text

SANDBOX = "Sandbox"


def sandbox(unit: Unit) -> Project:
    """The project that is there from the start."""
    found = unit.rows.first(Project, sandbox=True)
    return found or unit.rows.add(Project(name=SANDBOX, sandbox=True, description="A place to try things out."))


def create(unit: Unit, name: str, *, description: str = "", tags: list[str] | None = None) -> Project:
    """A new project; whoever makes it becomes its admin."""
    unit.may_found("project")
    name = clean_name(name)
    containers.check_new_name(unit, Project, name)
    project = unit.rows.add(
        Project(name=name, description=clean_text(description), tags=clean_tags(tags), created_by=unit.actor.user_id)
    )
    containers.founded(unit, project)
    return project


def get(unit: Unit, project_id: str) -> Project:
    return unit.get(Project, project_id)


def find(unit: Unit, id_or_name: str | None) -> Project:
    """By id or name; the sandbox if nothing is named."""
    if not id_or_name:
        project = unit.rows.first(Project, sandbox=True)
        return unit.get(Project, project.id if project else "sandbox")
    named = unit.rows.first(Project, name=id_or_name)
    # A stranger hears the same whether there is such a name or not.
    return unit.get(Project, named.id if named and unit.role_in(named) else id_or_name)


def page(unit: Unit, **paging: object) -> Page[Project]:
    return unit.rows.page(Project, containers=unit.visible(), **paging)  # type: ignore[arg-type]


def update(
    unit: Unit,
    project_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    tags: list[str] | None = None,
    revision: Revision = None,
) -> Project:
    project = unit.get(Project, project_id)
    values = changes(name=name, description=description, tags=tags)
    containers.check_new_name(unit, Project, values.get("name", project.name), project)
    unit.change(project, revision, **values)
    return project


def delete(unit: Unit, project_id: str) -> None:
    """Hide the project and all that is in it; refused while something in it works or answers."""
    project = unit.get(Project, project_id)
    if project.sandbox:
        raise InUse(f"{project.name!r} cannot be deleted: it is where everything goes that names no project.")
    refuse_if_used(unit, project)
    inside = (row for table in trash.INSIDE[Project] for row in unit.rows.all(table, project_id=project.id))
    unit.delete(project, inside)
