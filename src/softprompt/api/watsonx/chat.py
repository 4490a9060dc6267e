"""Chats as IBM's client asks for them. It took OpenAI's names, so what they mean is read where that wire reads it.

What only IBM has: `time_limit` in milliseconds, and parameters that change nothing here, which are warned of.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ConfigDict, ValidationError

from softprompt.api import inference
from softprompt.api.inference import Asked, Behind, EventStream, Streams
from softprompt.api.openai.shown import chat_logprobs
from softprompt.api.openai.stops import Cutter, without_stop
from softprompt.api.openai.words import ChatRequest
from softprompt.api.watsonx.foundation_models import stamp
from softprompt.api.watsonx.inference import error_line, line, model_behind, sureness, warned
from softprompt.api.watsonx.shared import Placed
from softprompt.errors import ParameterInvalid, SoftpromptError
from softprompt.serving.protocol import Done

router = APIRouter(tags=["watsonx: inference"])
REASONS = {"max_tokens": "length", "token_limit": "length", "time_limit": "time_limit", "cancelled": "cancelled"}
IGNORED = ("length_penalty", "context", "include_reasoning", "chat_template_kwargs")


class Chat(Placed):
    """A chat; all parameters stand at the top."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    model_id: str | None = None
    messages: list[dict[str, Any]]


@router.post("/ml/v1/text/chat")
async def chat(request: Request, body: Chat) -> Response:
    return await _whole(request, await model_behind(request, body), body)


@router.post("/ml/v1/text/chat_stream")
async def chat_stream(request: Request, body: Chat) -> Response:
    return await _streamed(request, await model_behind(request, body), body)


@router.post("/ml/v1/deployments/{deployment}/text/chat")
async def chat_deployed(request: Request, deployment: str, body: Chat) -> Response:
    """A tuned prompt takes the last user message as its input."""
    return await _whole(request, await inference.behind_deployment(request, deployment), body)


@router.post("/ml/v1/deployments/{deployment}/text/chat_stream")
async def chat_deployed_stream(request: Request, deployment: str, body: Chat) -> Response:
    return await _streamed(request, await inference.behind_deployment(request, deployment), body)


async def _whole(request: Request, behind: Behind, body: Chat) -> Response:
    asked, read, warnings = _read(body)
    done = await inference.answer(request, behind, asked)
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": without_stop(done, asked.config.stop)},
        "finish_reason": REASONS.get(done.stop_reason, "stop"),
        **sureness(done),
    }
    if read.details is not None:
        choice["logprobs"] = chat_logprobs(done, read.details)
    answered = {**_head(behind), "choices": [choice], "usage": _usage(done), **warned(warnings, done)}
    return JSONResponse(answered)


async def _streamed(request: Request, behind: Behind, body: Chat) -> Response:
    asked, read, warnings = _read(body)
    streams = await inference.begin(request, behind, [asked])
    return EventStream(_events(request, behind, asked, read, warnings, streams), streams)


async def _events(
    request: Request, behind: Behind, asked: Asked, read: ChatRequest, warnings: list[str], streams: Streams
) -> AsyncIterator[str]:
    head, cutter, number = _head(behind), Cutter(asked.config.stop), 0

    def chunk(delta: dict[str, str], **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": None, **more}
        return line(number, {**head, "choices": [choice]})

    yield chunk({"role": "assistant", "content": ""})
    try:
        async for _, event in streams:
            number += 1
            if not isinstance(event, Done):
                if text := cutter.add(event.text):
                    yield chunk({"content": text})
                continue
            more = sureness(event)
            if read.details is not None:
                more["logprobs"] = chat_logprobs(event, read.details)
            reason = REASONS.get(event.stop_reason, "stop")
            yield chunk({"content": cutter.end(event)}, finish_reason=reason, **more)
            yield line(number + 1, {**head, "choices": [], "usage": _usage(event), **warned(warnings, event)})
    except SoftpromptError as error:
        yield error_line(request, number, error)


def _read(body: Chat) -> tuple[Asked, ChatRequest, list[str]]:
    given = {name: value for name, value in (body.model_extra or {}).items() if value is not None}
    warnings = [f"{name} changes nothing here." for name in IGNORED if given.pop(name, None)]
    limit = given.pop("time_limit", None)
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= 86_400_000):
        raise ParameterInvalid(f"time_limit: {str(limit)[:60]!r} is not between 1 and 86400000 milliseconds.")
    if given.get("tool_choice_option") in ("none", "auto"):
        del given["tool_choice_option"]
    try:
        read = ChatRequest.model_validate({**given, "model": body.model_id or "deployment", "messages": body.messages})
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
    asked = Asked(
        messages=tuple(message.plain() for message in read.messages),
        config=read.config(read.most),
        time_limit=None if limit is None else limit / 1000,
        details=read.details,
    )
    return asked, read, warnings


def _head(behind: Behind) -> dict[str, Any]:
    made = {"created": int(time.time()), "created_at": stamp()}
    return {"id": f"chat-{uuid.uuid4().hex}", "model_id": behind.model_id, "model": behind.model_id, **made}


def _usage(done: Done) -> dict[str, int]:
    read, said = done.input_tokens, done.generated_tokens
    counted = {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}
    return {**counted, "virtual_tokens": done.virtual_tokens}
