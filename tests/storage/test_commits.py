"""A mark changes with every commit, whoever makes it, and with nothing else."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Project


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "studio.db"


@pytest.fixture
def opened(file: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{file}")
    database.upgrade()
    yield database
    database.close()


def add(database: Database, name: str) -> None:
    with database.write() as session:
        Rows(session).add(Project(name=name))


def test_it_stays_while_nobody_commits(opened: Database) -> None:
    before = opened.mark()
    assert before is not None
    with opened.read() as session:
        Rows(session).all(Project)
    with opened.write() as session:
        Rows(session).add(Project(name="never"))
        session.rollback()
    assert opened.mark() == before


def test_every_commit_makes_another_one(opened: Database, file: Path) -> None:
    other = Database(f"sqlite:///{file}")
    seen = [opened.mark()]
    for number, database in enumerate((opened, other, opened, other)):
        add(database, f"p{number}")
        seen.append(opened.mark())
    other.close()
    assert len(set(seen)) == 5


def test_so_does_that_of_another_process(opened: Database, file: Path) -> None:
    add(opened, "one")
    before = opened.mark()
    line = f"import sqlite3; c = sqlite3.connect({str(file)!r}); c.execute('DELETE FROM projects'); c.commit()"
    subprocess.run([sys.executable, "-c", line], check=True)
    assert opened.mark() != before


def test_a_checkpoint_hides_no_commit(opened: Database, file: Path) -> None:
    other = sqlite3.connect(file, isolation_level=None)
    seen = set()
    for number in range(3):
        add(opened, f"p{number}")
        other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        seen.add(opened.mark())
    other.close()
    assert len(seen) == 3


def test_it_is_unknown_while_somebody_holds_the_file(opened: Database, file: Path) -> None:
    assert opened.mark() is not None
    add(opened, "one")
    opened.engine.dispose()
    opened.close()
    holder = sqlite3.connect(file, isolation_level=None)
    holder.execute("PRAGMA locking_mode=EXCLUSIVE").fetchall()
    holder.execute("BEGIN IMMEDIATE")
    holder.execute("DELETE FROM projects")
    assert opened.mark() is None
    holder.execute("COMMIT")
    holder.close()
    assert opened.mark() is not None


def test_threads_may_share_it(opened: Database) -> None:
    wrong: list[object] = []

    def look() -> None:
        for number in range(20):
            before = opened.mark()
            add(opened, f"{threading.get_ident()} {number}")
            if opened.mark() == before:
                wrong.append(number)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not wrong


def test_a_database_in_memory_has_none() -> None:
    database = Database("sqlite://")
    assert database.mark() is None
    database.close()
