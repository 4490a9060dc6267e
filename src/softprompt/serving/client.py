"""Asks a serving host over HTTP. Torch-free, so that the web can import it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from softprompt.errors import SoftpromptError, Unavailable
from softprompt.serving import backend
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

CONNECT_SECONDS = 5.0


class ServingClient:
    """A serving host somewhere; a `Backend`. One object for a whole process: it keeps its connections."""

    def __init__(self, url: str, secret: str, *, connections: int = 512) -> None:
        self._url = url
        self._http = httpx.AsyncClient(
            base_url=url,
            headers={"authorization": f"Bearer {secret}"},
            # Answers take as long as they take; the work itself carries its time limit.
            timeout=httpx.Timeout(None, connect=CONNECT_SECONDS),
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=30.0
            ),
            trust_env=False,
        )

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
            async with self._http.stream("POST", "/generate", content=dump(work)) as response:
                lines = response.aiter_lines()
                async for line in lines:
                    event = parse_event(line)
                    if not isinstance(event, Piece):
                        async for _ in lines:  # to its very end, or the connection could not be used again
                            pass
                        yield event
                        return
                    yield event
                yield Failed.of(Unavailable(f"The serving host at {self._url} broke off. Ask again in a minute."))
        except httpx.HTTPError as error:
            yield Failed.of(self._away(error))

    async def answer(self, work: Work) -> Done:
        """The whole answer; raises what the host failed with."""
        return await backend.answer(self, replace(work, stream=False))

    async def tokenize(self, target: Target, text: str) -> Tokens:
        """The text as the target reads it."""
        asked = {"target": {"model_id": target.model_id, "prompt": target.prompt}, "text": text}
        return parse_tokens(await self._asked("POST", "/tokenize", json=asked))

    async def status(self) -> dict[str, Any]:
        """What is loaded there and how busy it is."""
        found: dict[str, Any] = json.loads(await self._asked("GET", "/status"))
        return found

    async def metrics(self) -> str:
        """The host's numbers in the form of Prometheus."""
        return (await self._asked("GET", "/metrics")).decode()

    async def close(self) -> None:
        await self._http.aclose()

    async def _asked(self, method: str, path: str, **content: Any) -> bytes:
        try:
            response = await self._http.request(method, path, timeout=60.0, **content)
        except httpx.HTTPError as error:
            raise self._away(error) from error
        if response.status_code != 200:
            event = parse_event(response.content)
            raise event.error() if isinstance(event, Failed) else SoftpromptError(response.text)
        return response.content

    def _away(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(
            f"The serving host at {self._url} cannot be reached ({type(error).__name__}: {error}). "
            "Start it: softprompt serve."
        )
