"""Units of work: all or nothing, writers one after the other, and errors in our words."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from softprompt.errors import NameTaken, StorageFull, Unavailable, UsageError
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Project, RunEvent
from softprompt.storage.types import now


def test_a_unit_that_breaks_leaves_nothing(database: Database) -> None:
    def broken() -> None:
        with database.write() as session:
            Rows(session).add(Project(name="half"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        broken()
    with database.read() as session:
        assert Rows(session).count(Project) == 0


def test_a_name_that_is_taken(database: Database) -> None:
    with database.write() as session:
        Rows(session).add(Project(name="one"))
    with pytest.raises(NameTaken, match="Choose another name"), database.write() as session:
        Rows(session).add(Project(name="one"))
    with database.write() as session:
        rows = Rows(session)
        rows.change(Project, {"deleted_at": now()}, name="one")
        rows.add(Project(name="one"))  # a deleted one does not hold its name


def test_writers_of_sqlite_wait_for_each_other(tmp_path: Path) -> None:
    """Each reads, then writes what it read plus one: a unit that reads first would be refused without IMMEDIATE."""
    url = f"sqlite:///{tmp_path / 'a.db'}"
    database = Database(url)
    database.upgrade()
    with database.write() as session:
        Rows(session).add(Project(name="0"))
    others = [Database(url) for _ in range(3)]
    failures: list[BaseException] = []

    def count(other: Database) -> None:
        try:
            for _ in range(10):
                with other.write() as session:
                    project = Rows(session).first(Project)
                    assert project is not None
                    project.name = str(int(project.name) + 1)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=count, args=(other,)) for other in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    with database.read() as session:
        project = Rows(session).first(Project)
        assert project is not None
        assert project.name == "30"
    for each in (database, *others):
        each.close()


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    with database.write() as writing:
        Rows(writing).add(Project(name="not yet"))
        with database.read() as reading:
            assert Rows(reading).count(Project) == 0


def test_ids_of_events_grow_even_when_the_last_ones_are_deleted(database: Database) -> None:
    with database.write() as session:
        rows = Rows(session)
        first = rows.add(RunEvent(run_id="r", at=now(), kind="Note")).id
        rows.remove(RunEvent)
        assert rows.add(RunEvent(run_id="r", at=now(), kind="Note")).id > first


def test_a_full_disk(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'a.db'}")
    database.upgrade()

    def fill() -> None:
        with database.write() as session:
            session.execute(text("PRAGMA max_page_count = 1"))
            for number in range(200):
                Rows(session).add(Project(name=f"{number}" + "x" * 150, description="y" * 4000))

    with pytest.raises(StorageFull, match="disk is full"):
        fill()
    with database.read() as session:
        assert Rows(session).count(Project) == 0
    database.close()


def test_a_server_that_does_not_answer() -> None:
    database = Database("postgresql://postgres@127.0.0.1:1/studio")
    with pytest.raises(Unavailable, match="The database does not answer"), database.read() as session:
        Rows(session).count(Project)
    database.close()


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)  # a file has no connection to lose
def test_a_connection_that_breaks_off_is_replaced(database: Database) -> None:
    with database.read() as session:
        Rows(session).count(Project)
    with database.engine.connect() as connection:
        others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        connection.execute(text(others + " AND datname = current_database()"))
    with database.read() as session:
        assert Rows(session).count(Project) == 0


def test_attempt_tries_again(database: Database) -> None:
    tries = []

    def work(session: object) -> str:
        tries.append(session)
        if len(tries) < 3:
            raise Unavailable("in the way")
        return "done"

    assert database.attempt(work) == "done"
    assert len(tries) == 3


def test_a_folder_that_cannot_be_made() -> None:
    with pytest.raises(UsageError, match="--database-url: /proc/nowhere cannot be made"):
        Database("sqlite:////proc/nowhere/studio.db")


def test_an_unknown_kind_of_database() -> None:
    with pytest.raises(UsageError, match="'mysql' is not known"):
        Database("mysql://nobody@nowhere/x")
