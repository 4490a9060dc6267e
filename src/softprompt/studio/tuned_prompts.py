"""Tuned prompts: the artefacts of runs, promoted to spaces, imported, deleted when nothing needs them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

from softprompt.errors import NotFound, ParameterInvalid
from softprompt.storage.rows import Page
from softprompt.storage.tables import Project, Space, TunedPrompt, TuningRun
from softprompt.storage.types import new_id
from softprompt.studio.access import Revision, Role, Unit, check_revision
from softprompt.studio.in_use import refuse_if_used
from softprompt.studio.names import changes, clean_name, clean_text

PEFT_FILES = ("adapter_config.json", "adapter_model.safetensors", "README.md")


def from_run(unit: Unit, run: TuningRun, key: str, card: dict[str, Any]) -> TunedPrompt:
    """The row of a folder that a run has put into the store."""
    prompt = TunedPrompt(project_id=run.project_id, run_id=run.id, name=run.name, key=key, created_by=run.created_by)
    describe(prompt, card)
    prompt.model_id = run.model_id
    unit.rows.add(prompt)
    unit.log("create", prompt, name=prompt.name)
    return prompt


def describe(prompt: TunedPrompt, card: dict[str, Any]) -> None:
    """Fill the columns that repeat what the artefact's card says."""
    prompt.card = card
    base = card.get("base") or {}
    prompt.model_id = base.get("model_id") or ""
    prompt.fingerprint = base.get("fingerprint") or ""
    prompt.task = card.get("task") or ""
    prompt.answers_by = card.get("answers_by") or "text"
    prompt.virtual_tokens = int(card.get("virtual_tokens") or 0)
    prompt.labels = list(card.get("labels") or ())
    prompt.metrics = dict(card.get("metrics") or {})


def add(unit: Unit, project: Project, name: str, folder: Path, card: dict[str, Any]) -> TunedPrompt:
    """Bring in a tuned prompt from a folder that was checked already."""
    unit.require(project)
    prompt_id = new_id()
    key = f"prompts/{prompt_id}"
    size = unit.store.put_folder(key, folder)
    prompt = TunedPrompt(
        id=prompt_id, project_id=project.id, name=clean_name(name), key=key, size=size, created_by=unit.actor.user_id
    )
    describe(prompt, card)
    unit.rows.add(prompt)
    unit.log("import", prompt, name=prompt.name)
    return prompt


def get(unit: Unit, prompt_id: str) -> TunedPrompt:
    return unit.get(TunedPrompt, prompt_id)


def find(unit: Unit, id_or_name: str, *, project_id: str | None = None, need: Role | None = None) -> TunedPrompt:
    """By id, or the newest visible one of a name: of the project if one is named; copies in spaces come last."""
    named = unit.rows.all(TunedPrompt, name=id_or_name, sort="-created_at")
    named.sort(key=lambda prompt: (bool(project_id) and prompt.project_id != project_id, prompt.space_id is not None))
    for prompt in named:
        if unit.role_in(prompt):
            unit.require(prompt, need)
            return prompt
    return unit.get(TunedPrompt, id_or_name, need=need)


def page(unit: Unit, *, project_id: str | None = None, space_id: str | None = None, **paging: Any) -> Page[TunedPrompt]:
    equals: dict[str, Any] = {}
    if project_id:
        equals["project_id"] = unit.get(Project, project_id).id
    if space_id:
        equals["space_id"] = unit.get(Space, space_id).id
    return unit.rows.page(TunedPrompt, containers=unit.visible(), **equals, **paging)


def update(
    unit: Unit,
    prompt_id: str,
    *,
    name: str | None = None,
    description: str | None = None,
    tags: list[str] | None = None,
    revision: Revision = None,
) -> TunedPrompt:
    prompt = unit.get(TunedPrompt, prompt_id)
    unit.change(prompt, revision, **changes(name=name, description=description, tags=tags))
    return prompt


def promote(unit: Unit, prompt_id: str, space_id: str, *, description: str | None = None) -> TunedPrompt:
    """A copy of the row in a space; the files are shared. Promoted twice, it is there once."""
    prompt = unit.hold(unit.get(TunedPrompt, prompt_id, need="viewer"))
    space = unit.hold(unit.get(Space, space_id))
    if prompt.space_id == space.id:
        raise ParameterInvalid(f"{prompt.name!r} is in space {space.name!r} already.")
    there = unit.rows.first(TunedPrompt, source_id=prompt.id, space_id=space.id)
    if there is not None:
        return there
    copied = ("name", "tags", "run_id", "model_id", "fingerprint", "task", "answers_by", "virtual_tokens", "labels")
    values = {name: getattr(prompt, name) for name in (*copied, "metrics", "card", "key", "size")}
    values["description"] = clean_text(description) if description is not None else prompt.description
    promoted = TunedPrompt(space_id=space.id, source_id=prompt.id, created_by=unit.actor.user_id, **values)
    unit.rows.add(promoted)
    unit.log("promote", promoted, name=promoted.name, source=prompt.id)
    return promoted


def delete(unit: Unit, prompt_id: str, revision: Revision = None) -> None:
    """Refused while something needs it. Files go when the last row that shares them is purged."""
    prompt = unit.get(TunedPrompt, prompt_id)
    check_revision(prompt, revision)
    refuse_if_used(unit, prompt)
    unit.delete(prompt)


def packed(folder: Path, names: Collection[str] = ()) -> bytes:
    """The artefact as a ZIP file; all of it, or the files that are named."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            name = path.relative_to(folder).as_posix()
            if not names or name in names:
                archive.write(path, name)
    return buffer.getvalue()


def peft_adapter(unit: Unit, prompt_id: str) -> bytes:
    """What PEFT opens of a tuned prompt, as a ZIP file."""
    prompt = unit.get(TunedPrompt, prompt_id, need="viewer")
    packed_files = packed(unit.store.folder(prompt.key), PEFT_FILES)
    if not (prompt.card.get("peft") or {}).get("covers"):
        raise NotFound(f"{prompt.name!r} has no vectors that PEFT could open: it answers by a label readout alone.")
    return packed_files
