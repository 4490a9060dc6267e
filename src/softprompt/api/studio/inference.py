"""Asking over our own interface: whole answers with every number the engine knows, streams, tokens, code to paste."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NotRequired, get_type_hints
from urllib.parse import urlsplit

from fastapi import Query, Request
from pydantic import ConfigDict, Field, ValidationInfo, create_model, field_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from softprompt.api import inference
from softprompt.api.context import studio_of, unit_of
from softprompt.api.errors import document
from softprompt.api.inference import Asked, Behind, EventStream, Streams
from softprompt.api.studio.shapes import Body, Reference, new_router
from softprompt.config import STATE_FILE
from softprompt.errors import SoftpromptError
from softprompt.params import GenerateConfig
from softprompt.serving.protocol import MOST_DETAILS, Done, Way
from softprompt.storage.types import now
from softprompt.studio import deployments, snippets
from softprompt.studio.access import Unit, iso

MOST_INPUTS = 64
router = new_router("inference")


def _parameters() -> dict[str, Any]:
    """The fields of `GenerateConfig` with their help, ranges and defaults."""
    kinds = get_type_hints(GenerateConfig)
    found: dict[str, Any] = {}
    for item in dataclasses.fields(GenerateConfig):
        kind = list[str] if item.name == "stop" else kinds[item.name]
        meta = item.metadata
        default = list(item.default) if isinstance(item.default, tuple) else item.default
        found[item.name] = (kind, Field(default, description=meta["help"], ge=meta["low"], le=meta["high"]))
    return found


if TYPE_CHECKING:

    class Parameters(Body):
        """Of decoding; the fields are those of `GenerateConfig`."""
else:
    Parameters = create_model("Parameters", __base__=Body, **_parameters())


class Answerer(Body):
    """Who answers: one of the three."""

    deployment: Annotated[Reference | None, Field(description="Serving name or id of a deployment.")] = None
    prompt_id: Annotated[Reference | None, Field(description="Id of a tuned prompt, deployed or not.")] = None
    model_id: Annotated[Reference | None, Field(validate_default=True, description="Id of a foundation model.")] = None

    @field_validator("deployment", "prompt_id", "model_id")
    @classmethod
    def _one(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and not value.isprintable():
            raise PydanticCustomError("name", "no name of something that answers")
        others = [info.data.get(name) for name in ("deployment", "prompt_id")]
        if info.field_name == "model_id" and sum(each is not None for each in (value, *others)) != 1:
            raise PydanticCustomError("one", "name one of deployment, prompt_id and model_id")
        return value

    async def behind(self, request: Request) -> Behind:
        if self.deployment is not None:
            return await inference.behind_deployment(request, self.deployment)
        if self.prompt_id is not None:
            return await inference.behind_prompt(request, self.prompt_id)
        return await inference.behind_model(request, self.model_id or "")


class Message(Body):
    role: Literal["system", "user", "assistant"]
    content: str


class Question(Answerer):
    """What is common to whole answers and streams."""

    messages: Annotated[
        list[Message], Field(max_length=1000, description="A chat in place of an input; a tuned prompt reads the last.")
    ] = []
    parameters: Annotated[Parameters, Field(default_factory=Parameters, description="How the answer is decoded.")]
    way: Annotated[Way, Field(description="auto takes the label readout where there is one.")] = "auto"
    details: Annotated[
        int | None, Field(ge=0, le=MOST_DETAILS, description="Tell each token with so many likeliest others.")
    ] = None
    variables: Annotated[dict[str, str], Field(description="Values of a prompt template's {places}.")] = {}
    time_limit: Annotated[float | None, Field(gt=0, le=86400, description="Seconds after which it ends.")] = None

    def asked(self, text: str | None) -> Asked:
        given = self.parameters.model_dump()
        return Asked(
            text=text,
            messages=tuple(message.model_dump() for message in self.messages),
            config=GenerateConfig(**{**given, "stop": tuple(given["stop"])}),
            variables=self.variables,
            way=self.way,
            time_limit=self.time_limit,
            details=self.details,
        )


def _either(value: Any, info: ValidationInfo) -> Any:
    if (value is None) == (not info.data.get("messages")):
        raise PydanticCustomError("one", "give an input or the messages of a chat, one of the two")
    return value


_EXAMPLE: dict[str, Any] = {"deployment": "routing", "input": "My parcel came without the screws."}
_CAREFUL: dict[str, Any] = {
    "model_id": "HuggingFaceTB/SmolLM2-135M-Instruct",
    "input": ["It hums.", "The invoice is wrong."],
    "parameters": {"decoding": "sample", "temperature": 0.7, "seed": 7, "max_new_tokens": 40, "stop": ["\n"]},
    "details": 3,
}


class Generate(Question):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE, _CAREFUL]})

    input: Annotated[
        str | Annotated[list[str], Field(min_length=1, max_length=MOST_INPUTS)] | None,
        Field(validate_default=True, description=f"A text, or up to {MOST_INPUTS} that are answered together."),
    ] = None

    _given = field_validator("input")(_either)


class GenerateStream(Question):
    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    input: Annotated[str | None, Field(validate_default=True, description="One text.")] = None

    _given = field_validator("input")(_either)


class Tokenize(Answerer):
    model_config = ConfigDict(json_schema_extra={"examples": [{**_EXAMPLE, "input": ["It hums."]}]})

    input: str | Annotated[list[str], Field(min_length=1, max_length=MOST_INPUTS)]


class Label(TypedDict):
    label: str
    probability: float


class Token(TypedDict):
    text: str
    logprob: float
    rank: int
    top: list[tuple[str, float]]


class Said(TypedDict):
    """What every answer tells. `confidence` is the probability of the whole answer; `labels` stand where they were
    compared."""

    output: str
    input_tokens: int
    virtual_tokens: int
    generated_tokens: int
    stop_reason: str
    confidence: float | None
    cut: bool
    way: str
    labels: list[Label]


class Result(Said):
    """An answer; `seconds` is the time that the model worked on it."""

    seed: int | None
    seconds: float | None
    tokens: NotRequired[list[Token]]


class Results(TypedDict):
    model_id: str
    deployment: str | None
    created_at: str
    results: list[Result]


class Counted(TypedDict):
    count: int
    virtual_tokens: int
    tokens: list[str]


class TokenCounts(TypedDict):
    model_id: str
    results: list[Counted]


@router.post("/api/generate", response_model=Results)
async def generate(request: Request, body: Generate) -> Any:
    """Answer a text, up to 64 texts together, or a chat."""
    behind = await body.behind(request)
    texts: list[Any] = body.input if isinstance(body.input, list) else [body.input]
    answers = await inference.answers(request, behind, [body.asked(text) for text in texts])
    return {**_head(behind), "results": [_result(done, body.details) for done in answers]}


@router.post(
    "/api/generate/stream",
    response_model=None,
    responses={200: {"content": {"text/event-stream": {"example": 'id: 0\nevent: piece\ndata: {"text":"Ware"}\n\n'}}}},
)
async def generate_stream(request: Request, body: GenerateStream) -> EventStream:
    """Answer in pieces: events `piece` with new text, then `done` with all numbers, or `failed` with an error."""
    behind = await body.behind(request)
    streams = await inference.begin(request, behind, [body.asked(body.input)])
    return EventStream(_events(request, body, behind, streams), streams)


@router.post("/api/tokenize", response_model=TokenCounts)
async def tokenize(request: Request, body: Tokenize) -> Any:
    """Texts as the model reads them, template included; virtual tokens are counted apart."""
    behind = await body.behind(request)
    texts = [body.input] if isinstance(body.input, str) else body.input
    counts = [await inference.tokenize(request, behind, text) for text in texts]
    return {"model_id": behind.model_id, "results": [dataclasses.asdict(each) for each in counts]}


class Snippets(TypedDict):
    """Code to paste. The API key is read from the environment variable SOFTPROMPT_API_KEY."""

    deployment_id: str
    serving_name: str | None
    snippets: list[snippets.Snippet]


@router.get("/api/deployments/{deployment_id}/snippets", response_model=Snippets)
def deployment_snippets(
    request: Request,
    deployment_id: str,
    tls_port: Annotated[int | None, Query(ge=1, le=65535, description="Port of the TLS listener.")] = None,
) -> Any:
    """Code that asks this deployment: curl, openai, ibm-watsonx-ai, our command line and our library."""
    with unit_of(request, write=False) as unit:
        row = deployments.find(unit, deployment_id)
        code = _snippets(request, unit, row.id, tls_port)
        return {"deployment_id": row.id, "serving_name": row.serving_name, "snippets": code}


def snippets_of(request: Request, unit: Unit, deployment_id: str) -> list[snippets.Snippet]:
    """The same for pages."""
    return _snippets(request, unit, deployment_id, None)


def secure_url_of(request: Request, tls_port: int | None = None) -> str:
    """The address of this studio with TLS."""
    return snippets.tls_url(str(request.base_url), tls_port or _tls_port(studio_of(request).settings.data_dir))


def _snippets(request: Request, unit: Unit, deployment_id: str, tls_port: int | None) -> list[snippets.Snippet]:
    return snippets.of(unit, deployment_id, url=str(request.base_url), secure_url=secure_url_of(request, tls_port))


def _tls_port(data_dir: Path) -> int | None:
    """Of the TLS listener beside this one, as whoever started both has written down."""
    try:
        state = json.loads((data_dir / STATE_FILE).read_text(encoding="utf-8"))
        return urlsplit(str(state["tls"])).port
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _head(behind: Behind) -> dict[str, Any]:
    return {"model_id": behind.model_id, "deployment": behind.serving_name, "created_at": iso(now())}


def _result(done: Done, details: int | None) -> dict[str, Any]:
    told = dataclasses.asdict(done)
    told["labels"] = [{"label": label, "probability": p} for label, p in done.labels]
    if details is None:
        del told["tokens"]
    return told


async def _events(request: Request, body: Question, behind: Behind, streams: Streams) -> AsyncIterator[str]:
    number = 0
    try:
        async for _, event in streams:
            if isinstance(event, Done):
                yield _event(number, "done", {**_head(behind), "result": _result(event, body.details)})
            else:
                yield _event(number, "piece", {"text": event.text})
            number += 1
    except SoftpromptError as error:
        request_id = getattr(request.state, "request_id", "")
        yield _event(number, "failed", document("studio", error.status, error.code, str(error), request_id))


def _event(number: int, kind: str, data: dict[str, Any]) -> str:
    return f"id: {number}\nevent: {kind}\ndata: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"
