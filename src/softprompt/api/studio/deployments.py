"""Deployments over HTTP: what answers under which name. Asking them is `inference`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api import swapping
from softprompt.api.answers import GUARDED, REPEATABLE, created, paged, revision_of, tagged
from softprompt.api.context import in_unit, unit_of
from softprompt.api.studio.shapes import (
    Body,
    Description,
    InContainerPaging,
    Name,
    NounShown,
    ProblemShown,
    Project,
    Reference,
    Space,
    Tags,
    container,
    given,
    new_router,
    page_of,
    show_noun,
)
from softprompt.errors import ParameterInvalid
from softprompt.storage.tables import Deployment, TunedPrompt
from softprompt.studio import deployments, projects, spaces, standing, tuned_prompts
from softprompt.studio.access import Unit
from softprompt.studio.filters import ids_of, model_id_of
from softprompt.studio.standing import Standing

router = new_router("deployments")
State = Literal["ready", "offline"]
ServingName = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,99}$", description="Stands in addresses; the model's name for clients."),
]


class NewDeployment(Body):
    """Exactly one of prompt, session and model; a session may name the model that answers it, too."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"prompt": "Routing (1)", "serving_name": "routing", "space": "Production"}]}
    )
    project: Project = None
    space: Space = None
    name: Annotated[Name | None, Field(description="By default what it serves.")] = None
    serving_name: ServingName | None = None
    prompt: Annotated[Reference | None, Field(description="Id or name of a tuned prompt.")] = None
    session: Annotated[Reference | None, Field(description="Id of a prompt session.")] = None
    model: Annotated[Reference | None, Field(description="Id of a foundation model.")] = None
    description: Description = ""
    tags: Tags = []


class DeploymentChanges(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"online": False}]})
    name: Name | None = None
    serving_name: ServingName | None = None
    prompt: Annotated[Reference | None, Field(description="What it serves from now on.")] = None
    online: bool | None = None
    description: Description | None = None
    tags: Tags | None = None


class DeploymentPromotion(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"space": "Production", "serving_name": "routing-live"}]})
    space: Reference
    serving_name: Annotated[ServingName | None, Field(description="Of the new one.")] = None
    move_name: Annotated[
        bool, Field(description="It takes the serving name along: clients are answered by the new one from then on.")
    ] = False


class Swap(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"prompt": "Routing (2)"}]})
    prompt: Annotated[Reference, Field(description="Id or name of the tuned prompt that answers from now on.")]


class NameQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: Annotated[str, Field(min_length=1, max_length=200, description="A serving name, or what it stands for.")]
    own: Annotated[str, Field(max_length=300, description="Id of the deployment that may have it already.")] = ""


class NameShown(TypedDict):
    """Serving names are the whole studio's. `problem` says why it cannot be taken; `suggested` can."""

    name: str
    free: bool
    problem: str
    suggested: str


class DeploymentPaging(InContainerPaging):
    serving_name: str | None = None
    state: Annotated[State | None, Field(description="As people set it; `ready` may have failed.")] = None
    prompt: Annotated[Reference | None, Field(description="Id or name of a tuned prompt.")] = None
    model: Annotated[Reference | None, Field(description="Id or another name of a foundation model.")] = None

    def where(self, unit: Unit) -> dict[str, Any]:
        equals = {"serving": self.serving_name, "state": self.state}
        found = {**super().where(unit), **{name: value for name, value in equals.items() if value}}
        if self.prompt:
            found["tuned_prompt_id"] = ids_of(unit, "prompt", TunedPrompt, self.prompt)
        if self.model:
            found["model_id"] = model_id_of(unit, Deployment, self.model)
        return found


class DeploymentShown(NounShown):
    project_id: str | None
    space_id: str | None
    serving_name: str | None
    state: Annotated[Literal["ready", "offline", "failed"], Field(description="failed: it cannot answer.")]
    online: bool
    model_id: str
    tuned_prompt_id: str | None
    prompt_session_id: str | None
    problem: ProblemShown | None


def show_deployment(row: Deployment, found: Standing) -> DeploymentShown:
    problem: Any = found.problem
    state: Any = found.state
    return {
        **show_noun(row),
        "project_id": row.project_id,
        "space_id": row.space_id,
        "serving_name": row.serving_name,
        "state": state,
        "online": row.state != "offline",
        "model_id": row.model_id,
        "tuned_prompt_id": row.tuned_prompt_id,
        "prompt_session_id": row.prompt_session_id,
        "problem": problem,
    }


@router.get("/api/deployments", response_model=page_of(DeploymentShown, "Deployments"))
def list_deployments(request: Request, query: Annotated[DeploymentPaging, Query()]) -> Any:
    """Deployments of the projects and spaces that you may see."""
    with unit_of(request, write=False) as unit:
        page = deployments.page(unit, **query.where(unit), **query.words())
        found = standing.of(unit.rows, unit.store, page.items)
        return paged(request, page, lambda row: show_deployment(row, found[row.id]))


@router.post("/api/deployments", status_code=201, response_model=DeploymentShown, openapi_extra=REPEATABLE)
def create_deployment(request: Request, body: NewDeployment) -> JSONResponse:
    """Put a tuned prompt, a prompt session or a foundation model behind a serving name; it answers at once.

    A tuned prompt of a project is promoted when it is deployed to a space.
    """

    def make(unit: Unit) -> DeploymentShown:
        project, space = body.project, body.space
        prompt = _prompt(unit, body.prompt, project)
        if prompt is not None and not (project or space):
            project, space = prompt.project_id, prompt.space_id
        row = deployments.create(
            unit,
            container(unit, project, space),
            body.name or (prompt.name if prompt else body.serving_name or body.model or "Deployment"),
            serving=body.serving_name,
            prompt_id=prompt.id if prompt else None,
            model_id=body.model,
            session_id=body.session,
            description=body.description,
            tags=body.tags,
        )
        return show_deployment(row, standing.one(unit.rows, unit.store, row))

    return created(request, body.model_dump(), make)


@router.get("/api/deployments/{deployment_id}", response_model=DeploymentShown)
def get_deployment(request: Request, deployment_id: str) -> JSONResponse:
    """A deployment by its id or serving name."""
    with unit_of(request, write=False) as unit:
        row = deployments.find(unit, deployment_id)
        return tagged(row, show_deployment(row, standing.one(unit.rows, unit.store, row)))


@router.patch("/api/deployments/{deployment_id}", response_model=DeploymentShown, openapi_extra=GUARDED)
def update_deployment(request: Request, deployment_id: str, body: DeploymentChanges) -> JSONResponse:
    """Change how it is called, what it serves, or whether it answers (`online`)."""
    with unit_of(request) as unit:
        prompt = _prompt(unit, body.prompt)
        row = deployments.update(
            unit,
            deployments.find(unit, deployment_id).id,
            serving=body.serving_name,
            prompt_id=prompt.id if prompt else None,
            revision=revision_of(request),
            **given(body, "name", "description", "tags", "online"),
        )
        return tagged(row, show_deployment(row, standing.one(unit.rows, unit.store, row)))


@router.post("/api/deployments/{deployment_id}/swap", response_model=DeploymentShown, openapi_extra=GUARDED)
async def swap_deployment(request: Request, deployment_id: str, body: Swap) -> JSONResponse:
    """Let another tuned prompt answer, once it has answered a trial question; else the one that is there goes on."""

    def known(unit: Unit) -> tuple[str, str]:
        return deployments.find(unit, deployment_id).id, tuned_prompts.find(unit, body.prompt, need="viewer").id

    def shown(unit: Unit) -> JSONResponse:
        row = deployments.get(unit, own_id)
        return tagged(row, show_deployment(row, standing.one(unit.rows, unit.store, row)))

    own_id, prompt_id = await in_unit(request, known, write=False)
    await swapping.swap(request, own_id, prompt_id, revision_of(request))
    answer: JSONResponse = await in_unit(request, shown, write=False)
    return answer


@router.get("/api/serving-names", response_model=NameShown)
def check_serving_name(request: Request, query: Annotated[NameQuery, Query()]) -> Any:
    """Whether a serving name can be taken, and one that can."""
    with unit_of(request, write=False) as unit:
        problem = deployments.name_problem(unit, query.name, query.own or None)
        suggested = deployments.free_serving_name(unit, query.name)
        return {"name": query.name, "free": not problem, "problem": problem, "suggested": suggested}


@router.post(
    "/api/deployments/{deployment_id}/promote",
    status_code=201,
    response_model=DeploymentShown,
    openapi_extra=REPEATABLE,
)
def promote_deployment(request: Request, deployment_id: str, body: DeploymentPromotion) -> JSONResponse:
    """Deploy the same in a space; the one that is there goes on."""
    if body.move_name and body.serving_name:
        raise ParameterInvalid("serving_name, move_name: a name is given or taken along, not both.")

    def make(unit: Unit) -> DeploymentShown:
        source, space = deployments.find(unit, deployment_id), spaces.find(unit, body.space)
        told: dict[str, Any] = {"serving": body.serving_name, "move_name": body.move_name}
        row = deployments.promote(unit, source.id, space.id, **told)
        return show_deployment(row, standing.one(unit.rows, unit.store, row))

    return created(request, body.model_dump(), make)


@router.delete("/api/deployments/{deployment_id}", status_code=204, openapi_extra=GUARDED)
def delete_deployment(request: Request, deployment_id: str) -> Response:
    """From the next request on it does not answer; its serving name is free."""
    with unit_of(request) as unit:
        deployments.delete(unit, deployments.find(unit, deployment_id).id, revision_of(request))
    return Response(status_code=204)


def _prompt(unit: Unit, id_or_name: str | None, project: str | None = None) -> TunedPrompt | None:
    if id_or_name is None:
        return None
    wanted = projects.find(unit, project).id if project else None
    return tuned_prompts.find(unit, id_or_name, project_id=wanted, need="viewer")
