"""A studio on a real port that answers by rule, clients of it, and rows to upload."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

MODEL = "tiny/llama"
Clients = Callable[..., httpx.Client]


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[LiveStudio]:
    """A studio with the model tiny/llama and nothing else."""
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend()) as running:
        running.add_model(MODEL, tiny_folder())
        yield running


@pytest.fixture(scope="module")
def clients(studio: LiveStudio) -> Iterator[Clients]:
    """`clients(key)`: a client with this API key; without one, with that of the admin."""
    made: list[httpx.Client] = []

    def client(key: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {key or studio.key}"}
        made.append(httpx.Client(base_url=studio.url, headers=headers, timeout=30))
        return made[-1]

    yield client
    for opened in made:
        opened.close()


@pytest.fixture(scope="module")
def admin(clients: Clients) -> httpx.Client:
    return clients()


def rows(count: int = 60, labels: tuple[str, ...] = ("Service", "Warehouse")) -> bytes:
    """Labelled rows that no other upload has."""
    mark = uuid.uuid4().hex[:6]
    pairs = [{"input": f"lamp {mark} {i}", "output": labels[i % len(labels)]} for i in range(count)]
    return "".join(json.dumps(pair) + "\n" for pair in pairs).encode()


def ok(answer: httpx.Response, status: int = 200) -> Any:
    """The document of an answer that is as it should be."""
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def message(answer: httpx.Response, status: int) -> str:
    """The words of an answer that refuses."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["status"] == status
    assert error["request_id"] == answer.headers["x-request-id"]
    return str(error["message"])


def unique(word: str = "thing") -> str:
    return f"{word}-{uuid.uuid4().hex[:8]}"
