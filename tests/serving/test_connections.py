"""Connections to a host: kept, never shared, noticed when they are gone; an answer in lines, however it is cut."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import pytest

from softprompt.serving import connections
from softprompt.serving.connections import BROKEN, Connections

pytestmark = pytest.mark.anyio

HEAD = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def chunks(*parts: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


class Peer:
    """A server that answers every request with the same bytes, one part after the other.

    Attributes:
        heard: heads of the requests, by connection.
        left: connections that the client has closed.
        hang_up: whether it closes after each answer, without a word.
    """

    def __init__(self, *parts: bytes, pause: float = 0.0, hang_up: bool = False) -> None:
        self.parts, self.pause, self.hang_up = parts, pause, hang_up
        self.heard: list[list[bytes]] = []
        self.left = 0
        self._talks: list[asyncio.Task[None]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard: list[bytes] = []
        self.heard.append(heard)
        task = asyncio.current_task()
        assert task is not None
        self._talks.append(task)
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = next(int(line[16:]) for line in head.lower().split(b"\r\n") if line[:14] == b"content-length")
                heard.append(head + await reader.readexactly(length))
                for part in self.parts:
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(self.pause)
                if self.hang_up:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            self.left += 1
        finally:
            writer.close()

    async def stop(self) -> None:
        for task in self._talks:
            task.cancel()
        await asyncio.gather(*self._talks, return_exceptions=True)


@asynccontextmanager
async def talking(peer: Peer, most: int = 8) -> AsyncIterator[Connections]:
    server = await asyncio.start_server(peer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    made = Connections(f"http://127.0.0.1:{port}", {"authorization": "Bearer s"}, most)
    try:
        yield made
    finally:
        await made.close()
        await peer.stop()
        server.close()
        await server.wait_closed()


async def lines(made: Connections) -> list[bytes]:
    async with made.ask("POST", "/generate", b"work") as answer:
        assert answer.status == 200
        found = []
        while (line := await answer.line()) is not None:
            found.append(line)
        return found


@pytest.mark.parametrize(
    "parts",
    [
        (HEAD + chunks(b"one\n", b"two\n"),),
        (HEAD, chunks(b"one\ntwo\n")),
        (HEAD, chunks(b"o", b"ne\ntw", b"o")),
        tuple(bytes([byte]) for byte in HEAD + chunks(b"one\n", b"two")),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\none\ntwo\n"),
    ],
)
async def test_lines_come_whole_however_they_are_cut(parts: tuple[bytes, ...]) -> None:
    async with talking(Peer(*parts)) as made:
        assert await lines(made) == [b"one", b"two"]


async def test_a_line_comes_before_the_next_is_there() -> None:
    async with (
        talking(Peer(HEAD + b"4\r\none\n\r\n", pause=60)) as made,
        made.ask("GET", "/") as answer,
        asyncio.timeout(10),
    ):
        assert await answer.line() == b"one"


async def test_one_connection_serves_one_request_after_the_other() -> None:
    peer = Peer(HEAD, chunks(b"one\n"))
    async with talking(peer) as made:
        for _ in range(3):
            await lines(made)
    ((first, *others),) = peer.heard
    assert first.startswith(b"POST /generate HTTP/1.1\r\n")
    assert first.endswith(b"\r\n\r\nwork")
    assert b"authorization: bearer s\r\n" in first.lower()
    assert others == [first, first]


async def test_requests_at_once_have_one_each_and_no_more_than_are_allowed() -> None:
    peer = Peer(HEAD, chunks(b"one\n"), pause=0.01)
    async with talking(peer, most=3) as made:
        answers = await asyncio.gather(*(lines(made) for _ in range(9)))
    assert answers == [[b"one"]] * 9
    assert len(peer.heard) == 3


async def test_who_leaves_early_breaks_the_connection() -> None:
    peer = Peer(HEAD + b"4\r\none\n\r\n", *[b""] * 200, pause=0.01)
    async with talking(peer) as made:
        async with made.ask("POST", "/generate", b"work") as answer:
            assert await answer.line() == b"one"
        asking = asyncio.create_task(lines(made))
        while len(peer.heard) < 2:
            await asyncio.sleep(0.01)
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        async with asyncio.timeout(20):
            while peer.left < 2:
                await asyncio.sleep(0.01)


async def test_one_that_hung_up_meanwhile_is_not_used_again() -> None:
    peer = Peer(HEAD, chunks(b"one\n"), hang_up=True)
    async with talking(peer) as made:
        for _ in range(3):
            assert await lines(made) == [b"one"]
            await asyncio.sleep(0.05)
    assert len(peer.heard) == 3


async def test_old_ones_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    peer = Peer(HEAD, chunks(b"one\n"), pause=0.01)
    async with talking(peer) as made:
        await asyncio.gather(*(lines(made) for _ in range(3)))
        monkeypatch.setattr(connections, "KEPT_SECONDS", -1.0)
        await lines(made)
        assert len(peer.heard) == 4


@pytest.mark.parametrize("parts", [(b"",), (b"HTTP/1.1 200 OK\r\n",), (HEAD, b"4\r\non"), (b"nonsense\r\n\r\n",)])
async def test_an_answer_that_breaks_off_is_no_answer(parts: tuple[bytes, ...]) -> None:
    async with talking(Peer(*parts, hang_up=True)) as made:
        with pytest.raises(BROKEN):
            await lines(made)


class Refusing(Peer):
    """Answers as soon as it has seen the head of a request, and listens no more until `ended`."""

    def __init__(self) -> None:
        super().__init__()
        self.ended = asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too much\r\ncontent-length: 3\r\n\r\nno\n")
        await self.ended.wait()
        writer.close()


async def test_a_refusal_is_heard_though_the_request_was_not_read() -> None:
    peer = Refusing()
    async with talking(peer) as made:
        async with asyncio.timeout(20), made.ask("POST", "/generate", b"x" * 2**24) as answer:
            assert (answer.status, await answer.line()) == (413, b"no")
        peer.ended.set()
        await asyncio.sleep(0.05)


async def test_nobody_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Connections("http://127.0.0.1:9", {}, 1)
    for _ in range(2):  # a turn is given back, too
        with pytest.raises(ConnectionRefusedError):
            await lines(made)

    async def never(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(connections, "CONNECT_SECONDS", 0.05)
    monkeypatch.setattr(asyncio, "open_connection", never)
    with pytest.raises(BROKEN):
        await lines(made)
    assert issubclass(TimeoutError, BROKEN)
    assert h11.RemoteProtocolError in BROKEN
