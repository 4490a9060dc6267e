"""Completions with the real client: text, counts, parameters, and errors as the client raises them."""

from __future__ import annotations

import math
from typing import Any

import httpx
import openai
import pytest
from openai import OpenAI

from softprompt.testing.live import LiveStudio

from .conftest import MODEL, client_of


def test_a_prompt_is_answered_and_virtual_tokens_are_counted_apart(client: OpenAI) -> None:
    answer = client.completions.create(model="routing", prompt="it hums loudly", temperature=0)
    assert answer.object == "text_completion"
    assert answer.model == "routing"
    assert answer.choices[0].text == "IT HUMS LOUDLY"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].softprompt["stop_reason"] == "eos_token"
    assert answer.usage is not None
    counts = (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens)
    assert counts == (3, 4, 7)
    assert answer.usage.prompt_tokens_details.model_dump(exclude_none=True) == {
        "cached_tokens": 0,
        "virtual_tokens": 3,
    }


def test_several_prompts_keep_their_order_and_sum_their_counts(client: OpenAI) -> None:
    prompts = [f"prompt number {number}" for number in range(8)]
    answer = client.completions.create(model=MODEL, prompt=prompts)
    assert [choice.index for choice in answer.choices] == list(range(8))
    assert [choice.text for choice in answer.choices] == prompts
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == 24


def test_openai_draws_unless_the_temperature_is_zero(studio: LiveStudio, client: OpenAI) -> None:
    client.completions.create(model="plain", prompt="one")
    drawn = studio.backend.works[-1].config
    assert (drawn.decoding, drawn.temperature, drawn.top_p, drawn.top_k, drawn.max_new_tokens) == (
        "sample",
        1,
        1,
        0,
        16,
    )
    client.completions.create(model="plain", prompt="one", temperature=0, max_tokens=3)
    greedy = studio.backend.works[-1].config
    assert (greedy.decoding, greedy.max_new_tokens) == ("greedy", 3)
    extras = {"top_k": 5, "repetition_penalty": 1.5, "min_tokens": 2, "pattern": "[a-z]+"}
    client.completions.create(
        model="plain", prompt="one", temperature=0.4, top_p=0.5, seed=-1, stop=["\n"], extra_body=extras
    )
    own = studio.backend.works[-1].config
    assert (own.temperature, own.top_p, own.top_k, own.seed) == (0.4, 0.5, 5, 2**32 - 1)
    assert (own.stop, own.repetition_penalty, own.min_new_tokens, own.pattern) == (("\n",), 1.5, 2, "[a-z]+")


def test_the_seed_is_told_when_something_was_drawn(client: OpenAI) -> None:
    drawn = client.completions.create(model="plain", prompt="one", seed=11)
    assert drawn.choices[0].softprompt["seed"] == 11
    greedy = client.completions.create(model="plain", prompt="one", temperature=0)
    assert "seed" not in greedy.choices[0].softprompt


def test_length_ends_an_answer(client: OpenAI) -> None:
    answer = client.completions.create(model="plain", prompt="one two three four", max_tokens=2)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("one two", "length")


def test_a_stop_text_is_not_part_of_the_answer(client: OpenAI) -> None:
    answer = client.completions.create(model="plain", prompt="one two three four", stop="three")
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == ("one two ", "stop")


def test_log_probabilities(client: OpenAI) -> None:
    answer = client.completions.create(model="plain", prompt="one two", logprobs=2)
    told = answer.choices[0].logprobs
    assert told is not None
    assert told.tokens == ["one", " two"]
    assert told.token_logprobs == [-0.25, -0.5]
    assert told.text_offset == [0, 3]
    assert told.top_logprobs == [{"other": -3.0}, {"other": -3.0}]
    assert client.completions.create(model="plain", prompt="one two").choices[0].logprobs is None


def test_a_label_readout_tells_its_confidence(client: OpenAI) -> None:
    choice = client.completions.create(model="routing", prompt="!label", logprobs=2).choices[0]
    assert (choice.text, choice.finish_reason) == ("Service", "stop")
    assert choice.softprompt["confidence"] == 0.75
    assert choice.softprompt["labels"] == {"Service": 0.75, "Warehouse": 0.25}
    assert choice.logprobs is not None
    assert choice.logprobs.tokens == ["Service"]
    assert choice.logprobs.token_logprobs == pytest.approx([math.log(0.75)])
    assert choice.logprobs.top_logprobs[0]["Warehouse"] == pytest.approx(math.log(0.25))


def test_words_of_this_studio_alone(studio: LiveStudio, client: OpenAI) -> None:
    client.completions.create(
        model="routing", prompt="one", extra_body={"softprompt": {"way": "text", "time_limit": 5}}
    )
    assert (studio.backend.works[-1].way, studio.backend.works[-1].time_limit) == ("text", 5)


def test_what_changes_nothing_is_taken(client: OpenAI) -> None:
    answer = client.completions.create(
        model="plain", prompt="one", n=1, best_of=1, echo=False, user="u", frequency_penalty=0, presence_penalty=0.0,
        logit_bias={}, suffix=None, stop=None,
        extra_body={"metadata": {"a": "b"}, "store": True, "service_tier": "auto"},
    )  # fmt: skip
    assert answer.choices[0].text == "one"


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"n": 2}, "n: one answer is given for each prompt"),
        ({"best_of": 3}, "best_of: one answer"),
        ({"echo": True}, "echo: the prompt is not repeated"),
        ({"suffix": "end"}, "suffix: text cannot be inserted"),
        ({"logit_bias": {"50256": -100}}, "logit_bias: the likelihood of single tokens cannot be set"),
        ({"frequency_penalty": 0.5}, r"frequency_penalty: not supported; `repetition_penalty`"),
        ({"temperature": 3}, "temperature: .*less than or equal to 2"),
        ({"logprobs": 21}, "logprobs: .*less than or equal to 20"),
        ({"max_tokens": -1}, "max_tokens: .*greater than or equal to 0"),
        ({"stop": [""]}, "stop: "),
        ({"stop": list("abcdefg")}, "stop: .*at most 6"),
        ({"prompt": []}, "prompt: .*at least 1 item"),
        ({"prompt": [1, 2, 3]}, "prompt: token ids are not read here"),
        ({"prompt": [[1, 2], [3]]}, "prompt: token ids are not read here"),
        ({"prompt": ["x"] * 65}, "prompt: .*at most 64 items"),
        ({"stream_options": {"include_usage": True}}, "stream_options: given without stream"),
        ({"extra_body": {"pattern": "[a"}}, "pattern: .*no regular expression"),
        ({"extra_body": {"min_p": 0.1}}, "min_p: "),
        ({"extra_body": {"softprompt": {"way": "guess"}}}, "softprompt.way: "),
        ({"extra_body": {"min_tokens": 30}}, "min_new_tokens 30 is larger than max_new_tokens 16"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(client: OpenAI, given: dict[str, Any], named: str) -> None:
    with pytest.raises(openai.BadRequestError, match=named):
        client.completions.create(**{"model": "plain", "prompt": "one", **given})


def test_all_that_cannot_be_done_is_named_at_once(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model="plain", prompt="one", n=2, echo=True, temperature=9, extra_body={"min_p": 1})
    assert all(name in str(caught.value) for name in ("n: ", "echo: ", "temperature: ", "min_p: "))
    assert caught.value.body["type"] == "invalid_request_error"
    assert caught.value.param in ("n", "echo", "temperature", "min_p")
    assert caught.value.request_id


def test_errors_have_the_clients_classes(studio: LiveStudio, client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="There is no model 'nobody' here") as missing:
        client.completions.create(model="nobody", prompt="one")
    assert missing.value.code == "model_unknown"
    with client_of(studio, "sp-wrong") as wrong, pytest.raises(openai.AuthenticationError, match="not known"):
        wrong.completions.create(model="plain", prompt="one")
    with pytest.raises(openai.APIStatusError, match="at most 200,000 are allowed") as long:
        client.completions.create(model="plain", prompt="x" * 200_001)
    assert long.value.status_code == 413


def test_a_full_queue_is_passed_on_with_its_time(client: OpenAI) -> None:
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError, match="The queue is full") as busy:
            client.completions.create(model="plain", prompt="!busy", stream=stream)
        assert busy.value.response.headers["retry-after"] == "3"


def test_one_of_several_that_fails_ends_the_others(studio: LiveStudio, client: OpenAI) -> None:
    before = len(studio.backend.canceled)
    with pytest.raises(openai.RateLimitError):
        client.completions.create(model="plain", prompt=["!hang", "!busy"])
    assert studio.backend.canceled[before:] == ["!hang"]
    assert studio.backend.running == 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'{"model": "plain"}', "prompt"),
        (b'{"model": 7, "prompt": "one"}', "model"),
        (b"\xff", None),
    ],
)
def test_bodies_that_are_none(studio: LiveStudio, body: bytes, param: str | None) -> None:
    headers = {"authorization": f"Bearer {studio.key}", "content-type": "application/json"}
    answer = httpx.post(f"{studio.url}/v1/completions", content=body, headers=headers)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert (error["type"], error["param"]) == ("invalid_request_error", param)


@pytest.mark.parametrize("text", ["\ud800", "a\x00b", "\U0010ffff", "😀" * 100])
def test_strange_text_is_answered_or_refused(studio: LiveStudio, text: str) -> None:
    import json

    headers = {"authorization": f"Bearer {studio.key}", "content-type": "application/json"}
    for body in ({"model": "plain", "prompt": text}, {"model": text, "prompt": "a"}):
        answer = httpx.post(f"{studio.url}/v1/completions", content=json.dumps(body), headers=headers)
        assert answer.status_code in (200, 400, 404)
