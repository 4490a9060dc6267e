"""What is said between those who ask (web, command line) and those who generate (host, vLLM), and its JSON form.

Frozen dataclasses inside, one JSON object a message on the wire; unknown keys are refused. Does not know HTTP, torch or
models.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, ClassVar, Literal, TypeVar

from softprompt.errors import ParameterInvalid, SoftpromptError, UsageError
from softprompt.params import GenerateConfig, check_fields, param

Way = Literal["auto", "text", "guard", "score", "readout"]
"""How an answer is found: auto takes the label readout where there is one."""
WAYS = ("auto", "text", "guard", "score", "readout")
MOST_DETAILS = 20
"""Alternatives of a token that can be asked for."""


@dataclass(frozen=True, slots=True)
class Target:
    """Who answers: a foundation model, alone or behind a tuned prompt (its key in artifact storage)."""

    model_id: str
    prompt: str | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """A turn of a chat."""

    role: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One thing to answer.

    Attributes:
        target: who answers.
        text: the input. A foundation model reads it as it stands, a tuned prompt through its template.
        messages: a chat, in place of `text`; a tuned prompt answers its last user message.
        config: decoding parameters.
        way: how the answer is found.
        tenant: whose work it is; tenants get equal shares.
        time_limit: seconds after which the answer ends where it stands (None: no limit).
        details: of each token its probability and that many alternatives (None: not wanted).
        stream: whether pieces are wanted while the answer is generated.
    """

    target: Target
    text: str | None = None
    messages: tuple[Message, ...] = ()
    config: GenerateConfig = field(default_factory=GenerateConfig)
    way: Way = "auto"
    tenant: str = ""
    time_limit: float | None = param(None, "Seconds.", low=0.001, high=86400.0)
    details: int | None = param(None, "Alternatives of each token.", low=0, high=MOST_DETAILS)
    stream: bool = True

    def __post_init__(self) -> None:
        check_fields(self)
        if self.way not in WAYS:
            raise ParameterInvalid(f"way: {self.way!r} is not one of {', '.join(WAYS)}.")
        if (self.text is None) == (not self.messages):
            raise ParameterInvalid("Give either a text or the messages of a chat, one of the two.")
        if self.messages and self.target.prompt is not None and self.input is None:
            raise ParameterInvalid("A tuned prompt answers the last user message, and this chat has none.")

    @property
    def input(self) -> str | None:
        """The bare input of a tuned prompt: the text, or the last user message of a chat."""
        if self.text is not None:
            return self.text
        return next((turn.content for turn in reversed(self.messages) if turn.role == "user"), None)


@dataclass(frozen=True, slots=True)
class Piece:
    """New text of an answer."""

    kind: ClassVar[str] = "piece"
    text: str


@dataclass(frozen=True, slots=True)
class TokenDetail:
    """One token of an answer: what it says, logarithm of its probability, rank from 1, the likeliest tokens."""

    text: str
    logprob: float
    rank: int
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A whole answer; the fields are those of the engine's `Answer`.

    Attributes:
        output: the text.
        input_tokens, virtual_tokens, generated_tokens: counted apart.
        stop_reason: eos_token, max_tokens, stop_sequence, token_limit, time_limit, cancelled or label.
        confidence: probability of the whole answer; None where the server does not tell.
        seed: of the draws, if there were some.
        cut: whether the input was too long and lost its end.
        labels: known answers with their probabilities, the likeliest first, where they were compared.
        tokens: details of each token, where that was asked.
        way: how the answer was found.
        seconds: from the moment the model began with it to the answer; None where the server does not tell.
    """

    kind: ClassVar[str] = "done"
    output: str
    input_tokens: int
    virtual_tokens: int
    generated_tokens: int
    stop_reason: str
    confidence: float | None = None
    seed: int | None = None
    cut: bool = False
    labels: tuple[tuple[str, float], ...] = ()
    tokens: tuple[TokenDetail, ...] = ()
    way: Way = "text"
    seconds: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Why there is no answer.

    Attributes:
        code, status: of the error in `softprompt.errors`.
        message: what happened and what to do.
        retry_after: seconds after which it is worth asking again.
    """

    kind: ClassVar[str] = "failed"
    code: str
    status: int
    message: str
    retry_after: float | None = None

    @classmethod
    def of(cls, error: BaseException) -> Failed:
        """An error as a message; what is not ours is not shown in full."""
        if isinstance(error, SoftpromptError):
            return cls(
                code=error.code,
                status=error.status,
                message=str(error),
                retry_after=getattr(error, "retry_after", None),
            )
        return cls(
            code="internal",
            status=500,
            message=f"The serving host failed at this request ({type(error).__name__}). Its log says more.",
        )

    def error(self) -> SoftpromptError:
        """The message as the error it was."""
        known = _errors().get(self.code, SoftpromptError)
        error = known(self.message)
        if self.retry_after is not None:
            error.retry_after = self.retry_after  # type: ignore[attr-defined]
        return error


Event = Piece | Done | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A text as the model reads it, template included; virtual tokens are counted apart."""

    count: int
    virtual_tokens: int = 0
    tokens: tuple[str, ...] = ()


# --- JSON -------------------------------------------------------------------------------------------------------------
def dump(message: Work | Event | Tokens) -> bytes:
    """One line of JSON. Fields that have their defaults are left out."""
    content = _plain(message)
    if kind := getattr(message, "kind", None):
        content = {"kind": kind, **content}
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def parse_event(line: str | bytes) -> Event:
    """What the other side says about its work."""
    content = _object(line)
    kind = content.pop("kind", None)
    if kind == "piece":
        return _build(Piece, content)
    if kind == "failed":
        return _build(Failed, content)
    if kind != "done":
        raise UsageError(f"An event of the kind {kind!r} came; piece, done and failed are known.")
    content["labels"] = _pairs(content.get("labels", ()))
    content["tokens"] = tuple(
        _build(TokenDetail, {**token, "top": _pairs(token.get("top", ()))}) for token in content.get("tokens", ())
    )
    return _build(Done, content)


def parse_work(body: str | bytes) -> Work:
    """A request; everything is checked."""
    content = _object(body)
    try:
        content["target"] = _build(Target, content.get("target") or {})
        content["messages"] = tuple(_build(Message, turn) for turn in content.get("messages", ()))
        config = dict(content.get("config") or {})
        config["stop"] = tuple(config.get("stop", ()))
        content["config"] = _build(GenerateConfig, config)
        return _build(Work, content)
    except (TypeError, AttributeError) as error:
        raise UsageError(f"The request has a field of another type than is wanted: {error}.") from error


def parse_tokens(body: str | bytes) -> Tokens:
    content = _object(body)
    return _build(Tokens, {**content, "tokens": tuple(content.get("tokens", ()))})


_T = TypeVar("_T")


def _build(kind: type[_T], content: Mapping[str, Any]) -> _T:
    names = {item.name for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(set(content) - names):
        raise UsageError(
            f"{kind.__name__} has no field {', '.join(map(repr, unknown))}; it has {', '.join(sorted(names))}."
        )
    try:
        return kind(**content)
    except TypeError as error:
        raise UsageError(f"{kind.__name__} is incomplete, or a field has another type: {error}.") from error


def _plain(value: Any) -> Any:
    if not dataclasses.is_dataclass(value):
        return [_plain(item) for item in value] if isinstance(value, tuple | list) else value
    found = {}
    for item in dataclasses.fields(value):
        part = getattr(value, item.name)
        if item.default is dataclasses.MISSING or part != item.default:
            found[item.name] = _plain(part)
    return found


def _pairs(items: Any) -> tuple[tuple[str, float], ...]:
    return tuple((str(name), float(number)) for name, number in items)


def _object(body: str | bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError as error:
        raise UsageError(f"The body is no JSON: {error}.") from error
    if not isinstance(content, dict):
        raise UsageError(f"The body is {type(content).__name__}; a JSON object is wanted.")
    return content


@cache
def _errors() -> dict[str, type[SoftpromptError]]:
    found: dict[str, type[SoftpromptError]] = {}
    waiting: list[type[SoftpromptError]] = [SoftpromptError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.code, kind)
        waiting += kind.__subclasses__()
    return found
