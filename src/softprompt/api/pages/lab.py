"""The Prompt Lab's page: whole answers for browsers without scripts, a stream for the others."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData

from softprompt.api import inference
from softprompt.api.context import caller_of, unit_of
from softprompt.api.pages.shared import form_of, frame_of, page_answer
from softprompt.data.template import Template
from softprompt.errors import ParameterInvalid, SoftpromptError
from softprompt.params import GenerateConfig
from softprompt.serving.protocol import Done, Failed, Piece
from softprompt.storage.tables import Deployment, TunedPrompt
from softprompt.studio import foundation_models
from softprompt.studio.access import Unit
from softprompt.ui.pages.lab import PARAMETERS, Bench
from softprompt.ui.pages.lab import lab as lab_page

router = APIRouter(include_in_schema=False)


@router.get("/lab")
def show_lab(request: Request, subject: str = "") -> Response:
    return _shown(request, {"chosen": subject})


def _shown(request: Request, given: dict[str, Any], status: int = 200) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        subjects = _subjects(unit)
        chosen = given.pop("chosen", "") or next((items[0][0] for _, items in subjects if items), "")
        text = lab_page(frame_of(request, unit), Bench(subjects=subjects, chosen=chosen, **given))
    return page_answer(request, text, status)


def _subjects(unit: Unit) -> list[tuple[str, list[tuple[str, str]]]]:
    seen = unit.visible()
    models = [m for m in foundation_models.all_models(unit.rows) if m.available]
    prompts = unit.rows.page(TunedPrompt, containers=seen, limit=100).items
    deployed = unit.rows.page(Deployment, containers=seen, state="ready", limit=100).items
    return [
        ("Foundation models", [(f"model:{m.id}", m.label) for m in models]),
        ("Tuned prompts", [(f"prompt:{p.id}", f"{p.name} on {p.model_id.split('/')[-1]}") for p in prompts]),
        ("Deployments", [(f"deployment:{d.id}", d.name) for d in deployed]),
    ]


@router.post("/lab")
async def generate(request: Request) -> Response:
    """Every try, answered whole."""
    form = await form_of(request)
    given = _given(form)
    tries, problem, status = [], "", 200
    for text in [t for t in _all(form, "try_input") if t.strip()]:
        try:
            behind, asked = await _asked(request, form, text)
            done = await inference.answer(request, behind, asked)
            tries.append((text, done.output, _told(done)))
        except SoftpromptError as error:
            problem, status = str(error), error.status
            tries.append((text, "", ""))
    return await run_in_threadpool(_shown, request, {**given, "tries": tries, "problem": problem}, status)


@router.post("/lab/stream")
async def stream(request: Request) -> Response:
    """One try, piece by piece."""
    caller_of(request)
    form = await request.form()
    behind, asked = await _asked(request, form, next(iter(_all(form, "try_input")), ""))
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_events(request, behind, asked), media_type="text/event-stream", headers=headers)


async def _events(request: Request, behind: inference.Behind, asked: inference.Asked) -> AsyncIterator[str]:
    try:
        async for event in inference.stream(request, behind, asked):
            if isinstance(event, Piece):
                yield _event({"piece": event.text})
            elif isinstance(event, Failed):
                yield _event({"problem": event.message})
            else:
                yield _event({"output": event.output, "told": _told(event)})
    except SoftpromptError as error:
        yield _event({"problem": str(error)})


def _event(data: dict[str, Any]) -> str:
    return f"data: {json.dumps(data, ensure_ascii=False)}\n\n"


async def _asked(request: Request, form: FormData, text: str) -> tuple[inference.Behind, inference.Asked]:
    kind, _, key = str(form.get("subject", "")).partition(":")
    config = _config(form)
    if kind == "prompt":
        return await inference.behind_prompt(request, key), inference.Asked(text=text, config=config)
    if kind == "deployment":
        return await inference.behind_deployment(request, key), inference.Asked(text=text, config=config)
    if kind != "model":
        raise ParameterInvalid("Choose a foundation model or a tuned prompt first.")
    shots = [(i, o) for i, o in _examples(form) if i.strip() and o.strip()]
    template = Template(instruction=str(form.get("instruction", "")).strip()).with_shots(shots)
    return await inference.behind_model(request, key), inference.Asked(text=template.render(text), config=config)


def _config(form: FormData) -> GenerateConfig:
    values: dict[str, Any] = {"decoding": str(form.get("decoding", "greedy"))}
    whole = ("top_k", "seed", "min_new_tokens", "max_new_tokens")
    for name, _, _, _ in PARAMETERS:
        text = str(form.get(name, "")).strip()
        if text:
            try:
                values[name] = int(text) if name in whole else float(text)
            except ValueError:
                raise ParameterInvalid(f"{name}: {text!r} is no number.") from None
    values["stop"] = tuple(s.strip() for s in str(form.get("stop", "")).split(",") if s.strip())
    return GenerateConfig(**values)


def _given(form: FormData) -> dict[str, Any]:
    return {
        "chosen": str(form.get("subject", "")),
        "instruction": str(form.get("instruction", "")),
        "examples": _examples(form),
        "decoding": str(form.get("decoding", "greedy")),
        "parameters": {name: str(form.get(name, "")) for name, _, _, _ in PARAMETERS},
        "stop": str(form.get("stop", "")),
    }


def _examples(form: FormData) -> list[tuple[str, str]]:
    return list(zip(_all(form, "example_input"), _all(form, "example_output"), strict=False))


def _all(form: FormData, name: str) -> list[str]:
    return [value for value in form.getlist(name) if isinstance(value, str)]


def _told(done: Done) -> str:
    virtual = f" + {done.virtual_tokens} virtual" if done.virtual_tokens else ""
    sure = f" · {done.confidence:.0%} sure" if done.confidence else ""
    total = done.input_tokens + done.virtual_tokens + done.generated_tokens
    return (
        f"Tokens: {done.input_tokens} input{virtual} + {done.generated_tokens} generated = {total} · "
        f"{done.stop_reason.replace('_', ' ')}{sure}"
    )
