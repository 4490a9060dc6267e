"""What was deleted and can still be brought back; purging it before its time. The daily cleaning is `maintenance`.

A file or folder of the store goes with the next cleaning after the last row that names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from softprompt.errors import Conflict, NameTaken, NotFound
from softprompt.storage import cleaning, trash
from softprompt.storage.tables import (
    NOUNS,
    Dataset,
    Deployment,
    Evaluation,
    Project,
    PromptSession,
    Space,
    TunedPrompt,
    TuningExperiment,
    TuningRun,
)
from softprompt.storage.types import Base
from softprompt.studio.access import Unit, called
from softprompt.studio.maintenance import KEPT

SHOWN = 100
INSIDE: dict[type[Base], tuple[type[Base], ...]] = {
    Project: (Dataset, TuningExperiment, TuningRun, TunedPrompt, PromptSession, Evaluation),
    Space: (TunedPrompt, PromptSession),
    TuningExperiment: (TuningRun,),
}
"""What goes with a noun that is deleted, and comes back with it."""
_NEEDS: dict[str, type[Base]] = {
    "project_id": Project, "space_id": Space, "experiment_id": TuningExperiment, "dataset_id": Dataset,
    "tuned_prompt_id": TunedPrompt, "prompt_session_id": PromptSession,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """Something that was deleted.

    Attributes:
        noun: what people call it.
        goes_at: when the daily cleaning may take it for good.
    """

    id: str
    noun: str
    name: str
    deleted_at: datetime
    goes_at: datetime


def waiting(unit: Unit) -> tuple[list[Deleted], dict[str, int]]:
    """The newest of what was deleted, and how much there is of each noun."""
    known = counts(unit)
    tables = [table for table in NOUNS if called(table) in known]
    rows = [(table, row) for table in tables for row in trash.hidden(unit.rows.session, table, SHOWN)]
    rows.sort(key=lambda pair: pair[1].deleted_at, reverse=True)
    return [_shown(table, row) for table, row in rows[:SHOWN]], known


def counts(unit: Unit) -> dict[str, int]:
    """How much was deleted of each noun."""
    unit.need_studio_admin()
    found = {called(table): trash.count_hidden(unit.rows.session, table) for table in NOUNS}
    return {noun: count for noun, count in found.items() if count}


def everything(unit: Unit, noun: str | None = None) -> list[Deleted]:
    """All that was deleted, or all of one noun, in no order."""
    unit.need_studio_admin()
    tables = NOUNS if noun is None else (_table(noun),)
    return [_shown(table, row) for table in tables for row in trash.names_hidden(unit.rows.session, table)]


def noun_of(unit: Unit, noun_id: str) -> str:
    """What people call the thing with this id, deleted or not, if they may see it."""
    for table in NOUNS:
        row = unit.rows.get(table, noun_id, deleted=True)
        if row is not None and unit.role_in(row):
            return called(table)
    raise NotFound(f"There is nothing with the id {noun_id!r} among what was deleted. It may have been purged.")


def bring_back(unit: Unit, noun: str, noun_id: str) -> Any:
    """Undo a deletion, with what went with it. For whoever may delete it; the place it was in has to be there.

    Raises:
        Conflict: what it belongs to is deleted too.
        NameTaken: something else has its name by now.
    """
    table = _table(noun)
    row = unit.rows.get(table, noun_id, deleted=True)
    if row is None or unit.role_in(row) == 0:
        raise NotFound(f"There is no {noun} {noun_id!r} among what was deleted. It may have been purged.")
    unit.require(row, "admin" if table in (Project, Space) else "editor")
    any_row: Any = row
    if any_row.deleted_at is None:
        return row
    for column, needed in _NEEDS.items():
        key = getattr(any_row, column, None)
        owner: Any = unit.rows.get(needed, key, deleted=True) if key else None
        if owner is not None and owner.deleted_at is not None:
            raise Conflict(f"{any_row.name!r} needs the {called(needed)} {owner.name!r}. Bring that back first.")
    taken = None
    if table in (Project, Space):
        taken = unit.rows.first(table, name=any_row.name)
    elif isinstance(any_row, Deployment) and any_row.serving_name:
        taken = unit.rows.first(Deployment, serving_name=any_row.serving_name)
    if taken is not None:
        raise NameTaken(f"{any_row.name!r} cannot come back: another {noun} has its name by now. Rename that first.")
    for each in (*_went_with(unit, any_row), any_row):
        each.deleted_at = None
        each.revision += 1
    unit.rows.flush()
    unit.log("bring back", row, name=any_row.name)
    return row


def _went_with(unit: Unit, row: Any) -> list[Any]:
    column = next((name for name, owner in _NEEDS.items() if owner is type(row)), "")
    inside = INSIDE.get(type(row), ())
    return [
        each
        for table in inside
        for each in unit.rows.all(table, deleted=True, **{column: row.id, "deleted_at": row.deleted_at})
    ]


def purge_all(unit: Unit) -> dict[str, int]:
    """Remove for good all that is deleted, whenever it was; how many of each noun."""
    unit.need_studio_admin()
    gone: dict[str, int] = {}
    for table in reversed(NOUNS):
        while rows := trash.hidden(unit.rows.session, table, SHOWN):
            count = cleaning.remove_noun(unit.rows.session, table, [row.id for row in rows])
            gone[called(table)] = gone.get(called(table), 0) + count
    unit.log("purge", None, "deleted things", **{noun.replace(" ", "_"): count for noun, count in gone.items()})
    return gone


def purge_one(unit: Unit, noun: str, noun_id: str) -> None:
    """Remove one deleted thing for good."""
    unit.need_studio_admin()
    table = _table(noun)
    row: Any = unit.rows.get(table, noun_id, deleted=True)
    if row is None or row.deleted_at is None:
        raise NotFound(f"There is no {noun} {noun_id!r} among what was deleted.")
    unit.log("purge", row, name=row.name)
    cleaning.remove_noun(unit.rows.session, table, [row.id])


def _table(noun: str) -> type[Base]:
    found = next((table for table in NOUNS if called(table) == noun), None)
    if found is None:
        raise NotFound(f"noun: {noun!r} is nothing that can be deleted.")
    return found


def _shown(table: type[Base], row: Any) -> Deleted:
    return Deleted(
        id=row.id, noun=called(table), name=row.name, deleted_at=row.deleted_at, goes_at=row.deleted_at + KEPT
    )
