"""What a real vLLM server answered, played back: our backend still asks the same, and reads the same out of it.

`benchmarks/vllm_contract.py --vllm PATH --write` records it, with a tiny model that is made here again.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from softprompt.serving.host import Host, HostSettings
from softprompt.testing.vllm_tape import CASES, World, ask, play

pytestmark = pytest.mark.anyio
TOLD: dict[str, Any] = json.loads(Path(__file__).with_name("vllm_recorded.json").read_text(encoding="utf-8"))
WITH, WITHOUT = TOLD["with embeddings"], TOLD["without embeddings"]
TOO_LONG = "an input too long"
DRAWN = "drawn with a seed"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World.make(tmp_path_factory.mktemp("vllm"))


@pytest.fixture
async def host(world: World, tmp_path: Path) -> AsyncIterator[Host]:
    made = Host(HostSettings(fetch=world.prompts.joinpath, data_dir=tmp_path, secret="s3cret"))
    yield made
    await made.close(1.0)


def whole(value: Any) -> Any:
    """A text without the half letters at its end, which vLLM does not say."""
    return value.rstrip("\ufffd") if isinstance(value, str) else value


def test_every_case_was_recorded() -> None:
    assert list(WITH) == list(CASES)


@pytest.mark.parametrize("name", CASES)
async def test_the_answer_is_read_as_it_was(world: World, name: str) -> None:
    assert await play(world, WITH, name) == WITH[name]["answer"]


@pytest.mark.parametrize("name", [name for name in CASES if name not in (DRAWN, TOO_LONG)])
async def test_our_own_host_says_the_same(world: World, host: Host, name: str) -> None:
    ours, theirs = await ask(world, host, name), WITH[name]["answer"]
    known = ("output", "input_tokens", "virtual_tokens", "generated_tokens", "stop_reason")
    for field in known:
        assert whole(ours[field]) == whole(theirs[field])
    for one, other in zip(ours["tokens"], theirs["tokens"], strict=True):
        assert (one["text"], one["rank"]) == (other["text"], other["rank"])
        assert one["logprob"] == pytest.approx(other["logprob"], abs=1e-3)
        assert [text for text, _ in one["top"]] == [text for text, _ in other["top"]]


async def test_an_input_too_long_is_the_callers_fault(world: World) -> None:
    refused = await play(world, WITH, TOO_LONG)
    assert (refused["kind"], refused["code"], refused["status"]) == ("failed", "invalid_parameter", 400)
    assert "maximum context length" in refused["message"]


async def test_a_server_without_embeddings_says_what_to_do(world: World) -> None:
    (name,) = WITHOUT
    refused = await play(world, WITHOUT, name)
    assert refused["code"] == "unavailable"
    assert refused["message"].endswith("Start the vLLM server with this option.")
