"""All rows of a database as lines of JSON and back, alike for SQLite and PostgreSQL.

Tables are taken as they are in the database, not as this version would make them: so rows of an older revision can be
brought back into tables of that revision, and migrated then. JSON columns travel as their text, so that nothing in
them changes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import JSON, Connection, DateTime, MetaData, Table, Text, bindparam, cast, insert, select, text

from softprompt.storage import people, work  # noqa: F401  (they and the next fill the metadata)
from softprompt.storage import tables as _nouns  # noqa: F401
from softprompt.storage.types import Base

_VERSIONS = "alembic_version"
_BATCH = 500


def tables(connection: Connection) -> dict[str, Table]:
    """The studio's tables as they are there, by name. Others may share its database; they are nobody's business."""
    return {name: table for name, table in sorted(_found(connection).tables.items()) if name != _VERSIONS}


def _found(connection: Connection) -> MetaData:
    # A table that a later version gives up has to be named here still.
    ours = {*Base.metadata.tables, _VERSIONS}
    found = MetaData()
    found.reflect(connection, only=lambda name, _: name in ours)
    return found


def lines(connection: Connection, table: Table) -> Iterator[bytes]:
    """Every row of a table, in the order of its key."""
    columns = [cast(c, Text).label(c.name) if isinstance(c.type, JSON) else c for c in table.columns]
    statement = select(*columns).order_by(*table.primary_key.columns)
    for row in connection.execution_options(yield_per=_BATCH).execute(statement).mappings():
        plain = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()}
        yield json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def fill(connection: Connection, table: Table, rows: Iterable[bytes]) -> int:
    """Put lines into an empty table; how many."""
    statement = insert(table).values({c.name: _bound(connection, c) for c in table.columns})
    moments = {c.name for c in table.columns if isinstance(c.type, DateTime)}
    count = 0
    waiting = iter(rows)
    while batch := [_row(line, moments) for line in islice(waiting, _BATCH)]:
        connection.execute(statement, batch)
        count += len(batch)
    return count


def drop_all(connection: Connection) -> None:
    """Remove every table of the studio, and the note of its revision."""
    _found(connection).drop_all(connection)


def holds_rows(connection: Connection) -> bool:
    """Whether there is any row."""
    return any(
        connection.execute(select(1).select_from(table).limit(1)).first() for table in tables(connection).values()
    )


def count_on(connection: Connection) -> None:
    """Let numbers that count themselves up go on behind the largest one (PostgreSQL keeps them apart from the rows)."""
    if connection.dialect.name != "postgresql":
        return
    for name, table in tables(connection).items():
        for column in table.primary_key.columns:
            if column.server_default is not None or column.identity is not None:
                connection.execute(
                    text(
                        f"SELECT setval(pg_get_serial_sequence('{name}', '{column.name}'), "
                        f"(SELECT coalesce(max({column.name}), 0) + 1 FROM {name}), false)"
                    )
                )


def _bound(connection: Connection, column: Any) -> Any:
    if not isinstance(column.type, JSON):
        return bindparam(column.name, type_=column.type)
    written = bindparam(column.name, type_=Text())
    return cast(written, JSON) if connection.dialect.name == "postgresql" else written


def _row(line: bytes, moments: set[str]) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(line)
    for name in moments:
        if row.get(name) is not None:
            row[name] = datetime.fromisoformat(row[name])
    return row
