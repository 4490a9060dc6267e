"""Chats with the real client."""

from __future__ import annotations

import math
from typing import Any

import openai
import pytest
from openai import OpenAI

from softprompt.testing.live import LiveStudio

TURNS: list[Any] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "hello there"},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": [{"type": "text", "text": "it "}, {"type": "text", "text": "hums"}]},
]


def test_a_chat_is_answered(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="routing", messages=TURNS, temperature=0)
    assert answer.object == "chat.completion"
    assert answer.id.startswith("chatcmpl-")
    message = answer.choices[0].message
    assert (message.role, message.content) == ("assistant", "IT HUMS")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.total_tokens) == (2, 5)
    assert answer.usage.prompt_tokens_details.virtual_tokens == 3


def test_a_foundation_model_gets_the_whole_conversation(studio: LiveStudio, client: OpenAI) -> None:
    client.chat.completions.create(model="plain", messages=[{"role": "developer", "content": "Short."}, *TURNS[1:]])
    said = [(turn.role, turn.content) for turn in studio.backend.works[-1].messages]
    assert said == [("system", "Short."), ("user", "hello there"), ("assistant", "Hi."), ("user", "it hums")]
    assert studio.backend.works[-1].config.max_new_tokens == 512


def test_both_names_of_the_limit(studio: LiveStudio, client: OpenAI) -> None:
    for given, most in (({"max_tokens": 1}, 1), ({"max_completion_tokens": 2, "max_tokens": 1}, 2)):
        answer = client.chat.completions.create(model="plain", messages=TURNS, **given)
        assert studio.backend.works[-1].config.max_new_tokens == most
        assert answer.choices[0].finish_reason == "length"


def test_log_probabilities(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="plain", messages=TURNS, logprobs=True, top_logprobs=1)
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.content is not None
    assert [(token.token, token.logprob) for token in told.content] == [("it", -0.25), (" hums", -0.5)]
    assert told.content[1].bytes == list(b" hums")
    assert [(top.token, top.logprob) for top in told.content[0].top_logprobs] == [("other", -3.0)]


def test_a_label_readout_speaks_as_one_token(client: OpenAI) -> None:
    turns: list[Any] = [{"role": "user", "content": "!label"}]
    choice = client.chat.completions.create(model="routing", messages=turns, logprobs=True, top_logprobs=5).choices[0]
    assert choice.message.content == "Service"
    assert choice.softprompt["labels"]["Service"] == 0.75
    assert choice.logprobs is not None
    assert choice.logprobs.content is not None
    assert [(t.token, math.exp(t.logprob)) for t in choice.logprobs.content] == [("Service", pytest.approx(0.75))]
    assert [t.token for t in choice.logprobs.content[0].top_logprobs] == ["Service", "Warehouse"]


def test_what_changes_nothing_is_taken(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="plain", messages=TURNS, n=1, user="u", store=False, metadata={"a": "b"}, service_tier="auto",
        parallel_tool_calls=True, tool_choice="none", tools=[], response_format={"type": "text"}, modalities=["text"],
        reasoning_effort="low", verbosity="medium", seed=4, safety_identifier="s", prompt_cache_key="k",
    )  # fmt: skip
    assert answer.choices[0].message.content == "it hums"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools: tools and functions cannot be called"),
        ({"tool_choice": "required"}, "tool_choice: "),
        ({"functions": [{"name": "f"}]}, "functions: "),
        ({"function_call": {"name": "f"}}, "function_call: "),
        ({"response_format": {"type": "json_object"}}, "response_format: answers are plain text"),
        ({"n": 3}, r"n: one answer is given for each prompt. Leave it out \(given: '3'\)"),
        ({"modalities": ["text", "audio"]}, "modalities: only text"),
        ({"web_search_options": {"search_context_size": "low"}}, "web_search_options: "),
        ({"logit_bias": {"1": 2}}, "logit_bias: "),
        ({"top_logprobs": 2}, "top_logprobs: given without logprobs"),
        ({"messages": []}, "messages: .*at least 1"),
        ({"messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}]}, "messages.0.role: "),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}, "content"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client: OpenAI, given: dict[str, Any], named: str) -> None:
    with pytest.raises(openai.BadRequestError, match=named):
        client.chat.completions.create(**{"model": "plain", "messages": TURNS, **given})


def test_a_tuned_prompt_needs_something_that_a_user_said(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="last user message"):
        client.chat.completions.create(model="routing", messages=[{"role": "system", "content": "Be brief."}])
