"""Whether anything was committed since: what was read from the database is true as long as nothing was.

SQLite keeps such a number for each connection (`PRAGMA data_version`): it changes as soon as any other connection, of
whatever process, has committed. So a connection looks that is used for nothing else. That takes some microseconds and
waits for nobody. PostgreSQL has no number short of asking the server, which costs as much as what would be spared.
"""

from __future__ import annotations

import threading
from sqlite3 import Error
from typing import Any

from sqlalchemy import Engine


class Commits:
    """Looks at one SQLite file. Threads may share it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._connection: Any = None

    def mark(self) -> int | None:
        """Another number after every commit; None while it cannot be told.

        What was read after a mark was taken is true as long as the mark is the same. Marks of one object can be
        compared, no others.
        """
        with self._lock:
            try:
                connection = self._connection = self._connection or self._connect()
                # All of it: a statement that is not at its end would go on seeing the moment of its begin.
                ((number,),) = connection.execute("PRAGMA data_version").fetchall()
            except Error:  # somebody holds the whole file for themselves
                return None
        return int(number)

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _connect(self) -> Any:
        """A connection outside the pool. It never waits, for whoever looks may be an event loop."""
        positional, named = self._engine.dialect.create_connect_args(self._engine.url)
        return self._engine.dialect.connect(*positional, **{**named, "timeout": 0, "check_same_thread": False})
