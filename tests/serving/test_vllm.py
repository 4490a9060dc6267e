"""What a vLLM server is sent, recorded by one made of a few lines; its answers have the shape of those of vLLM 0.32.0.

The matrix that arrives is compared with what the engine itself puts in front of its layers.
"""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from softprompt.engine.artifact import TunedPrompt
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.params import GenerateConfig
from softprompt.serving.protocol import Message, Piece, Target, Work
from softprompt.serving.vllm import VllmBackend

from .conftest import answered, events, failed, tuned_prompt

pytestmark = pytest.mark.anyio


def chunk(text: str, **facts: Any) -> dict[str, Any]:
    """An event with one choice, as it comes from vLLM."""
    count = facts.pop("count", 1)
    choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": None, "stop_reason": None, **facts}
    usage = {"prompt_tokens": 9, "total_tokens": 9 + count, "completion_tokens": count}
    return {"id": "cmpl-87e9", "object": "text_completion", "model": "served", "choices": [choice], "usage": usage}


class Recorder:
    """Stands for vLLM: keeps what it is sent and answers with given chunks."""

    def __init__(self, model_id: str) -> None:
        self.model_id, self.version, self.status, self.message = model_id, "0.32.0", 200, "no such thing"
        self.served, self.longest = "served", 64
        self.hang: asyncio.Event | None = None
        self.bodies: list[dict[str, Any]] = []
        self.chunks: list[dict[str, Any]] = [
            chunk(" Ware"),
            chunk("house", count=3, finish_reason="stop"),
            {"choices": [], "usage": {"prompt_tokens": 9, "total_tokens": 12, "completion_tokens": 3}},
        ]

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/version":
            return httpx.Response(200, json={"version": self.version})
        if request.url.path == "/v1/models":
            model = {"id": self.served, "object": "model", "root": self.model_id, "max_model_len": self.longest}
            return httpx.Response(200, json={"object": "list", "data": [model]})
        assert request.url.path == "/v1/completions"
        self.bodies.append(json.loads(request.content))
        if self.status != 200:
            error = {"message": self.message, "type": "BadRequestError", "param": None, "code": self.status}
            return httpx.Response(self.status, json={"error": error})
        return httpx.Response(200, stream=Events(self.chunks, self.hang))


class Events(httpx.AsyncByteStream):
    """Events of a server, which says nothing after the last one if it is to hang."""

    def __init__(self, chunks: list[dict[str, Any]], hang: asyncio.Event | None) -> None:
        self._chunks, self._hang = chunks, hang

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for said in self._chunks:
            yield f"data: {json.dumps(said)}\n\n".encode()
        if self._hang:
            await self._hang.wait()
        yield b"data: [DONE]\n\n"


@pytest.fixture
def recorder(model_id: str) -> Recorder:
    return Recorder(model_id)


@pytest.fixture
async def backend(recorder: Recorder, store: Path) -> AsyncIterator[VllmBackend]:
    made = VllmBackend("http://vllm/v1", store.joinpath, transport=httpx.MockTransport(recorder))
    yield made
    await made.close()


def sent(body: dict[str, Any]) -> torch.Tensor:
    """The matrix as vLLM reads it."""
    tensor: torch.Tensor = torch.load(io.BytesIO(base64.b64decode(body["prompt_embeds"])), weights_only=True)
    return tensor


@pytest.mark.parametrize("key", ["text-1", "text-2", "label-1"])
async def test_the_matrix_is_what_the_engine_reads(
    backend: VllmBackend, recorder: Recorder, model_id: str, store: Path, backbone: Any, key: str
) -> None:
    tuned = TunedPrompt.load(store / key)
    done = await answered(backend, Work(target=Target(model_id, key), text="the lamp", way="text"))

    encoder = Encoder(backbone.tokenizer, tuned.template)
    row = encoder.row("the lamp")
    words = backbone.embed(torch.tensor([*encoder.head, *row.prompt]))
    wanted = torch.cat([p for p in (tuned.prompt.prefix, words, tuned.prompt.suffix) if p is not None])
    matrix = sent(recorder.bodies[0])
    assert (matrix.shape, matrix.dtype) == (wanted.shape, torch.float32)
    assert torch.equal(matrix, wanted)
    assert "prompt" not in recorder.bodies[0]
    assert recorder.bodies[0]["model"] == "served"
    assert done.output == "Warehouse"  # the template's blank is taken off
    assert (done.input_tokens, done.virtual_tokens) == (len(words), tuned.prompt.virtual_tokens)
    assert (done.generated_tokens, done.stop_reason) == (3, "eos_token")


async def test_parameters_travel_in_the_servers_words(backend: VllmBackend, recorder: Recorder, model_id: str) -> None:
    config = GenerateConfig(
        decoding="sample", temperature=0.5, top_p=0.9, top_k=0, seed=4, stop=("\n",), min_new_tokens=1, max_new_tokens=7
    )
    await answered(backend, Work(target=Target(model_id), text="ab", config=config, details=2))
    await answered(backend, Work(target=Target(model_id), messages=(Message("user", "hi"),)))
    first, second = recorder.bodies
    assert first["prompt"] == backend_ids("ab")
    assert {name: first[name] for name in ("temperature", "top_p", "top_k", "seed", "max_tokens", "min_tokens")} == {
        "temperature": 0.5, "top_p": 0.9, "top_k": -1, "seed": 4, "max_tokens": 7, "min_tokens": 1,
    }  # fmt: skip
    assert (first["stop"], first["include_stop_str_in_output"], first["logprobs"]) == (["\n"], True, 20)
    assert second["prompt"] == backend_ids("user: hi\nassistant:")
    assert second["temperature"] == 0.0


def backend_ids(text: str) -> list[int]:
    from softprompt.testing.tiny import byte_tokenizer

    ids: list[int] = byte_tokenizer()(text)["input_ids"]
    return ids


async def test_pieces_details_and_ends_are_read(backend: VllmBackend, recorder: Recorder, model_id: str) -> None:
    a, b, end = (f"token_id:{number}" for number in (*backend_ids("ab"), *backend_ids("\n")))
    logprobs = {"tokens": [a], "token_logprobs": [-1.0], "top_logprobs": [{a: -1.0, b: -0.5}]}
    last = {"tokens": [end], "token_logprobs": [-0.1], "top_logprobs": [{end: -0.1, b: -3.0, a: -4.0}]}
    recorder.chunks = [
        chunk("a", logprobs=logprobs),
        chunk("\n", logprobs=last, finish_reason="stop", stop_reason="\n", count=2),
    ]
    *pieces, done = await events(backend, Work(target=Target(model_id), text="x", details=1))
    assert [piece.text for piece in pieces if isinstance(piece, Piece)] == ["a", "\n"]
    assert (done.stop_reason, done.generated_tokens) == ("stop_sequence", 2)  # type: ignore[union-attr]
    first, second = done.tokens  # type: ignore[union-attr]
    assert (first.text, first.logprob, first.rank, first.top) == ("a", -1.0, 2, (("b", -0.5),))
    assert (second.text, second.rank, second.top) == ("\n", 1, (("\n", -0.1),))
    body = recorder.bodies[0]  # many alternatives, so that ranks can be counted
    assert (body["logprobs"], body["return_tokens_as_token_ids"]) == (20, True)


async def test_parts_of_letters_are_told_apart(backend: VllmBackend, recorder: Recorder, model_id: str) -> None:
    first, second, *_ = (f"token_id:{number}" for number in backend_ids("é"))
    logprobs = {"tokens": [first], "token_logprobs": [-0.5], "top_logprobs": [{first: -0.5, second: -1.0}]}
    recorder.chunks = [chunk("", logprobs=logprobs), chunk("é", count=2, finish_reason="length")]
    done = await answered(backend, Work(target=Target(model_id), text="x", details=2))
    (token,) = done.tokens
    assert (token.text, [number for _, number in token.top]) == ("\ufffd", [-0.5, -1.0])
    assert (done.output, done.stop_reason) == ("é", "max_tokens")


async def test_no_more_is_asked_than_the_context_takes(backend: VllmBackend, recorder: Recorder, model_id: str) -> None:
    recorder.chunks = [chunk("ab", count=2, finish_reason="length")]
    config = GenerateConfig(max_new_tokens=20, min_new_tokens=10)
    done = await answered(backend, Work(target=Target(model_id), text="x" * 60, config=config))
    assert (recorder.bodies[0]["max_tokens"], recorder.bodies[0]["min_tokens"]) == (4, 4)
    assert done.stop_reason == "token_limit"


async def test_inputs_are_cut_and_never_empty(backend: VllmBackend, recorder: Recorder, model_id: str) -> None:
    cut = await answered(
        backend, Work(target=Target(model_id), text="abcd", config=GenerateConfig(truncate_input_tokens=2))
    )
    assert (recorder.bodies[0]["prompt"], cut.input_tokens, cut.cut) == (backend_ids("ab"), 2, True)
    whole = await answered(backend, Work(target=Target(model_id), text=""))
    assert (len(recorder.bodies[1]["prompt"]), whole.input_tokens, whole.cut) == (1, 1, False)


async def test_what_came_in_time_is_counted(backend: VllmBackend, recorder: Recorder, model_id: str) -> None:
    recorder.chunks, recorder.hang = [chunk("ab", count=2)], asyncio.Event()
    done = await answered(backend, Work(target=Target(model_id), text="x", time_limit=0.2))
    assert (done.output, done.generated_tokens, done.stop_reason) == ("ab", 2, "time_limit")
    assert recorder.bodies[0]["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}


async def test_errors_inside_the_stream_are_errors(backend: VllmBackend, recorder: Recorder, model_id: str) -> None:
    recorder.chunks = [{"error": {"message": "engine died", "type": "InternalServerError", "code": 500}}]
    refused = await failed(backend, Work(target=Target(model_id), text="x"))
    assert (refused.code, refused.message) == ("unavailable", "vLLM: engine died")


async def test_a_server_without_embeddings_is_not_the_callers_fault(
    backend: VllmBackend, recorder: Recorder, model_id: str
) -> None:
    recorder.status = 400
    recorder.message = "You must set `--enable-prompt-embeds` to input `prompt_embeds`. (parameter=prompt_embeds)"
    refused = await failed(backend, Work(target=Target(model_id, "text-1"), text="x"))
    assert refused.code == "unavailable"
    assert refused.message.endswith("(parameter=prompt_embeds) Start the vLLM server with this option.")


async def test_a_model_may_be_served_under_its_folder(store: Path, recorder: Recorder, model_id: str) -> None:
    recorder.served, recorder.model_id = model_id, "elsewhere"
    backend = VllmBackend("http://vllm", store.joinpath, transport=httpx.MockTransport(recorder))
    await answered(backend, Work(target=Target(model_id), text="x"))
    assert recorder.bodies[0]["model"] == model_id
    await backend.close()


async def test_a_repetition_penalty_behind_a_tuned_prompt_is_refused(
    backend: VllmBackend, recorder: Recorder, model_id: str
) -> None:
    config = GenerateConfig(repetition_penalty=1.2)
    refused = await failed(backend, Work(target=Target(model_id, "text-1"), text="x", config=config))
    assert refused.code == "model_unsupported"
    assert "repetition_penalty: 1.2 behind a tuned prompt is not possible through vLLM" in refused.message
    await answered(backend, Work(target=Target(model_id), text="x", config=config))
    assert [body["repetition_penalty"] for body in recorder.bodies] == [1.2]


async def test_what_vllm_cannot_do_is_said(
    backend: VllmBackend, recorder: Recorder, model_id: str, store: Path, backbone: Any
) -> None:
    label = tuned_prompt(backbone, 1, readout=True)
    replace(label, prompt=SoftPrompt(), name="label only").save(store / "label-only")
    deep = SoftPrompt(deep=torch.zeros(2, 2, 2, 3, 8))
    replace(label, prompt=deep, readout=None, name="deep").save(store / "deep")
    replace(label, recipe={"config": {"pattern": "a+"}}, readout=None, name="held").save(store / "held")
    for key, way, message in [
        ("label-1", "readout", "way: 'readout' is not possible through vLLM, which gives text only. Ask for text."),
        (
            "label-1",
            "auto",
            "'prompt 1' answers by its label readout, which vLLM cannot run. Ask for text (way: text), or",
        ),
        ("label-only", "auto", "'label only' answers by its label readout alone, which vLLM cannot run."),
        ("held", "auto", "'held' keeps its answers to a pattern, which is not possible through vLLM here."),
        ("deep", "auto", "'deep' holds keys and values per layer, which vLLM does not take."),
    ]:
        refused = await failed(backend, Work(target=Target(model_id, key), text="x", way=way))  # type: ignore[arg-type]
        assert refused.code == "model_unsupported"
        assert message in refused.message
    assert recorder.bodies == []


@pytest.mark.parametrize(("status", "code"), [(400, "invalid_parameter"), (404, "model_unavailable"), (429, "busy")])
async def test_refusals_come_as_our_errors(
    backend: VllmBackend, recorder: Recorder, model_id: str, status: int, code: str
) -> None:
    recorder.status = status
    refused = await failed(backend, Work(target=Target(model_id), text="x"))
    assert (refused.code, refused.message) == (code, "vLLM: no such thing")


async def test_an_old_server_and_another_model_are_refused(
    backend: VllmBackend, recorder: Recorder, model_id: str, tiny_folder: Callable[..., Path]
) -> None:
    other = str(tiny_folder("gpt2"))
    assert (
        f"does not serve {other}; it serves served."
        in (await failed(backend, Work(target=Target(other), text="x"))).message
    )
    assert (await backend.status())["models"] == ["served"]
    old = VllmBackend("http://vllm", Path, transport=httpx.MockTransport(recorder))
    recorder.version = "0.9.2"
    refused = await failed(old, Work(target=Target(model_id), text="x"))
    assert "is vLLM 0.9.2; 0.30 or newer is needed, started with --enable-prompt-embeds." in refused.message
    assert (await old.status())["state"] == "unavailable"
    await old.close()


async def test_tokens_are_counted_with_the_template(backend: VllmBackend, model_id: str) -> None:
    counted = await backend.tokenize(Target(model_id, "text-2"), "the lamp")
    assert (counted.count, counted.virtual_tokens) == (len("Input: the lamp Output:"), 5)
