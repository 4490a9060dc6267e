"""What was read from the database a moment ago and is still true, so that a request need not read it again.

A key that was revoked, a role that was taken away, a deployment that was swapped: all of it counts from the next
request on, whichever process did it. So nothing is believed for a while. What was read is used again only if nobody
has committed anything since, or if the same questions get the same rows (`storage.commits`), and only until the moment
at which time alone makes it untrue. Where the database cannot tell that, everything is read every time.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from softprompt.storage.commits import Questions, questions
from softprompt.storage.database import Database
from softprompt.storage.types import now

T = TypeVar("T")
FOREVER = datetime.max.replace(tzinfo=UTC)
MOST = 4096
"""Things remembered at once; the oldest go first."""


@dataclass(slots=True)
class _Read:
    """Something that was read, by which questions, what rows these got; and the last mark at which they got them."""

    value: Any
    until: datetime
    heard: Questions
    rows: list[Any]
    mark: int


class Remembered:
    """Of one web process, for its event loop alone."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._found: dict[Hashable, _Read] = {}
        database.mark()  # the first look opens a connection, which nobody should have to wait for

    async def of(self, key: Hashable, read: Callable[[], tuple[T, datetime]]) -> T:
        """What `read` found or finds.

        Args:
            key: of what is asked for, in full: whoever knows it gets the answer.
            read: asks the database, in a thread; tells the answer, and until when only a commit can change it. What it
                raises is not remembered.
        """
        mark = self._database.mark()
        if mark is None:
            return (await run_in_threadpool(read))[0]
        known = self._found.get(key)
        if known is not None and now() < known.until and self._holds(known, mark):
            found: T = known.value
        else:
            found, known = await run_in_threadpool(self._read, read, mark)
            self._keep(key, known)
        return found

    def _holds(self, known: _Read, mark: int) -> bool:
        if known.mark != mark and self._database.rows_at(mark, known.heard) == known.rows:
            known.mark = mark
        return known.mark == mark

    def _read(self, read: Callable[[], tuple[T, datetime]], mark: int) -> tuple[T, _Read | None]:
        """In a thread. The rows are those that `read` saw, for nobody committed anything from the mark to their end."""
        with questions() as heard:
            value, until = read()
        rows = self._database.rows_at(mark, heard)
        return value, None if rows is None else _Read(value, until, heard, rows, mark)

    def _keep(self, key: Hashable, known: _Read | None) -> None:
        self._found.pop(key, None)
        if known is not None:
            if len(self._found) >= MOST:
                del self._found[next(iter(self._found))]
            self._found[key] = known
