"""What clients of the OpenAI wire may say: requests, what of them is honoured, ignored and refused.

Parameters that change nothing here are taken and ignored; those that would change the answer and cannot are refused by
name, all of them together. Does not know how answers look.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from softprompt.api.studio.shapes import check_storable
from softprompt.params import GenerateConfig
from softprompt.serving.protocol import Way

MOST_PROMPTS = 64
COMPLETION_TOKENS = 16
CHAT_TOKENS = 512
_SEEDS = 2**32
_LOWEST_TOP_P = 1e-6


def _refused(why: str, *harmless: Any) -> AfterValidator:
    """Refuse a parameter unless its value says what happens anyway."""

    def check(value: Any) -> Any:
        if value is None or value in ([], {}, "") or value in harmless:
            return None
        raise PydanticCustomError("refused", "{why}", {"why": f"{why} Leave it out"})

    return AfterValidator(check)


def _no_tokens(value: Any) -> Any:
    """Prompts made of token ids have a vocabulary in mind that is not this model's."""
    items = value if isinstance(value, list) else [value]
    if items and all(isinstance(i, int) or (isinstance(i, list) and i) for i in items):
        raise PydanticCustomError("token_ids", "token ids are not read here; send the text itself")
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Ignored = Annotated[Any, Field(default=None, description="Taken and ignored: it changes nothing here.")]
_ONE = "one answer is given for each prompt."
_NO_PENALTY = "not supported; `repetition_penalty` (1 to 2) is."
_NO_TOOLS = "tools and functions cannot be called by the models of this studio."
_TEXT_ONLY = "answers are plain text; a tuned prompt keeps to the form of its training rows by itself."
_HEARD = "only text is read and written here."


class Extras(BaseModel):
    """Words of this studio, in a place of their own so that they meet none of OpenAI's."""

    model_config = ConfigDict(extra="forbid")

    way: Annotated[Way, Field(description="auto takes the label readout where there is one.")] = "auto"
    variables: Annotated[dict[str, str], Field(description="Values of a prompt template's {places}.")] = {}
    time_limit: Annotated[float | None, Field(gt=0, le=86400, description="Seconds after which it ends.")] = None


class StreamOptions(BaseModel):
    model_config = ConfigDict(extra="forbid")

    include_usage: bool | None = Field(False, description="A last chunk with the token counts.")
    include_obfuscation: Ignored = None


class Request(BaseModel):
    """What completions and chats share."""

    model_config = ConfigDict(extra="forbid", protected_namespaces=())

    model: str = Field(min_length=1, max_length=300, description="Serving name or id of a deployment, or a model's id.")
    temperature: float | None = Field(None, ge=0, le=2, description="0: always the likeliest token. OpenAI's 1 else.")
    top_p: float | None = Field(None, ge=0, le=1, description="Draw from the likeliest that together reach this.")
    stop: Annotated[list[str] | None, BeforeValidator(_listed)] = Field(
        None, max_length=6, description="Text or texts that end the answer; they are not part of it."
    )
    seed: int | None = Field(None, description="Makes a draw repeatable.")
    stream: bool | None = Field(False, description="Server-sent events, as the answer is decoded.")
    stream_options: StreamOptions | None = None
    softprompt: Extras = Field(Extras(), description="What only this studio knows.")

    top_k: int | None = Field(None, ge=-1, description="Not OpenAI's: draw from that many likeliest; 0: from all.")
    repetition_penalty: float | None = Field(None, ge=1, le=2, description="Not OpenAI's: above 1 repeats less.")
    min_tokens: int | None = Field(None, ge=0, description="Not OpenAI's: the answer may not end before.")
    pattern: str | None = Field(
        None, max_length=1000, description="Not OpenAI's: regular expression that the whole answer keeps."
    )

    n: Annotated[int | None, _refused(_ONE, 1)] = Field(None, description="Refused unless 1.")
    frequency_penalty: Annotated[float | None, _refused(_NO_PENALTY, 0)] = Field(None, description="Refused unless 0.")
    presence_penalty: Annotated[float | None, _refused(_NO_PENALTY, 0)] = Field(None, description="Refused unless 0.")
    logit_bias: Annotated[Any, _refused("the likelihood of single tokens cannot be set.")] = Field(
        None, description="Refused."
    )
    user: Ignored = None
    metadata: Ignored = None
    store: Ignored = None
    service_tier: Ignored = None

    @model_validator(mode="before")
    @classmethod
    def _readable(cls, value: Any) -> Any:
        check_storable(value)  # half a character cannot be written back either
        return value

    @field_validator("stream_options")
    @classmethod
    def _of_a_stream(cls, value: StreamOptions | None, info: ValidationInfo) -> StreamOptions | None:
        if value is not None and not info.data.get("stream"):
            raise PydanticCustomError("refused", "given without stream; set stream to true")
        return value

    @property
    def counted(self) -> bool:
        """Whether a stream ends with the token counts."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def config(self, most: int) -> GenerateConfig:
        """The same in our words. OpenAI draws unless the temperature is 0, and from all tokens."""
        temperature = 1.0 if self.temperature is None else self.temperature
        top_p = 1.0 if self.top_p is None else self.top_p
        return GenerateConfig(
            decoding="greedy" if temperature == 0 or top_p < _LOWEST_TOP_P else "sample",
            temperature=temperature,
            top_p=max(top_p, _LOWEST_TOP_P),
            top_k=max(self.top_k or 0, 0),
            seed=None if self.seed is None else self.seed % _SEEDS,
            repetition_penalty=self.repetition_penalty or 1.0,
            stop=tuple(self.stop or ()),
            min_new_tokens=self.min_tokens or 0,
            pattern=self.pattern or "",
            max_new_tokens=most,
        )


class CompletionRequest(Request):
    """A prompt that is continued; with a tuned prompt, the bare input."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "routing", "prompt": "My parcel came without the screws.", "max_tokens": 8, "temperature": 0},
                {"model": "routing", "prompt": ["It hums.", "The invoice is wrong."], "temperature": 0, "stream": True},
            ]
        }
    )

    prompt: Annotated[list[str], BeforeValidator(_listed), BeforeValidator(_no_tokens)] = Field(
        min_length=1, max_length=MOST_PROMPTS, description=f"A text, or up to {MOST_PROMPTS} of them."
    )
    max_tokens: int | None = Field(
        None, ge=0, description=f"The answer ends after that many tokens ({COMPLETION_TOKENS})."
    )
    logprobs: int | None = Field(None, ge=0, le=20, description="Log-probabilities of tokens and of so many others.")
    echo: Annotated[bool | None, _refused("the prompt is not repeated in the answer.", False)] = Field(
        None, description="Refused unless false."
    )
    best_of: Annotated[int | None, _refused(_ONE, 1)] = Field(None, description="Refused unless 1.")
    suffix: Annotated[str | None, _refused("text cannot be inserted in front of a suffix.")] = Field(
        None, description="Refused."
    )

    @property
    def most(self) -> int:
        return COMPLETION_TOKENS if self.max_tokens is None else self.max_tokens


class TextPart(BaseModel):
    model_config = ConfigDict(extra="forbid")

    type: Literal["text"]
    text: str


class ChatMessage(BaseModel):
    """A turn of a chat, in plain text."""

    model_config = ConfigDict(extra="forbid")

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[TextPart] | None = None
    name: Ignored = None
    refusal: Ignored = None
    annotations: Ignored = None
    audio: Annotated[Any, _refused(_HEARD)] = None
    tool_calls: Annotated[Any, _refused(_NO_TOOLS)] = None
    function_call: Annotated[Any, _refused(_NO_TOOLS)] = None

    @property
    def said(self) -> str:
        return "".join(p.text for p in self.content) if isinstance(self.content, list) else self.content or ""

    def plain(self) -> dict[str, str]:
        return {"role": "system" if self.role == "developer" else self.role, "content": self.said}


class ChatRequest(Request):
    """A chat; with a tuned prompt, the last user message is the input."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"model": "routing", "messages": [{"role": "user", "content": "My parcel came without the screws."}]},
                {
                    "model": "HuggingFaceTB/SmolLM2-135M-Instruct",
                    "messages": [{"role": "user", "content": "Write one sentence about rain."}],
                    "max_completion_tokens": 40,
                    "stream": True,
                    "stream_options": {"include_usage": True},
                },
            ]
        }
    )

    messages: list[ChatMessage] = Field(min_length=1, max_length=1000)
    max_completion_tokens: int | None = Field(None, ge=0, description=f"The answer ends after so many ({CHAT_TOKENS}).")
    max_tokens: int | None = Field(None, ge=0, description="The older name of max_completion_tokens.")
    logprobs: bool | None = Field(False, description="Log-probabilities of the answer's tokens.")
    top_logprobs: int | None = Field(None, ge=0, le=20, description="So many likeliest others for each token.")

    tools: Annotated[Any, _refused(_NO_TOOLS)] = Field(None, description="Refused.")
    tool_choice: Annotated[Any, _refused(_NO_TOOLS, "none", "auto")] = Field(None, description="Refused unless none.")
    functions: Annotated[Any, _refused(_NO_TOOLS)] = Field(None, description="Refused.")
    function_call: Annotated[Any, _refused(_NO_TOOLS, "none", "auto")] = Field(None, description="Refused unless none.")
    response_format: Annotated[Any, _refused(_TEXT_ONLY, {"type": "text"})] = Field(
        None, description="Refused unless text."
    )
    modalities: Annotated[Any, _refused(_HEARD, ["text"])] = Field(None, description="Refused unless text.")
    audio: Annotated[Any, _refused(_HEARD)] = Field(None, description="Refused.")
    web_search_options: Annotated[Any, _refused("nothing is looked up on the web.")] = Field(
        None, description="Refused."
    )
    moderation: Annotated[Any, _refused("answers are not moderated.")] = Field(None, description="Refused.")
    verbosity: Annotated[Any, _refused("the models here know no verbosity.", "medium")] = Field(
        None, description="Refused unless medium."
    )
    reasoning_effort: Ignored = None
    parallel_tool_calls: Ignored = None
    prediction: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_options: Ignored = None
    prompt_cache_retention: Ignored = None
    safety_identifier: Ignored = None

    @field_validator("top_logprobs")
    @classmethod
    def _of_log_probabilities(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value and not info.data.get("logprobs"):
            raise PydanticCustomError("refused", "given without logprobs; set logprobs to true")
        return value

    @property
    def most(self) -> int:
        given = self.max_tokens if self.max_completion_tokens is None else self.max_completion_tokens
        return CHAT_TOKENS if given is None else given

    @property
    def details(self) -> int | None:
        return (self.top_logprobs or 0) if self.logprobs else None
