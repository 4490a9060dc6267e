"""Who still needs a thing. Nothing in use is deleted, and the refusal names a user of it.

A unit that lets one thing use another holds the used one (`Unit.hold`); one that deletes locks it and looks here. So of
two that meet, the second sees what the first did.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from softprompt.errors import InUse
from softprompt.storage.tables import (
    Dataset,
    Deployment,
    Evaluation,
    FoundationModel,
    Project,
    PromptSession,
    Space,
    TunedPrompt,
    TuningExperiment,
    TuningRun,
)
from softprompt.studio.access import Unit, called

BUSY = ["queued", "running"]

Deletable = Dataset | FoundationModel | Project | PromptSession | Space | TunedPrompt | TuningExperiment


def refuse_if_used(unit: Unit, row: Deletable) -> None:
    """Lock what is to be deleted, and refuse if something needs it.

    Raises:
        InUse: names the first user that is found, unless the actor may not know of it.
    """
    unit.rows.lock(row)
    for user, why in _users(unit, row):
        known = unit.role_in(user) > 0
        who = f"{called(type(user))} {user.name!r}" if known else f"a {called(type(user))} of another project or space"
        name = row.model_id if isinstance(row, FoundationModel) else row.name
        raise InUse(f"{name!r} cannot be deleted: {who} {why}.")


def _users(unit: Unit, row: Deletable) -> Iterator[tuple[Any, str]]:
    """What needs the row, each with what it does and what to do about it."""
    match row:
        case TunedPrompt():
            yield from _of_prompts(unit, {row.id})
        case Dataset():
            yield from _of_dataset(unit, row)
        case PromptSession():
            yield from _serving(unit, "serves it", prompt_session_id=row.id)
        case TuningExperiment():
            yield from _working(unit, experiment_id=row.id)
        case Project():
            yield from _working(unit, project_id=row.id)
            yield from _serving(unit, "is in it", project_id=row.id)
            yield from _of_prompts(unit, {prompt.id for prompt in unit.rows.all(TunedPrompt, project_id=row.id)})
            yield from _of_datasets_elsewhere(unit, row)
            for session in unit.rows.all(PromptSession, project_id=row.id):
                yield from _serving(unit, f"serves {session.name!r}", prompt_session_id=session.id)
        case Space():
            yield from _serving(unit, "is in it", space_id=row.id)
            yield from _of_prompts(unit, {prompt.id for prompt in unit.rows.all(TunedPrompt, space_id=row.id)})
        case FoundationModel():
            yield from _working(unit, model_id=row.model_id)
            yield from _serving(unit, "rests on it", model_id=row.model_id)
            for prompt in unit.rows.all(TunedPrompt, model_id=row.model_id):
                yield prompt, "rests on it. Delete that first"


def _serving(unit: Unit, how: str, **equals: Any) -> Iterator[tuple[Any, str]]:
    for deployment in unit.rows.all(Deployment, **equals):
        yield deployment, f"{how}. Delete that first"


def _working(unit: Unit, **equals: Any) -> Iterator[tuple[Any, str]]:
    working: list[TuningRun | Evaluation] = [*unit.rows.all(TuningRun, state=BUSY, **equals)]
    if "experiment_id" not in equals:  # which evaluations do not have
        working += unit.rows.all(Evaluation, state=BUSY, **equals)
    for busy in working:
        yield busy, f"is {busy.state}. Cancel it first"


def _of_prompts(unit: Unit, ids: set[str]) -> Iterator[tuple[Any, str]]:
    if not ids:
        return
    yield from _serving(unit, "serves it", tuned_prompt_id=list(ids))
    for run in unit.rows.all(TuningRun, state=BUSY):
        if run.config.get("init_prompt") in ids:
            yield run, f"starts from it and is {run.state}. Cancel it first"
    for evaluation in unit.rows.all(Evaluation, state=BUSY):
        if not ids.isdisjoint(evaluation.methods):
            yield evaluation, f"asks it and is {evaluation.state}. Cancel it first"


def _of_dataset(unit: Unit, dataset: Dataset) -> Iterator[tuple[Any, str]]:
    for run in unit.rows.all(TuningRun, state=BUSY):
        if dataset.id in (run.dataset_id, run.test_dataset_id, run.validation.get("dataset_id")):
            yield run, f"is {run.state}. Cancel it first"
    for evaluation in unit.rows.all(Evaluation, state=BUSY):
        if dataset.id in (evaluation.dataset_id, evaluation.settings.get("examples_dataset_id")):
            yield evaluation, f"is {evaluation.state}. Cancel it first"


def _of_datasets_elsewhere(unit: Unit, project: Project) -> Iterator[tuple[Any, str]]:
    """Evaluations of other projects that read rows of this one."""
    for evaluation in unit.rows.all(Evaluation, state=BUSY):
        read = [key for key in (evaluation.dataset_id, evaluation.settings.get("examples_dataset_id")) if key]
        if evaluation.project_id != project.id and unit.rows.count(Dataset, id=read, project_id=project.id):
            yield evaluation, f"reads rows of it and is {evaluation.state}. Cancel it first"
