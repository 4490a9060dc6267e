"""A studio on a real port that answers by rule, and the real client of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from openai import OpenAI

from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

MODEL = "tiny/llama"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[LiveStudio]:
    """With the model tiny/llama, deployed alone as `plain`, and behind the tuned prompt `routing`."""
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend()) as running:
        running.add_model(MODEL, tiny_folder())
        running.deploy_model("Plain", MODEL, "plain")
        running.deploy_prompt("Routing", MODEL, "routing")
        yield running


@pytest.fixture
def client(studio: LiveStudio) -> Iterator[OpenAI]:
    with client_of(studio) as made:
        yield made


def client_of(studio: LiveStudio, key: str | None = None) -> OpenAI:
    return OpenAI(base_url=f"{studio.url}/v1", api_key=key or studio.key, max_retries=0)
