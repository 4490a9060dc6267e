"""Evaluations: methods against each other on held-out rows. The work is the worker's."""

from __future__ import annotations

import re
from typing import Any

from softprompt.errors import InUse, ParameterInvalid
from softprompt.jobs import events, queue
from softprompt.jobs.events import Told
from softprompt.storage.rows import Page
from softprompt.storage.tables import Evaluation, Project, TunedPrompt
from softprompt.studio import datasets, foundation_models
from softprompt.studio.access import Revision, Unit, check_revision
from softprompt.studio.names import clean_name, clean_text, looks_like_id

_PLAIN = re.compile(r"^(zero-shot|\d{1,2}-shot|baseline)$")
SETTINGS = {"instruction", "examples_dataset_id", "guard", "limit"}
_MOST_ASKED = 200


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
    model = foundation_models.find(unit.rows, model_id).id
    for method in methods:
        if looks_like_id(method):
            _check_prompt(unit.hold(unit.get(TunedPrompt, method, need="viewer")), model)
        elif not _PLAIN.match(method):
            raise ParameterInvalid(f"methods: {method!r} is neither K-shot, zero-shot, baseline nor a prompt's id.")
    if settings.get("examples_dataset_id"):
        datasets.usable(unit, settings["examples_dataset_id"], "examples_dataset_id", need="viewer")
    elif learners := [m for m in methods if m == "baseline" or (m.endswith("-shot") and m[0] not in "0z")]:
        raise ParameterInvalid(
            f"examples: {' and '.join(learners)} need labelled rows to learn or to show. Name a dataset of them."
        )
    evaluation = Evaluation(
        project_id=project.id,
        name=clean_name(name),
        description=clean_text(description),
        model_id=model,
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


def listed(unit: Unit, **paging: Any) -> Page[Evaluation]:
    """A page without results, which are large."""
    return page(unit, without=("results", "report"), **paging)


def asked(unit: Unit, evaluation_id: str) -> list[Told]:
    """The methods that were begun, with the moment when; those that go on after a restart once more."""
    return events.newest(unit.rows, evaluation_id, ("Method",), _MOST_ASKED)


def named_methods(unit: Unit, evaluation: Evaluation) -> list[tuple[str, str | None]]:
    """What was asked for in words, and the id where it is a tuned prompt."""
    prompts = {p.id: p.name for p in unit.rows.all(TunedPrompt, id=list(evaluation.methods), deleted=True)}
    words = {"zero-shot": "Zero-shot", "baseline": "TF-IDF + logistic regression"}
    return [
        (prompts[m], m)
        if m in prompts
        else (words.get(m, "a tuned prompt that is gone" if looks_like_id(m) else m), None)
        for m in evaluation.methods
    ]


def page(unit: Unit, *, project_id: str | None = None, **paging: Any) -> Page[Evaluation]:
    inside: dict[str, Any] = {"project_id": unit.get(Project, project_id).id} if project_id else {}
    return unit.rows.page(Evaluation, containers=unit.visible(), **inside, **paging)


def cancel(unit: Unit, evaluation_id: str) -> Evaluation:
    evaluation = unit.get(Evaluation, evaluation_id)
    queue.request_cancel(unit.rows, subject_id=evaluation.id, how="cancel")
    unit.rows.session.refresh(evaluation)
    return evaluation


def delete(unit: Unit, evaluation_id: str, revision: Revision = None) -> None:
    evaluation = unit.get(Evaluation, evaluation_id)
    check_revision(evaluation, revision)
    if evaluation.state in ("queued", "running"):
        raise InUse(f"Evaluation {evaluation.name!r} is {evaluation.state}. Cancel it first.")
    unit.delete(evaluation)


def _check_prompt(prompt: TunedPrompt, model_id: str) -> None:
    if prompt.model_id != model_id:
        raise ParameterInvalid(
            f"methods: {prompt.name!r} belongs to {prompt.model_id}, and {model_id} is asked. "
            "Choose that model, or leave this tuned prompt out."
        )
