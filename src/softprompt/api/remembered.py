"""What was read from the database a moment ago and is still true, so that a request need not read it again.

A key that was revoked, a role that was taken away, a deployment that was swapped: all of it counts from the next
request on, whichever process did it. So nothing is believed for a while: what was read is used again only as long as
nobody has committed anything at all (`Database.mark`), and until the moment at which time alone makes it untrue. Where
the database cannot tell that, everything is read every time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from softprompt.storage.database import Database
from softprompt.storage.types import now

T = TypeVar("T")
FOREVER = datetime.max.replace(tzinfo=UTC)
MOST = 4096
"""Things remembered at once; the oldest go first."""


class Remembered:
    """Of one web process, for its event loop alone."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._mark = database.mark()
        self._found: dict[Hashable, tuple[Any, datetime]] = {}

    async def of(self, key: Hashable, read: Callable[[], tuple[T, datetime]]) -> T:
        """What `read` found or finds.

        Args:
            key: of what is asked for, in full: whoever knows it gets the answer.
            read: asks the database, in a thread; tells the answer, and until when only a commit can change it. What it
                raises is not remembered.
        """
        mark = self._database.mark()  # before anything is read: whatever is committed from here on makes another one
        if mark is None or mark != self._mark:
            self._mark, self._found = mark, {}
        known: tuple[T, datetime] | None = self._found.get(key)
        if known is not None and now() < known[1]:
            return known[0]
        found = await run_in_threadpool(read)
        if mark is not None and mark == self._mark:
            self._keep(key, found)
        return found[0]

    def _keep(self, key: Hashable, found: tuple[Any, datetime]) -> None:
        self._found.pop(key, None)
        if len(self._found) >= MOST:
            del self._found[next(iter(self._found))]
        self._found[key] = found
