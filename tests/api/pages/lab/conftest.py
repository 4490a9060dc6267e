"""One studio for all tests of a file about the Prompt Lab: none of them looks at what another one did."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from softprompt.config import STATE_FILE
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

from ..lab_fixtures import signed_in, token_of


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStudio]:
    """It answers over TLS too, and says so as `softprompt up` does."""
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend(), tls=True) as running:
        (running.data_dir / STATE_FILE).write_text(json.dumps({"tls": running.tls}), encoding="utf-8")
        yield running


@pytest.fixture(scope="module")
def browser(studio: LiveStudio) -> Iterator[httpx.Client]:
    client = signed_in(studio)
    yield client
    client.close()


@pytest.fixture(scope="module")
def post(browser: httpx.Client) -> Callable[..., httpx.Response]:
    """Send a form with the token that all pages of this browser have."""
    token = token_of(browser)

    def send(path: str, data: dict[str, Any] | None = None, **more: Any) -> httpx.Response:
        return browser.post(path, data={"csrf": token, **(data or {})}, **more)

    return send
