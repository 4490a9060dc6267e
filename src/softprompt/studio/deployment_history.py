"""What happened to a deployment, read from the audit log: swaps and the way back, promotions, changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from softprompt.storage.people import AuditEntry, User
from softprompt.storage.tables import Deployment, TunedPrompt
from softprompt.studio.access import Unit

MOST = 200
"""Entries that are shown."""
_TOLD = frozenset({"state", "tuned_prompt_id", "model_id", "prompt_session_id"})
"""Fields whose change has an entry with a name of its own."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One thing that was done.

    Attributes:
        who: name of the user, "the studio" where there was none.
        action: deploy, swap, promote, arrive, update, bring online, take offline, delete, restore.
    """

    id: int
    at: datetime
    who: str
    action: str
    data: Mapping[str, Any]
    request_id: str | None


@dataclass(frozen=True, slots=True)
class Earlier:
    """A tuned prompt that answered before, and until when. `prompt` is None if it is gone."""

    id: str
    name: str
    until: datetime
    prompt: TunedPrompt | None


def of(unit: Unit, deployment_id: str) -> list[Happened]:
    """The newest first."""
    deployment = unit.get(Deployment, deployment_id)
    entries = _entries(unit, deployment)
    names = user_names(unit, [entry.user_id for entry in entries])
    found = []
    for entry in entries:
        data = dict(entry.data)
        if entry.action == "update":
            data["fields"] = [name for name in data.get("fields", ()) if name not in _TOLD]
            if not data["fields"]:
                continue
        who = names.get(entry.user_id or "", "the studio")
        found.append(Happened(entry.id, entry.at, who, entry.action, data, entry.request_id))
    return found


def earlier_prompts(unit: Unit, deployment: Deployment) -> list[Earlier]:
    """Tuned prompts that a swap took away from this name, the last one first, each once."""
    found: dict[str, Earlier] = {}
    for entry in _entries(unit, deployment, action="swap"):
        before = entry.data.get("from")
        if before and before["id"] != deployment.tuned_prompt_id and before["id"] not in found:
            prompt = unit.rows.get(TunedPrompt, before["id"])
            found[before["id"]] = Earlier(before["id"], before["name"], entry.at, prompt)
    return list(found.values())


def user_names(unit: Unit, ids: Sequence[str | None]) -> dict[str, str]:
    """Names of users by their ids."""
    wanted = {each for each in ids if each}
    return {user.id: user.name for user in unit.rows.all(User, id=wanted)} if wanted else {}


def _entries(unit: Unit, deployment: Deployment, **equals: Any) -> list[AuditEntry]:
    return unit.rows.all(AuditEntry, noun_id=deployment.id, sort="-id", limit=MOST, **equals)
