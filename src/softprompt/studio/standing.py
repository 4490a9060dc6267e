"""Whether deployments can answer, as far as disk and store tell: what is missing, and what brings it back.

A row says what people want, online or offline; here it is compared with what is there, whenever it is shown. Does not
ask the serving host, nor a store that is far away, which would take too long for a list.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from softprompt import catalogue
from softprompt.config import Settings
from softprompt.engine.sources import available
from softprompt.errors import ModelUnavailable, NotFound
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Deployment, FoundationModel, TunedPrompt

SURE_SECONDS = 5.0
"""For which a model that was found is not looked for again."""
_found: dict[tuple[str, Path], float] = {}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a deployment is.

    Attributes:
        state: ready, offline, or failed: it cannot answer.
        problem: why, `code` and `message`.
    """

    state: str
    problem: dict[str, str] | None = None


def of(rows: Rows, store: ArtifactStore, deployments: Sequence[Deployment]) -> dict[str, Standing]:
    """By the deployments' ids; each model is looked up once."""
    added = {row.model_id: Path(row.path) for row in rows.all(FoundationModel)} if deployments else {}
    settings = Settings.from_environment()
    models = {name: _missing_model(name, added, settings) for name in {each.model_id for each in deployments}}
    ids = {each.tuned_prompt_id for each in deployments if each.tuned_prompt_id}
    prompts = {row[0]: row[1:] for row in rows.columns(TunedPrompt, ("id", "name", "key"), id=ids)} if ids else {}
    found = {}
    for each in deployments:
        problem = models[each.model_id]
        if problem is None and each.tuned_prompt_id:
            problem = _missing_prompt(prompts.get(each.tuned_prompt_id), store)
        if each.state != "ready":
            found[each.id] = Standing(each.state)
        else:
            found[each.id] = Standing("ready") if problem is None else Standing("failed", problem)
    return found


def one(rows: Rows, store: ArtifactStore, deployment: Deployment) -> Standing:
    return of(rows, store, [deployment])[deployment.id]


def answering(rows: Rows, store: ArtifactStore) -> int:
    """How many of the whole studio can answer."""
    asked = rows.all(Deployment, state="ready")
    return sum(each.state == "ready" for each in of(rows, store, asked).values())


def _missing_model(model_id: str, added: dict[str, Path], settings: Settings) -> dict[str, str] | None:
    folder = added.get(model_id)
    if folder is not None:
        words = f"The folder {folder} of {model_id} is gone. Put it back, or serve another model."
        return None if folder.is_dir() else _problem(ModelUnavailable.code, words)
    card = catalogue.find(model_id)
    if card is None:
        return _problem(ModelUnavailable.code, f"{model_id} is no foundation model here any more. Add it again.")
    key = card.id, settings.cache
    if time.monotonic() - _found.get(key, -SURE_SECONDS) < SURE_SECONDS:
        return None
    if available(card, settings) is None:
        words = f"{card.id} is not on this machine. `softprompt models pull {card.id}` brings it."
        return _problem(ModelUnavailable.code, words)
    _found[key] = time.monotonic()
    return None


def _missing_prompt(prompt: Sequence[str] | None, store: ArtifactStore) -> dict[str, str] | None:
    if prompt is None:
        return _problem(NotFound.code, "Its tuned prompt was deleted. Deploy another one.")
    name, key = prompt
    if not store.local or _lies(store, key):
        return None
    words = f"The files of tuned prompt {name!r} are gone from the store. Restore a backup, or deploy another."
    return _problem(NotFound.code, words)


def _lies(store: ArtifactStore, key: str) -> bool:
    try:
        return store.exists(key)
    except NotFound:  # it is no key at all
        return False


def _problem(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message}
