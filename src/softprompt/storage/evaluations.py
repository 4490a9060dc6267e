"""Questions about evaluations that must not read their results: those hold every answer to every row."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import String, cast, select
from sqlalchemy.orm import Session

from softprompt.storage.tables import Evaluation


def with_prompt(session: Session, project_id: str, prompt_id: str) -> Sequence[tuple[str, str, str]]:
    """Id, name and dataset of the completed evaluations of a tuned prompt, the newest first."""
    statement = (
        select(Evaluation.id, Evaluation.name, Evaluation.dataset_id)
        .where(Evaluation.project_id == project_id, Evaluation.deleted_at.is_(None), Evaluation.state == "completed")
        .where(cast(Evaluation.methods, String).contains(prompt_id, autoescape=True))
        .order_by(Evaluation.created_at.desc())
    )
    return [(key, name, dataset) for key, name, dataset in session.execute(statement)]
