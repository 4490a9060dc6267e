"""Columns, constraints and indexes that the tables of the first release share.

Kept apart from `storage/types.py`: that may change, a migration never does.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

Column = sa.Column[Any]


def noun(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    """What a person names, changes and deletes."""
    return (
        text("name", 200),
        text("description", 4000),
        document("tags"),
        key("created_by", null=True),
        moment("updated_at"),
        whole("revision"),
        moment("deleted_at", null=True),
        *identified(table),
    )


def identified(table: str) -> tuple[sa.schema.SchemaItem, ...]:
    return key("id"), moment("created_at"), primary(table, "id")


def counted() -> Column:
    """A number that grows with every row; SQLite needs `sqlite_autoincrement=True` at the table, too."""
    return sa.Column("id", _BIG, autoincrement=True, nullable=False)


def key(name: str, *, null: bool = False) -> Column:
    """The id of a row, of this table or another."""
    return text(name, 36, null=null)


def text(name: str, length: int | None = None, *, null: bool = False) -> Column:
    return sa.Column(name, sa.Text() if length is None else sa.String(length), nullable=null)


def moment(name: str, *, null: bool = False) -> Column:
    return sa.Column(name, sa.DateTime(), nullable=null)


def document(name: str, *, null: bool = False) -> Column:
    return sa.Column(name, sa.JSON(), nullable=null)


def flag(name: str) -> Column:
    return sa.Column(name, sa.Boolean(), nullable=False)


def whole(name: str, *, null: bool = False) -> Column:
    return sa.Column(name, sa.Integer(), nullable=null)


def big(name: str) -> Column:
    return sa.Column(name, _BIG, nullable=False)


def primary(table: str, *columns: str) -> sa.PrimaryKeyConstraint:
    return sa.PrimaryKeyConstraint(*columns, name=op.f(f"pk_{table}"))


def unique(table: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint(*columns, name=op.f(f"uq_{table}_{'_'.join(columns)}"))


def indexes(table: str, *columns: str) -> None:
    """One of each column alone."""
    for column in columns:
        op.create_index(op.f(f"ix_{table}_{column}"), table, [column])


def unique_while_there(table: str, column: str) -> None:
    """A deleted row stays, but its name is free again."""
    there = sa.text("deleted_at IS NULL")
    op.create_index(f"uq_{table}_{column}", table, [column], unique=True, sqlite_where=there, postgresql_where=there)
