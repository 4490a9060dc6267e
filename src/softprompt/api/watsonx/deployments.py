"""Deployments as IBM's client knows them: a model, a prompt template or a foundation model behind a serving name."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from softprompt.api.answers import GUARDED, REPEATABLE, revision_of, tagged
from softprompt.api.context import unit_of
from softprompt.api.errors import answer
from softprompt.api.watsonx.shared import (
    NAMED,
    Limit,
    Patch,
    Placed,
    absolute,
    container,
    home,
    listed,
    made,
    patched,
    placed,
)
from softprompt.errors import NameTaken, UsageError
from softprompt.storage.tables import Deployment
from softprompt.studio import deployments, standing
from softprompt.studio.access import Unit, iso
from softprompt.studio.names import serving_name
from softprompt.studio.standing import Standing

router = APIRouter(tags=["watsonx: deployments"])
CHANGES: dict[str, tuple[str, type]] = {**NAMED, "/online/parameters": ("online", dict), "/asset": ("asset", dict)}


class NewDeployment(Placed):
    name: str
    description: str | None = None
    tags: list[str] | None = None
    online: dict[str, Any] | None = None
    asset: dict[str, Any] | None = None
    prompt_template: dict[str, Any] | None = None
    base_model_id: str | None = None


@router.post("/ml/v4/deployments", status_code=202, response_model=dict[str, Any], openapi_extra=REPEATABLE)
def create_deployment(request: Request, body: NewDeployment) -> JSONResponse:
    online = body.online
    if online is None:
        raise UsageError(
            "online: only online deployments are made here. Use client.deployments.ConfigurationMetaNames.ONLINE."
        )

    def make(unit: Unit) -> dict[str, Any]:
        deployment = deployments.create(
            unit,
            container(unit, request, body),
            body.name,
            serving=_serving(online.get("parameters")),
            prompt_id=_id(body.asset, "asset"),
            session_id=_id(body.prompt_template, "prompt_template"),
            model_id=body.base_model_id,
            description=body.description or "",
            tags=body.tags,
        )
        return _shown(request, unit, deployment)

    return made(request, body, make, 202)


@router.get("/ml/v4/deployments", response_model=None)
def list_deployments(
    request: Request,
    limit: Limit = 100,
    serving_name: str | None = None,
    asset_id: str | None = None,
    name: str | None = None,
    conflict: bool = False,
    cursor: str | None = None,
) -> dict[str, Any] | Response:
    """A page of deployments; with `conflict`, whether a serving name is in use: 409 if it is, 204 if not."""
    if conflict and serving_name:
        return _conflict(request, serving_name)
    exact = {"name": name} if name else {}
    with unit_of(request, write=False) as unit:
        page = deployments.page(
            unit, **placed(request), serving=serving_name, prompt_id=asset_id, limit=limit, cursor=cursor, **exact
        )
        found = standing.of(unit.rows, unit.store, page.items)
        return listed(request, page, lambda row: document(request, row, found[row.id]), limit)


@router.get("/ml/v4/deployments/{deployment_id}", response_model=dict[str, Any])
def get_deployment(request: Request, deployment_id: str) -> JSONResponse:
    with unit_of(request, write=False) as unit:
        deployment = deployments.find(unit, deployment_id)
        return tagged(deployment, _shown(request, unit, deployment))


@router.patch("/ml/v4/deployments/{deployment_id}", response_model=dict[str, Any], openapi_extra=GUARDED)
def update_deployment(request: Request, deployment_id: str, body: Patch) -> JSONResponse:
    values = patched(body, CHANGES)
    if "online" in values:
        values["serving"] = _serving(values.pop("online"))
    if "asset" in values:
        values["prompt_id"] = _id(values.pop("asset"), "asset")
    with unit_of(request) as unit:
        deployment = deployments.update(unit, deployment_id, revision=revision_of(request), **values)
        return tagged(deployment, _shown(request, unit, deployment))


@router.delete("/ml/v4/deployments/{deployment_id}", status_code=204, openapi_extra=GUARDED)
def delete_deployment(request: Request, deployment_id: str) -> Response:
    with unit_of(request) as unit:
        deployments.delete(unit, deployment_id, revision_of(request))
    return Response(status_code=204)


def _conflict(request: Request, name: str) -> Response:
    """Names are unique in the whole studio, so that this looks beyond what the caller may see."""
    try:
        with unit_of(request, write=False) as unit:
            deployments.check_free(unit, serving_name(name))
    except NameTaken as error:
        return answer(request, error.status, error.code, str(error))
    return Response(status_code=204)


def _serving(parameters: Any) -> str | None:
    name = parameters.get("serving_name") if isinstance(parameters, dict) else None
    if name is not None and not isinstance(name, str):
        raise UsageError(f"online.parameters.serving_name: {str(name)[:60]!r} is not a text.")
    return name


def _id(reference: dict[str, Any] | None, field: str) -> str | None:
    if reference is None:
        return None
    if not isinstance(reference.get("id"), str):
        raise UsageError(f'{field}: {{"id": ID}} is needed.')
    return str(reference["id"])


def _shown(request: Request, unit: Unit, deployment: Deployment) -> dict[str, Any]:
    return document(request, deployment, standing.one(unit.rows, unit.store, deployment))


def document(request: Request, deployment: Deployment, found: Standing) -> dict[str, Any]:
    address = absolute(request, f"/ml/v1/deployments/{deployment.id}/text/generation")
    named = deployment.serving_name
    status: dict[str, Any] = {
        "state": found.state,
        "online_url": {"url": address},
        "serving_urls": [absolute(request, f"/ml/v1/deployments/{named}/text/generation")] if named else [],
        "inference": [{"url": address}, {"url": f"{address}_stream", "sse": True}],
    }
    if found.problem:
        status["failure"] = {"trace": deployment.id, "errors": [found.problem]}
    entity: dict[str, Any] = {
        "name": deployment.name,
        "description": deployment.description,
        "tags": deployment.tags,
        "online": {"parameters": {"serving_name": named} if named else {}},
        "base_model_id": deployment.model_id,
        "deployed_asset_type": "prompt_tune" if deployment.tuned_prompt_id else "foundation_model",
        "status": status,
        **home(deployment),
    }
    if deployment.tuned_prompt_id:
        entity["asset"] = {"id": deployment.tuned_prompt_id}
    if deployment.prompt_session_id:
        entity["prompt_template"] = {"id": deployment.prompt_session_id}
    meta: dict[str, Any] = {"id": deployment.id, "name": deployment.name, "description": deployment.description}
    meta |= {"tags": deployment.tags, "created_at": iso(deployment.created_at)}
    return {"metadata": {**meta, "modified_at": iso(deployment.updated_at), **home(deployment)}, "entity": entity}
