"""Whether what was read from an SQLite file is still true, for a fraction of what reading it again costs.

Two steps. SQLite keeps a number for each connection (`PRAGMA data_version`) that changes as soon as any other
connection, of whatever process, has committed: while it stays, everything is as it was. When it changes, mostly
something else was written, a heartbeat or a count; so the questions are asked again, bare, and if all rows are the
same, so is what was made of them. A connection of its own does both: microseconds a question, and it waits for nobody.

PostgreSQL has no such number short of asking the server, which costs as much as what would be spared.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from sqlite3 import Error
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import SQLAlchemyError


@dataclass(slots=True)
class Questions:
    """What was asked of a database.

    Attributes:
        asked: statements with their values.
        repeatable: whether all were asked in units of work that change nothing.
    """

    asked: list[tuple[str, tuple[Any, ...]]] = field(default_factory=list)
    repeatable: bool = True


_LISTENING: ContextVar[Questions | None] = ContextVar("softprompt_questions", default=None)


@contextmanager
def questions() -> Iterator[Questions]:
    """All that is asked in the block, by this thread."""
    heard = Questions()
    token = _LISTENING.set(heard)
    try:
        yield heard
    finally:
        _LISTENING.reset(token)


class Commits:
    """Looks at one SQLite file. Threads may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Any = None
        event.listen(engine, "before_cursor_execute", _hear)

    def mark(self) -> int | None:
        """Another number after every commit; None while it cannot be told.

        What was read after a mark was taken is true as long as the mark is the same. Marks of one object can be
        compared, no others.
        """
        with self._lock:
            try:
                return self._mark()
            except (Error, SQLAlchemyError):  # somebody holds the whole file for themselves
                return None

    def rows(self, heard: Questions, mark: int) -> list[Any] | None:
        """What the questions are answered at a mark; None if that is over, or it cannot be told."""
        if not heard.repeatable:
            return None
        with self._lock:
            try:
                found = [self._all(statement, values) for statement, values in heard.asked]
                return found if self._mark() == mark else None
            except (Error, SQLAlchemyError):
                return None

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _mark(self) -> int:
        return int(self._all("PRAGMA data_version")[0][0])

    def _all(self, statement: str, values: tuple[Any, ...] = ()) -> list[Any]:
        """To the end: a statement that is still open would go on seeing the moment of its begin."""
        connection = self._connection = self._connection or self._connect()
        rows: list[Any] = connection.execute(statement, values).fetchall()
        return rows

    def _connect(self) -> Any:
        """A connection outside the pool. It never waits, for whoever looks may be an event loop, and never writes."""
        pooled = self._engine.raw_connection()
        pooled.detach()
        connection: Any = pooled.dbapi_connection
        for pragma in ("busy_timeout=0", "query_only=ON"):
            connection.execute(f"PRAGMA {pragma}").close()
        return connection


def _hear(connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, many: bool) -> None:
    heard = _LISTENING.get()
    if heard is not None:
        heard.repeatable &= not many and not connection.get_execution_options().get("softprompt_write", False)
        heard.asked.append((statement, tuple(values)))
