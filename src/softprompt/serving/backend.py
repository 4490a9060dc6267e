"""What whoever wants answers may expect of whoever generates them. Torch-free."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Protocol

from softprompt.serving.protocol import Done, Event, Failed, Piece, Target, Tokens, Work


class Backend(Protocol):
    """The host inside its process, a client of it elsewhere, or an external vLLM server."""

    def generate(self, work: Work) -> AsyncIterator[Event]:
        """Pieces, then one `Done` or `Failed`. Leaving the iteration early cancels the work."""
        ...

    async def tokenize(self, target: Target, text: str) -> Tokens:
        """The text as the target reads it."""
        ...

    async def status(self) -> dict[str, Any]:
        """What runs there, for people and for health checks."""
        ...

    async def close(self) -> None:
        """Give back connections, threads and memory."""
        ...


async def answer(backend: Backend, work: Work) -> Done:
    """The whole answer; raises what the other side failed with."""
    last: Done | Failed | None = None
    async for event in backend.generate(work):
        if not isinstance(event, Piece):
            last = event
    if isinstance(last, Failed):
        raise last.error()
    if last is None:
        raise RuntimeError("the backend ended without an answer")
    return last
