"""Deployments: a tuned prompt, a foundation model or a prompt template behind a serving name."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any

from softprompt.errors import NameTaken, NotFound, ParameterInvalid, SoftpromptError, Unavailable
from softprompt.storage.rows import Page
from softprompt.storage.tables import Deployment, Project, PromptSession, Space, TunedPrompt
from softprompt.studio import foundation_models, trash
from softprompt.studio.access import Revision, Role, Unit, check_revision
from softprompt.studio.names import changes, clean_name, clean_tags, clean_text, looks_like_id, serving_name
from softprompt.studio.tuned_prompts import promote as promote_prompt


@dataclass(frozen=True, slots=True)
class Served:
    """What answers behind a deployment.

    Attributes:
        model: what the engine opens: a catalogue id, or a folder.
        prompt_key: folder of the tuned prompt in the store, None for a bare model.
        session: content of a prompt template, None without one.
    """

    deployment_id: str
    name: str
    serving_name: str | None
    model_id: str
    model: str
    prompt_key: str | None
    session: dict[str, Any] | None
    answers_by: str


def create(
    unit: Unit,
    container: Project | Space,
    name: str,
    *,
    serving: str | None = None,
    prompt_id: str | None = None,
    model_id: str | None = None,
    session_id: str | None = None,
    description: str = "",
    tags: list[str] | None = None,
) -> Deployment:
    """Put something behind a serving name; it answers at once.

    A tuned prompt of a project is promoted when it is deployed to a space.
    """
    unit.require(container)
    container = unit.hold(container)
    if sum(x is not None for x in (prompt_id, session_id)) > 1 or not (prompt_id or session_id or model_id):
        raise ParameterInvalid("Name one thing to deploy: a tuned prompt, a prompt session or a foundation model.")
    prompt = unit.hold(unit.get(TunedPrompt, prompt_id, need="viewer")) if prompt_id else None
    session = unit.hold(unit.get(PromptSession, session_id, need="viewer")) if session_id else None
    if prompt and isinstance(container, Space) and prompt.space_id != container.id:
        prompt = promote_prompt(unit, prompt.id, container.id)
    base = prompt.model_id if prompt else model_id or (session.model_id if session else None)
    if base is None:
        raise ParameterInvalid(f"base_model_id: prompt session {session_id!r} names no model; say which one answers.")
    if serving is not None:
        check_free(unit, serving_name(serving))
    deployment = Deployment(
        name=clean_name(name),
        description=clean_text(description),
        tags=clean_tags(tags),
        serving_name=serving,
        model_id=base if prompt else foundation_models.find(unit.rows, base).id,
        tuned_prompt_id=prompt.id if prompt else None,
        prompt_session_id=session.id if session else None,
        created_by=unit.actor.user_id,
        **{("space_id" if isinstance(container, Space) else "project_id"): container.id},
    )
    unit.rows.add(deployment)
    unit.log("deploy", deployment, name=deployment.name, serving_name=serving)
    return deployment


def check_free(unit: Unit, serving: str, own_id: str | None = None) -> None:
    taken = unit.rows.first(Deployment, serving_name=serving)
    if taken is not None and taken.id != own_id:
        raise NameTaken(f"serving_name: {serving!r} is in use by another deployment. Choose another one.")


def name_problem(unit: Unit, serving: str, own_id: str | None = None) -> str:
    """Why a deployment cannot have this serving name; nothing if it can."""
    try:
        check_free(unit, serving_name(serving), own_id)
    except SoftpromptError as error:
        return str(error).partition(": ")[2]
    return ""


def free_serving_name(unit: Unit, name: str) -> str:
    """A serving name for something of that name, which nobody has."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    wanted = re.sub(r"[^a-z0-9]+", "_", plain).strip("_")[:90] or "prompt"
    found, number = wanted, 2
    while unit.rows.first(Deployment, serving_name=found) is not None:
        found, number = f"{wanted}_{number}", number + 1
    return found


def get(unit: Unit, deployment_id: str) -> Deployment:
    return unit.get(Deployment, deployment_id)


def find(unit: Unit, id_or_serving_name: str, need: Role | None = None) -> Deployment:
    named = None
    if not looks_like_id(id_or_serving_name):
        named = unit.rows.first(Deployment, serving_name=id_or_serving_name)
    return unit.get(Deployment, named.id if named and unit.role_in(named) else id_or_serving_name, need=need)


def page(
    unit: Unit,
    *,
    project_id: str | None = None,
    space_id: str | None = None,
    serving: str | None = None,
    prompt_id: str | None = None,
    **paging: Any,
) -> Page[Deployment]:
    """Further columns, such as `state`, are compared as they are; `deleted`: those that can be brought back."""
    equals: dict[str, Any] = {}
    if project_id:
        equals["project_id"] = unit.get(Project, project_id).id
    if space_id:
        equals["space_id"] = unit.get(Space, space_id).id
    if serving:
        equals["serving_name"] = serving
    if prompt_id:
        equals["tuned_prompt_id"] = prompt_id
    return unit.rows.page(Deployment, containers=unit.visible(), **equals, **paging)


def update(
    unit: Unit,
    deployment_id: str,
    *,
    name: str | None = None,
    serving: str | None = None,
    prompt_id: str | None = None,
    description: str | None = None,
    tags: list[str] | None = None,
    online: bool | None = None,
    revision: Revision = None,
) -> Deployment:
    """Change what is given. With another tuned prompt the next request is answered by that one."""
    deployment = unit.get(Deployment, deployment_id)
    values: dict[str, Any] = changes(name=name, description=description, tags=tags)
    if serving is not None:
        check_free(unit, serving_name(serving), deployment.id)
        values["serving_name"] = serving
    if prompt_id is not None:
        values |= _swapped(unit, deployment, prompt_id)
    if online is not None:
        values["state"] = "ready" if online else "offline"
        unit.log("bring online" if online else "take offline", deployment)
    unit.change(deployment, revision, **values)
    return deployment


def _swapped(unit: Unit, deployment: Deployment, prompt_id: str) -> dict[str, Any]:
    """Columns that let another tuned prompt answer; what answered until now goes into the log, for the way back."""
    prompt = unit.hold(unit.get(TunedPrompt, prompt_id, need="viewer"))
    if deployment.space_id and prompt.space_id != deployment.space_id:
        prompt = promote_prompt(unit, prompt.id, deployment.space_id)
    before = unit.rows.get(TunedPrompt, deployment.tuned_prompt_id or "", deleted=True)
    told = {"id": before.id, "name": before.name} if before else None
    data: dict[str, Any] = {"from": told, "to": {"id": prompt.id, "name": prompt.name}}
    unit.log("swap", deployment, **data)
    return {"tuned_prompt_id": prompt.id, "model_id": prompt.model_id, "prompt_session_id": None}


def delete(unit: Unit, deployment_id: str, revision: Revision = None) -> None:
    """From the next request on it does not answer; its serving name is free."""
    deployment = unit.get(Deployment, deployment_id)
    check_revision(deployment, revision)
    unit.delete(deployment)


def restore(unit: Unit, deployment_id: str, *, nameless: bool = False) -> Deployment:
    """Bring back what was deleted, as it was; it answers from the next request on.

    Args:
        nameless: without its serving name, which another one may have taken meanwhile.
    """
    hidden = unit.rows.get(Deployment, deployment_id, deleted=True)
    if nameless and hidden is not None and hidden.deleted_at is not None:
        hidden.serving_name = None
    found: Deployment = trash.bring_back(unit, "deployment", deployment_id)
    return found


def promote(
    unit: Unit, deployment_id: str, space_id: str, *, serving: str | None = None, move_name: bool = False
) -> Deployment:
    """Deploy the same in another space; the one that is there goes on.

    Args:
        serving: the new one's serving name.
        move_name: it takes the serving name along: clients are answered by the new one from the next request on.
    """
    source = unit.get(Deployment, deployment_id)
    space = unit.get(Space, space_id)
    if source.space_id == space.id:
        raise ParameterInvalid(f"space: {source.name!r} is in space {space.name!r} already. Choose another space.")
    if move_name and source.serving_name:
        serving = source.serving_name
        unit.change(source, None, serving_name=None)
    made = create(
        unit,
        space,
        source.name,
        serving=serving,
        prompt_id=source.tuned_prompt_id,
        session_id=source.prompt_session_id,
        model_id=None if source.tuned_prompt_id else source.model_id,
        description=source.description,
        tags=source.tags,
    )
    unit.log("promote", source, space=space.name, space_id=space.id, deployment=made.id, moved=move_name)
    unit.log("arrive", made, source=source.id, name=source.name)
    return made


def served(unit: Unit, id_or_serving_name: str) -> Served:
    """What a request to this deployment is answered by."""
    deployment = find(unit, id_or_serving_name)
    if deployment.state != "ready":
        raise Unavailable(f"Deployment {deployment.name!r} is {deployment.state}. Bring it online first.")
    prompt = unit.rows.get(TunedPrompt, deployment.tuned_prompt_id) if deployment.tuned_prompt_id else None
    if deployment.tuned_prompt_id and prompt is None:
        raise NotFound(f"The tuned prompt of deployment {deployment.name!r} was deleted. Deploy another one.")
    session = unit.rows.get(PromptSession, deployment.prompt_session_id) if deployment.prompt_session_id else None
    return Served(
        deployment_id=deployment.id,
        name=deployment.name,
        serving_name=deployment.serving_name,
        model_id=deployment.model_id,
        model=engine_name(unit, deployment.model_id),
        prompt_key=prompt.key if prompt else None,
        session=session.content if session else None,
        answers_by=prompt.answers_by if prompt else "text",
    )


def engine_name(unit: Unit, model_id: str) -> str:
    return foundation_models.find(unit.rows, model_id).name
