"""What is asked and what comes back: a prompt made ready once, a request, an answer; and how much room a request has.

Does not decode (`running`) and does not batch (`generate`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from softprompt.engine.attention import PrefixCache
from softprompt.engine.packing import Row
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.engine.trie import Trie
from softprompt.errors import ParameterInvalid
from softprompt.params import GenerateConfig
from softprompt.patterns import compiled

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Ready:
    """A prompt whose keys and values are computed, ready to answer. Make it with `make_ready` and keep it.

    Attributes:
        encoder: tokenizer and template.
        prompt: the vectors.
        prefix: keys and values of vectors and template head (None: encoder-decoder model, or nothing in front).
        guard: the known answers, when only these may be said.
        pattern: regular expression that answers keep, unless a request brings its own; "": none.
        ends: ids that end an answer beside the tokenizer's own, such as the end of a turn in a chat.
    """

    encoder: Encoder
    prompt: SoftPrompt
    prefix: PrefixCache | None
    guard: Trie | None = None
    pattern: str = ""
    ends: frozenset[int] = frozenset()

    @property
    def every_end(self) -> frozenset[int]:
        return self.ends | {self.encoder.end}


@dataclass(frozen=True, slots=True)
class Request:
    """One text to answer.

    Attributes:
        text: the bare input.
        ready: what stands around it.
        config: how the answer is decoded.
        ids: the whole prompt as ids, where it was put together elsewhere (a chat); nothing is put around or cut.
        details: of each token of the answer, its probability and that many likeliest others; None: not wanted.
    """

    text: str
    ready: Ready
    config: GenerateConfig = field(default_factory=GenerateConfig)
    ids: tuple[int, ...] | None = None
    details: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer, as the model saw it before any sampling rule.

    Attributes:
        text: what it says.
        logprob: natural logarithm of its probability.
        rank: its place among all tokens by probability, from 1.
        top: the likeliest tokens with their logarithms.
    """

    text: str
    logprob: float
    rank: int
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        output: the text, without the blank that the template puts in front and without the end token.
        input_tokens: tokens of the rendered prompt as a person sees it; virtual tokens are counted apart.
        virtual_tokens: vectors of the soft prompt.
        generated_tokens: tokens chosen, the end token included.
        stop_reason: eos_token, max_tokens, stop_sequence, token_limit (the model's context is full) or label; of rows
            that were taken out before their end, why.
        confidence: probability of the whole answer (under the guard: among the known answers along its path; under a
            pattern: without the tokens that it refused).
        cut: whether the input was too long and lost its end.
        seed: of the draws, given or made up; None: nothing was drawn.
        labels: the known answers with their probabilities, the likeliest first, where they were compared.
        tokens: each token chosen, where that was asked.
    """

    input: str
    output: str
    input_tokens: int
    virtual_tokens: int
    generated_tokens: int
    stop_reason: str
    confidence: float
    cut: bool = False
    seed: int | None = None
    labels: tuple[tuple[str, float], ...] = ()
    tokens: tuple[Token, ...] = ()


@torch.inference_mode()
def make_ready(
    backbone: Backbone,
    encoder: Encoder,
    prompt: SoftPrompt | None = None,
    labels: Sequence[str] = (),
    prefix: PrefixCache | None = None,
    pattern: str = "",
) -> Ready:
    """Compute what all rows of a prompt share (or take `prefix`).

    With `labels`, nothing but these will be said; with `pattern`, nothing that does not match it as a whole.
    """
    prompt = prompt or SoftPrompt()
    if pattern:
        compiled(pattern)
    guard = Trie.of([encoder.target(label) for label in labels]) if labels else None
    return Ready(encoder, prompt, prefix or backbone.prefix(prompt, encoder.head), guard, pattern)


def encode(request: Request) -> Row:
    """The request's prompt behind the shared head."""
    if request.ids is not None:
        return Row(request.ids, input_end=len(request.ids))
    return shortened(request.ready.encoder, request.config.truncate_input_tokens).row(request.text)


def shortened(encoder: Encoder, limit: int) -> Encoder:
    """The encoder, cutting inputs at `limit` tokens (0: none) unless it cuts them earlier itself."""
    if limit and (not encoder.max_input_tokens or limit < encoder.max_input_tokens):
        return replace(encoder, max_input_tokens=limit)
    return encoder


def limit(backbone: Backbone, request: Request, row: Row) -> tuple[int, str]:
    """Most tokens this row may get, and what its end is called when it reaches them."""
    guard = request.ready.guard
    if guard is not None:
        check_room(backbone, request.ready, row, guard)
        return max(guard.depths), "max_tokens"
    if backbone.kind == "seq2seq":  # the answer stands in the decoder, not behind the input
        return request.config.max_new_tokens, "max_tokens"
    used = places(request.ready, row)
    if used > backbone.context:
        raise ParameterInvalid(
            f"{used} tokens (virtual, input and answer together) do not fit into the {backbone.context} of "
            f"{backbone.model_id or 'the model'}. Shorten the input or use fewer virtual tokens."
        )
    room = backbone.context - used
    if room < request.config.max_new_tokens:
        return room, "token_limit"
    return request.config.max_new_tokens, "max_tokens"


def check_room(backbone: Backbone, ready: Ready, row: Row, answers: Trie) -> None:
    """Refuse a row that leaves the longest known answer no room in the model's context."""
    used, longest = places(ready, row), max(answers.depths)
    if backbone.kind == "causal" and used + longest > backbone.context:
        raise ParameterInvalid(
            f"{used} tokens of prompt and {longest} of the longest label do not fit into the {backbone.context} of "
            f"{backbone.model_id or 'the model'}. Shorten the input (truncate_input_tokens) or the labels."
        )


def places(ready: Ready, row: Row) -> int:
    """Places that stand in front of the answer."""
    return ready.prompt.virtual_tokens + len(ready.encoder.head) + len(row.prompt)
