"""Reading and writing rows in one unit of work, with the few kinds of question the studio asks.

Filters are `column=value`; a list means "one of these", None means "empty". Deleted nouns are left
out unless asked for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast

from sqlalchemy import ColumnElement, Select, String, and_, delete, func, or_, select, update
from sqlalchemy import cast as sql_cast
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session, defer

from softprompt.errors import ParameterInvalid
from softprompt.storage.types import Base

T = TypeVar("T", bound=Base)
Item = TypeVar("Item")
MOST = 500
"""Rows of one page."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A piece of a list.

    Attributes:
        items: rows, in the order that was asked for.
        total: rows on all pages.
        next: cursor of the next page, None on the last one.
    """

    items: tuple[Item, ...]
    total: int
    next: str | None


class Rows:
    """The rows of a unit of work."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self, table: type[T], key: Any, *, deleted: bool = False) -> T | None:
        row = self.session.get(table, key)
        return None if row is None or (not deleted and getattr(row, "deleted_at", None) is not None) else row

    def first(self, table: type[T], *, deleted: bool = False, **equals: Any) -> T | None:
        return self.session.scalars(self._select(table, deleted, equals).limit(1)).first()

    def all(
        self,
        table: type[T],
        *,
        deleted: bool = False,
        sort: str = "created_at",
        limit: int | None = None,
        without: Collection[str] = (),
        **equals: Any,
    ) -> list[T]:
        """All rows that fit, `without` large columns as in `page`."""
        column = getattr(table, sort.lstrip("-"))
        statement = self._select(table, deleted, equals).order_by(column.desc() if sort.startswith("-") else column)
        return list(self.session.scalars(statement.options(*_left_out(table, without)).limit(limit)))

    def columns(
        self, table: type[T], names: Sequence[str], *, containers: Collection[str] | None = None, **equals: Any
    ) -> list[Any]:
        """Only these of all rows that fit, in no order: where there are many, whole rows take long.

        Returns:
            Tuples, whose values also have their columns' names.
        """
        found = self._select(table, False, equals)
        if containers is not None:
            found = found.where(_inside(table, containers))
        return list(self.session.execute(found.with_only_columns(*(getattr(table, name) for name in names))))

    def count(self, table: type[T], *, deleted: bool = False, **equals: Any) -> int:
        found = self._select(table, deleted, equals).with_only_columns(func.count(), maintain_column_froms=True)
        return self.session.scalar(found) or 0

    def page(
        self,
        table: type[T],
        *,
        containers: Collection[str] | None = None,
        search: str = "",
        tagged: Sequence[str] = (),
        sort: str = "-created_at",
        limit: int = 50,
        cursor: str | None = None,
        having: Sequence[ColumnElement[bool]] = (),
        deleted: bool = False,
        without: Collection[str] = (),
        **equals: Any,
    ) -> Page[T]:
        """One page of a noun.

        Args:
            containers: ids of the projects and spaces whose rows may be seen; None: all.
            search: text in the name, in any case.
            tagged: tags that a row has, all of them.
            sort: a column, with "-" in front from the largest down.
            limit: rows on the page, at most `MOST`.
            cursor: `next` of the page before.
            deleted: those that were deleted and can still be brought back, in place of the others.
            without: large columns that a list does not show; reading one of them is a mistake and says so.
        """
        statement = self._select(table, deleted, equals).where(*having)
        if deleted:
            statement = statement.where(cast(Any, table).deleted_at.is_not(None))
        if containers is not None:
            statement = statement.where(_inside(table, containers))
        if search:
            statement = statement.where(cast(Any, table).name.icontains(search, autoescape=True))
        for tag in tagged:  # JSON is text in both databases, and tags in it are quoted
            statement = statement.where(
                sql_cast(cast(Any, table).tags, String).contains(json.dumps(tag), autoescape=True)
            )
        total = self.session.scalar(statement.with_only_columns(func.count(), maintain_column_froms=True)) or 0
        column, tie, down = _order(table, sort)
        if cursor:
            statement = statement.where(_behind(column, tie, down, cursor))
        order = (column.desc(), tie.desc()) if down else (column, tie)
        size = max(1, min(limit, MOST))
        statement = statement.options(*_left_out(table, without)).order_by(*order).limit(size + 1)
        found = list(self.session.scalars(statement))
        more = found[size - 1] if len(found) > size else None
        here = tuple(found[:size])
        return Page(here, total, None if more is None else _cursor(more, column.key or "", tie.key or ""))

    def add(self, row: T) -> T:
        self.session.add(row)
        self.session.flush()
        return row

    def lock(self, row: Base, *, shared: bool = False) -> None:
        """Read the row again and hold it until the unit ends (SQLite holds the whole database anyway).

        Args:
            shared: several units may hold it so, and none may lock or change it meanwhile.
        """
        self.session.refresh(row, with_for_update={"read": shared})

    def flush(self) -> None:
        self.session.flush()

    def change(self, table: type[T], values: dict[str, Any], **equals: Any) -> int:
        """Set columns of all rows that fit; how many did."""
        statement = update(table).where(*_conditions(table, equals)).values(values)
        return cast(CursorResult[Any], self.session.execute(statement)).rowcount

    def remove(self, table: type[T], **equals: Any) -> int:
        """Delete rows for good; how many."""
        return cast(CursorResult[Any], self.session.execute(delete(table).where(*_conditions(table, equals)))).rowcount

    def _select(self, table: type[T], deleted: bool, equals: dict[str, Any]) -> Select[T]:
        statement = select(table).where(*_conditions(table, equals))
        if not deleted and hasattr(table, "deleted_at"):
            statement = statement.where(cast(Any, table).deleted_at.is_(None))
        return statement


def _left_out(table: type[Base], without: Collection[str]) -> list[Any]:
    return [defer(getattr(table, name), raiseload=True) for name in without]


def _conditions(table: type[Base], equals: dict[str, Any]) -> list[ColumnElement[bool]]:
    found = []
    for name, value in equals.items():
        column = getattr(table, name)
        if value is None:
            found.append(column.is_(None))
        elif isinstance(value, list | tuple | set | frozenset):
            found.append(column.in_(list(value)))
        else:
            found.append(column == value)
    return found


def _inside(table: type[Base], containers: Collection[str]) -> ColumnElement[bool]:
    ids = list(containers)
    if not hasattr(table, "project_id"):
        return cast(ColumnElement[bool], cast(Any, table).id.in_(ids))
    inside = cast(Any, table).project_id.in_(ids)
    return cast(
        ColumnElement[bool], or_(inside, cast(Any, table).space_id.in_(ids)) if hasattr(table, "space_id") else inside
    )


def _order(table: type[Base], sort: str) -> tuple[Any, Any, bool]:
    name = sort.lstrip("-")
    columns = table.__table__.columns
    if name not in columns or columns[name].type.python_type not in (str, int, datetime) or columns[name].nullable:
        raise ParameterInvalid(
            f"sort: {sort!r} is not known. Use created_at, updated_at or name, with - for descending."
        )
    tie = cast(Any, table).id if "id" in columns else getattr(table, name)
    return getattr(table, name), tie, sort.startswith("-")


def _cursor(row: Base, column: str, tie: str) -> str:
    value = getattr(row, column)
    shown = {"t": value.isoformat()} if isinstance(value, datetime) else {"v": value}
    return base64.urlsafe_b64encode(json.dumps([shown, getattr(row, tie)]).encode()).decode().rstrip("=")


def _behind(column: Any, tie: Any, down: bool, cursor: str) -> ColumnElement[bool]:
    try:
        shown, last = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        value = datetime.fromisoformat(shown["t"]) if "t" in shown else shown["v"]
        value = value.astimezone(UTC) if isinstance(value, datetime) else value
        kinds = (column.type.python_type, tie.type.python_type)
        if (type(value), type(last)) != kinds or any(map(_unstorable, (value, last))):
            raise TypeError
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise ParameterInvalid("cursor: this is not one that a page gave out. Start at the first page.") from error
    if down:
        return or_(column < value, and_(column == value, tie < last))
    return or_(column > value, and_(column == value, tie > last))


def _unstorable(value: Any) -> bool:
    """What a cursor of ours never holds, and a database would choke on."""
    if isinstance(value, int):
        return not -(2**63) <= value < 2**63
    return isinstance(value, str) and any(c == "\x00" or "\ud800" <= c <= "\udfff" for c in value)
