"""`POST /v1/chat/completions`: a chat, answered whole or in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from softprompt.api import inference
from softprompt.api.inference import Asked, EventStream, Streams
from softprompt.api.openai import shown
from softprompt.api.openai.documented import CHAT_RESPONSES
from softprompt.api.openai.stops import Cutter, without_stop
from softprompt.api.openai.words import ChatRequest
from softprompt.errors import SoftpromptError
from softprompt.serving.protocol import Done

router = APIRouter(tags=["OpenAI"])


@router.post("/v1/chat/completions", responses=CHAT_RESPONSES)
async def chat(request: Request, body: ChatRequest) -> Response:
    """Answer a chat. A tuned prompt takes the last user message as its input."""
    behind = await inference.behind_name(request, body.model)
    asked = Asked(
        messages=tuple(message.plain() for message in body.messages),
        config=body.config(body.most),
        way=body.softprompt.way,
        variables=body.softprompt.variables,
        time_limit=body.softprompt.time_limit,
        details=body.details,
    )
    if body.stream:
        streams = await inference.begin(request, behind, [asked])
        return EventStream(_chunks(request, body, streams), streams)
    done = await inference.answer(request, behind, asked)
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": without_stop(done, body.stop or ()), "refusal": None},
        "logprobs": shown.chat_logprobs(done, body.details),
        "finish_reason": shown.finish_reason(done),
        "softprompt": shown.own_words(done),
    }
    head = shown.envelope("chat.completion", "chatcmpl", body.model)
    return JSONResponse({**head, "choices": [choice], "usage": shown.usage([done])})


async def _chunks(request: Request, body: ChatRequest, streams: Streams) -> AsyncIterator[str]:
    head = shown.envelope("chat.completion.chunk", "chatcmpl", body.model)
    extra: dict[str, Any] = {"usage": None} if body.counted else {}
    cutter = Cutter(body.stop or ())

    def chunk(delta: dict[str, str], **more: Any) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None, **more}
        return shown.line({**head, "choices": [choice], **extra})

    yield chunk({"role": "assistant", "content": ""})
    finished: list[Done] = []
    try:
        async for _, event in streams:
            text = cutter.end(event) if isinstance(event, Done) else cutter.add(event.text)
            if text:
                yield chunk({"content": text})
            if isinstance(event, Done):
                finished.append(event)
                logprobs = shown.chat_logprobs(event, body.details)
                ending = {"finish_reason": shown.finish_reason(event), "softprompt": shown.own_words(event)}
                yield chunk({}, logprobs=logprobs, **ending)
    except SoftpromptError as error:
        yield shown.error_line(request, error)
        return
    if body.counted:
        yield shown.line({**head, "choices": [], "usage": shown.usage(finished)})
    yield shown.DONE
