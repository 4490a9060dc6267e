"""Questions about datasets that lists and pages ask. The report, which may be large, is not read for them."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from softprompt.storage.people import User
from softprompt.storage.tables import Dataset, Evaluation, TuningRun

_REFUSED = Dataset.report["refused"].as_integer()
_LABELS = Dataset.report["labels"].as_string()
_WARNINGS = Dataset.report["warnings"].as_string()
_COLUMNS = (
    Dataset.id, Dataset.project_id, Dataset.name, Dataset.version, Dataset.description, Dataset.state, Dataset.rows,
    Dataset.task, Dataset.size, Dataset.sha256, Dataset.created_at, User.name, _REFUSED, _LABELS, _WARNINGS,
)  # fmt: skip
_FIELDS = (
    "id", "project_id", "name", "version", "description", "state", "rows", "task", "size", "sha256", "created_at", "by",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listed:
    """A version of a dataset as lists show it.

    Attributes:
        by: name of whoever brought it in.
        refused: rows that cannot be used.
        labels: how many there are.
        warnings: findings that hurt a tuned prompt.
        versions: of its name, those that are not deleted; 1 where only one was asked for.
    """

    id: str
    project_id: str
    name: str
    version: int
    description: str
    state: str
    rows: int | None
    task: str | None
    size: int
    sha256: str | None
    created_at: datetime
    by: str | None
    refused: int
    labels: int
    warnings: int
    versions: int = 1


@dataclass(frozen=True, slots=True)
class Use:
    """A run or an evaluation that works, or worked, with a dataset."""

    kind: Literal["run", "evaluation"]
    id: str
    name: str
    state: str
    role: str
    created_at: datetime


def newest(
    session: Session,
    *,
    containers: Collection[str] | None,
    search: str = "",
    start: int = 0,
    limit: int = 50,
    project_id: str | None = None,
) -> tuple[list[Listed], int]:
    """The newest version of each name, the newest first, and how many names there are.

    Args:
        containers: ids of the projects that may be seen; None: all.
        project_id: one of them.
    """
    grouped = select(Dataset.project_id, Dataset.name, func.max(Dataset.version).label("top"), func.count().label("n"))
    grouped = grouped.where(Dataset.deleted_at.is_(None))
    if containers is not None:
        grouped = grouped.where(Dataset.project_id.in_(list(containers)))
    if search:
        grouped = grouped.where(Dataset.name.icontains(search, autoescape=True))
    if project_id is not None:
        grouped = grouped.where(Dataset.project_id == project_id)
    grouped = grouped.group_by(Dataset.project_id, Dataset.name)
    names = grouped.subquery()
    same = and_(Dataset.project_id == names.c.project_id, Dataset.name == names.c.name, Dataset.version == names.c.top)
    statement = (
        select(*_COLUMNS, names.c.n)
        .join(names, same)
        .outerjoin(User, User.id == Dataset.created_by)
        .order_by(Dataset.created_at.desc(), Dataset.id)
        .offset(start)
        .limit(limit)
    )
    total = session.scalar(select(func.count()).select_from(names)) or 0
    return [_listed(row) for row in session.execute(statement)], total


def versions(session: Session, project_id: str, name: str) -> list[Listed]:
    """All versions of a name, the newest first."""
    statement = (
        select(*_COLUMNS)
        .outerjoin(User, User.id == Dataset.created_by)
        .where(Dataset.project_id == project_id, Dataset.name == name, Dataset.deleted_at.is_(None))
        .order_by(Dataset.version.desc())
    )
    return [_listed((*row, 1)) for row in session.execute(statement)]


def uses(session: Session, dataset_id: str, project_id: str, limit: int = 20) -> list[Use]:
    """Runs and evaluations with this dataset, the newest first."""
    validated = TuningRun.validation["dataset_id"].as_string()
    used = TuningRun.dataset_id == dataset_id
    roles = or_(used, TuningRun.test_dataset_id == dataset_id, validated.in_([dataset_id]))
    runs = (
        select(
            TuningRun.id, TuningRun.name, TuningRun.state, TuningRun.created_at, TuningRun.dataset_id,
            TuningRun.test_dataset_id,
        )
        .where(TuningRun.project_id == project_id, TuningRun.deleted_at.is_(None), roles)
        .order_by(TuningRun.created_at.desc())
        .limit(limit)
    )  # fmt: skip
    found = []
    for run_id, name, state, created_at, trained, tested in session.execute(runs):
        role = "training" if trained == dataset_id else "test" if tested == dataset_id else "validation"
        found.append(Use("run", run_id, name, state, role, created_at))
    evaluations = (
        select(Evaluation.id, Evaluation.name, Evaluation.state, Evaluation.created_at)
        .where(Evaluation.dataset_id == dataset_id, Evaluation.deleted_at.is_(None))
        .order_by(Evaluation.created_at.desc())
        .limit(limit)
    )
    found += [
        Use("evaluation", i, name, state, "evaluation", at) for i, name, state, at in session.execute(evaluations)
    ]
    return sorted(found, key=lambda use: use.created_at, reverse=True)[:limit]


def _listed(row: Any) -> Listed:
    *facts, refused, labels, warnings, count = row
    counts = {"refused": refused or 0, "labels": _size(labels), "warnings": _size(warnings), "versions": count}
    return Listed(**dict(zip(_FIELDS, facts, strict=True)), **counts)


def _size(document: str | None) -> int:
    """Entries of a list or an object that came as text."""
    return len(json.loads(document)) if document else 0
