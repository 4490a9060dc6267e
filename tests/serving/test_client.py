"""A client tells a host that takes long from one that is frozen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from softprompt.serving.client import ServingClient
from softprompt.serving.protocol import Done, Event, Failed, Piece, Target, Tokens, Work
from softprompt.serving.server import make_app
from softprompt.supervisor import sockets

pytestmark = pytest.mark.anyio

SECRET = "a secret of this test"
WORK = Work(target=Target("tiny"), text="hello", stream=True)
END = Done(output="done", input_tokens=1, virtual_tokens=0, generated_tokens=1, stop_reason="eos_token")


class Slow:
    """A backend that goes on with its answer each time it was asked how it is."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.times = 0

    async def generate(self, work: Work) -> AsyncIterator[Event]:
        await self.asked.wait()
        yield Piece("do")
        self.asked.clear()
        await self.asked.wait()
        yield END

    async def tokenize(self, target: Target, text: str) -> Tokens:
        return Tokens(count=len(text))

    async def status(self) -> dict[str, Any]:
        self.times += 1
        self.asked.set()
        return {"state": "running"}

    async def close(self) -> None: ...


@asynccontextmanager
async def frozen(*words: bytes) -> AsyncIterator[str]:
    """A host that takes connections, says these words on the first of them, and is never heard again."""
    waiting: list[asyncio.Task[Any]] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        for word in words if not waiting else ():
            writer.write(word)
        waiting.append(task)
        try:
            await reader.read(-1)
        finally:
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)


async def told(client: ServingClient) -> list[Event]:
    try:
        return [event async for event in client.generate(WORK)]
    finally:
        await client.close()


async def test_a_host_that_takes_long_and_lives_is_waited_for() -> None:
    backend = Slow()
    listening = sockets.listen("127.0.0.1", 0, "--port")
    app = make_app(backend, SECRET, lambda: b"")
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    serving = asyncio.ensure_future(server.serve(sockets=[listening]))
    try:
        client = ServingClient(f"http://127.0.0.1:{sockets.port_of(listening)}", SECRET, quiet=0.05, alive=60)
        assert await told(client) == [Piece("do"), END]
        assert backend.times >= 2
    finally:
        server.should_exit = True
        await serving


async def test_a_frozen_host_is_given_up() -> None:
    async with frozen() as url:
        (event,) = await told(ServingClient(url, SECRET, quiet=0.05, alive=0.2))
    assert isinstance(event, Failed)
    assert (event.status, event.code) == (503, "unavailable")
    assert f"The serving host at {url} does not answer: it is frozen" in event.message


async def test_a_host_that_freezes_in_the_middle_is_given_up() -> None:
    piece = b'{"kind": "piece", "text": "do"}\n'
    words = (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n" % (len(piece), piece))
    async with frozen(*words) as url:
        first, last = await told(ServingClient(url, SECRET, quiet=0.05, alive=0.2))
    assert first == Piece("do")
    assert isinstance(last, Failed)
    assert "is frozen" in last.message
