"""Nouns that were deleted and not purged yet, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from softprompt.storage.types import Base


def hidden(session: Session, table: type[Base], limit: int) -> Sequence[Any]:
    """Deleted rows of a table, those that were deleted last first."""
    noun = cast(Any, table)
    wanted = select(noun).where(noun.deleted_at.is_not(None)).order_by(noun.deleted_at.desc(), noun.id).limit(limit)
    return session.scalars(wanted).all()


def names_hidden(session: Session, table: type[Base]) -> Sequence[Any]:
    """Id, name and moment of every deleted row of a table."""
    noun = cast(Any, table)
    return session.execute(select(noun.id, noun.name, noun.deleted_at).where(noun.deleted_at.is_not(None))).all()


def count_hidden(session: Session, table: type[Base]) -> int:
    noun = cast(Any, table)
    return session.scalar(select(func.count()).select_from(noun).where(noun.deleted_at.is_not(None))) or 0
