"""Migrations on both databases: they make exactly the tables of the code, once, whoever calls them, and keep rows."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Column, MetaData, Table, inspect, text

from softprompt.storage import people, tables, work  # noqa: F401  (they fill the metadata)
from softprompt.storage.database import Database, _alembic
from softprompt.storage.people import Answered, ApiKey, AuditEntry
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Project, RunEvent, TuningRun
from softprompt.storage.types import Base, now
from softprompt.storage.work import Job

REVISIONS = [revision.revision for revision in ScriptDirectory.from_config(_alembic()).walk_revisions()]


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Database]:
    opened = Database(empty_database_url)
    yield opened
    opened.close()


def test_migrations_make_the_tables_of_the_code(empty: Database) -> None:
    empty.upgrade()
    with empty.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "render_as_batch": True})
        assert compare_metadata(context, Base.metadata) == []


def test_an_upgrade_done_twice_is_done_once(empty: Database) -> None:
    assert empty.revision() is None
    empty.upgrade()
    empty.upgrade()
    assert empty.revision() == Database.newest_revision() == REVISIONS[0]


def test_processes_may_upgrade_at_once(empty: Database, empty_database_url: str) -> None:
    code = (
        "import sys; from softprompt.storage.database import Database\n"
        "database = Database(sys.argv[1]); database.upgrade(); database.close()"
    )
    command = [sys.executable, "-W", "error", "-c", code, empty_database_url]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    outcomes = [(process.communicate(timeout=60)[1], process.returncode) for process in both]
    assert outcomes == [("", 0)] * 3
    assert empty.revision() == Database.newest_revision()


@pytest.mark.parametrize("revision", REVISIONS)
def test_rows_live_through_an_upgrade_from_any_revision(empty: Database, revision: str) -> None:
    empty.upgrade(revision)
    began = now()
    with empty.write() as session:
        rows = Rows(session)
        project = rows.add(Project(name="Käufe — 売上", tags=["a", "b"]))
        run = rows.add(
            TuningRun(
                name="r (1)",
                project_id=project.id,
                experiment_id="e",
                number=1,
                model_id="m",
                dataset_id="d",
                config={"epochs": 3, "learning_rate": 0.25},
                progress={"eta_seconds": None},
            )
        )
        rows.add(Job(kind="tune", subject_id=run.id, project_id=project.id))
        rows.add(RunEvent(run_id=run.id, at=began, kind="Note", data={"text": 'quoted " and \\ and \u0001'}))
    empty.upgrade()
    with empty.read() as session:
        rows = Rows(session)
        (there,) = rows.all(Project)
        (back,) = rows.all(TuningRun)
        (event,) = rows.all(RunEvent, sort="id")
        assert (there.name, there.tags, there.deleted_at) == ("Käufe — 売上", ["a", "b"], None)
        assert (back.config, back.progress) == ({"epochs": 3, "learning_rate": 0.25}, {"eta_seconds": None})
        assert (event.at, event.data) == (began, {"text": 'quoted " and \\ and \u0001'})
        assert rows.count(Job, state="queued") == 1


def test_revisions_are_one_line() -> None:
    """Two with the same parent pass each alone and break together."""
    found = list(ScriptDirectory.from_config(_alembic()).walk_revisions())
    assert [each.revision for each in found] == [f"{number:04}" for number in range(len(found), 0, -1)]
    assert [each.down_revision for each in found] == [*REVISIONS[1:], None]


@pytest.mark.parametrize("revision", REVISIONS)
def test_every_table_keeps_its_rows_through_an_upgrade(empty: Database, revision: str) -> None:
    empty.upgrade(revision)
    before = MetaData()
    with empty.engine.begin() as connection:
        before.reflect(connection)
        rows = {table.name: {column.name: _some(column) for column in table.columns} for table in _ours(before)}
        for table in _ours(before):
            connection.execute(table.insert(), rows[table.name])
        kept = {table.name: connection.execute(table.select()).mappings().one() for table in _ours(before)}
    empty.upgrade()
    after = MetaData()
    with empty.engine.connect() as connection:
        after.reflect(connection)
        for name in kept.keys() - ({"answered_requests"} if revision < "0003" else set()):
            found = connection.execute(after.tables[name].select()).mappings().one()
            assert {column: found[column] for column in kept[name]} == dict(kept[name]), name
    assert len(kept) >= 23


def _ours(found: MetaData) -> list[Table]:
    return [table for table in found.sorted_tables if table.name != "alembic_version"]


def _some(column: Column[Any]) -> Any:
    """A value that this column may hold, with what is easily spoiled on the way."""
    kind = column.type.python_type
    values: dict[type, Any] = {
        int: 7,
        float: 0.25,
        bool: True,
        datetime: datetime(2026, 1, 2, 3, 4, 5, 678901),  # as the database has it, without a zone
        dict: {"Käufe": ["a", None, 'quoted " and \\ and \u0001']},
    }
    words = f"{column.name} — 売上 \" '"
    return values.get(kind, words[: getattr(column.type, "length", None) or len(words)])


def test_answers_stored_with_the_old_digest_of_their_body_are_forgotten(empty: Database, tmp_path: Path) -> None:
    """For a week a repeat would have got them again; now it is made a second time, or refused for its name."""
    guessable = hashlib.sha256(b'{"name": "kim", "password": "correct horse battery"}').hexdigest()
    empty.upgrade("0002")
    with empty.write() as session:
        Rows(session).add(Answered(digest="d" * 64, body_digest=guessable, status=201, body="{}"))
    empty.upgrade()
    with empty.read() as session:
        assert Rows(session).count(Answered) == 0
    empty.close()  # the last connection brings the log into the file
    assert not any(guessable.encode() in file.read_bytes() for file in tmp_path.glob("empty.db*"))


def test_the_audit_log_says_which_key_made_a_key(empty: Database) -> None:
    empty.upgrade("0003")
    with empty.write() as session:
        for key in ("maker", "made", "by a person"):
            columns = "id, digest, name, user_id, prefix, role, created_at"
            row = ":key, :key, :key, 'u', 'p', 'viewer', '2026-01-02 03:04:05'"
            session.execute(text(f"INSERT INTO api_keys ({columns}) VALUES ({row})"), {"key": key})
        rows = Rows(session)
        rows.add(AuditEntry(action="create", noun="API key", noun_id="made", key_id="maker"))
        rows.add(AuditEntry(action="revoke", noun="API key", noun_id="by a person", key_id="maker"))
        rows.add(AuditEntry(action="create", noun="API key", noun_id="by a person"))
    empty.upgrade()
    with empty.read() as session:
        found = {key.id: key.made_by for key in Rows(session).all(ApiKey)}
    assert found == {"maker": None, "made": "maker", "by a person": None}


def test_every_constraint_has_a_name(empty: Database) -> None:
    """SQLite changes a table by copying it; a constraint without a name would be lost on the way."""
    empty.upgrade()
    inspector = inspect(empty.engine)
    for table in Base.metadata.tables:
        assert all(found["name"] for found in inspector.get_unique_constraints(table)), table
