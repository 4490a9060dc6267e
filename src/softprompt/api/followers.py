"""What runs tell, read once in this process for all who follow them, and held ready as the bytes that they are sent.

Two hundred browsers on one run cost one look into the database, not two hundred. A follower keeps its own place; one
that is further back than what is held reads the database itself. Rights are the business of whoever joins.
"""

from __future__ import annotations

import asyncio
import bisect
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from softprompt.errors import NotFound, SoftpromptError
from softprompt.jobs import events
from softprompt.jobs.events import Told
from softprompt.jobs.states import OVER
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Evaluation, TuningRun
from softprompt.studio.access import called, iso

LOOK_EVERY = 0.08
"""Seconds between two looks into the database, whatever the number of followers."""
MOST_HELD = 4000
"""Events of a run that are held; followers further back read the database."""
_AT_ONCE = 500

Subject = type[TuningRun] | type[Evaluation]


class Feed:
    """One run's events as they come.

    Attributes:
        start: everything told after this id is held.
        last: id of the newest event that is held.
        over: nothing will follow.
        problem: why there is no more to hear; followers pass it on.
    """

    def __init__(self, database: Database, table: Subject, key: str, start: int) -> None:
        self._database, self._table, self._key = database, table, key
        self._ids: list[int] = []
        self._frames: list[str] = []
        self._joined: tuple[int, int, str] = (0, 0, "")
        self._news = asyncio.Event()
        self.start = self.last = start
        self.over = False
        self.problem: SoftpromptError | None = None
        self.followers = 0

    def since(self, cursor: int) -> str:
        """What was told after `cursor`, ready to be sent. Most followers stand at the same place: joined once."""
        if self._joined[:2] != (cursor, self.last):
            chunk = "".join(self._frames[bisect.bisect_right(self._ids, cursor) :])
            self._joined = (cursor, self.last, chunk)
        return self._joined[2]

    async def news(self, seconds: float) -> None:
        """Wait until something is new, at most so long."""
        try:
            async with asyncio.timeout(seconds):
                await self._news.wait()
        except TimeoutError:
            return

    async def watch(self) -> None:
        """Read on until the run is over or nobody follows any more."""
        while self.followers:
            try:
                found, over = await run_in_threadpool(self._look)
            except SoftpromptError as error:
                self.problem = error
                self._wake()
                return
            self._take(found)
            self.over = over
            if found or over:
                self._wake()
            if over:
                return
            if len(found) < _AT_ONCE:
                await asyncio.sleep(LOOK_EVERY)

    def _look(self) -> tuple[list[Told], bool]:
        with self._database.read() as session:
            rows = Rows(session)
            # The state is read first: what is told afterwards is at most told once more, never left out.
            state = events.state_of(rows, self._table, self._key)
            if state is None:
                raise NotFound(f"The {called(self._table)} {self._key!r} is gone.")
            found = events.told_after(rows, self._key, self.last, _AT_ONCE)
        return found, state in OVER and len(found) < _AT_ONCE

    def _take(self, found: list[Told]) -> None:
        self._ids += [event.id for event in found]
        self._frames += [frame(event) for event in found]
        if found:
            self.last = found[-1].id
        beyond = len(self._ids) - MOST_HELD
        if beyond > 0:
            self.start = self._ids[beyond - 1]
            del self._ids[:beyond], self._frames[:beyond]

    def _wake(self) -> None:
        """Everybody who waits now; who waits next waits for the next news."""
        self._news.set()
        self._news = asyncio.Event()


class Followers:
    """The feeds of this process. Belongs to one event loop."""

    def __init__(self) -> None:
        self._feeds: dict[str, Feed] = {}
        self._watching: set[asyncio.Task[None]] = set()

    @contextmanager
    def joined(self, database: Database, table: Subject, key: str, cursor: int) -> Iterator[Feed]:
        """The feed of a run while the block lasts; read by nobody, it ends."""
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = Feed(database, table, key, cursor)
            feed.followers += 1
            task = asyncio.ensure_future(feed.watch())
            self._watching.add(task)
            task.add_done_callback(lambda done: self._ended(done, key, feed))
        else:
            feed.followers += 1
        try:
            yield feed
        finally:
            feed.followers -= 1
            if not feed.followers and self._feeds.get(key) is feed:
                del self._feeds[key]  # whoever comes next begins anew; this one ends at its next look

    def _ended(self, task: asyncio.Task[None], key: str, feed: Feed) -> None:
        self._watching.discard(task)
        if self._feeds.get(key) is feed:
            del self._feeds[key]


def followers_of(request: Request) -> Followers:
    """Those of the process that answers this request."""
    state = request.app.state
    if not hasattr(state, "followers"):
        state.followers = Followers()
    found = state.followers
    assert isinstance(found, Followers)
    return found


def frame(event: Told) -> str:
    """An event as the standard of server-sent events writes it."""
    data = json.dumps(event.data | {"at": iso(event.at)}, ensure_ascii=False)
    return f"id: {event.id}\nevent: {event.kind}\ndata: {data}\n\n"


def frames(found: Iterable[Told]) -> str:
    return "".join(map(frame, found))
