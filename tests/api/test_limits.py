"""How much one caller may ask for: requests a minute, the length of a text, tries to sign in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.api.limiter import Limiter
from softprompt.config import Limits
from softprompt.errors import Busy
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

MODEL = "tiny/llama"
CHARS = 40


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[LiveStudio]:
    """One that allows texts of 40 characters."""
    limits = Limits(prompt_chars=CHARS)
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend(), limits=limits) as running:
        running.add_model(MODEL, tiny_folder())
        running.deploy_model("Plain", MODEL, "plain")
        yield running


def with_key(studio: LiveStudio, key: str | None = None) -> httpx.Client:
    return httpx.Client(base_url=studio.url, headers={"authorization": f"Bearer {key or studio.key}"}, timeout=30)


# Requests a minute


def test_who_asks_too_often_is_told_when_to_ask_again(tmp_path: Path) -> None:
    with live_studio(tmp_path, EchoBackend(), limits=Limits(requests_per_minute=5)) as studio:
        other = studio.new_key("other")
        with with_key(studio) as client:
            answers = [client.get("/api/me") for _ in range(8)]
            assert [answer.status_code for answer in answers[:6]] == [200] * 5 + [429]
            refused = answers[5]
            assert 1 <= int(refused.headers["retry-after"]) <= 12
            assert refused.json()["error"]["code"] == "busy"
            assert "More than 5 requests a minute" in refused.json()["error"]["message"]
            on_openai, on_watsonx = client.get("/v1/models"), client.get("/v2/projects")
        assert (on_openai.status_code, on_openai.json()["error"]["type"]) == (429, "rate_limit_error")
        assert (on_watsonx.status_code, on_watsonx.json()["errors"][0]["code"]) == (429, "busy")
        with with_key(studio, other) as client:
            assert client.get("/api/me").status_code == 200, "everybody has an allowance of their own"
        assert httpx.get(f"{studio.url}/healthz").status_code == 200


def test_an_allowance_fills_evenly_and_holds_a_minutes_worth() -> None:
    limiter = Limiter()
    for _ in range(6):
        limiter.take("a", 6, at=0.0)
    with pytest.raises(Busy, match="More than 6 requests a minute. Wait 10.0 seconds.") as refused:
        limiter.take("a", 6, at=0.0)
    assert refused.value.retry_after == pytest.approx(10)
    limiter.take("a", 6, at=10.0)
    with pytest.raises(Busy):
        limiter.take("a", 6, at=10.0)
    for _ in range(6):
        limiter.take("a", 6, at=10_000.0)
    with pytest.raises(Busy):
        limiter.take("a", 6, at=10_000.0)


# The length of a text


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/generate", {"model_id": MODEL, "input": "x" * 41}),
        ("/api/generate", {"model_id": MODEL, "input": ["x", "x" * 41]}),
        ("/api/generate/stream", {"model_id": MODEL, "input": "x" * 41}),
        ("/api/tokenize", {"model_id": MODEL, "input": ["x", "x" * 41]}),
        ("/v1/completions", {"model": "plain", "prompt": ["x", "x" * 41]}),
        ("/v1/chat/completions", {"model": "plain", "messages": [{"role": "user", "content": "x" * 21}] * 2}),
    ],
)
def test_a_text_that_is_too_long_is_refused_on_every_wire(studio: LiveStudio, path: str, body: dict[str, Any]) -> None:
    with with_key(studio) as client:
        answer = client.post(path, json=body)
    assert answer.status_code == 413
    assert "characters; at most 40 are allowed here." in answer.json()["error"]["message"]


def test_the_limit_is_for_each_text_and_not_for_the_request(studio: LiveStudio) -> None:
    with with_key(studio) as client:
        answer = client.post("/api/generate", json={"model_id": MODEL, "input": ["x" * CHARS] * 3})
        assert [result["output"] for result in answer.json()["results"]] == ["x" * CHARS] * 3


# Passwords


def test_passwords_are_counted_by_name_and_by_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softprompt.api.watsonx.auth._FOR_ONE_NAME", 2)
    monkeypatch.setattr("softprompt.api.watsonx.auth._FROM_ONE_ADDRESS", 6)
    with live_studio(tmp_path, EchoBackend()) as studio, httpx.Client(base_url=studio.url, timeout=30) as client:

        def guess(name: str) -> int:
            asked = {"username": name, "password": "a guess"}
            return client.post("/icp4d-api/v1/authorize", json=asked).status_code

        assert [guess("admin") for _ in range(3)] == [403, 403, 429]
        assert [guess(f"user {number}") for number in range(4)] == [403, 403, 403, 429]
        answer = client.post("/icp4d-api/v1/authorize", json={"username": "nobody", "password": "a guess"})
        assert int(answer.headers["retry-after"]) >= 1
        key = {"username": "admin", "api_key": studio.key}
        assert client.post("/icp4d-api/v1/authorize", json=key).status_code == 200, "keys cannot be guessed"


def test_names_tried_in_a_browser_are_counted_by_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softprompt.api.studio.sign_in.TRIES", 3)
    with live_studio(tmp_path, EchoBackend()) as studio, httpx.Client(base_url=studio.url, timeout=30) as browser:
        pages = [browser.post("/sign-in", data={"name": f"user {n}", "password": "a guess"}) for n in range(3)]
        refused = browser.post("/api/sign-in", json={"name": "another", "password": "a guess"})
    assert [answer.status_code for answer in pages] == [401, 401, 401]
    assert refused.status_code == 429
