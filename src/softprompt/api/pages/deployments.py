"""Pages of deployments: the list, the form that deploys, each deployment with its test."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from softprompt.api import inference
from softprompt.api.context import unit_of
from softprompt.api.pages.shared import form_of, frame_of, go, in_unit, page_answer, project_of, text_of
from softprompt.api.studio.inference import snippets_of
from softprompt.errors import SoftpromptError
from softprompt.storage.tables import Deployment, Project, Space, TunedPrompt
from softprompt.studio import deployments, spaces
from softprompt.studio.access import Unit
from softprompt.ui.pages import deployments as pages

router = APIRouter(include_in_schema=False)


@router.get("/deployments")
def show_deployments(request: Request, cursor: str | None = None) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        found = deployments.page(unit, limit=100, cursor=cursor)
        places = {p.id: f"Project {p.name}" for p in unit.rows.all(Project)}
        places |= {s.id: f"{s.name} ({s.stage})" for s in unit.rows.all(Space)}
        text = pages.deployments(frame_of(request, unit), found, places)
    return page_answer(request, text)


@router.get("/deployments/new")
def show_form(request: Request, prompt: str = "") -> Response:
    return _form(request, {"prompt": prompt})


def _form(request: Request, given: dict[str, str], problem: str = "", status: int = 200) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        prompts = unit.rows.page(TunedPrompt, containers=unit.visible(), limit=200).items
        text = pages.new_deployment(
            frame_of(request, unit), prompts, spaces.page(unit, limit=200).items, given, problem
        )
    return page_answer(request, text, status)


@router.post("/deployments/new")
async def deploy(request: Request) -> Response:
    given = text_of(await form_of(request))

    def make(unit: Unit) -> Deployment:
        where: Project | Space = project_of(unit)
        if given.get("space") == "new":
            where = spaces.create(unit, given.get("space_name", ""), stage=given.get("stage", "development"))
        elif given.get("space"):
            where = spaces.get(unit, given["space"])
        return deployments.create(
            unit,
            where,
            given.get("name", ""),
            serving=given.get("serving_name"),
            prompt_id=given.get("prompt"),
            description=given.get("description", ""),
        )

    try:
        made = await in_unit(request, make)
    except SoftpromptError as error:
        return await run_in_threadpool(_form, request, given, str(error), error.status)
    return go(f"/deployments/{made.id}")


@router.get("/deployments/{deployment_id}")
def show_deployment(request: Request, deployment_id: str) -> Response:
    return _shown(request, deployment_id, None)


def _shown(request: Request, deployment_id: str, test: dict[str, Any] | None) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        found = deployments.get(unit, deployment_id)
        prompt = unit.rows.get(TunedPrompt, found.tuned_prompt_id) if found.tuned_prompt_id else None
        frame = frame_of(request, unit)
    base = str(request.base_url).rstrip("/")
    name = found.serving_name or found.id
    addresses = {
        "watsonx": f"{base}/ml/v1/deployments/{name}/text/generation",
        "streaming": f"{base}/ml/v1/deployments/{name}/text/generation_stream",
        "OpenAI": f"{base}/v1 with model {name}",
        "our own": f"{base}/api/generate",
    }
    text = pages.deployment(frame, found, prompt, addresses, snippets_of(request, found), test)
    return page_answer(request, text)


@router.post("/deployments/{deployment_id}/test")
async def test(request: Request, deployment_id: str) -> Response:
    """The test form of a browser without scripts."""
    given = text_of(await form_of(request)).get("input", "")
    try:
        behind = await inference.behind_deployment(request, deployment_id)
        done = await inference.answer(request, behind, inference.Asked(text=given))
        told = f"{done.input_tokens} input + {done.virtual_tokens} virtual + {done.generated_tokens} generated tokens"
        result = {"input": given, "output": done.output, "told": told, "labels": dict(done.labels)}
    except SoftpromptError as error:
        result = {"input": given, "problem": str(error)}
    return await run_in_threadpool(_shown, request, deployment_id, result)


@router.post("/deployments/{deployment_id}/state")
async def set_state(request: Request, deployment_id: str) -> Response:
    online = bool(text_of(await form_of(request)).get("online"))
    await in_unit(request, lambda unit: deployments.update(unit, deployment_id, online=online))
    return go(f"/deployments/{deployment_id}")


@router.post("/deployments/{deployment_id}/delete")
async def delete(request: Request, deployment_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: deployments.delete(unit, deployment_id))
    return go("/deployments")
