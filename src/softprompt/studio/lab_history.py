"""History of the Prompt Lab: what stood on the page at each Generate, with the answers. The newest ones are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from softprompt.errors import NotFound
from softprompt.storage.rows import Page
from softprompt.storage.tables import LabGeneration, Project, PromptSession
from softprompt.studio.access import Unit
from softprompt.studio.lab import LabPage, of_dict, to_dict

KEPT = 200
"""Generations of one person."""
RECENT = 4
"""Subjects that stand first in the list next time."""
MOST_TOKENS = 200
"""Of one answer, whose alternatives are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token of an answer: its probability's logarithm, and the likeliest ones in its place."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one column said to one test, or why there is nothing."""

    row: int
    column: int
    output: str = ""
    input_tokens: int = 0
    virtual_tokens: int = 0
    generated_tokens: int = 0
    stop_reason: str = ""
    confidence: float | None = None
    cut: bool = False
    way: str = "text"
    labels: tuple[tuple[str, float], ...] = ()
    tokens: tuple[Token, ...] = ()
    problem: str = ""

    @property
    def total(self) -> int:
        return self.input_tokens + self.virtual_tokens + self.generated_tokens


def begin(
    unit: Unit, project: Project, page: LabPage, session_id: str | None = None, *, kept: int = KEPT
) -> LabGeneration:
    """Remember the page before anything is asked; the oldest generations of this person go."""
    if session_id is not None:
        session_id = unit.get(PromptSession, session_id, need="viewer").id
    me = unit.actor.user_id
    row = unit.rows.add(LabGeneration(project_id=project.id, session_id=session_id, page=to_dict(page), user_id=me))
    surplus = unit.rows.all(LabGeneration, sort="-created_at", user_id=me)[kept:]
    if surplus:
        unit.rows.remove(LabGeneration, id=[each.id for each in surplus])
    return row


def finish(unit: Unit, generation_id: str, answers: Sequence[Answer]) -> None:
    """Put the answers beside the page."""
    unit.rows.change(LabGeneration, {"answers": [_plain(each) for each in answers]}, id=generation_id)


def get(unit: Unit, generation_id: str) -> LabGeneration:
    """One's own, or one of a prompt session that one may see."""
    row = unit.rows.get(LabGeneration, generation_id)
    if row is not None and row.user_id != unit.actor.user_id:
        session = unit.rows.get(PromptSession, row.session_id) if row.session_id else None
        row = row if session is not None and unit.role_in(session) else None
    if row is None:
        raise NotFound(f"There is no generation {generation_id!r} in your history. The list shows what there is.")
    return row


def page(
    unit: Unit,
    *,
    session_id: str | None = None,
    limit: int = 20,
    cursor: str | None = None,
    sort: str = "-created_at",
) -> Page[LabGeneration]:
    """The newest first: one's own, or those of a prompt session, whoever made them."""
    if session_id is None:
        return unit.rows.page(LabGeneration, user_id=unit.actor.user_id, sort=sort, limit=limit, cursor=cursor)
    session = unit.get(PromptSession, session_id, need="viewer")
    return unit.rows.page(LabGeneration, session_id=session.id, sort=sort, limit=limit, cursor=cursor)


def recent_subjects(rows: Sequence[LabGeneration]) -> list[str]:
    """Who was asked last, each once."""
    found = [str(each.get("subject", "")) for row in rows for each in row.page.get("columns") or ()]
    return [value for value in dict.fromkeys(found) if value][:RECENT]


def page_of(row: LabGeneration) -> LabPage:
    return of_dict(row.page)


def answers_of(row: LabGeneration) -> list[Answer]:
    return [_answer(each) for each in row.answers]


def _plain(answer: Answer) -> dict[str, Any]:
    found = asdict(answer)
    found["tokens"] = found["tokens"][:MOST_TOKENS] if len(answer.tokens) <= MOST_TOKENS else []
    return found


def _answer(found: Mapping[str, Any]) -> Answer:
    tokens = tuple(Token(**{**each, "top": _pairs(each.get("top"))}) for each in found.get("tokens") or ())
    return Answer(**{**found, "tokens": tokens, "labels": _pairs(found.get("labels"))})


def _pairs(items: Any) -> tuple[tuple[str, float], ...]:
    return tuple((str(name), float(value)) for name, value in items or ())
