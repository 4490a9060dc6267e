"""From a file or from lines to a stored dataset, and from a stored dataset to what its pages show."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi import Request

from softprompt.api.context import studio_of, unit_of
from softprompt.api.pages.shared import project_of
from softprompt.api.uploads import written
from softprompt.errors import WrongState
from softprompt.storage.tables import Dataset, Project
from softprompt.studio import datasets
from softprompt.studio.access import RANKS, Unit
from softprompt.studio.datasets_index import RowIndex
from softprompt.ui.pages.data_parts import Shown

LARGEST_NUMBER = 2**31


@contextmanager
def coming(request: Request) -> Iterator[Path]:
    """A place for a file on its way in; nothing is left of it afterwards."""
    path = studio_of(request).uploads / f"{uuid.uuid4().hex}.part"
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def stored(
    request: Request,
    path: Path,
    name: str,
    file_name: str,
    *,
    like: Dataset | None = None,
    description: str = "",
    media_type: str = "",
) -> Dataset:
    """Check a file and keep it as a dataset, or as a new version.

    Args:
        like: the version that the new one comes from; else it comes into the project people work in.
    """
    studio = studio_of(request)
    found = datasets.examine(path, most_rows=studio.settings.limits.rows)
    datasets.refuse_no_dataset(found)
    datasets.keep(studio.office.store, found)
    with unit_of(request) as unit:
        project = unit.get(Project, like.project_id) if like else project_of(unit)
        return datasets.create(
            unit,
            project,
            name,
            found,
            description=description or (like.description if like else ""),
            tags=like.tags if like else None,
            file_name=file_name,
            media_type=media_type or "application/octet-stream",
        )


def stored_lines(
    request: Request, lines: Iterable[bytes], name: str, *, like: Dataset | None = None, description: str = ""
) -> Dataset:
    """Keep rows that are written here, a line of JSON each."""
    stem = Path(like.file_name or like.name).stem if like else name
    with written(studio_of(request).uploads, lines) as path:
        file_name, media_type = f"{stem[:280]}.jsonl", "application/jsonl"
        return stored(request, path, name, file_name, like=like, description=description, media_type=media_type)


def index_of(request: Request, found: Dataset) -> RowIndex:
    """The rows of a dataset that has a file."""
    index = datasets.index(studio_of(request).office.store, found)
    if index is None:
        raise WrongState(f"Dataset {found.name!r} has no file yet. Wait until its upload is over.")
    return index


def shown_of(unit: Unit, found: Dataset) -> Shown:
    """A dataset with what the head of its pages says."""
    history = datasets.history(unit, found)
    own = next((version for version in history if version.id == found.id), None)
    return Shown(
        dataset=found,
        versions=len(history),
        newest=history[0].version if history else found.version,
        newest_id=history[0].id if history else "",
        by=own.by if own else None,
        may_edit=unit.role_in(found) >= RANKS["editor"],
    )


def number(given: object, default: int, low: int, high: int) -> int:
    """A whole number out of a form, kept inside its range."""
    text = str(given or "").strip()
    return max(low, min(high, int(text))) if text.isdecimal() and len(text) < 12 else default
