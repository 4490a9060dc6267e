"""What our vLLM backend and a real vLLM server said to each other, kept as JSON and played back without the server.

`Tape` is a transport for the backend's HTTP client: recording, it passes everything on; playing, it answers as the
server did, and refuses a request that is not the one recorded. `benchmarks/vllm_contract.py` records.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import torch

from softprompt.data.template import Template
from softprompt.engine.artifact import TunedPrompt, base_of
from softprompt.engine.fingerprint import digest
from softprompt.engine.loading import load_model
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.params import GenerateConfig
from softprompt.serving.protocol import Done, Failed, Message, Target, Work
from softprompt.serving.vllm import VllmBackend
from softprompt.testing.tiny import tiny_model

NAME = "model"
"""What the server calls the model."""
MODEL = "MODEL-FOLDER"
"""Stands in the file for the folder of the model."""
CONTEXT = 128
"""Tokens that the server takes, input and answer together."""
CASES: dict[str, dict[str, Any]] = {
    "the model alone": {"text": "The parcel is late."},
    "vectors in front": {"prompt": "front", "text": "The parcel is late."},
    "vectors in front and behind": {"prompt": "both", "text": "Nobody answers my mails, again!"},
    "all at once": {"prompt": "both", "text": "Where is it?", "stream": False},
    "a chat": {"messages": [["user", "Hello?"], ["assistant", "Yes."], ["user", "Where is it?"]]},
    "alternatives of the model": {"text": "The parcel", "details": 3},
    "alternatives behind vectors": {"prompt": "front", "text": "L\u00f6we \u2013 \u732b", "details": 2},
    "an end by the end token": {"prompt": "end", "text": "Where is it?"},
    "an end not before two tokens": {"prompt": "end", "text": "Where is it?", "config": {"min_new_tokens": 2}},
    "an end by a stop sequence": {"prompt": "front", "text": "The parcel is late.", "config": {"stop": ["E"]}},
    "drawn with a seed": {
        "text": "The parcel is",
        "config": {"decoding": "sample", "temperature": 0.8, "top_p": 0.9, "top_k": 20, "seed": 7},
    },
    "a repetition penalty": {"text": "la la la", "config": {"repetition_penalty": 1.5}},
    "an end by the context": {"text": "word " * 24},
    "an input too long": {"text": "word " * 40},
}
"""What is asked: the fields of a `Work`, and which tuned prompt."""


@dataclass(frozen=True)
class World:
    """The folders of a tiny foundation model and of tuned prompts for it; everywhere the same bits."""

    model: Path
    prompts: Path

    @classmethod
    def make(cls, folder: Path) -> World:
        made = cls(folder / "tiny", folder / "prompts")
        tiny_model("llama", made.model, head_dim=32, max_position_embeddings=CONTEXT)
        backbone = load_model(str(made.model))
        chance = torch.Generator().manual_seed(5)
        front, both, behind = (0.15 * torch.randn(n, backbone.hidden_size, generator=chance) for n in (4, 3, 2))
        end = 5 * backbone.embed(torch.tensor([backbone.tokenizer.eos_token_id])).detach()
        prompts = {
            "front": SoftPrompt(prefix=front),
            "both": SoftPrompt(prefix=both, suffix=behind),
            "end": SoftPrompt(prefix=both, suffix=end),  # the likeliest token behind it ends the answer
        }
        for name, prompt in prompts.items():
            base = base_of(backbone)
            tuned = TunedPrompt(name=name, base=base, task="generation", prompt=prompt, template=Template())
            tuned.save(made.prompts / name)
        return made

    def work(self, case: dict[str, Any]) -> Work:
        facts = {name: value for name, value in case.items() if name not in ("prompt", "messages", "config")}
        return Work(
            target=Target(str(self.model), case.get("prompt")),
            messages=tuple(Message(*each) for each in case.get("messages", ())),
            config=GenerateConfig(**{"max_new_tokens": 12, **case.get("config", {})}),
            **facts,
        )

    def backend(self, tape: Tape, url: str = "http://vllm") -> VllmBackend:
        return VllmBackend(url, self.prompts.joinpath, transport=tape)


class Tape(httpx.AsyncBaseTransport):
    """Exchanges with a server, in order.

    Attributes:
        exchanges: each a dictionary with `request` and `response`. Paths of this machine are left out, and embeddings
            are told by a digest of their values.
    """

    def __init__(self, world: World, exchanges: list[dict[str, Any]] | None = None) -> None:
        self.exchanges: list[dict[str, Any]] = [] if exchanges is None else exchanges
        self._paths = str(world.model)
        self._playing = iter(self.exchanges) if exchanges is not None else None
        self._real = httpx.AsyncHTTPTransport() if exchanges is None else None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = {"method": request.method, "path": request.url.path, "body": _bare(request.content)}
        if self._real is not None:
            return await self._recorded(request, asked)
        told = next(self._playing or iter(()), None)
        if told is None or told["request"] != asked:
            raise AssertionError(f"This was not recorded:\n{asked}\nbut\n{told and told['request']}")
        answer = told["response"]
        content = answer["content"].replace(MODEL, self._paths).encode()
        return httpx.Response(answer["status"], headers={"content-type": answer["type"]}, content=content)

    async def _recorded(self, request: httpx.Request, asked: dict[str, Any]) -> httpx.Response:
        assert self._real is not None
        response = await self._real.handle_async_request(request)
        content = await response.aread()
        said = {
            "status": response.status_code,
            "type": response.headers.get("content-type", ""),
            "content": content.decode().replace(self._paths, MODEL),
        }
        self.exchanges.append({"request": asked, "response": said})
        return httpx.Response(response.status_code, content=content)

    async def aclose(self) -> None:
        if self._real is not None:
            await self._real.aclose()


def _bare(content: bytes) -> Any:
    """A request's body without what is long: the matrix is told by its digest."""
    if not content:
        return None
    body = json.loads(content)
    if "prompt_embeds" in body:
        matrix: torch.Tensor = torch.load(io.BytesIO(base64.b64decode(body["prompt_embeds"])), weights_only=True)
        body["prompt_embeds"] = [str(matrix.dtype), list(matrix.shape), digest(matrix)]
    return body


async def ask(world: World, backend: Any, name: str) -> dict[str, Any]:
    """The pieces and the end of an answer to a case, as they stand in the file."""
    found: list[Any] = [event async for event in backend.generate(world.work(CASES[name]))]
    last = found[-1]
    assert isinstance(last, Done | Failed)
    end = {name: value for name, value in asdict(last).items() if name != "seconds"}
    told = {"pieces": [piece.text for piece in found[:-1]], "kind": last.kind, **end}
    answer: dict[str, Any] = json.loads(json.dumps(told).replace(str(world.model), MODEL))
    return answer


async def record(world: World, url: str, names: Iterable[str]) -> dict[str, Any]:
    """Cases asked of the server at `url`: the exchanges and the answer of each."""
    told: dict[str, Any] = {}
    for name in names:
        tape = Tape(world)
        backend = world.backend(tape, url)
        told[name] = {"answer": await ask(world, backend, name), "exchanges": tape.exchanges}
        await backend.close()
    return told


async def play(world: World, told: dict[str, Any], name: str) -> dict[str, Any]:
    """The answer to a case, from a server that answers as it did when it was recorded."""
    backend = world.backend(Tape(world, told[name]["exchanges"]))
    answer = await ask(world, backend, name)
    await backend.close()
    return answer
