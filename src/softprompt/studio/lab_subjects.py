"""Who can be asked in the Prompt Lab: foundation models of this machine, tuned prompts, deployments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from softprompt.data.template import DEFAULT_TEXT
from softprompt.errors import ModelUnknown, NotFound, ParameterInvalid
from softprompt.storage.tables import Deployment, PromptSession, TunedPrompt
from softprompt.studio import deployments, foundation_models, tuned_prompts
from softprompt.studio.access import Unit
from softprompt.studio.foundation_models import Model
from softprompt.studio.lab import Takes

MOST = 100
"""Tuned prompts, and deployments, that the list names; others are reached from their own pages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """Somebody who answers.

    Attributes:
        value: as it stands in forms and addresses.
        takes: what it reads.
        model_id: of the foundation model underneath.
        context: tokens that model can read and write; None where that is not known.
        template: of a tuned prompt.
        labels: known answers of a tuned prompt.
        readout: whether it answers by a label readout.
        serving_name: under which other clients ask a deployment.
        prompt_id: of the tuned prompt behind it.
        inside: argument that names the project or space for IBM's client.
        folder: where the foundation model lies, if an admin added it.
    """

    value: str
    name: str
    takes: Takes
    model_id: str
    model_name: str
    context: int | None = None
    template: str = DEFAULT_TEXT
    labels: tuple[str, ...] = ()
    readout: bool = False
    virtual_tokens: int = 0
    serving_name: str | None = None
    prompt_id: str | None = None
    inside: tuple[str, str] | None = None
    folder: str | None = None

    @property
    def kind(self) -> str:
        return self.value.partition(":")[0]

    @property
    def id(self) -> str:
        return self.value.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Group:
    """A part of the list, with a name."""

    name: str
    items: tuple[tuple[str, str], ...]
    """(value, words)."""


def groups(unit: Unit, recent: Sequence[str] = ()) -> list[Group]:
    """Everybody who can be asked, the ones of last time first."""
    seen = unit.visible()
    models = [model for model in foundation_models.all_models(unit.rows) if model.available]
    prompts = unit.rows.page(TunedPrompt, containers=seen, limit=MOST).items
    deployed = unit.rows.page(Deployment, containers=seen, state="ready", limit=MOST).items
    found = [
        Group("Foundation models", tuple((f"model:{m.id}", m.label) for m in models)),
        Group("Tuned prompts", tuple((f"prompt:{p.id}", f"{p.name} · {_short(p.model_id)}") for p in prompts)),
        Group("Deployments", tuple((f"deployment:{d.id}", d.name) for d in deployed)),
    ]
    words = {value: text for group in found for value, text in group.items}
    again = tuple((value, words[value]) for value in recent if value in words)
    return [group for group in (Group("Recent", again), *found) if group.items]


def find(unit: Unit, value: str) -> Subject:
    """Who stands behind a value of the list; a name may stand in place of an id."""
    kind, _, key = value.partition(":")
    if kind == "prompt" and key:
        prompt = tuned_prompts.find(unit, key, need="viewer")
        return _tuned(unit, f"prompt:{prompt.id}", prompt)
    if kind == "deployment" and key:
        deployment = deployments.find(unit, key, need="viewer")
        return _deployed(unit, f"deployment:{deployment.id}", deployment)
    if kind != "model" or not key:
        raise ParameterInvalid("Choose a foundation model, a tuned prompt or a deployment first.")
    model = foundation_models.find(unit.rows, key)
    return Subject(
        value=value,
        name=model.label,
        takes="words",
        model_id=model.id,
        model_name=model.label,
        context=model.context,
        folder=foundation_models.added_folder(unit.rows, model.id),
    )


def maybe(unit: Unit, value: str) -> Subject | None:
    """The same; None for one who is not there (any more)."""
    try:
        return find(unit, value)
    except (ModelUnknown, NotFound, ParameterInvalid):
        return None


def _tuned(unit: Unit, value: str, row: TunedPrompt) -> Subject:
    model = _model(unit, row.model_id)
    return Subject(
        value=value,
        name=row.name,
        takes="input",
        model_id=row.model_id,
        model_name=model.label if model else _short(row.model_id),
        context=model.context if model else None,
        template=str((row.card.get("template") or {}).get("text") or DEFAULT_TEXT),
        labels=tuple(row.labels),
        readout=row.answers_by == "readout",
        virtual_tokens=row.virtual_tokens,
        prompt_id=row.id,
        folder=foundation_models.added_folder(unit.rows, row.model_id),
    )


def _deployed(unit: Unit, value: str, row: Deployment) -> Subject:
    prompt = unit.rows.get(TunedPrompt, row.tuned_prompt_id) if row.tuned_prompt_id else None
    session = unit.rows.get(PromptSession, row.prompt_session_id) if row.prompt_session_id else None
    model = _model(unit, row.model_id)
    tuned = _tuned(unit, value, prompt) if prompt else None
    return Subject(
        value=value,
        name=row.name,
        takes="input" if prompt else "template" if session else "words",
        model_id=row.model_id,
        model_name=model.label if model else _short(row.model_id),
        context=model.context if model else None,
        template=tuned.template if tuned else DEFAULT_TEXT,
        labels=tuned.labels if tuned else (),
        readout=tuned.readout if tuned else False,
        virtual_tokens=tuned.virtual_tokens if tuned else 0,
        serving_name=row.serving_name,
        prompt_id=prompt.id if prompt else None,
        inside=("space_id", row.space_id) if row.space_id else ("project_id", row.project_id or ""),
        folder=foundation_models.added_folder(unit.rows, row.model_id),
    )


def _model(unit: Unit, model_id: str) -> Model | None:
    try:
        return foundation_models.find(unit.rows, model_id)
    except ModelUnknown:
        return None


def _short(model_id: str) -> str:
    return model_id.split("/")[-1]
