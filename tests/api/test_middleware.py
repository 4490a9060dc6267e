"""What stands around every request: its id in all that is logged meanwhile, its count in the metrics."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from softprompt import logs
from softprompt.api.middleware import Around
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio, wait_until


class Faulty(EchoBackend):
    """Breaks where nobody expects it."""

    async def metrics(self) -> str:
        raise ZeroDivisionError("nobody expects it")


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStudio]:
    with live_studio(tmp_path_factory.mktemp("studio"), Faulty()) as running:
        yield running


def lines_of(file: Path, request_id: str) -> list[dict[str, Any]]:
    """What `grep ID` finds."""
    found = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if request_id in line]
    assert all(line["request_id"] == request_id for line in found)
    return found


def test_the_id_of_a_fault_finds_its_trace(studio: LiveStudio, log_file: Path) -> None:
    logs.setup("web 1", file=log_file, stderr=False)
    answer = httpx.get(f"{studio.url}/metrics")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    request_id = answer.json()["error"]["request_id"]
    wait_until(lambda: len(lines_of(log_file, request_id)) == 3, "the server does not write what broke")
    lines = {line["logger"]: line for line in lines_of(log_file, request_id)}
    assert lines["softprompt.requests"]["status"] == 500
    for name in ("softprompt.api", "uvicorn.error"):
        assert "ZeroDivisionError: nobody expects it" in lines[name]["trace"]


def test_lines_of_the_threads_of_a_request_carry_its_id_too(log_file: Path) -> None:
    logs.setup(file=log_file, stderr=False)

    def endpoint(_: Request) -> Response:
        logging.getLogger("softprompt.thread").info("at work")
        return PlainTextResponse("done")

    async def ask() -> None:
        app = Around(Starlette(routes=[Route("/", endpoint)]), 1000, 1000)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://web") as client:
            await client.get("/", headers={"x-request-id": "q-17"})

    anyio.run(ask)
    assert [line["logger"] for line in lines_of(log_file, "q-17")] == ["softprompt.thread", "softprompt.requests"]


def test_methods_that_nobody_knows_are_counted_under_one_word(tmp_path: Path) -> None:
    with live_studio(tmp_path, EchoBackend()) as studio:
        for method in ("RANDOM123", "RANDOM124", "PATCH"):
            httpx.request(method, f"{studio.url}/x")
        page = httpx.get(f"{studio.url}/metrics").text
    assert "RANDOM" not in page
    for method in ("other", "PATCH"):
        assert f'softprompt_requests_total{{method="{method}",route="unknown",status="404"}}' in page
