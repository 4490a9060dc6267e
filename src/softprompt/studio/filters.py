"""What a filter of a list names: ids of the things with this id or name, refused in words if there are none.

A thing that was deleted is still found by its id: what was made with it is there.
"""

from __future__ import annotations

from typing import Any

from softprompt.errors import ModelUnknown, NotFound
from softprompt.storage.tables import LARGE
from softprompt.studio import foundation_models
from softprompt.studio.access import Unit, called


def ids_of(unit: Unit, field: str, table: type[Any], id_or_name: str) -> list[str]:
    """Ids of all that the actor may see: of a dataset every version of the name, of a prompt its copies in spaces.

    Raises:
        NotFound: nothing has this id or name; `field` is named.
    """
    rows = unit.rows.all(table, name=id_or_name, without=LARGE.get(table, ()))
    rows += unit.rows.all(table, id=id_or_name, deleted=True, without=LARGE.get(table, ()))
    found = {row.id for row in rows if unit.role_in(row)}
    if not found:
        raise NotFound(f"{field}: there is no {called(table)} {id_or_name!r} here. The list shows what there is.")
    return sorted(found)


def model_id_of(unit: Unit, table: type[Any], id_or_name: str) -> str:
    """The model's id by one of its names. One that is known no longer is found by its id while rows name it.

    Raises:
        ModelUnknown: there is none, and nothing of `table` that may be seen names it.
    """
    try:
        return foundation_models.find(unit.rows, id_or_name).id
    except ModelUnknown:
        left_out = LARGE.get(table, ())
        kept = unit.rows.page(table, containers=unit.visible(), limit=1, without=left_out, model_id=id_or_name)
        if not kept.total:
            raise
        return id_or_name
