"""HTTP as it is spoken with one serving host, and no more of it: kept connections, a request at a time on each.

No redirects, cookies, proxies or encodings: a client that knows them all takes milliseconds where the whole way to an
answer should take few. Grammar and framing are h11's, as they are on the other side. Knows nothing of what is said.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import h11

CONNECT_SECONDS = 5.0
KEPT_SECONDS = 30.0
"""For which an idle connection is kept; the host keeps its end longer."""
_PIECE = 2**16
BROKEN = (OSError, h11.RemoteProtocolError)
"""What is raised when the other side is not there, or breaks off."""


class Answer:
    """What came back: its status is there, its body comes."""

    def __init__(self, status: int, connection: _Connection) -> None:
        self.status, self._connection = status, connection
        self._begun = bytearray()

    async def line(self) -> bytes | None:
        """The next one without its end, as soon as it is whole; None after the last."""
        seen = 0
        while (end := self._begun.find(b"\n", seen)) < 0:
            seen = len(self._begun)
            part = await self._connection.part()
            if part is None:
                return await self.read() or None
            self._begun += part
        line = bytes(self._begun[:end])
        del self._begun[: end + 1]
        return line

    async def read(self) -> bytes:
        """All that is left."""
        while (part := await self._connection.part()) is not None:
            self._begun += part
        left, self._begun = bytes(self._begun), bytearray()
        return left


class Connections:
    """To one host, for one event loop.

    Args:
        url: `http://HOST:PORT`.
        headers: of every request.
        most: requests at once; more wait.
    """

    def __init__(self, url: str, headers: dict[str, str], most: int) -> None:
        address = urlsplit(url)
        self._host, self._port = address.hostname or "", address.port or 80
        self._headers = [("host", address.netloc), *headers.items()]
        self._turns = asyncio.Semaphore(most)
        self._idle: list[_Connection] = []
        self._closed = False

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> AsyncIterator[Answer]:
        """The answer to one request. Who leaves before its end breaks the connection: the host then gives up the work.

        Args:
            headers: of this request alone.

        Raises:
            BROKEN: there is nobody, or the answer breaks off; while the answer is read, too.
        """
        async with self._turns:
            connection = self._kept() or await self._new()
            try:
                whole = [*self._headers, *(headers or {}).items(), ("content-length", str(len(body)))]
                yield Answer(await connection.ask(method, path, whole, body), connection)
            finally:
                if connection.again() and not self._closed:
                    self._idle.append(connection)
                else:
                    connection.close()

    async def close(self) -> None:
        self._closed = True
        for connection in self._idle:
            connection.close()
        self._idle = []

    def _kept(self) -> _Connection | None:
        """The one that was used last, so that those of a rush of requests grow old and go."""
        oldest = time.monotonic() - KEPT_SECONDS
        while self._idle and (self._idle[0].since < oldest or self._idle[0].gone):
            self._idle.pop(0).close()
        while self._idle:
            connection = self._idle.pop()
            if not connection.gone:
                return connection
            connection.close()
        return None

    async def _new(self) -> _Connection:
        async with asyncio.timeout(CONNECT_SECONDS):
            return _Connection(*await asyncio.open_connection(self._host, self._port))


class _Connection:
    """One of them. `since`: when it was last of use."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._speech = h11.Connection(h11.CLIENT)
        self.since = time.monotonic()

    @property
    def gone(self) -> bool:
        """Whether the other side has hung up."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def ask(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> int:
        """Send a request; the status that comes back."""
        said = (h11.Request(method=method, target=path, headers=headers), h11.Data(data=body), h11.EndOfMessage())
        # Never waits until it is sent: a host that refuses early reads no further, and its words are to be heard.
        self._writer.write(b"".join(self._speech.send(each) or b"" for each in said))
        while not isinstance(event := await self._next(), h11.Response):
            pass
        return event.status_code

    async def part(self) -> bytes | None:
        """Of the body, as it comes; None when there is no more."""
        if self._speech.their_state is h11.DONE:
            return None
        event = await self._next()
        return bytes(event.data) if isinstance(event, h11.Data) else None

    def again(self) -> bool:
        """Make it ready for another request, if all of this one was said and heard."""
        if self._speech.our_state is not h11.DONE or self._speech.their_state is not h11.DONE:
            return False
        self._speech.start_next_cycle()
        self.since = time.monotonic()
        return True

    def close(self) -> None:
        self._writer.close()

    async def _next(self) -> h11.Event:
        while (event := self._speech.next_event()) is h11.NEED_DATA:
            self._speech.receive_data(await self._reader.read(_PIECE))
        if not isinstance(event, h11.Event):
            raise ConnectionError(f"an answer was expected, and {event} came")
        return event
