"""How fast models are tuned here: measured on demand by a worker, and by every run that comes to its end.

Says what was measured, where and when; what follows for a run stands in `estimates`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from softprompt.jobs import queue
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Project, TuningRun
from softprompt.storage.types import now
from softprompt.storage.work import Job, Measurement
from softprompt.studio import datasets, foundation_models
from softprompt.studio.access import Unit

KEPT = 40
"""The newest measurements of a model that are looked at."""
PRIORITY = 5
"""A minute of measuring goes before hours of tuning."""


def ask(
    unit: Unit,
    project: Project,
    *,
    model_id: str,
    dataset_id: str,
    config: Mapping[str, Any],
    validation: bool = False,
    test_dataset_id: str | None = None,
) -> Measurement:
    """Let a worker measure a few updates; one that waits or runs for the same model and settings is given back.

    Args:
        config: fields of `TuneConfig`, task, batch size and accumulation among them.
    """
    unit.require(project)
    model = foundation_models.tunable(unit.rows, model_id)
    dataset = datasets.usable(unit, dataset_id, "dataset", need="viewer")
    wanted = {**config, "validation": validation, "test_dataset_id": test_dataset_id}
    for other in unit.rows.all(Measurement, model_id=model.id, state=["queued", "running"]):
        if (other.project_id, other.dataset_id, other.config) == (project.id, dataset.id, wanted):
            return other
    made = unit.rows.add(Measurement(project_id=project.id, model_id=model.id, dataset_id=dataset.id, config=wanted))
    queue.enqueue(unit.rows, kind="measure", subject_id=made.id, project_id=project.id, priority=PRIORITY)
    unit.log("measure", made, noun="measurement", model=model.id)
    return made


def learn(rows: Rows, run: TuningRun, found: Mapping[str, Any], *, host: str, device: str) -> Measurement:
    """What a run that came to its end has shown."""
    at = now()
    return rows.add(
        Measurement(
            project_id=run.project_id,
            state="completed",
            model_id=run.model_id,
            dataset_id=run.dataset_id,
            config=dict(run.config),
            run_id=run.id,
            host=host,
            device=device,
            found=dict(found),
            started_at=run.started_at,
            finished_at=at,
        )
    )


def of_model(unit: Unit, model_id: str) -> Sequence[Measurement]:
    """What is known of a model, the newest first, whoever measured it: a speed is nobody's secret."""
    return unit.rows.all(Measurement, model_id=model_id, state="completed", sort="-created_at", limit=KEPT)


@dataclasses.dataclass(frozen=True, slots=True)
class Waiting:
    """A measurement that is on its way.

    Attributes:
        state: queued, running, failed.
        before: what a worker does first, in words; empty if it is next.
        problem: why it failed.
    """

    state: str
    before: str = ""
    problem: str = ""


def pending(unit: Unit, project: Project, model_id: str) -> Waiting | None:
    """The newest measurement of a model in a project, unless it is there."""
    newest = unit.rows.all(
        Measurement, model_id=model_id, project_id=project.id, run_id=None, sort="-created_at", limit=1
    )
    if not newest or newest[0].state in ("completed", "canceled"):
        return None
    problem = (newest[0].problem or {}).get("message", "")
    if newest[0].state != "queued":
        return Waiting(newest[0].state, problem=problem)
    at_work = unit.rows.first(Job, state="running")
    run = unit.rows.get(TuningRun, at_work.subject_id) if at_work else None
    named = run.name if run is not None and unit.role_in(run) else "another job"
    return Waiting("queued", before=named if at_work else "", problem=problem)
