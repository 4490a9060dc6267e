"""One search over the names of everything that somebody may see."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from softprompt.storage.tables import (
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
from softprompt.studio.access import Unit

TABLES: dict[str, Any] = {
    "project": Project, "space": Space, "dataset": Dataset, "experiment": TuningExperiment, "run": TuningRun,
    "prompt": TunedPrompt, "deployment": Deployment, "session": PromptSession, "evaluation": Evaluation,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hit:
    """Something with the text in its name."""

    noun: str
    id: str
    name: str
    container_id: str | None
    updated_at: datetime


def search(unit: Unit, text: str, *, limit: int = 5) -> list[Hit]:
    """The newest ones of each noun."""
    found = []
    seen = unit.visible()
    for noun, table in TABLES.items():
        for row in unit.rows.page(table, containers=seen, search=text, limit=limit).items:
            inside = getattr(row, "project_id", None) or getattr(row, "space_id", None)
            found.append(Hit(noun, row.id, row.name, inside, row.updated_at))
    return found
