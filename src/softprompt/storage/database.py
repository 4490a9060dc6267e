"""The database: engine, units of work, migrations. What its errors mean: `explained`.

A unit of work is one transaction. On SQLite a writing unit begins with `BEGIN IMMEDIATE`: one that reads first
and writes then would be refused at once, however long the timeout.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from softprompt import __version__
from softprompt.errors import DatabaseUnusable, Unavailable, UsageError
from softprompt.storage.commits import Commits
from softprompt.storage.explained import broken, explained

T = TypeVar("T")
MIGRATIONS = Path(__file__).parent / "migrations"
_BUSY_MS = 20_000
_RETRIES = 5
_POSTGRES_WAITS = {
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,
}
"""How soon a server that vanished without a word is given up; the system's own answer would be hours."""


class Database:
    """One database. Processes and threads may share the address, threads also the object.

    Attributes:
        file: that SQLite keeps it in; None for a server, or for one in memory.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.sqlite = _parsed(url).get_backend_name() == "sqlite"
        self.file = _file_of(url) if self.sqlite else None
        self.engine = _sqlite_engine(url, self.file) if self.sqlite else _postgres_engine(url)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)
        self._commits = Commits(self.engine) if self.file is not None else None

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A unit of work that may change things: committed at the end, or nothing of it."""
        with explained(self.file), self._sessions() as session, session.begin():
            if self.sqlite:
                session.connection(execution_options={"softprompt_write": True})
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A unit of work that changes nothing, with one view of the data."""
        with explained(self.file), self._sessions() as session:
            yield session

    def attempt(self, work: Callable[[Session], T]) -> T:
        """`work` in a writing unit; done again if another transaction was in its way."""
        for turn in range(_RETRIES):
            try:
                with self.write() as session:
                    return work(session)
            except Unavailable:
                if turn == _RETRIES - 1:
                    raise
                time.sleep(random.uniform(0, 0.05 * 2**turn))
        raise AssertionError("unreachable")

    def upgrade(self, revision: str = "head") -> None:
        """Bring the tables to a revision; several processes may call it at once."""
        with explained(self.file), self.engine.connect() as connection:
            if self.sqlite:
                connection = connection.execution_options(softprompt_write=True)
            else:
                connection.execute(text("SELECT pg_advisory_lock(727274)"))
            try:
                migrate(connection, revision)
                connection.commit()
            finally:
                if not self.sqlite:
                    with suppress(SQLAlchemyError):  # a connection that broke has let go of the lock by itself
                        connection.rollback()
                        connection.execute(text("SELECT pg_advisory_unlock(727274)"))
                        connection.commit()

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """A connection that sees all data as of one moment, however long it is used; writers go on."""
        level = {} if self.sqlite else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with explained(self.file), self.engine.connect() as connection:
            yield connection.execution_options(**level)

    @contextmanager
    def alone(self) -> Iterator[Connection]:
        """A connection for changing the tables themselves, in one transaction; everybody else waits."""
        with explained(self.file), self.engine.connect() as connection:
            if self.sqlite:
                connection = connection.execution_options(softprompt_write=True)
            else:
                connection.execute(text("SELECT pg_advisory_xact_lock(727274)"))
                connection.execute(text("SET LOCAL lock_timeout = '20s'"))
            yield connection
            connection.commit()

    def revision(self) -> str | None:
        """Of the tables as they are."""
        with explained(self.file), self.engine.connect() as connection:
            return MigrationContext.configure(connection).get_current_revision()

    def known_revision(self) -> str | None:
        """Of the tables, if this version can do something with them.

        Raises:
            DatabaseUnusable: a newer version made them.
        """
        here = self.revision()
        _refuse_newer(here)
        return here

    def check(self) -> None:
        """Read SQLite's file through. A server looks after its own.

        Raises:
            DatabaseUnusable: the file is broken somewhere.
        """
        if self.file is None:
            return
        with explained(self.file), self.engine.connect() as connection:
            told = str(connection.scalar(text("PRAGMA quick_check(1)")))
        if told != "ok":
            raise broken(self.file, told.splitlines()[-1])

    @staticmethod
    def newest_revision() -> str:
        return ScriptDirectory.from_config(_alembic()).get_current_head() or ""

    def mark(self) -> int | None:
        """Another number after every commit of anybody; None where that cannot be told for less than a question."""
        return None if self._commits is None else self._commits.mark()

    def close(self) -> None:
        if self._commits is not None:
            self._commits.close()
        self.engine.dispose()


def migrate(connection: Connection, revision: str = "head") -> None:
    """Bring the tables behind a connection to a revision, inside its transaction."""
    _refuse_newer(MigrationContext.configure(connection).get_current_revision())
    config = _alembic()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def knows_revision(revision: str) -> bool:
    """Whether this version can make tables of that revision."""
    return revision in {script.revision for script in ScriptDirectory.from_config(_alembic()).walk_revisions()}


def _refuse_newer(revision: str | None) -> None:
    if revision is not None and not knows_revision(revision):
        raise DatabaseUnusable(
            f"The data was written by a newer version of Softprompt: its tables are at revision {revision}, and this "
            f"version, {__version__}, knows none above {Database.newest_revision()}. Install that version or a newer "
            "one, or go back to a backup of this version: softprompt restore BACKUP --replace"
        )


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    return config


def _sqlite_engine(url: str, file: Path | None) -> Engine:
    if file is not None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"--database-url: {file.parent} cannot be made ({error.strerror}). Name another folder."
            ) from error
    engine = create_engine(url, connect_args={"timeout": _BUSY_MS / 1000, "check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # we say when a transaction begins
        for pragma in (f"busy_timeout={_BUSY_MS}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        writes = connection.get_execution_options().get("softprompt_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _file_of(url: str) -> Path | None:
    parsed = make_url(url)
    in_memory = parsed.database in (None, "", ":memory:") or parsed.query.get("mode") == "memory"
    return None if in_memory else Path(parsed.database or "")


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError:  # its own words would show a password
        raise UsageError("--database-url cannot be read. Use sqlite:///FILE or postgresql://….") from None


def _postgres_engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "postgresql":
        raise UsageError(f"--database-url: {parsed.drivername!r} is not known. Use sqlite:///FILE or postgresql://….")
    if parsed.drivername == "postgresql":
        parsed = parsed.set(drivername="postgresql+psycopg")
    waits = {name: value for name, value in _POSTGRES_WAITS.items() if name not in parsed.query}
    try:
        return create_engine(parsed, pool_pre_ping=True, pool_size=10, max_overflow=20, connect_args=waits)
    except ImportError as error:
        raise UsageError("PostgreSQL needs a driver: pip install 'softprompt[postgres]'.") from error
