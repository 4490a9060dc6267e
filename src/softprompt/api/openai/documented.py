"""What the OpenAPI page shows of answers on this wire. Examples only; nothing here decides anything."""

from __future__ import annotations

from typing import Any

_USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 3,
    "total_tokens": 14,
    "prompt_tokens_details": {"cached_tokens": 0, "virtual_tokens": 100},
}
_OWN = {"stop_reason": "label", "confidence": 0.93, "input_cut": False, "labels": {"Warehouse": 0.93, "Service": 0.07}}
_MODEL = {
    "id": "routing",
    "object": "model",
    "created": 1767323045,
    "owned_by": "Production",
    "softprompt": {
        "deployment_id": "5e0b7d0e-6c1c-4b0a-9d0e-0d8f3f5b1c11",
        "name": "Complaint routing",
        "model_id": "HuggingFaceTB/SmolLM2-135M-Instruct",
    },
}


def _error(message: str, kind: str, code: str) -> dict[str, Any]:
    return {"error": {"message": message, "type": kind, "param": None, "code": code, "request_id": "0f3c"}}


def _json(description: str, example: Any, streamed: str | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"application/json": {"example": example}}
    if streamed is not None:
        content["text/event-stream"] = {"schema": {"type": "string"}, "example": streamed}
    return {"description": description, "content": content}


_ERRORS: dict[int | str, dict[str, Any]] = {
    400: _json(
        "The request does not fit; every field is named.",
        _error(
            "n: one answer is given for each prompt. Leave it out (given: '3').",
            "invalid_request_error",
            "invalid_request",
        ),
    ),
    401: _json(
        "Nobody knows who asks.", _error("This API key is not known.", "authentication_error", "unauthenticated")
    ),
    404: _json(
        "There is no such model, or you may not see it.",
        _error("There is no model 'routng' here.", "not_found_error", "model_unknown"),
    ),
    429: _json(
        "Too much at once; `Retry-After` says when to come back.",
        _error("The queue is full.", "rate_limit_error", "busy"),
    ),
}

MODELS: dict[int | str, dict[str, Any]] = {
    200: _json("Deployments, then foundation models.", {"object": "list", "data": [_MODEL]}),
    401: _ERRORS[401],
}
MODEL: dict[int | str, dict[str, Any]] = {200: _json("The model.", _MODEL), 401: _ERRORS[401], 404: _ERRORS[404]}
COMPLETION_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: _json(
        "The answers, in the order of the prompts; with `stream`, their pieces as they come.",
        {
            "id": "cmpl-7d0f",
            "object": "text_completion",
            "created": 1767323045,
            "model": "routing",
            "choices": [
                {"index": 0, "text": "Warehouse", "logprobs": None, "finish_reason": "stop", "softprompt": _OWN}
            ],
            "usage": _USAGE,
        },
        'data: {"id":"cmpl-7d0f","object":"text_completion","created":1767323045,"model":"routing","choices":'
        '[{"index":0,"text":"Ware","logprobs":null,"finish_reason":null}]}\n\ndata: [DONE]\n\n',
    ),
    **_ERRORS,
}
CHAT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: _json(
        "The answer; with `stream`, its pieces as they come.",
        {
            "id": "chatcmpl-7d0f",
            "object": "chat.completion",
            "created": 1767323045,
            "model": "routing",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": "Warehouse", "refusal": None},
                    "logprobs": None,
                    "finish_reason": "stop",
                    "softprompt": _OWN,
                }
            ],
            "usage": _USAGE,
        },
        'data: {"id":"chatcmpl-7d0f","object":"chat.completion.chunk","created":1767323045,"model":"routing","choices":'
        '[{"index":0,"delta":{"content":"Ware"},"logprobs":null,"finish_reason":null}]}\n\ndata: [DONE]\n\n',
    ),
    **_ERRORS,
}
