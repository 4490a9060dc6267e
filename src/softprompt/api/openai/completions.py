"""`POST /v1/completions`: a prompt or several, answered whole or in pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from softprompt.api import inference
from softprompt.api.inference import Asked, EventStream, Streams
from softprompt.api.openai import shown
from softprompt.api.openai.documented import COMPLETION_RESPONSES
from softprompt.api.openai.stops import Cutter, without_stop
from softprompt.api.openai.words import CompletionRequest
from softprompt.errors import SoftpromptError
from softprompt.serving.protocol import Done

router = APIRouter(tags=["OpenAI"])


@router.post("/v1/completions", responses=COMPLETION_RESPONSES)
async def complete(request: Request, body: CompletionRequest) -> Response:
    """Answer a prompt, or up to 64 of them together."""
    behind = await inference.behind_name(request, body.model)
    asked = [_asked(body, prompt) for prompt in body.prompt]
    if body.stream:
        streams = await inference.begin(request, behind, asked)
        return EventStream(_chunks(request, body, streams), streams)
    answers = await inference.answers(request, behind, asked)
    choices = [_whole(body, number, done) for number, done in enumerate(answers)]
    head = shown.envelope("text_completion", "cmpl", body.model)
    return JSONResponse({**head, "choices": choices, "usage": shown.usage(answers)})


def _asked(body: CompletionRequest, prompt: str) -> Asked:
    return Asked(
        text=prompt,
        config=body.config(body.most),
        way=body.softprompt.way,
        variables=body.softprompt.variables,
        time_limit=body.softprompt.time_limit,
        details=body.logprobs,
    )


def _whole(body: CompletionRequest, number: int, done: Done) -> dict[str, Any]:
    text = without_stop(done, body.stop or ())
    return _choice(number, text, shown.completion_logprobs(done, text, body.logprobs), done)


def _choice(number: int, text: str, logprobs: dict[str, Any] | None = None, done: Done | None = None) -> dict[str, Any]:
    choice: dict[str, Any] = {"index": number, "text": text, "logprobs": logprobs, "finish_reason": None}
    return choice | ({"finish_reason": shown.finish_reason(done), "softprompt": shown.own_words(done)} if done else {})


async def _chunks(request: Request, body: CompletionRequest, streams: Streams) -> AsyncIterator[str]:
    head = shown.envelope("text_completion", "cmpl", body.model)
    extra: dict[str, Any] = {"usage": None} if body.counted else {}
    cutters = [Cutter(body.stop or ()) for _ in body.prompt]
    finished: list[Done] = []
    try:
        async for number, event in streams:
            if isinstance(event, Done):
                finished.append(event)
                logprobs = shown.completion_logprobs(event, without_stop(event, body.stop or ()), body.logprobs)
                choice = _choice(number, cutters[number].end(event), logprobs, event)
            elif text := cutters[number].add(event.text):
                choice = _choice(number, text)
            else:
                continue
            yield shown.line({**head, "choices": [choice], **extra})
    except SoftpromptError as error:
        yield shown.error_line(request, error)
        return
    if body.counted:
        yield shown.line({**head, "choices": [], "usage": shown.usage(finished)})
    yield shown.DONE
