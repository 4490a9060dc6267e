"""Column types and the base class of all tables: ids, moments in UTC, JSON, and names for every constraint."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Integer, MetaData, String
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}
"""SQLite changes a table by copying it; a constraint without a name would be lost on the way."""


class Moment(TypeDecorator[datetime]):
    """A point in time: aware and in UTC in Python, naive UTC in the database."""

    impl = DateTime
    cache_ok = True

    @property
    def python_type(self) -> type[datetime]:
        return datetime

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


Big = BigInteger().with_variant(Integer, "sqlite")
"""64 bits; SQLite's own integers have them, and only an INTEGER can count itself up there."""


class Base(DeclarativeBase):
    """Of all tables."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map = {
        datetime: Moment,
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[dict[str, Any]]: JSON,
    }


def new_id() -> str:
    """A lower-case UUID."""
    return str(uuid.uuid4())


def now() -> datetime:
    return datetime.now(UTC)


class Identified:
    """A row with an id and the moment it was made."""

    id: Mapped[str] = mapped_column(String(36), primary_key=True, default=new_id)
    created_at: Mapped[datetime] = mapped_column(default=now, index=True)


class Noun(Identified):
    """What a person names, changes and deletes. A deleted one keeps its row (and files) for 30 days."""

    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(String(4000), default="")
    tags: Mapped[list[str]] = mapped_column(default=list)
    created_by: Mapped[str | None] = mapped_column(String(36))
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
    revision: Mapped[int] = mapped_column(default=1)
    """Grows with every change; the ETag."""
    deleted_at: Mapped[datetime | None]


class InProject:
    """A noun of one project."""

    project_id: Mapped[str] = mapped_column(String(36), index=True)


class InContainer:
    """A noun of one project or one space."""

    project_id: Mapped[str | None] = mapped_column(String(36), index=True)
    space_id: Mapped[str | None] = mapped_column(String(36), index=True)
