"""Prompt sessions: saved pages of the Prompt Lab, which other products call prompt templates."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from softprompt.errors import InUse, ParameterInvalid
from softprompt.storage.rows import Page
from softprompt.storage.tables import Project, PromptSession, Space
from softprompt.studio.access import Revision, Unit, check_revision
from softprompt.studio.in_use import refuse_if_used
from softprompt.studio.names import clean_name, clean_tags, clean_text
from softprompt.studio.prompt_content import LAB as LAB
from softprompt.studio.prompt_content import check

MODES = ("structured", "freeform", "chat", "detached")
_VARIABLE = re.compile(r"\{(\w+)\}")


def create(
    unit: Unit,
    container: Project | Space,
    name: str,
    *,
    mode: str = "structured",
    model_id: str | None = None,
    content: dict[str, Any] | None = None,
    description: str = "",
    tags: list[str] | None = None,
) -> PromptSession:
    unit.require(container)
    session = PromptSession(
        name=clean_name(name),
        mode=_mode(mode),
        model_id=model_id,
        content=_content(content or {}),
        description=clean_text(description),
        tags=clean_tags(tags),
        created_by=unit.actor.user_id,
        **{("space_id" if isinstance(container, Space) else "project_id"): container.id},
    )
    unit.rows.add(session)
    unit.log("create", session, name=session.name)
    return session


def get(unit: Unit, session_id: str) -> PromptSession:
    return unit.get(PromptSession, session_id)


def page(
    unit: Unit, *, project_id: str | None = None, space_id: str | None = None, **paging: Any
) -> Page[PromptSession]:
    equals: dict[str, Any] = {}
    if project_id:
        equals["project_id"] = unit.get(Project, project_id).id
    if space_id:
        equals["space_id"] = unit.get(Space, space_id).id
    return unit.rows.page(PromptSession, containers=unit.visible(), **equals, **paging)


def update(unit: Unit, session_id: str, *, revision: Revision = None, **given: Any) -> PromptSession:
    """Change name, mode, model_id, content, description or tags; refused while somebody else holds the lock."""
    session = unit.get(PromptSession, session_id)
    if session.locked_by and session.locked_by != unit.actor.user_id:
        raise InUse(f"{session.name!r} is locked by somebody else. Ask them to unlock it.")
    clean: dict[str, Callable[[Any], Any]] = {
        "name": clean_name,
        "mode": _mode,
        "model_id": lambda x: x,
        "content": _content,
        "description": clean_text,
        "tags": clean_tags,
    }
    unit.change(session, revision, **{name: clean[name](value) for name, value in given.items() if value is not None})
    return session


def lock(unit: Unit, session_id: str, locked: bool) -> PromptSession:
    session = unit.get(PromptSession, session_id)
    if session.locked_by and session.locked_by != unit.actor.user_id and not unit.actor.admin:
        raise InUse(f"{session.name!r} is locked by somebody else. Ask them to unlock it.")
    session.locked_by = (unit.actor.user_id or "studio") if locked else None
    return session


def delete(unit: Unit, session_id: str, revision: Revision = None) -> None:
    session = unit.get(PromptSession, session_id)
    check_revision(session, revision)
    refuse_if_used(unit, session)
    unit.delete(session)


def rendered(content: dict[str, Any], values: dict[str, str] | None = None) -> str:
    """The prompt a session stands for: instruction, solved examples, question; `{variables}` filled in or left.

    Content is what IBM's wire calls `prompt`: `input` (list of [input, output]), `data` with `instruction`,
    `input_prefix`, `output_prefix` and `examples`; or `text` for a freeform session.
    """
    data = content.get("data") or {}
    head, cue = data.get("input_prefix") or "", data.get("output_prefix") or ""
    if content.get("text") is not None:
        return fill(str(content["text"]), values)
    blocks = [data["instruction"]] if data.get("instruction") else []
    for example in data.get("examples") or []:
        blocks.append("\n".join(part for part in (_joined(head, example[0]), _joined(cue, example[1])) if part))
    asked = content.get("input") or []
    asked = [asked] if isinstance(asked, str) else asked
    for item in asked:
        question = item if isinstance(item, str) else item[0]
        blocks.append("\n".join(part for part in (_joined(head, question), cue) if part))
    return fill("\n\n".join(blocks), values)


def places(content: dict[str, Any]) -> list[str]:
    """Names of the `{variables}` in the prompt, in their order."""
    return names_in(rendered(content))


def names_in(*texts: str) -> list[str]:
    """Names of the `{variables}` in texts, in their order."""
    return list(dict.fromkeys(name for text in texts for name in _VARIABLE.findall(text)))


def fill(text: str, values: Mapping[str, str] | None) -> str:
    """Put values in the place of `{names}`; names without a value stay as they are."""
    given = values or {}
    return _VARIABLE.sub(lambda found: str(given.get(found.group(1), found.group(0))), text)


def _joined(head: str, text: str) -> str:
    return f"{head} {text}".strip() if head else str(text)


def _content(content: dict[str, Any]) -> dict[str, Any]:
    check(content)
    return dict(content)


def _mode(mode: str) -> str:
    if mode not in MODES:
        raise ParameterInvalid(f"mode: {mode!r} is not one of {', '.join(MODES)}.")
    return mode
