"""Spaces: places for deployments, with a stage, and promotion of tuned prompts from projects into them."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, get_args

from softprompt.errors import ParameterInvalid
from softprompt.storage.rows import Page
from softprompt.storage.tables import Deployment, Space
from softprompt.studio import containers, trash
from softprompt.studio.access import Revision, Unit
from softprompt.studio.in_use import refuse_if_used
from softprompt.studio.names import changes, clean_name, clean_tags, clean_text

Stage = Literal["development", "testing", "production"]


def create(
    unit: Unit,
    name: str,
    *,
    stage: str = "development",
    description: str = "",
    tags: list[str] | None = None,
    storage: dict[str, Any] | None = None,
) -> Space:
    """A new space; whoever makes it becomes its admin."""
    unit.may_found("space")
    name = clean_name(name)
    containers.check_new_name(unit, Space, name)
    space = unit.rows.add(
        Space(
            name=name,
            stage=_stage(stage),
            description=clean_text(description),
            tags=clean_tags(tags),
            storage=storage or {},
            created_by=unit.actor.user_id,
        )
    )
    containers.founded(unit, space)
    return space


def get(unit: Unit, space_id: str) -> Space:
    return unit.get(Space, space_id)


def find(unit: Unit, id_or_name: str) -> Space:
    named = unit.rows.first(Space, name=id_or_name)
    return unit.get(Space, named.id if named and unit.role_in(named) else id_or_name)


def page(unit: Unit, **paging: object) -> Page[Space]:
    return unit.rows.page(Space, containers=unit.visible(), **paging)  # type: ignore[arg-type]


def update(
    unit: Unit,
    space_id: str,
    *,
    name: str | None = None,
    stage: str | None = None,
    description: str | None = None,
    tags: list[str] | None = None,
    revision: Revision = None,
) -> Space:
    space = unit.get(Space, space_id)
    values = changes(name=name, description=description, tags=tags)
    containers.check_new_name(unit, Space, values.get("name", space.name), space)
    if stage is not None:
        values["stage"] = _stage(stage)
    unit.change(space, revision, **values)
    return space


def delete(unit: Unit, space_id: str) -> None:
    """Hide the space; refused while a deployment stands in it."""
    space = unit.get(Space, space_id)
    refuse_if_used(unit, space)
    inside = (row for table in trash.INSIDE[Space] for row in unit.rows.all(table, space_id=space.id))
    unit.delete(space, inside)


def inside(unit: Unit, space_ids: Collection[str]) -> dict[str, int]:
    """Deployments in each of these spaces."""
    found = dict.fromkeys(space_ids, 0)
    for deployment in unit.rows.all(Deployment, space_id=list(space_ids)):
        found[deployment.space_id or ""] += 1
    return found


def _stage(stage: str) -> str:
    if stage not in get_args(Stage):
        raise ParameterInvalid(f"stage: {stage!r} is not one of {', '.join(get_args(Stage))}.")
    return stage
