"""The tabs of a deployment: code with a key made on the spot, a test by form or JSON, usage, history."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import httpx
from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from softprompt import logs
from softprompt.api import inference
from softprompt.api.context import caller_of, studio_of, unit_of
from softprompt.api.pages.deployment_views import shown_of, wires
from softprompt.api.pages.shared import form_of, frame_of, in_unit, once_more, page_answer, text_of
from softprompt.api.studio.inference import snippets_of
from softprompt.errors import SoftpromptError
from softprompt.params import GenerateConfig
from softprompt.serving.protocol import WAYS, Done
from softprompt.studio import deployment_history, deployments, people, prompt_sessions, usage
from softprompt.studio.access import Unit
from softprompt.studio.snippets import longest_answer
from softprompt.ui.deployment_fields import latency
from softprompt.ui.pages.deployment_code import deployment_code
from softprompt.ui.pages.deployment_history import deployment_history as history_page
from softprompt.ui.pages.deployment_test import Asked, Mode, deployment_test
from softprompt.ui.pages.deployment_usage import deployment_usage

router = APIRouter(include_in_schema=False)
_VARIABLE = "variable:"


@router.get("/deployments/{deployment_id}/code")
def show_code(request: Request, deployment_id: str) -> Response:
    return _code(request, deployment_id)


def _code(request: Request, deployment_id: str, status: int = 200, **told: str) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        shown = shown_of(unit, deployment_id)
        told.setdefault("name", f"For {shown.deployment.name}"[:100])
        found = snippets_of(request, unit, shown.deployment.id)
        text = deployment_code(frame_of(request, unit), shown, found, **told)
    return page_answer(request, text, status)


@router.post("/deployments/{deployment_id}/key")
async def make_key(request: Request, deployment_id: str) -> Response:
    """A key that may ask in this deployment's place, and nothing else; shown in this answer only."""
    given = text_of(await form_of(request))

    def make(unit: Unit) -> str:
        found = deployments.get(unit, deployment_id)
        days = int(given["days"]) if given.get("days", "").isdecimal() else None
        inside = found.space_id or found.project_id
        return people.create_key(unit, given.get("name", ""), role="viewer", container_id=inside, days=days)[1]

    try:
        secret = await in_unit(request, make)
    except SoftpromptError as error:
        name = given.get("name", "")
        return await once_more(
            lambda words, status: _code(request, deployment_id, status, problem=words, name=name), error
        )
    return await run_in_threadpool(lambda: _code(request, deployment_id, secret=secret))


@router.get("/deployments/{deployment_id}/test")
def show_test(request: Request, deployment_id: str, wire: str = "") -> Response:
    return _test(request, deployment_id, wire, Asked())


def _test(request: Request, deployment_id: str, wire: str, asked: Asked, status: int = 200) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        shown = shown_of(unit, deployment_id)
        variables = prompt_sessions.places(shown.session.content) if shown.session else []
        most = longest_answer(shown.prompt)
        known = wires(shown.deployment, most, variables)
        chosen = next((each for each in known if each.name == wire), None)
        mode = Mode(chosen, known, variables, most)
        text = deployment_test(frame_of(request, unit), shown, mode, asked)
    return page_answer(request, text, status)


@router.post("/deployments/{deployment_id}/test")
async def ask(request: Request, deployment_id: str, wire: str = "") -> Response:
    """The test of a browser without scripts."""
    form = await form_of(request)
    given = text_of(form)
    if wire:
        asked = await _sent(request, deployment_id, wire, given.get("body", ""))
    else:
        asked = await _answered(request, deployment_id, given)
    return await run_in_threadpool(_test, request, deployment_id, wire, asked)


async def _answered(request: Request, deployment_id: str, given: dict[str, str]) -> Asked:
    variables = {k.removeprefix(_VARIABLE): v for k, v in given.items() if k.startswith(_VARIABLE)}
    most, way = given.get("most", ""), given.get("way", "auto")
    asked = Asked(text=given.get("input", ""), way=way, most=most, variables=variables)
    began = time.perf_counter()
    try:
        behind = await inference.behind_deployment(request, deployment_id)
        question = inference.Asked(
            text=None if variables else asked.text,
            config=GenerateConfig(max_new_tokens=int(most) if most.isdecimal() else 128),
            variables=variables or None,
            way=way if way in WAYS else "auto",  # type: ignore[arg-type]
        )
        done = await inference.answer(request, behind, question)
    except SoftpromptError as error:
        return replace(asked, problem=str(error))
    numbers = _numbers(done, time.perf_counter() - began)
    return replace(asked, output=done.output, numbers=numbers, labels=dict(done.labels))


def _numbers(done: Done, seconds: float) -> dict[str, str]:
    return {
        "input": f"{done.input_tokens:,}",
        "virtual": f"{done.virtual_tokens:,}",
        "generated": f"{done.generated_tokens:,}",
        "took": latency(seconds),
        "sure": "–" if done.confidence is None else f"{done.confidence:.0%}",
        "stop": done.stop_reason.replace("_", " "),
    }


async def _sent(request: Request, deployment_id: str, wire: str, body: str) -> Asked:
    """The JSON goes the way that a program's would go, inside this process and as whoever asks here."""

    def path(unit: Unit) -> str | None:
        found = wires(deployments.get(unit, deployment_id), 1, ())
        return next((each.path for each in found if each.name == wire), None)

    where = await in_unit(request, path, write=False)
    if where is None:
        return Asked(body=body)
    try:
        json.loads(body)
    except ValueError as error:
        return Asked(body=body, reply=f"This is no JSON: {error}.", status=400)
    headers = {"content-type": "application/json", "x-csrf-token": caller_of(request).csrf or ""}
    headers[logs.REQUEST_ID] = request.state.request_id
    headers |= {name: request.headers[name] for name in ("cookie", "authorization") if name in request.headers}
    began = time.perf_counter()
    transport = httpx.ASGITransport(app=request.app)
    async with httpx.AsyncClient(transport=transport, base_url=str(request.base_url), timeout=None) as client:
        answer = await client.post(where, content=body.encode(), headers=headers)
    return Asked(body=body, reply=_pretty(answer.text), status=answer.status_code, took=time.perf_counter() - began)


def _pretty(text: str) -> str:
    try:
        found: Any = json.loads(text)
    except ValueError:
        return text
    return json.dumps(found, indent=2, ensure_ascii=False)


@router.get("/deployments/{deployment_id}/usage")
def show_usage(request: Request, deployment_id: str, span: str = "day") -> Response:
    studio_of(request).usage.flush_if_possible()  # what this process still has in memory is on the page too
    with unit_of(request, write=False, need="viewer") as unit:
        shown = shown_of(unit, deployment_id)
        found = usage.of(unit, shown.deployment.id, usage.span_of(span))
        text = deployment_usage(frame_of(request, unit), shown, found)
    return page_answer(request, text)


@router.get("/deployments/{deployment_id}/history")
def show_history(request: Request, deployment_id: str) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        shown = shown_of(unit, deployment_id)
        happened = deployment_history.of(unit, shown.deployment.id)
        earlier = deployment_history.earlier_prompts(unit, shown.deployment)
        text = history_page(frame_of(request, unit), shown, happened, earlier)
    return page_answer(request, text)
