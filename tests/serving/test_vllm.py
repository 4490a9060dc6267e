"""What a vLLM server is sent, recorded by one made of a few lines; its answers are those of the documented wire.

The matrix that arrives is compared with what the engine itself puts in front of its layers.
"""

from __future__ import annotations

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


class Recorder:
    """Stands for vLLM: keeps what it is sent and answers with given chunks."""

    def __init__(self, model_id: str) -> None:
        self.model_id, self.version, self.status = model_id, "0.30.1", 200
        self.bodies: list[dict[str, Any]] = []
        self.chunks: list[dict[str, Any]] = [
            {"choices": [{"text": " Ware"}]},
            {"choices": [{"text": "house", "finish_reason": "stop", "stop_reason": None}]},
            {"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}},
        ]

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/version":
            return httpx.Response(200, json={"version": self.version})
        if request.url.path == "/v1/models":
            return httpx.Response(200, json={"data": [{"id": "served", "root": self.model_id}]})
        assert request.url.path == "/v1/completions"
        self.bodies.append(json.loads(request.content))
        if self.status != 200:
            return httpx.Response(self.status, json={"error": {"message": "no such thing"}})
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in self.chunks] + ["data: [DONE]\n\n"]
        return httpx.Response(200, text="".join(lines))


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
    assert (first["stop"], first["include_stop_str_in_output"], first["logprobs"]) == (["\n"], True, 2)
    assert second["prompt"] == backend_ids("user: hi\nassistant:")
    assert second["temperature"] == 0.0


def backend_ids(text: str) -> list[int]:
    from softprompt.testing.tiny import byte_tokenizer

    ids: list[int] = byte_tokenizer()(text)["input_ids"]
    return ids


async def test_pieces_details_and_ends_are_read(backend: VllmBackend, recorder: Recorder, model_id: str) -> None:
    logprobs = {"tokens": [" a"], "token_logprobs": [-1.0], "top_logprobs": [{" b": -0.5, " a": -1.0}]}
    recorder.chunks = [
        {"choices": [{"text": " a", "logprobs": logprobs}]},
        {"choices": [{"text": "\n", "finish_reason": "stop", "stop_reason": "\n"}]},
    ]
    work = Work(target=Target(model_id), text="x", details=2)
    *pieces, done = await events(backend, work)
    assert [piece.text for piece in pieces if isinstance(piece, Piece)] == [" a", "\n"]
    assert done.stop_reason == "stop_sequence"  # type: ignore[union-attr]
    (token,) = done.tokens  # type: ignore[union-attr]
    assert (token.text, token.logprob, token.rank, token.top) == (" a", -1.0, 2, ((" b", -0.5), (" a", -1.0)))


async def test_what_vllm_cannot_do_is_said(
    backend: VllmBackend, recorder: Recorder, model_id: str, store: Path, backbone: Any
) -> None:
    label = tuned_prompt(backbone, 1, readout=True)
    replace(label, prompt=SoftPrompt(), name="label only").save(store / "label-only")
    deep = SoftPrompt(deep=torch.zeros(2, 2, 2, 3, 8))
    replace(label, prompt=deep, readout=None, name="deep").save(store / "deep")
    for key, way, message in [
        ("label-1", "readout", "way: 'readout' is not possible through vLLM, which gives text only. Ask for text."),
        ("label-only", "auto", "'label only' answers by its label readout alone, which vLLM cannot run."),
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
