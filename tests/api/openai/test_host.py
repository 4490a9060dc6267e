"""The whole way: the real client, the studio, a serving host of its own process, and what the engine says itself."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import APIStatusError, AsyncOpenAI, OpenAI

from softprompt.data.template import Template
from softprompt.engine.artifact import TunedPrompt, base_of
from softprompt.engine.loading import load_model
from softprompt.engine.readout import LabelReadout
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.params import GenerateConfig
from softprompt.serving.discovery import DiscoveredHost
from softprompt.testing.live import LiveStudio, live_studio, serving_process
from softprompt.workbench.respond import Responder

from .conftest import MODEL, client_of

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

LABELS = ("Service", "Warehouse", "Marketing")
TEXTS = [f"lamp {number} broke" for number in range(16)]


@pytest.fixture(scope="module")
def backbone(tiny_folder: Callable[..., Path]) -> Backbone:
    return load_model(tiny_folder())


@pytest.fixture(scope="module")
def tuned(backbone: Backbone) -> dict[str, TunedPrompt]:
    """Vectors drawn at random; `labels` has a readout."""
    chance = torch.Generator().manual_seed(5)
    size = backbone.hidden_size
    vectors = [SoftPrompt(prefix=0.15 * torch.randn(4, size, generator=chance)) for _ in range(3)]
    readout = LabelReadout(
        labels=LABELS,
        layers=(1, 2),
        places=("mean", "last"),
        center=torch.zeros(4 * size),
        scale=torch.ones(4 * size),
        weight=torch.randn(3, 4 * size, generator=chance),
        bias=torch.zeros(3),
        template=Template("{{input}}\nDepartment: "),
        prompt=vectors[2],
    )
    common: dict[str, Any] = {"base": base_of(backbone), "template": Template(), "task": "classification"}
    return {
        "text": TunedPrompt(name="text", prompt=vectors[0], labels=(), **common),
        "labels": TunedPrompt(name="labels", prompt=vectors[1], labels=LABELS, readout=readout, **common),
    }


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path], tuned: dict[str, TunedPrompt]
) -> Iterator[LiveStudio]:
    """`text` and `labels` are tuned prompts, `plain` is the model alone."""
    home, folders = tmp_path_factory.mktemp("served"), tmp_path_factory.mktemp("prompts")
    with serving_process(home, str(tiny_folder())), live_studio(home, DiscoveredHost(home)) as running:
        running.add_model(MODEL, tiny_folder())
        running.deploy_model("Plain", MODEL, "plain")
        for name, prompt in tuned.items():
            prompt.save(folders / name)
            answers_by = "readout" if prompt.readout else "text"
            running.deploy_prompt(name, MODEL, name, folders / name, answers_by=answers_by)
        yield running


@pytest.fixture
def client(served: LiveStudio) -> Iterator[OpenAI]:
    with client_of(served) as made:
        yield made


def test_answers_are_those_of_the_engine(client: OpenAI, backbone: Backbone, tuned: dict[str, TunedPrompt]) -> None:
    expected = Responder.of(backbone, tuned["text"]).answer(TEXTS, GenerateConfig(max_new_tokens=12))
    answer = client.completions.create(model="text", prompt=TEXTS, temperature=0, max_tokens=12, logprobs=2)
    assert [choice.text for choice in answer.choices] == [e.output for e in expected]
    assert answer.usage is not None
    assert answer.usage.prompt_tokens == sum(e.input_tokens for e in expected)
    assert answer.usage.completion_tokens == sum(e.generated_tokens for e in expected)
    assert answer.usage.prompt_tokens_details.virtual_tokens == 4 * len(TEXTS)
    for choice, known in zip(answer.choices, expected, strict=True):
        assert choice.logprobs is not None
        assert choice.finish_reason == ("length" if known.stop_reason == "max_tokens" else "stop")
        assert choice.softprompt["confidence"] == pytest.approx(known.confidence, rel=1e-3)
        told = choice.logprobs.token_logprobs
        if choice.finish_reason == "length":
            assert math.exp(sum(told)) == pytest.approx(known.confidence, rel=1e-2)
        assert len(told) == len(choice.logprobs.tokens) == len(choice.logprobs.text_offset)
        assert all(1 <= len(top) <= 2 for top in choice.logprobs.top_logprobs)  # half characters look alike


def test_a_stream_adds_up_to_the_whole_answer(client: OpenAI) -> None:
    for name in ("text", "plain"):
        asked: Any = {"model": name, "prompt": TEXTS[0], "temperature": 0, "max_tokens": 30}
        whole = client.completions.create(**asked)
        chunks = list(client.completions.create(**asked, stream=True, stream_options={"include_usage": True}))
        assert "".join(chunk.choices[0].text for chunk in chunks[:-1]) == whole.choices[0].text
        assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
        assert chunks[-1].usage == whole.usage


def test_a_stop_text_ends_stream_and_answer_alike(client: OpenAI) -> None:
    asked: Any = {"model": "text", "prompt": TEXTS[0], "temperature": 0, "max_tokens": 30}
    said = client.completions.create(**asked).choices[0].text
    stop = said[3:5]
    before = said[: said.find(stop)]
    whole = client.completions.create(**asked, stop=stop).choices[0]
    assert (whole.text, whole.finish_reason) == (before, "stop")
    assert "".join(c.choices[0].text for c in client.completions.create(**asked, stop=[stop], stream=True)) == before


def test_a_seed_repeats_a_draw(client: OpenAI) -> None:
    asked: Any = {"model": "text", "prompt": TEXTS[0], "max_tokens": 20}
    first = client.completions.create(**asked)
    seed = first.choices[0].softprompt["seed"]
    assert client.completions.create(**asked, seed=seed).choices[0].text == first.choices[0].text


def test_a_label_readout_answers_on_this_wire(
    client: OpenAI, backbone: Backbone, tuned: dict[str, TunedPrompt]
) -> None:
    (expected,) = Responder.of(backbone, tuned["labels"]).answer(TEXTS[:1])
    turns: list[Any] = [{"role": "user", "content": TEXTS[0]}]
    choice = client.chat.completions.create(model="labels", messages=turns).choices[0]
    assert choice.message.content == expected.output
    assert choice.softprompt["confidence"] == pytest.approx(expected.confidence, rel=1e-4)
    assert set(choice.softprompt["labels"]) == set(LABELS)
    streamed = list(client.chat.completions.create(model="labels", messages=turns, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in streamed) == expected.output
    text = client.completions.create(
        model="labels", prompt=TEXTS[0], temperature=0, extra_body={"softprompt": {"way": "text"}}
    )
    assert text.choices[0].softprompt["stop_reason"] != "label"


def test_a_chat_with_a_foundation_model(client: OpenAI) -> None:
    turns: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    answer = client.chat.completions.create(model=MODEL, messages=turns, temperature=0, max_completion_tokens=5)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > len("Be brief.Hello")
    assert answer.usage.prompt_tokens_details.virtual_tokens == 0


QUESTION = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["text", "labels", "plain", MODEL]),
        "prompt": st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=60),
        "max_tokens": st.integers(1, 12),
        "stream": st.booleans(),
    },
    optional={
        "temperature": st.sampled_from([0.0, 1.0]),
        "top_p": st.sampled_from([0.5, 1.0]),
        "stop": st.sampled_from(["e", " "]),
        "extra_body": st.sampled_from([{"softprompt": {"way": "text"}}, {"min_tokens": 1}]),
    },
)


@settings(max_examples=15)
@given(questions=st.lists(QUESTION, min_size=2, max_size=12))
def test_an_answer_does_not_depend_on_its_neighbours(served: LiveStudio, questions: list[dict[str, Any]]) -> None:
    """Whatever is asked at once, of whichever prompts, in pieces or whole, greedy or drawn: as if asked alone."""

    async def ask(client: AsyncOpenAI, question: dict[str, Any]) -> tuple[str, str | None]:
        if not question["stream"]:
            choice = (await client.completions.create(**question, seed=5)).choices[0]
            return choice.text, choice.finish_reason
        told = [chunk.choices[0] async for chunk in await client.completions.create(**question, seed=5)]
        return "".join(choice.text for choice in told), told[-1].finish_reason

    async def asked() -> tuple[list[Any], list[Any]]:
        async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0) as client:
            together = await asyncio.gather(*(ask(client, question) for question in questions))
            return together, [await ask(client, question) for question in questions]

    together, alone = asyncio.run(asked())
    assert together == alone


def test_who_leaves_in_the_middle_is_no_error(served: LiveStudio, caplog: pytest.LogCaptureFixture) -> None:
    asked: Any = {"max_tokens": 400, "extra_body": {"min_tokens": 400}, "temperature": 0, "stream": True}

    async def leave() -> None:
        async with AsyncOpenAI(base_url=f"{served.url}/v1", api_key=served.key, max_retries=0) as client:
            for name in ("text", "plain"):
                wanted = [client.completions.create(model=name, prompt=text, **asked) for text in TEXTS]
                streams = await asyncio.gather(*wanted)
                await asyncio.gather(*(anext(stream) for stream in streams))
                await asyncio.gather(*(stream.close() for stream in streams))
            answer = await client.completions.create(model="plain", prompt=TEXTS[0], temperature=0, max_tokens=2)
            assert answer.choices[0].finish_reason == "length"

    asyncio.run(leave())
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_our_own_interface_says_the_same(served: LiveStudio, client: OpenAI) -> None:
    import httpx

    headers = {"authorization": f"Bearer {served.key}"}
    body = {"deployment": "text", "input": TEXTS[:3], "parameters": {"max_new_tokens": 12}, "details": 1}
    ours = httpx.post(f"{served.url}/api/generate", json=body, headers=headers).json()["results"]
    theirs = client.completions.create(model="text", prompt=TEXTS[:3], temperature=0, max_tokens=12).choices
    assert [result["output"] for result in ours] == [choice.text for choice in theirs]
    assert all(len(result["tokens"]) == result["generated_tokens"] for result in ours)
    counted = httpx.post(
        f"{served.url}/api/tokenize", json={"deployment": "text", "input": "It hums."}, headers=headers
    ).json()["results"][0]
    assert counted["virtual_tokens"] == 4
    assert counted["count"] == len(counted["tokens"])
    assert counted["count"] > len("It hums.")


def test_the_log_of_the_host_knows_the_request_that_failed(client: OpenAI, served: LiveStudio) -> None:
    asked: Any = {"model": "text", "prompt": "x" * 3000, "extra_headers": {"x-request-id": "too-long-17"}}
    with pytest.raises(APIStatusError, match="do not fit into the 2048"):
        client.completions.create(**asked)
    lines = [json.loads(line) for line in (served.data_dir / "logs" / "serving.log").read_text("utf-8").splitlines()]
    (failed,) = [line for line in lines if line.get("request_id") == "too-long-17"]
    assert (failed["process"], failed["code"], failed["status"]) == ("serving", "invalid_parameter", 400)
    assert "do not fit into the 2048" in failed["message"]
    told = [line["message"] for line in lines]
    assert any(words.startswith("Answers requests at port") for words in told)
    assert any(" was loaded in " in words for words in told)
