"""Streams with the real client: pieces, ends, errors inside, many at once, and clients that leave."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openai import AsyncOpenAI, OpenAI

from softprompt.api.openai.stops import Cutter, without_stop
from softprompt.serving.protocol import Done
from softprompt.testing.live import LiveStudio, wait_until

USAGE = {"include_usage": True}


def turns(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


def test_a_completion_comes_in_pieces(client: OpenAI) -> None:
    chunks = list(client.completions.create(model="routing", prompt="one two three", stream=True))
    assert [chunk.choices[0].text for chunk in chunks] == ["ONE", " TWO", " THREE", ""]
    assert [chunk.choices[0].finish_reason for chunk in chunks] == [None, None, None, "stop"]
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    assert all(chunk.usage is None for chunk in chunks)


def test_several_prompts_come_side_by_side(client: OpenAI) -> None:
    texts = ["", "", ""]
    stream = client.completions.create(
        model="plain", prompt=["a b", "c d", "!label"], stream=True, stream_options=USAGE
    )
    chunks = list(stream)
    for chunk in chunks[:-1]:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == ["a b", "c d", "Service"]
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert (chunks[-1].usage.prompt_tokens, chunks[-1].usage.completion_tokens) == (6, 6)


def test_a_chat_comes_in_pieces_and_ends_with_its_counts(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="routing", messages=turns("one two"), stream=True, stream_options=USAGE, logprobs=True
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "ONE TWO"
    ending = chunks[-2].choices[0]
    assert (ending.finish_reason, ending.softprompt["confidence"]) == ("stop", 0.5)
    assert ending.logprobs is not None
    assert [token.token for token in ending.logprobs.content or ()] == ["ONE", " TWO"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.prompt_tokens_details.virtual_tokens == 3


def test_the_clients_own_helper_for_streams_gathers_the_answer(client: OpenAI) -> None:
    with client.chat.completions.stream(model="routing", messages=turns("one two")) as stream:
        stream.until_done()
        assert stream.get_final_completion().choices[0].message.content == "ONE TWO"


def test_stop_texts_do_not_show(client: OpenAI) -> None:
    stream = client.completions.create(model="plain", prompt="one two three four", stop=["two three"], stream=True)
    chunks = list(stream)
    assert "".join(chunk.choices[0].text for chunk in chunks) == "one "
    assert chunks[-1].choices[0].finish_reason == "stop"


LETTERS = st.text("ab.", max_size=12)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(LETTERS, st.lists(st.text("ab.", min_size=1, max_size=4), max_size=3), st.lists(st.integers(1, 4), max_size=12))
def test_pieces_add_up_to_the_answer_without_its_stop_text(text: str, stops: list[str], sizes: list[int]) -> None:
    ends = [text.find(stop) + len(stop) for stop in stops if stop in text]
    output = text[: min(ends)] if ends else text
    reason = "stop_sequence" if ends else "eos_token"
    done = Done(output=output, input_tokens=1, virtual_tokens=0, generated_tokens=1, stop_reason=reason)
    cutter, told, start = Cutter(stops), "", 0
    for size in sizes:
        told += cutter.add(output[start : start + size])
        start += size
        assert without_stop(done, stops).startswith(told)
    told += cutter.add(output[start:])
    assert told + cutter.end(done) == without_stop(done, stops)
    assert not any(without_stop(done, stops).count(stop) for stop in stops)


def test_the_bytes_are_those_that_openai_sends(studio: LiveStudio) -> None:
    body = {"model": "plain", "prompt": "ein Stück", "stream": True}
    answer = httpx.post(f"{studio.url}/v1/completions", json=body, headers=bearer(studio))
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    *events, rest = answer.text.split("\n\n")
    assert rest == ""
    assert events[-1] == "data: [DONE]"
    assert all(event.startswith("data: {") and "\n" not in event for event in events[:-1])
    assert "".join(json.loads(e[6:])["choices"][0]["text"] for e in events[:-1]) == "ein Stück"


def test_an_error_inside_a_stream_is_raised_by_the_client(studio: LiveStudio, client: OpenAI) -> None:
    stream = client.chat.completions.create(model="plain", messages=turns("!late-busy"), stream=True)
    told = []
    with pytest.raises(openai.APIError, match="The queue is full") as caught:
        told += [chunk.choices[0].delta.content for chunk in stream]
    assert caught.value.code == "busy"
    body = {"model": "plain", "prompt": "!late-busy", "stream": True}
    lines = httpx.post(f"{studio.url}/v1/completions", json=body, headers=bearer(studio)).text.strip().split("\n\n")
    assert json.loads(lines[-1].removeprefix("data: "))["error"]["type"] == "rate_limit_error"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", ["!hang", ["!hang", "!hang"]])
def test_who_leaves_takes_the_work_along(studio: LiveStudio, stream: bool, prompt: str | list[str]) -> None:
    count = 1 if isinstance(prompt, str) else len(prompt)
    before = len(studio.backend.canceled)

    async def leave() -> None:
        async with client_for(studio) as client:
            asking = asyncio.ensure_future(client.completions.create(model="plain", prompt=prompt, stream=stream))
            while studio.backend.running < count:
                await asyncio.sleep(0.002)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    asyncio.run(leave())
    wait_until(lambda: len(studio.backend.canceled) == before + count, "the work goes on")
    assert studio.backend.running == 0


def test_who_leaves_in_the_middle_of_a_stream_takes_the_work_along(studio: LiveStudio, client: OpenAI) -> None:
    before = len(studio.backend.canceled)
    words = "word " * 30_000
    stream = client.completions.create(model="plain", prompt=words, max_tokens=100_000, stream=True)
    next(iter(stream))
    stream.close()
    wait_until(lambda: len(studio.backend.canceled) == before + 1, "the work goes on")


def test_sixteen_at_once_are_worked_on_together(studio: LiveStudio) -> None:
    studio.backend.most_running, studio.backend.gate = 0, 16

    async def ask() -> list[str]:
        async with client_for(studio) as client:

            async def one(number: int) -> str:
                if number % 2:
                    answer = await client.completions.create(model="routing", prompt=f"word {number}")
                    return answer.choices[0].text
                stream = await client.completions.create(model="routing", prompt=f"word {number}", stream=True)
                return "".join([chunk.choices[0].text async for chunk in stream])

            return list(await asyncio.gather(*(one(number) for number in range(16))))

    try:
        assert asyncio.run(ask()) == [f"WORD {number}" for number in range(16)]
    finally:
        studio.backend.gate = 0


def bearer(studio: LiveStudio) -> dict[str, str]:
    return {"authorization": f"Bearer {studio.key}"}


def client_for(studio: LiveStudio) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{studio.url}/v1", api_key=studio.key, max_retries=0)
