"""Tuning experiments: named folders of tuning runs."""

from __future__ import annotations

from typing import Any

from softprompt.errors import InUse
from softprompt.storage.rows import Page
from softprompt.storage.tables import Project, TuningExperiment, TuningRun
from softprompt.studio.access import Unit, check_revision
from softprompt.studio.names import changes, clean_name, clean_tags, clean_text


def create(
    unit: Unit, project: Project, name: str, *, description: str = "", tags: list[str] | None = None
) -> TuningExperiment:
    unit.require(project)
    experiment = unit.rows.add(
        TuningExperiment(
            project_id=project.id,
            name=clean_name(name),
            description=clean_text(description),
            tags=clean_tags(tags),
            created_by=unit.actor.user_id,
        )
    )
    unit.log("create", experiment, name=experiment.name)
    return experiment


def named(unit: Unit, project: Project, name: str) -> TuningExperiment:
    """The experiment of this name in the project, made if there is none."""
    name = clean_name(name)
    unit.rows.lock(project)  # two runs that start at once find, or make, one experiment
    return unit.rows.first(TuningExperiment, project_id=project.id, name=name) or create(unit, project, name)


def get(unit: Unit, experiment_id: str) -> TuningExperiment:
    return unit.get(TuningExperiment, experiment_id)


def page(unit: Unit, *, project_id: str | None = None, **paging: Any) -> Page[TuningExperiment]:
    inside: dict[str, Any] = {"project_id": unit.get(Project, project_id).id} if project_id else {}
    return unit.rows.page(TuningExperiment, containers=unit.visible(), **inside, **paging)


def update(
    unit: Unit,
    experiment_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    tags: list[str] | None = None,
    revision: int | None = None,
) -> TuningExperiment:
    experiment = unit.get(TuningExperiment, experiment_id)
    unit.change(experiment, revision, **changes(name=name, description=description, tags=tags))
    return experiment


def delete(unit: Unit, experiment_id: str, revision: int | None = None) -> None:
    """With its runs; refused while one of them is not over. Tuned prompts stay."""
    experiment = unit.get(TuningExperiment, experiment_id)
    check_revision(experiment, revision)
    busy = unit.rows.first(TuningRun, experiment_id=experiment.id, state=["queued", "running"])
    if busy:
        raise InUse(f"{experiment.name!r} cannot be deleted: run {busy.name!r} is {busy.state}. Cancel it first.")
    for run in unit.rows.all(TuningRun, experiment_id=experiment.id):
        unit.delete(run)
    unit.delete(experiment)
