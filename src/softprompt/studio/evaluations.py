"""Evaluations: methods against each other on held-out rows. The work is the worker's."""

from __future__ import annotations

import re
from typing import Any

from softprompt.errors import InUse, ParameterInvalid
from softprompt.jobs import events, queue
from softprompt.storage.rows import Page
from softprompt.storage.tables import Evaluation, Project, TunedPrompt
from softprompt.studio import datasets, foundation_models
from softprompt.studio.access import Unit, check_revision
from softprompt.studio.names import clean_name, clean_text, looks_like_id

_PLAIN = re.compile(r"^(zero-shot|\d{1,2}-shot|baseline)$")
SETTINGS = {"instruction", "examples_dataset_id", "guard", "limit"}


def start(
    unit: Unit,
    project: Project,
    name: str,
    *,
    model_id: str,
    dataset_id: str,
    methods: list[str],
    settings: dict[str, Any] | None = None,
    description: str = "",
) -> Evaluation:
    """Queue an evaluation.

    Args:
        methods: "zero-shot", "3-shot", "baseline" (TF-IDF), or ids of tuned prompts.
        settings: instruction, examples_dataset_id, guard, limit.
    """
    unit.require(project)
    settings = settings or {}
    if unknown := sorted(set(settings) - SETTINGS):
        raise ParameterInvalid(f"settings: {', '.join(unknown)} not known. Known are {', '.join(sorted(SETTINGS))}.")
    if not methods:
        raise ParameterInvalid(
            'methods: name at least one, such as "zero-shot", "3-shot", "baseline" or a prompt\'s id.'
        )
    for method in methods:
        if looks_like_id(method):
            unit.get(TunedPrompt, method, need="viewer")
        elif not _PLAIN.match(method):
            raise ParameterInvalid(f"methods: {method!r} is neither K-shot, zero-shot, baseline nor a prompt's id.")
    if settings.get("examples_dataset_id"):
        datasets.usable(unit, settings["examples_dataset_id"], "examples_dataset_id", need="viewer")
    evaluation = Evaluation(
        project_id=project.id,
        name=clean_name(name),
        description=clean_text(description),
        model_id=foundation_models.find(unit.rows, model_id).id,
        dataset_id=datasets.usable(unit, dataset_id, "dataset", need="viewer").id,
        methods=list(methods),
        settings=settings,
        created_by=unit.actor.user_id,
    )
    unit.rows.add(evaluation)
    queue.enqueue(unit.rows, kind="evaluate", subject_id=evaluation.id, project_id=project.id)
    events.tell(unit.rows, evaluation.id, events.STATE, {"state": evaluation.state})
    unit.log("start", evaluation, name=evaluation.name)
    return evaluation


def get(unit: Unit, evaluation_id: str) -> Evaluation:
    return unit.get(Evaluation, evaluation_id)


def page(unit: Unit, *, project_id: str | None = None, **paging: Any) -> Page[Evaluation]:
    inside: dict[str, Any] = {"project_id": unit.get(Project, project_id).id} if project_id else {}
    return unit.rows.page(Evaluation, containers=unit.visible(), **inside, **paging)


def cancel(unit: Unit, evaluation_id: str) -> Evaluation:
    evaluation = unit.get(Evaluation, evaluation_id)
    queue.request_cancel(unit.rows, subject_id=evaluation.id, how="cancel")
    unit.rows.session.refresh(evaluation)
    return evaluation


def delete(unit: Unit, evaluation_id: str, revision: int | None = None) -> None:
    evaluation = unit.get(Evaluation, evaluation_id)
    check_revision(evaluation, revision)
    if evaluation.state in ("queued", "running"):
        raise InUse(f"Evaluation {evaluation.name!r} is {evaluation.state}. Cancel it first.")
    unit.delete(evaluation)
