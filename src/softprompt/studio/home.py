"""What stands on the first page: the lab in seven steps, recent work, and the project to begin in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from softprompt.errors import NotFound
from softprompt.storage.people import ApiKey
from softprompt.storage.tables import LARGE, Dataset, Deployment, Evaluation, Project, PromptSession, TuningRun
from softprompt.studio import containers, projects
from softprompt.studio.access import RANKS, Unit

RECENT: dict[str, Any] = {
    "deployment": Deployment, "dataset": Dataset, "evaluation": Evaluation, "session": PromptSession
}  # fmt: skip
STEPS = ("prompt", "data", "tune", "curve", "deploy", "call", "again")
"""Of the lab: try prompting, load data, tune, read the curve, deploy, call it, tune again and compare."""


@dataclass(frozen=True, slots=True)
class Work:
    """Something that was worked on.

    Attributes:
        state: of a run, deployment, dataset or evaluation.
        model_id: if there is one.
        progress: of a run or evaluation that is at work.
    """

    noun: str
    id: str
    name: str
    at: datetime
    state: str = ""
    model_id: str = ""
    progress: dict[str, Any] | None = None


def recent(unit: Unit, *, most: int = 8) -> list[Work]:
    """What was changed last, whatever it is."""
    found = [_work("run", run) for run in _runs(unit, most)]
    for noun, table in RECENT.items():
        without = LARGE.get(table, ())
        page = unit.rows.page(table, containers=unit.visible(), sort="-updated_at", limit=most, without=without)
        found += [_work(noun, row) for row in page.items]
    return sorted(found, key=lambda work: work.at, reverse=True)[:most]


def steps_done(unit: Unit) -> dict[str, bool]:
    """Which steps of the lab were taken in what this person sees."""
    seen = unit.visible()

    def any_of(table: Any) -> bool:
        return bool(unit.rows.page(table, containers=seen, limit=1, without=LARGE.get(table, ())).items)

    completed = len(_runs(unit, 2, state="completed"))
    return {
        "prompt": any_of(PromptSession),
        "data": any_of(Dataset),
        "tune": bool(_runs(unit, 1)),
        "curve": completed > 0,
        "deploy": any_of(Deployment),
        "call": any(key.last_used_at for key in unit.rows.all(ApiKey, user_id=unit.actor.user_id, revoked_at=None)),
        "again": completed > 1,
    }


def _runs(unit: Unit, most: int, **equals: Any) -> list[TuningRun]:
    """The newest ones by the index of their project: there may be ten thousands, which nobody should count."""
    seen = unit.visible()
    inside = [project.id for project in unit.rows.all(Project)] if seen is None else seen
    left_out = LARGE[TuningRun]
    return unit.rows.all(TuningRun, project_id=inside, sort="-created_at", limit=most, without=left_out, **equals)


def may_begin(unit: Unit) -> bool:
    """Whether this person can work in some project."""
    sandbox = unit.rows.first(Project, sandbox=True)
    if sandbox is not None and unit.role_in(sandbox) >= RANKS["viewer"]:
        return True
    return bool(unit.rows.page(Project, containers=unit.visible(), limit=1).total)


def sandbox_taken(unit: Unit) -> bool:
    """Whether there is a sandbox, which this person may not see."""
    return unit.rows.first(Project, sandbox=True) is not None


def make_sandbox(unit: Unit) -> Project:
    """A project to begin in; whoever makes it becomes its admin.

    Raises:
        NotFound: there is one, but not for these eyes.
    """
    unit.may_found("project")
    found = unit.rows.first(Project, sandbox=True)
    if found is None:
        found = projects.sandbox(unit)
        containers.founded(unit, found)
    elif not unit.role_in(found):
        raise NotFound("You are not in the sandbox project. One of its admins, or an admin of the studio, can add you.")
    return found


def _work(noun: str, row: Any) -> Work:
    state = getattr(row, "state", "")
    progress = row.progress if noun == "run" and state == "running" else None
    return Work(noun, row.id, row.name, row.updated_at, state, getattr(row, "model_id", None) or "", progress)
