"""How answers look on the OpenAI wire: choices, log-probabilities, usage, and the `data:` lines of a stream."""

from __future__ import annotations

import json
import math
import time
import uuid
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import Any

from fastapi import Request

from softprompt.api.errors import document
from softprompt.errors import SoftpromptError
from softprompt.serving.protocol import Done, TokenDetail

DONE = "data: [DONE]\n\n"
NEVER = -9999.0
"""OpenAI's logarithm of what cannot happen; JSON has no infinity."""
_CUT_SHORT = ("max_tokens", "token_limit", "time_limit", "cancelled")


def envelope(kind: str, prefix: str, model: str) -> dict[str, Any]:
    """The head of an answer; all chunks of a stream share it."""
    return {"id": f"{prefix}-{uuid.uuid4().hex}", "object": kind, "created": int(time.time()), "model": model}


def finish_reason(done: Done) -> str:
    return "length" if done.stop_reason in _CUT_SHORT else "stop"


def usage(answers: Iterable[Done]) -> dict[str, Any]:
    """Token counts; virtual tokens are apart, as a user never wrote them."""
    told = list(answers)
    read, said = sum(a.input_tokens for a in told), sum(a.generated_tokens for a in told)
    return {
        "prompt_tokens": read,
        "completion_tokens": said,
        "total_tokens": read + said,
        "prompt_tokens_details": {"cached_tokens": 0, "virtual_tokens": sum(a.virtual_tokens for a in told)},
    }


def own_words(done: Done) -> dict[str, Any]:
    """What OpenAI's answers have no place for."""
    told: dict[str, Any] = {"stop_reason": done.stop_reason, "confidence": done.confidence, "input_cut": done.cut}
    if done.seed is not None:
        told["seed"] = done.seed
    if done.labels:
        told["labels"] = dict(done.labels)
    return told


def completion_logprobs(done: Done, text: str, wanted: int | None) -> dict[str, Any] | None:
    """The older form: lists side by side. Offsets count from the start of the answer."""
    if wanted is None:
        return None
    tokens = _tokens(done, wanted)
    # The blank that a template puts in front of the answer is part of its first token and not of the text.
    lead = 1 if tokens and tokens[0].text.startswith(" ") and not text.startswith(" ") else 0
    starts = [0, *accumulate(len(t.text) for t in tokens)][: len(tokens)]
    return {
        "tokens": [t.text for t in tokens],
        "token_logprobs": [_number(t.logprob) for t in tokens],
        "top_logprobs": [{text: _number(p) for text, p in t.top} for t in tokens] if wanted else None,
        "text_offset": [max(0, start - lead) for start in starts],
    }


def chat_logprobs(done: Done, wanted: int | None) -> dict[str, Any] | None:
    if wanted is None:
        return None
    content = [
        {**_token(t.text, t.logprob), "top_logprobs": [_token(text, p) for text, p in t.top]}
        for t in _tokens(done, wanted)
    ]
    return {"content": content, "refusal": None}


def line(document: dict[str, Any]) -> str:
    """One event of a stream."""
    return f"data: {json.dumps(document, ensure_ascii=False, separators=(',', ':'))}\n\n"


def error_line(request: Request, error: SoftpromptError) -> str:
    """An error inside a stream that has begun; the client raises it."""
    return line(document("openai", error.status, error.code, str(error), getattr(request.state, "request_id", "")))


def _tokens(done: Done, wanted: int) -> Sequence[TokenDetail]:
    """The tokens of the text. Of an answer that was read from a label readout, the label is the token."""
    if done.stop_reason == "label" and done.labels:
        told = tuple((label, _log(p)) for label, p in done.labels)
        sure = dict(told).get(done.output, _log(done.confidence or 0.0))
        rank = 1 + sum(p > sure for _, p in told)
        return [TokenDetail(done.output, sure, rank, told[:wanted])]
    # The end token is chosen and counted, but says nothing.
    return done.tokens[:-1] if done.stop_reason == "eos_token" else done.tokens


def _token(text: str, logprob: float) -> dict[str, Any]:
    return {"token": text, "logprob": _number(logprob), "bytes": list(text.encode(errors="replace"))}


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else NEVER


def _number(logprob: float) -> float:
    return logprob if math.isfinite(logprob) else NEVER
