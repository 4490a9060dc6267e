"""The serving host of a data folder is found, found again, and missed with words."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn

from softprompt.errors import Unavailable
from softprompt.serving import discovery
from softprompt.serving.discovery import DiscoveredHost
from softprompt.serving.protocol import Done, Event, Failed, Piece, Target, Tokens, Work
from softprompt.serving.server import make_app
from softprompt.supervisor import sockets

WORK = Work(target=Target("tiny"), text="hello")


class Speaker:
    """A backend that says its name; `breaks` after that many pieces."""

    def __init__(self, name: str, breaks: int | None = None) -> None:
        self.name, self.breaks, self.asked = name, breaks, 0

    async def generate(self, work: Work) -> AsyncIterator[Event]:
        self.asked += 1
        for number in range(3):
            if number == self.breaks:
                yield Failed.of(Unavailable("The host is stopping."))
                return
            yield Piece(f"{self.name}{number} ")
        yield Done(output=self.name, input_tokens=1, virtual_tokens=0, generated_tokens=3, stop_reason="eos_token")

    async def tokenize(self, target: Target, text: str) -> Tokens:
        return Tokens(count=len(text))

    async def status(self) -> dict[str, Any]:
        return {"state": "running", "name": self.name}

    async def close(self) -> None: ...


class Served:
    """A serving host in a thread, on a port of its own."""

    def __init__(self, backend: Speaker, secret: str) -> None:
        self.listening = sockets.listen("127.0.0.1", 0, "--port")
        self.url = f"http://127.0.0.1:{sockets.port_of(self.listening)}"
        self.secret = secret
        app = make_app(backend, secret, lambda: b"numbers 1\n")
        self.server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.listening]})
        self.thread.start()

    def tell(self, folder: Path) -> None:
        fresh = folder / "fresh"
        fresh.write_text(json.dumps({"url": self.url, "secret": self.secret, "pid": 1}))
        fresh.replace(folder / discovery.FILE)

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()


@pytest.fixture
def served() -> Iterator[Any]:
    """`served(backend)`: a host that runs until the test ends."""
    made: list[Served] = []

    def start(backend: Speaker) -> Served:
        made.append(Served(backend, f"secret {len(made)}"))
        return made[-1]

    yield start
    for each in made:
        each.stop()


async def told(host: DiscoveredHost, work: Work = WORK) -> list[Event]:
    return [event async for event in host.generate(work)]


def test_it_asks_the_host_that_the_note_names(served: Any, tmp_path: Path) -> None:
    served(Speaker("a")).tell(tmp_path)

    async def ask() -> None:
        host = DiscoveredHost(tmp_path)
        assert [getattr(event, "text", "end") for event in await told(host)] == ["a0 ", "a1 ", "a2 ", "end"]
        assert (await host.answer(WORK)).output == "a"
        assert (await host.tokenize(WORK.target, "four")).count == 4
        assert (await host.status())["name"] == "a"
        assert await host.metrics() == "numbers 1\n"
        await host.close()

    asyncio.run(ask())


def test_without_a_host_it_says_so_at_once(tmp_path: Path) -> None:
    async def ask() -> None:
        host = DiscoveredHost(tmp_path, patience=60)
        (event,) = await told(host)
        assert isinstance(event, Failed)
        assert (event.status, event.code) == (503, "unavailable")
        assert "No serving host answers for" in event.message
        assert "`softprompt serve` starts it" in event.message
        with pytest.raises(Unavailable, match="No serving host answers"):
            await host.tokenize(WORK.target, "x")
        assert await host.metrics() == ""
        await host.close()

    asyncio.run(asyncio.wait_for(ask(), 30))


def test_a_request_waits_for_the_host_that_comes_after_a_dead_one(served: Any, tmp_path: Path) -> None:
    dead, second = served(Speaker("a")), served(Speaker("b"))
    dead.tell(tmp_path)
    dead.stop()

    async def ask() -> None:
        host = DiscoveredHost(tmp_path, patience=30)
        asking = asyncio.create_task(host.answer(WORK))
        counting = asyncio.create_task(host.tokenize(WORK.target, "four"))
        while host._current() is None:
            await asyncio.sleep(0)
        second.tell(tmp_path)
        assert (await asking).output == "b"
        assert (await counting).count == 4
        await host.close()

    asyncio.run(ask())


def says(folder: Path, state: str) -> None:
    """What `up` writes down about the serving host."""
    (folder / "studio.json").write_text(json.dumps({"processes": [{"kind": "serving", "state": state}]}))


def test_a_request_waits_for_the_first_host_while_it_is_being_started(served: Any, tmp_path: Path) -> None:
    only = served(Speaker("a"))
    says(tmp_path, "starting")

    async def ask() -> None:
        host = DiscoveredHost(tmp_path)
        asking = asyncio.create_task(host.answer(WORK))
        await asyncio.sleep(0.2)
        assert not asking.done()
        only.tell(tmp_path)
        assert (await asking).output == "a"
        await host.close()

    asyncio.run(ask())


def test_nobody_waits_for_a_host_that_fails(served: Any, tmp_path: Path) -> None:
    dead = served(Speaker("a"))
    dead.tell(tmp_path)
    dead.stop()
    says(tmp_path, "failing")

    async def ask() -> None:
        host = DiscoveredHost(tmp_path)
        (failed,) = await told(host)
        assert isinstance(failed, Failed)
        assert "No serving host answers" in failed.message
        await host.close()

    asyncio.run(asyncio.wait_for(ask(), 5))


def test_nothing_is_said_twice(served: Any, tmp_path: Path) -> None:
    """Once a piece was passed on, a broken answer stays broken."""
    first = Speaker("a", breaks=1)
    served(first).tell(tmp_path)

    async def ask() -> None:
        host = DiscoveredHost(tmp_path)
        piece, failed = await told(host)
        assert piece == Piece("a0 ")
        assert isinstance(failed, Failed)
        await host.close()

    asyncio.run(ask())
    assert first.asked == 1


def test_it_is_asked_again_only_once(served: Any, tmp_path: Path) -> None:
    stopping = [Speaker("a", breaks=0), Speaker("b", breaks=0)]
    hosts = [served(each) for each in stopping]
    hosts[0].tell(tmp_path)

    async def ask() -> None:
        host = DiscoveredHost(tmp_path, patience=30)
        asking = asyncio.create_task(told(host))
        while not stopping[0].asked:
            await asyncio.sleep(0.01)
        hosts[1].tell(tmp_path)
        (failed,) = await asking
        assert isinstance(failed, Failed)
        assert failed.message == "The host is stopping."
        await host.close()

    asyncio.run(ask())
    assert [each.asked for each in stopping] == [1, 1]


def test_patience_ends(served: Any, tmp_path: Path) -> None:
    dead = served(Speaker("a"))
    dead.tell(tmp_path)
    dead.stop()

    async def ask() -> None:
        host = DiscoveredHost(tmp_path, patience=0.2)
        (failed,) = await told(host)
        assert isinstance(failed, Failed)
        assert "No serving host answers" in failed.message
        await host.close()

    asyncio.run(asyncio.wait_for(ask(), 30))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"url": "x"}', '{"url": "x", "secret": "s", "pid": "many"}'])
def test_a_broken_note_is_no_host(tmp_path: Path, content: str) -> None:
    (tmp_path / discovery.FILE).write_text(content)
    assert discovery.read(tmp_path) is None
