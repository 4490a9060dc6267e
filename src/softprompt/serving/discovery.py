"""The serving host of a data folder, wherever it listens now: found by the note it leaves there, found again after a
restart. Torch-free; asks through `client`.

A request to a host that is gone is asked again of the next one, once, as long as nothing of its answer was passed on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from softprompt.config import STATE_FILE
from softprompt.errors import Unavailable
from softprompt.serving import backend
from softprompt.serving.client import ServingClient
from softprompt.serving.protocol import Done, Event, Failed, Piece, Target, Tokens, Work

T = TypeVar("T")
FILE = "serving.json"
PATIENCE = 60.0
"""Seconds to wait for a host that is being started: torch and the model have to be loaded."""
ALONE = 5.0
"""The same where no parent says whether one is being started."""
_LOOK_EVERY = 0.05
_METRICS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Note:
    """What a serving host says about itself."""

    address: str
    secret: str
    pid: int


def read(data_dir: Path) -> Note | None:
    """The note of the folder's host; None without one."""
    try:
        content = json.loads((data_dir / FILE).read_text(encoding="utf-8"))
        return Note(str(content["url"]), str(content["secret"]), int(content["pid"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class DiscoveredHost:
    """The serving host of a data folder; a `Backend`. One object for a whole process.

    Args:
        patience: seconds that a request waits for a host that is being started again.
    """

    def __init__(self, data_dir: Path, *, patience: float = PATIENCE) -> None:
        self._data_dir, self._patience = data_dir, patience
        self._link: _Link | None = None
        self._retired: list[_Link] = []
        self._stamp: tuple[int, int] | None = None

    async def generate(self, work: Work) -> AsyncIterator[Event]:
        """Pieces, then one `Done` or `Failed`. Leaving the iteration early cancels the work."""
        deadline = time.monotonic() + min(self._patience, work.time_limit or self._patience)
        link = await self._linked(None, deadline)
        for last in (False, True):
            if link is None:
                yield Failed.of(self._nobody())
                return
            passed_on, lost = False, None
            with link:
                async with contextlib.aclosing(_closable(link.client.generate(work))) as events:
                    async for event in events:
                        if isinstance(event, Failed) and _gone(event) and not (passed_on or last):
                            lost = event
                            break
                        passed_on = True
                        yield event
                        if not isinstance(event, Piece):
                            return
            if lost is None:
                return
            link = await self._linked(link, deadline)

    async def answer(self, work: Work) -> Done:
        """The whole answer; raises what the host failed with."""
        return await backend.answer(self, replace(work, stream=False))

    async def tokenize(self, target: Target, text: str) -> Tokens:
        """The text as the target reads it."""
        return await self._asked(lambda client: client.tokenize(target, text))

    async def status(self) -> dict[str, Any]:
        """What is loaded there and how busy it is; asked of the host of this moment, without waiting for another."""
        link = self._current()
        if link is None:
            raise self._nobody()
        with link:
            return await link.client.status()

    async def metrics(self) -> str:
        """The host's numbers in the form of Prometheus; nothing while there is no host."""
        link = self._current()
        if link is None:
            return ""
        with link, contextlib.suppress(Unavailable, TimeoutError):
            return await asyncio.wait_for(link.client.metrics(), _METRICS_SECONDS)
        return ""

    async def close(self) -> None:
        for link in [*self._retired, *([self._link] if self._link else [])]:
            await link.client.close()
        self._retired, self._link = [], None

    async def _asked(self, ask: Callable[[ServingClient], Awaitable[T]]) -> T:
        deadline = time.monotonic() + self._patience
        link = await self._linked(None, deadline)
        if link is not None:
            try:
                with link:
                    return await ask(link.client)
            except Unavailable:
                link = await self._linked(link, deadline)
        if link is None:
            raise self._nobody()
        with link:
            return await ask(link.client)

    async def _linked(self, gone: _Link | None, deadline: float) -> _Link | None:
        """The way to the host of this moment, another one than `gone`; waits for it while there is hope."""
        began = time.monotonic()
        while True:
            link = self._current()
            if link is not None and (gone is None or link.note != gone.note):
                await self._close_retired()
                return link
            if time.monotonic() >= deadline or not self._hope(gone, time.monotonic() - began):
                return None
            await asyncio.sleep(_LOOK_EVERY)

    def _hope(self, gone: _Link | None, waited: float) -> bool:
        """Whether a host is likely to come: its parent starts it, or there was one a moment ago."""
        word = _parents_word(self._data_dir)
        if word is not None:
            return word in ("starting", "restarting", "running")
        return (gone is not None or self._link is not None) and waited < ALONE

    def _current(self) -> _Link | None:
        """As the note says it now; the file is read only when it has changed."""
        try:
            found = (self._data_dir / FILE).stat()
        except OSError:
            return None
        stamp = (found.st_ino, found.st_mtime_ns)
        if stamp != self._stamp:
            note = read(self._data_dir)
            if note is None:
                return None
            if self._link is None or self._link.note != note:
                if self._link is not None:
                    self._retired.append(self._link)
                self._link = _Link(note, ServingClient(note.address, note.secret))
            self._stamp = stamp
        return self._link

    async def _close_retired(self) -> None:
        done = [link for link in self._retired if link.uses == 0]
        self._retired = [link for link in self._retired if link.uses]
        for link in done:
            await link.client.close()

    def _nobody(self) -> Unavailable:
        return Unavailable(
            f"No serving host answers for {self._data_dir}, so nothing can be generated. `softprompt status` says "
            "whether it is starting; `softprompt up` or `softprompt serve` starts it."
        )


class _Link:
    """A client of one host, and how many requests use it."""

    def __init__(self, note: Note, client: ServingClient) -> None:
        self.note, self.client, self.uses = note, client, 0

    def __enter__(self) -> _Link:
        self.uses += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.uses -= 1


def _parents_word(data_dir: Path) -> str | None:
    """The state of the serving host as `up` wrote it down; None without one."""
    try:
        found = json.loads((data_dir / STATE_FILE).read_text(encoding="utf-8"))["processes"]
        return next((str(each["state"]) for each in found if each["kind"] == "serving"), None)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _gone(event: Failed) -> bool:
    return event.code == Unavailable.code


def _closable(events: AsyncIterator[Event]) -> Any:
    """An async generator, which the protocol does not promise."""
    return events
