"""Tuning experiments: named folders of tuning runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from softprompt.errors import ParameterInvalid
from softprompt.jobs.states import State
from softprompt.params import LABEL_TASKS
from softprompt.storage import experiments as queries
from softprompt.storage.rows import Page
from softprompt.storage.tables import Project, TuningExperiment, TuningRun
from softprompt.studio.access import Revision, Unit, check_revision
from softprompt.studio.in_use import refuse_if_used
from softprompt.studio.names import changes, clean_name, clean_tags, clean_text


@dataclass(frozen=True, slots=True)
class Listed:
    """An experiment with what happened in it.

    Attributes:
        counts: runs by state.
        last: the newest run.
        best: the newest completed one, which has results.
    """

    experiment: TuningExperiment
    counts: Mapping[str, int]
    last: TuningRun | None
    best: TuningRun | None


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


def known(unit: Unit, project: Project, reference: str) -> TuningExperiment | None:
    """The experiment of this name, or of this id, in the project."""
    first = partial(unit.rows.first, TuningExperiment, project_id=project.id)
    return first(name=reference) or first(id=reference)


def named(unit: Unit, project: Project, reference: str) -> TuningExperiment:
    """The experiment of this name, or of this id, in the project; made under the name if there is none."""
    reference = clean_name(reference)
    unit.rows.lock(project)  # two runs that start at once find, or make, one experiment
    return known(unit, project, reference) or create(unit, project, reference)


def get(unit: Unit, experiment_id: str) -> TuningExperiment:
    return unit.get(TuningExperiment, experiment_id)


def page(unit: Unit, *, project_id: str | None = None, **paging: Any) -> Page[TuningExperiment]:
    inside: dict[str, Any] = {"project_id": unit.get(Project, project_id).id} if project_id else {}
    return unit.rows.page(TuningExperiment, containers=unit.visible(), **inside, **paging)


def listed(
    unit: Unit, *, search: str = "", state: str = "", cursor: str | None = None, limit: int = 25
) -> tuple[list[Listed], Page[TuningExperiment]]:
    """Experiments with their runs in short, those that were used last first.

    Args:
        state: only those that hold a run in this state.
    """
    if state and state not in tuple(State):
        raise ParameterInvalid(f"state: {state!r} is not one of {', '.join(State)}.")
    having = [queries.holds(state)] if state else []
    found = unit.rows.page(
        TuningExperiment,
        containers=unit.visible(),
        search=search,
        sort="-updated_at",
        limit=limit,
        cursor=cursor,
        having=having,
    )
    ids, session = [each.id for each in found.items], unit.rows.session
    counts = queries.counts(session, ids)
    last = {run.experiment_id: run for run in queries.newest(session, ids)}
    best = {run.experiment_id: run for run in queries.newest(session, ids, state=State.COMPLETED)}
    shown = [Listed(each, counts.get(each.id, {}), last.get(each.id), best.get(each.id)) for each in found.items]
    return shown, found


def counted(unit: Unit, experiment: TuningExperiment) -> Mapping[str, int]:
    """Runs by state."""
    return queries.counts(unit.rows.session, [experiment.id]).get(experiment.id, {})


def result(run: TuningRun) -> tuple[str, str] | None:
    """The one figure that says most about a run that is over: on test rows, else on validation rows, else its loss."""
    methods = (run.results.get("test") or {}).get("methods") or []
    if methods:
        name = "exact" if run.results["test"].get("task") in LABEL_TASKS else "rouge_l"
        best = max((method[name] for method in methods if isinstance(method.get(name), float)), default=None)
        if best is not None:
            return f"{best:.2f}", f"{'exact' if name == 'exact' else 'ROUGE-L'} on test rows"
    epochs = run.results.get("epochs") or []
    metrics = [epoch["metric"] for epoch in epochs if isinstance(epoch.get("metric"), float)]
    if metrics:
        return f"{max(metrics):.2f}", "on validation rows"
    read = ((run.results.get("metrics") or {}).get("readout") or {}).get("cross_validation") or {}
    if isinstance(read.get("exact"), float):
        return f"{read['exact']:.2f}", "exact, cross-validated"
    return (f"{epochs[-1]['loss']:.3f}", "loss") if epochs else None


def update(
    unit: Unit,
    experiment_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    tags: list[str] | None = None,
    revision: Revision = None,
) -> TuningExperiment:
    experiment = unit.get(TuningExperiment, experiment_id)
    unit.change(experiment, revision, **changes(name=name, description=description, tags=tags))
    return experiment


def delete(unit: Unit, experiment_id: str, revision: Revision = None) -> None:
    """With its runs; refused while one of them is not over. Tuned prompts stay."""
    experiment = unit.get(TuningExperiment, experiment_id)
    check_revision(experiment, revision)
    refuse_if_used(unit, experiment)
    unit.delete(experiment, unit.rows.all(TuningRun, experiment_id=experiment.id))
