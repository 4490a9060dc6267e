"""From a request on any wire to an answer: what is asked of, who asks, and the way to the serving host.

Wires translate their words into `Asked` and the answer back; nothing here knows their shapes. Whoever leaves before
the answer is there takes the work along: it is canceled at the serving host.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar, cast

from fastapi import HTTPException, Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from softprompt.api.context import caller_of, studio_of, unit_of
from softprompt.api.remembered import FOREVER
from softprompt.errors import ModelUnknown, NotFound, ParameterInvalid, SoftpromptError, TooLarge, Unavailable
from softprompt.params import GenerateConfig
from softprompt.serving import backend as serving
from softprompt.serving.protocol import Done, Event, Failed, Message, Piece, Target, Tokens, Way, Work
from softprompt.storage.tables import Project, Space, TunedPrompt
from softprompt.storage.types import now
from softprompt.studio import deployments, foundation_models, prompt_sessions
from softprompt.studio.access import Unit
from softprompt.studio.usage import Tally

T = TypeVar("T")
CLIENT_LEFT = 499
"""What the log says of a request whose client left; nobody reads that answer."""


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
    deployment_id: str | None = None


async def behind_deployment(request: Request, id_or_serving_name: str) -> Behind:
    """A deployment that this caller may ask."""
    return await _behind(request, _deployment, id_or_serving_name)


async def behind_model(request: Request, model_id: str, container_id: str | None = None) -> Behind:
    """A foundation model; where a project or space is named, the caller must be in it."""
    return await _behind(request, _model, model_id, container_id)


async def behind_prompt(request: Request, prompt_id: str) -> Behind:
    """A tuned prompt that is not deployed (the Prompt Lab tries it so)."""
    return await _behind(request, _prompt, prompt_id)


async def behind_name(request: Request, name: str) -> Behind:
    """A deployment by serving name or id, else a foundation model that lies on this machine."""
    return await _behind(request, _named, name)


async def answer(request: Request, behind: Behind, asked: Asked) -> Done:
    """The whole answer; errors of the serving host are raised."""
    return (await answers(request, behind, [asked]))[0]


async def answers(request: Request, behind: Behind, asked: Sequence[Asked]) -> list[Done]:
    """The answers to several questions, worked on together. One that fails ends the others and is raised."""
    with _counted(request, behind) as tally:
        work = [_work(request, behind, one, stream=False) for one in asked]
        backend = studio_of(request).backend
        found = await while_there(request, _all([serving.answer(backend, one) for one in work]))
        tally.add(found)
    return found


async def stream(request: Request, behind: Behind, asked: Asked) -> AsyncIterator[Event]:
    """Pieces as they are decoded, then `Done` or `Failed`."""
    with _counted(request, behind) as tally:
        async with aclosing(cast(Any, _stream(request, behind, asked))) as events:
            async for event in events:
                tally.failed |= isinstance(event, Failed)
                if isinstance(event, Done):
                    tally.add([event])
                yield event


def _stream(request: Request, behind: Behind, asked: Asked) -> AsyncIterator[Event]:
    return studio_of(request).backend.generate(_work(request, behind, asked, stream=True))


@contextmanager
def _counted(request: Request, behind: Behind) -> Iterator[Tally]:
    """A request among the counts of its deployment; one whose client left is no error."""
    tally = studio_of(request).usage.begin(behind.deployment_id)
    try:
        yield tally
    except HTTPException:
        raise
    except Exception:
        tally.failed = True
        raise
    finally:
        tally.close()


async def begin(request: Request, behind: Behind, asked: Sequence[Asked]) -> Streams:
    """The same for one or several questions, once the first of them has something to say.

    Errors until then are raised, so that they get the status they deserve; a stream that has begun is status 200.
    """
    tally = studio_of(request).usage.begin(behind.deployment_id)
    try:
        streams = Streams([_stream(request, behind, one) for one in asked], tally)
    except SoftpromptError:
        tally.fail()
        raise
    try:
        await while_there(request, streams.ready())
    except BaseException:
        await streams.aclose()
        raise
    return streams


async def tokenize(request: Request, behind: Behind, text: str) -> Tokens:
    """The tokens of a text, as the model reads them, template included."""
    _check_length(request, len(text))
    return await while_there(request, studio_of(request).backend.tokenize(behind.target, text))


async def while_there(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is canceled when the client leaves. The request's body has to be read before."""
    doing = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request.receive))
    try:
        await asyncio.wait({doing, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if doing.done():
            return doing.result()
        raise HTTPException(CLIENT_LEFT, "The client left before the answer was there.")
    finally:
        leaving.cancel()
        doing.cancel()
        await asyncio.gather(doing, leaving, return_exceptions=True)


class Streams:
    """Several answers on their way: `(number, event)` in the order in which they come.

    What fails is raised and ends all of them. Has to be closed: `EventStream` does, whatever becomes of the client.
    """

    def __init__(self, events: Sequence[AsyncIterator[Event]], tally: Tally) -> None:
        self._tally = tally
        self._queue: asyncio.Queue[tuple[int, Event | BaseException]] = asyncio.Queue()
        self._waiting: tuple[int, Event | BaseException] | None = None
        self._open = len(events)
        self._tasks = [asyncio.ensure_future(self._follow(number, each)) for number, each in enumerate(events)]

    async def ready(self) -> None:
        """Wait for the first event; raise it if it is an error."""
        self._waiting = await self._queue.get()
        self._checked(self._waiting[1])

    def __aiter__(self) -> Streams:
        return self

    async def __anext__(self) -> tuple[int, Piece | Done]:
        if not self._open:
            raise StopAsyncIteration
        number, event = self._waiting or await self._queue.get()
        self._waiting = None
        fine = self._checked(event)
        if isinstance(fine, Done):
            self._open -= 1
            self._tally.add([fine])
        return number, fine

    async def aclose(self) -> None:
        """Cancel what is not finished, and count the request."""
        self._tally.close()
        self._open = 0
        for task in self._tasks:
            task.cancel()
        if self._tasks:  # not gathered: whoever is canceled meanwhile would be told of the tasks' end, not of its own
            await asyncio.wait(self._tasks)

    async def _follow(self, number: int, events: AsyncIterator[Event]) -> None:
        try:
            async with aclosing(cast(Any, events)) as following:
                async for event in following:
                    self._queue.put_nowait((number, event))
                    if isinstance(event, Done | Failed):
                        return
        except Exception as error:
            self._queue.put_nowait((number, error))
        else:
            self._queue.put_nowait((number, Unavailable("The serving host stopped amid an answer. Ask again.")))

    def _checked(self, event: Event | BaseException) -> Piece | Done:
        if isinstance(event, Piece | Done):
            return event
        self._tally.failed = True
        raise event.error() if isinstance(event, Failed) else event


class EventStream(StreamingResponse):
    """Server-sent events out of `Streams`, which are closed when the client has them all, or leaves."""

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[str], streams: Streams) -> None:
        super().__init__(content, headers={"cache-control": "no-cache", "x-accel-buffering": "no"})
        self._streams = streams

    async def listen_for_disconnect(self, receive: Receive) -> None:
        """As the base class, but the work ends at once: a task that always has a next piece is not canceled soon."""
        await super().listen_for_disconnect(receive)
        await self._streams.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self._streams.aclose()


async def _all(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """As `asyncio.gather`, but the first error ends the others too."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _work(request: Request, behind: Behind, asked: Asked, *, stream: bool) -> Work:
    text, messages = asked.text, asked.messages
    if behind.template is not None:
        if messages:  # a prompt template has a place for one question: the last thing said
            text, messages = _last_said(messages), ()
        text = prompt_sessions.rendered({**behind.template, **_question(text)}, _strings(asked))
    if text is None and not messages:
        raise ParameterInvalid("input: nothing was asked. Send a text.")
    _check_length(request, len(text or "") + sum(len(m["content"]) for m in messages))
    return Work(
        target=behind.target,
        text=text,
        messages=tuple(Message(m["role"], m["content"]) for m in messages),
        config=asked.config,
        way=asked.way,
        tenant=caller_of(request).actor.tenant,
        time_limit=asked.time_limit,
        details=asked.details,
        stream=stream,
    )


def _check_length(request: Request, length: int) -> None:
    most = studio_of(request).settings.limits.prompt_chars
    if length > most:
        raise TooLarge(f"The prompt has {length:,} characters; at most {most:,} are allowed here.")


def _last_said(messages: Sequence[Mapping[str, str]]) -> str:
    said = [m["content"] for m in messages if m["role"] == "user"]
    if not said:
        raise ParameterInvalid('messages: none has the role "user". What it says is the question of this prompt.')
    return said[-1]


def _question(text: str | None) -> dict[str, Any]:
    """A prompt template answers its own question, unless another one is asked."""
    return {"input": [[text, ""]]} if text else {}


def _strings(asked: Asked) -> dict[str, str]:
    return {str(name): str(value) for name, value in (asked.variables or {}).items()}


async def _behind(request: Request, find: Any, *names: str | None) -> Behind:
    whoever = replace(caller_of(request).actor, request_id=None)

    def read() -> tuple[Behind, datetime]:
        with unit_of(request, write=False, need="viewer") as unit:
            found: Behind = find(unit, *names)
        # Whether a model lies on this machine is a question to the disk, which tells nobody of changes.
        return found, now() if find is _named and found.deployment_id is None else FOREVER

    return await studio_of(request).remembered.of((find, whoever, *names), read)


def _deployment(unit: Unit, id_or_serving_name: str) -> Behind:
    found = deployments.served(unit, id_or_serving_name)
    target = Target(model_id=found.model, prompt=found.prompt_key)
    return Behind(found.model_id, target, found.session, found.answers_by, found.serving_name, found.deployment_id)


def _model(unit: Unit, model_id: str, container_id: str | None = None) -> Behind:
    if container_id:
        unit.get(Space if unit.rows.get(Space, container_id) else Project, container_id)
    model = foundation_models.find(unit.rows, model_id)
    return Behind(model.id, Target(model_id=model.name, prompt=None))


def _prompt(unit: Unit, prompt_id: str) -> Behind:
    prompt = unit.get(TunedPrompt, prompt_id)
    model = deployments.engine_name(unit, prompt.model_id)
    return Behind(prompt.model_id, Target(model_id=model, prompt=prompt.key), None, prompt.answers_by)


def _named(unit: Unit, name: str) -> Behind:
    if not name.isprintable():
        raise ModelUnknown(f"{name!r} is no name of a model.")
    try:
        return _deployment(unit, name)
    except NotFound:
        pass
    try:
        model = foundation_models.find(unit.rows, name)
    except ModelUnknown:
        raise ModelUnknown(f"There is no model {name!r} here. The list of models shows what you may ask.") from None
    if not model.available:
        raise ModelUnknown(f"{model.label} is not on this machine. `softprompt models pull {model.id}` brings it.")
    return Behind(model.id, Target(model_id=model.name, prompt=None))


__all__ = [
    "Asked",
    "Behind",
    "Done",
    "EventStream",
    "Piece",
    "Streams",
    "answer",
    "answers",
    "begin",
    "behind_deployment",
    "behind_model",
    "behind_name",
    "behind_prompt",
    "stream",
    "tokenize",
    "while_there",
]
