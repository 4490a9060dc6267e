"""From a request on any wire to an answer: what is asked of, who asks, and the way to the serving host.

Wires translate their words into `Asked` and the answer back; nothing here knows their shapes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from softprompt.api.context import caller_of, studio_of, unit_of
from softprompt.errors import ParameterInvalid, TooLarge
from softprompt.params import GenerateConfig
from softprompt.serving.protocol import Done, Event, Piece, Target, Way, Work
from softprompt.storage.tables import Project, Space, TunedPrompt
from softprompt.studio import deployments, foundation_models, prompt_sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One question, in nobody's words but ours.

    Attributes:
        text: the input, bare; None for a chat.
        messages: of a chat, `{"role", "content"}`.
        variables: values of a prompt template's placeholders.
        way: auto takes the label readout where there is one.
        time_limit: seconds.
        details: alternatives to tell for each generated token; None: no details.
    """

    text: str | None = None
    messages: tuple[Mapping[str, str], ...] = ()
    config: GenerateConfig = field(default_factory=GenerateConfig)
    variables: Mapping[str, str] | None = None
    way: Way = "auto"
    time_limit: float | None = None
    details: int | None = None


@dataclass(frozen=True, slots=True)
class Behind:
    """What answers: a deployment, a tuned prompt or a foundation model."""

    model_id: str
    """As people call it."""
    target: Target
    template: Mapping[str, Any] | None = None
    answers_by: str = "text"
    serving_name: str | None = None


async def behind_deployment(request: Request, id_or_serving_name: str) -> Behind:
    """A deployment that this caller may ask."""
    return await run_in_threadpool(_deployment, request, id_or_serving_name)


async def behind_model(request: Request, model_id: str, container_id: str | None = None) -> Behind:
    """A foundation model; where a project or space is named, the caller must be in it."""
    return await run_in_threadpool(_model, request, model_id, container_id)


async def behind_prompt(request: Request, prompt_id: str) -> Behind:
    """A tuned prompt that is not deployed (the Prompt Lab tries it so)."""
    return await run_in_threadpool(_prompt, request, prompt_id)


async def answer(request: Request, behind: Behind, asked: Asked) -> Done:
    """The whole answer; errors of the serving host are raised."""
    return await studio_of(request).backend.answer(_work(request, behind, asked))


def stream(request: Request, behind: Behind, asked: Asked) -> AsyncIterator[Event]:
    """Pieces as they are decoded, then `Done` or `Failed`."""
    return studio_of(request).backend.generate(_work(request, behind, asked))


async def tokenize(request: Request, behind: Behind, text: str) -> list[str]:
    """The tokens of a text, as the model reads them."""
    return await studio_of(request).backend.tokenize(behind.target, text)


def _work(request: Request, behind: Behind, asked: Asked) -> Work:
    text, messages = asked.text, asked.messages
    if behind.template is not None:
        text, messages = prompt_sessions.rendered({**behind.template, **_question(asked)}, _strings(asked)), ()
    if text is None and not messages:
        raise ParameterInvalid("input: nothing was asked. Send a text.")
    most = studio_of(request).settings.limits.prompt_chars
    length = len(text or "") + sum(len(m["content"]) for m in messages)
    if length > most:
        raise TooLarge(f"The prompt has {length:,} characters; at most {most:,} are allowed here.")
    return Work(
        target=behind.target,
        text=text,
        messages=tuple(dict(m) for m in messages),
        config=asked.config,
        way=asked.way,
        tenant=caller_of(request).actor.tenant,
        time_limit=asked.time_limit,
        details=asked.details,
    )


def _question(asked: Asked) -> dict[str, Any]:
    """A prompt template answers its own question, unless another one is asked."""
    return {"input": [[asked.text, ""]]} if asked.text else {}


def _strings(asked: Asked) -> dict[str, str]:
    return {str(name): str(value) for name, value in (asked.variables or {}).items()}


def _deployment(request: Request, id_or_serving_name: str) -> Behind:
    with unit_of(request, write=False, need="viewer") as unit:
        found = deployments.served(unit, id_or_serving_name)
    target = Target(model_id=found.model, prompt=found.prompt_key)
    return Behind(found.model_id, target, found.session, found.answers_by, found.serving_name)


def _model(request: Request, model_id: str, container_id: str | None) -> Behind:
    with unit_of(request, write=False, need="viewer") as unit:
        if container_id:
            unit.get(Space if unit.rows.get(Space, container_id) else Project, container_id)
        model = foundation_models.find(unit.rows, model_id)
    return Behind(model.id, Target(model_id=model.name, prompt=None))


def _prompt(request: Request, prompt_id: str) -> Behind:
    with unit_of(request, write=False, need="viewer") as unit:
        prompt = unit.get(TunedPrompt, prompt_id)
        model = deployments.engine_name(unit, prompt.model_id)
    return Behind(prompt.model_id, Target(model_id=model, prompt=prompt.key), None, prompt.answers_by)


__all__ = ["Asked", "Behind", "Done", "Piece", "answer", "behind_deployment", "behind_model", "behind_prompt", "stream"]
