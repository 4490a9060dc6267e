"""One search over the names of everything that somebody may see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from softprompt.storage.tables import (
    LARGE,
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
from softprompt.studio import foundation_models
from softprompt.studio.access import Unit

TABLES: dict[str, Any] = {
    "project": Project, "space": Space, "dataset": Dataset, "experiment": TuningExperiment, "run": TuningRun,
    "prompt": TunedPrompt, "deployment": Deployment, "session": PromptSession, "evaluation": Evaluation,
}  # fmt: skip
ORDER = (
    "run", "deployment", "prompt", "experiment", "dataset", "session", "evaluation", "model", "space", "project"
)  # fmt: skip
"""In which people look for them."""


@dataclass(frozen=True, slots=True)
class Hit:
    """Something with the text in its name.

    Attributes:
        updated_at: None for foundation models.
    """

    noun: str
    id: str
    name: str
    container_id: str | None
    updated_at: datetime | None


@dataclass(frozen=True, slots=True)
class Group:
    """What was found of one noun.

    Attributes:
        total: how many there are, those that are not among the hits too.
    """

    noun: str
    hits: tuple[Hit, ...]
    total: int


def search(unit: Unit, text: str, *, limit: int = 5) -> list[Hit]:
    """The newest ones of each noun."""
    return [hit for noun in TABLES for hit in _of_noun(unit, noun, text, limit).hits]


def groups(unit: Unit, text: str, *, limit: int = 5) -> list[Group]:
    """The same for people: with foundation models and totals, names that begin with the text first."""
    found = [_models(unit, text, limit) if noun == "model" else _of_noun(unit, noun, text, limit) for noun in ORDER]
    return [group for group in found if group.total]


def _of_noun(unit: Unit, noun: str, text: str, limit: int) -> Group:
    table = TABLES[noun]
    without = LARGE.get(table, ())
    page = unit.rows.page(table, containers=unit.visible(), search=text, limit=limit, without=without)
    hits = [Hit(noun, row.id, row.name, _container(row), row.updated_at) for row in page.items]
    return Group(noun, tuple(sorted(hits, key=lambda hit: not _begins(hit.name, text))), page.total)


def _models(unit: Unit, text: str, limit: int) -> Group:
    hits = [Hit("model", key, label, None, None) for key, label in foundation_models.named(unit.rows, text)]
    hits.sort(key=lambda hit: not _begins(hit.name, text))
    return Group("model", tuple(hits[:limit]), len(hits))


def _container(row: Any) -> str | None:
    return getattr(row, "project_id", None) or getattr(row, "space_id", None)


def _begins(name: str, text: str) -> bool:
    return name.casefold().startswith(text.casefold())
