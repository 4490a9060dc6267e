"""Text generation as IBM's client asks for it: whole, in pieces, by model or deployment; and tokens of a text.

Parameters stand in `parameters`, chats in `chat`. The bare input is sent; a tuned prompt's own template is applied
where the answer is made.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import ConfigDict

from softprompt.api import inference
from softprompt.api.errors import document as error_document
from softprompt.api.inference import Asked, Behind, EventStream, Streams
from softprompt.api.openai.stops import Cutter, without_stop
from softprompt.api.watsonx import parameters
from softprompt.api.watsonx.foundation_models import stamp
from softprompt.api.watsonx.parameters import Wanted
from softprompt.api.watsonx.prompts import ABOUT
from softprompt.api.watsonx.shared import Placed
from softprompt.errors import ParameterInvalid, SoftpromptError, UsageError
from softprompt.serving.protocol import Done, TokenDetail
from softprompt.studio import prompt_sessions

router = APIRouter(tags=["watsonx: inference"])
STOPS = {"label": "eos_token"}
"""IBM's reasons to stop by ours, where they differ."""
CUT = "The input was longer than the model may read and lost its end; virtual tokens and the answer need room too."
_PLACES = re.compile(r"\{(\w+)\}")


class Generation(Placed):
    model_config = ConfigDict(
        extra="ignore",
        protected_namespaces=(),
        json_schema_extra={
            "example": {
                "input": "Where are the 2 extra sheets?",
                "parameters": {"max_new_tokens": 8},
                "project_id": "ID",
            }
        },
    )

    model_id: str | None = None
    input: str | None = None
    parameters: dict[str, Any] | None = None
    moderations: dict[str, Any] | None = None


class Tokenization(Placed):
    model_config = ConfigDict(extra="ignore", protected_namespaces=())

    model_id: str
    input: str
    parameters: dict[str, Any] | None = None


@router.post("/ml/v1/text/generation")
async def generate(request: Request, body: Generation) -> Response:
    """A foundation model continues a text."""
    return await _whole(request, await model_behind(request, body), body)


@router.post("/ml/v1/text/generation_stream")
async def generate_stream(request: Request, body: Generation) -> Response:
    return await _streamed(request, await model_behind(request, body), body)


@router.post("/ml/v1/deployments/{deployment}/text/generation")
async def generate_deployed(request: Request, deployment: str, body: Generation) -> Response:
    """A deployment, by id or serving name, answers an input."""
    return await _whole(request, await inference.behind_deployment(request, deployment), body)


@router.post("/ml/v1/deployments/{deployment}/text/generation_stream")
async def generate_deployed_stream(request: Request, deployment: str, body: Generation) -> Response:
    return await _streamed(request, await inference.behind_deployment(request, deployment), body)


@router.post("/ml/v1/text/tokenization")
async def tokenize(request: Request, body: Tokenization) -> dict[str, Any]:
    """How many tokens a text has for a model, and which if they are asked for."""
    behind = await inference.behind_model(request, body.model_id, body.project_id or body.space_id)
    found = await inference.tokenize(request, behind, body.input)
    result: dict[str, Any] = {"token_count": found.count}
    if (body.parameters or {}).get("return_tokens"):
        result["tokens"] = list(found.tokens)
    return {"model_id": behind.model_id, "created_at": stamp(), "result": result}


async def model_behind(request: Request, body: Any) -> Behind:
    """The foundation model that a body names."""
    if not body.model_id:
        raise UsageError("model_id: a foundation model has to be named.")
    return await inference.behind_model(request, body.model_id, body.project_id or body.space_id)


async def _whole(request: Request, behind: Behind, body: Generation) -> Response:
    wanted, asked = _read(behind, body)
    done = await inference.answer(request, behind, asked)
    text = done.output if wanted.include_stop else without_stop(done, wanted.config.stop)
    result = {"generated_text": text, **_figures(done), **_tokens(done, wanted)}
    if "input_text" in wanted.options:
        result["input_text"] = body.input or ""
    if "input_tokens" in wanted.options:
        found = await inference.tokenize(request, behind, body.input or "")
        result["input_tokens"] = [{"text": token} for token in found.tokens]
    return JSONResponse({**_head(behind), "results": [result], **warned(wanted.warnings, done)})


async def _streamed(request: Request, behind: Behind, body: Generation) -> Response:
    wanted, asked = _read(behind, body)
    streams = await inference.begin(request, behind, [asked])
    return EventStream(_events(request, behind, wanted, streams), streams)


async def _events(request: Request, behind: Behind, wanted: Wanted, streams: Streams) -> AsyncIterator[str]:
    cutter = Cutter(() if wanted.include_stop else wanted.config.stop)
    number = 0
    try:
        async for _, event in streams:
            if isinstance(event, Done):
                text = cutter.end(event)
                result = {"generated_text": text, **_figures(event), **_tokens(event, wanted)}
                yield line(number, {**_head(behind), "results": [result], **warned(wanted.warnings, event)})
            elif text := cutter.add(event.text):
                result = {"generated_text": text, "stop_reason": "not_finished"}
                yield line(number, {**_head(behind), "results": [result]})
            number += 1
    except SoftpromptError as error:
        yield error_line(request, number, error)


def _read(behind: Behind, body: Generation) -> tuple[Wanted, Asked]:
    if body.moderations:
        raise UsageError(
            "moderations: answers are not moderated here. Leave guardrails out, or check answers yourself."
        )
    template = behind.template or {}
    wanted = parameters.read(body.parameters, template.get("model_parameters"))
    variables = _variables(template, wanted) if behind.template is not None else None
    asked = Asked(
        text=body.input,
        config=wanted.config,
        variables=variables,
        time_limit=wanted.time_limit,
        details=wanted.details,
    )
    return wanted, asked


def _variables(template: Any, wanted: Wanted) -> dict[str, str]:
    """Values of a template's places: as sent, else as saved with it; refused if one has neither."""
    declared = (template.get(ABOUT) or {}).get("prompt_variables") or {}
    usual = {name: about["default_value"] for name, about in declared.items() if (about or {}).get("default_value")}
    values = {**usual, **(wanted.variables or {})}
    used = set(_PLACES.findall(prompt_sessions.rendered(dict(template))))
    if missing := sorted((set(declared) & used) - set(values)):
        raise ParameterInvalid(f"parameters.prompt_variables: no value for {', '.join(missing)}. Send one for each.")
    return values


def _head(behind: Behind) -> dict[str, Any]:
    return {"model_id": behind.model_id, "created_at": stamp()}


def _figures(done: Done) -> dict[str, Any]:
    found: dict[str, Any] = {
        "generated_token_count": done.generated_tokens,
        "input_token_count": done.input_tokens,
        "virtual_token_count": done.virtual_tokens,
        "stop_reason": STOPS.get(done.stop_reason, done.stop_reason),
    }
    if done.seed is not None:
        found["seed"] = done.seed
    return {**found, **sureness(done)}


def sureness(done: Done) -> dict[str, Any]:
    """How sure a label readout is of its answer and of the others; nothing for an answer in words."""
    if not done.labels:
        return {}
    labels = [{"label": label, "probability": probability} for label, probability in done.labels]
    return {"confidence": done.confidence, "labels": labels}


def _tokens(done: Done, wanted: Wanted) -> dict[str, Any]:
    if "generated_tokens" not in wanted.options:
        return {}
    return {"generated_tokens": [_token(token, wanted) for token in done.tokens]}


def _token(token: TokenDetail, wanted: Wanted) -> dict[str, Any]:
    found: dict[str, Any] = {"text": token.text}
    if "token_logprobs" in wanted.options:
        found["logprob"] = token.logprob
    if "token_ranks" in wanted.options:
        found["rank"] = token.rank
    if wanted.top:
        found["top_tokens"] = [{"text": text, "logprob": logprob} for text, logprob in token.top[: wanted.top]]
    return found


def warned(warnings: Iterable[str], done: Done) -> dict[str, Any]:
    """What a person should know of the answer; the client makes Python warnings of it."""
    told = [{"id": "unsupported_parameter", "message": text} for text in warnings]
    if done.cut:
        told.append({"id": "input_truncated", "message": CUT})
    return {"system": {"warnings": told}} if told else {}


def line(number: int, content: dict[str, Any]) -> str:
    """One server-sent event."""
    return f"id: {number}\nevent: message\ndata: {json.dumps(content)}\n\n"


def error_line(request: Request, number: int, error: SoftpromptError) -> str:
    """An error amid a stream; the client reads the line behind `event: error`."""
    request_id = getattr(request.state, "request_id", "")
    content = error_document("watsonx", error.status, error.code, str(error), request_id)
    return f"id: {number}\nevent: error\ndata: {json.dumps(content)}\n\n"
