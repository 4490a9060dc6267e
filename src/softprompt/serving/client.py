"""Asks a serving host over HTTP. Torch-free, so that the web can import it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from softprompt import logs
from softprompt.errors import SoftpromptError, Unavailable
from softprompt.serving import backend
from softprompt.serving.connections import BROKEN, Answer, Connections
from softprompt.serving.protocol import (
    Done,
    Event,
    Failed,
    Piece,
    Target,
    Tokens,
    Work,
    dump,
    parse_event,
    parse_tokens,
)

T = TypeVar("T")
ASK_SECONDS = 60.0
"""For everything but answers."""
QUIET_SECONDS = 10.0
"""After which a host that says nothing is asked whether it lives: answers may take long, frozen hosts take for ever."""
ALIVE_SECONDS = 20.0
"""In which a host that lives says so, however busy its machine is."""


class ServingClient:
    """A serving host somewhere; a `Backend`. One object for a whole process: it keeps its connections."""

    def __init__(
        self,
        url: str,
        secret: str,
        *,
        connections: int = 512,
        quiet: float = QUIET_SECONDS,
        alive: float = ALIVE_SECONDS,
    ) -> None:
        self._url, self._quiet, self._alive_in = url, quiet, alive
        self._connections = Connections(url, {"authorization": f"Bearer {secret}"}, connections)

    @classmethod
    def of(cls, note: Path) -> ServingClient:
        """The host that wrote this `serving.json`."""
        try:
            content = json.loads(note.read_text(encoding="utf-8"))
            return cls(content["url"], content["secret"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(
                f"{note} does not tell where the serving host is ({error}). Is the host running?"
            ) from error

    async def generate(self, work: Work) -> AsyncIterator[Event]:
        """Pieces, then one `Done` or `Failed`. Leaving the iteration early cancels the work."""
        try:
            # Answers take as long as they take; the work itself carries its time limit.
            async with AsyncExitStack() as stack:
                asked = stack.enter_async_context(self._ask("POST", "/generate", dump(work)))
                answer = await self._while_alive(asked)
                while (line := await self._while_alive(answer.line())) is not None:
                    event = parse_event(line)
                    if not isinstance(event, Piece):
                        await answer.read()  # to its very end, or the connection could not be used again
                        yield event
                        return
                    yield event
                yield Failed.of(Unavailable(f"The serving host at {self._url} broke off. Ask again in a minute."))
        except BROKEN as error:
            yield Failed.of(self._away(error))

    async def answer(self, work: Work) -> Done:
        """The whole answer; raises what the host failed with."""
        return await backend.answer(self, replace(work, stream=False))

    async def tokenize(self, target: Target, text: str) -> Tokens:
        """The text as the target reads it."""
        asked = {"target": {"model_id": target.model_id, "prompt": target.prompt}, "text": text}
        return parse_tokens(await self._asked("POST", "/tokenize", json.dumps(asked).encode()))

    async def status(self) -> dict[str, Any]:
        """What is loaded there and how busy it is."""
        found: dict[str, Any] = json.loads(await self._asked("GET", "/status"))
        return found

    async def metrics(self) -> str:
        """The host's numbers in the form of Prometheus."""
        return (await self._asked("GET", "/metrics")).decode()

    async def close(self) -> None:
        await self._connections.close()

    async def _while_alive(self, coming: Coroutine[Any, Any, T]) -> T:
        """What comes, however late, as long as the host answers another question meanwhile."""
        waited_for = asyncio.ensure_future(coming)
        try:
            while not (await asyncio.wait({waited_for}, timeout=self._quiet))[0]:
                async with asyncio.timeout(self._alive_in), self._ask("GET", "/status", b"") as answer:
                    await answer.read()
            return waited_for.result()
        finally:
            waited_for.cancel()

    async def _asked(self, method: str, path: str, body: bytes = b"") -> bytes:
        try:
            async with asyncio.timeout(ASK_SECONDS), self._ask(method, path, body) as answer:
                content = await answer.read()
        except BROKEN as error:
            raise self._away(error) from error
        if answer.status != 200:
            event = parse_event(content)
            raise event.error() if isinstance(event, Failed) else SoftpromptError(content.decode("utf-8", "replace"))
        return content

    def _ask(self, method: str, path: str, body: bytes) -> AbstractAsyncContextManager[Answer]:
        """Under the id of the request that is answered here, so that the logs of both sides speak of the same one."""
        request_id = logs.bound_fields().get("request_id")
        return self._connections.ask(method, path, body, {logs.REQUEST_ID: request_id} if request_id else None)

    def _away(self, error: Exception) -> Unavailable:
        if isinstance(error, TimeoutError):
            return Unavailable(
                f"The serving host at {self._url} does not answer: it is frozen, or its machine is. `softprompt "
                "status` names its process; when that is killed, `softprompt up` starts another."
            )
        return Unavailable(
            f"The serving host at {self._url} cannot be reached ({type(error).__name__}: {error}). "
            "Start it: softprompt serve."
        )
