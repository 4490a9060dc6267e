"""Answers from a frozen model behind any mix of prompts, in one batch, each row exactly as if it were alone.

Covers: batching by memory, prefill once, decoding row by row of chance, stop texts, streaming, token counts, the label
guard. Does not cover: label readouts (`respond`), queues and deadlines (the serving host).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.engine.attention import PrefixCache
from softprompt.engine.decoding import CausalState, Group
from softprompt.engine.packing import Row
from softprompt.engine.sampling import Sampler
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.engine.trie import Trie
from softprompt.errors import ParameterInvalid
from softprompt.params import GenerateConfig

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone
    from softprompt.engine.seq2seq import Seq2SeqState

MAX_ROWS = 64
"""Rows decoded together; more are taken in turns, longest inputs first."""

OnText = Callable[[int, str], None]
"""Called with a row's number and each new piece of its answer."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A prompt whose keys and values are computed, ready to answer. Make it with `make_ready` and keep it.

    Attributes:
        encoder: tokenizer and template.
        prompt: the vectors.
        prefix: keys and values of vectors and template head (None: encoder-decoder model, or nothing in front).
        guard: the known answers, when only these may be said.
    """

    encoder: Encoder
    prompt: SoftPrompt
    prefix: PrefixCache | None
    guard: Trie | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One text to answer."""

    text: str
    ready: Ready
    config: GenerateConfig = field(default_factory=GenerateConfig)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    Attributes:
        output: the text, without the blank that the template puts in front and without the end token.
        input_tokens: tokens of the rendered prompt as a person sees it; virtual tokens are counted apart.
        virtual_tokens: vectors of the soft prompt.
        generated_tokens: tokens chosen, the end token included.
        stop_reason: eos_token, max_tokens, stop_sequence or token_limit (the model's context is full).
        confidence: probability of the whole answer (under the guard: among the known answers along its path).
        cut: whether the input was too long and lost its end.
    """

    input: str
    output: str
    input_tokens: int
    virtual_tokens: int
    generated_tokens: int
    stop_reason: str
    confidence: float
    cut: bool = False


@torch.inference_mode()
def make_ready(
    backbone: Backbone,
    encoder: Encoder,
    prompt: SoftPrompt | None = None,
    labels: Sequence[str] = (),
    prefix: PrefixCache | None = None,
) -> Ready:
    """Compute what all rows of a prompt share (or take `prefix`). With `labels`, nothing but these will be said."""
    prompt = prompt or SoftPrompt()
    guard = Trie.of([encoder.target(label) for label in labels]) if labels else None
    return Ready(encoder, prompt, prefix or backbone.prefix(prompt, encoder.head), guard)


@torch.inference_mode()
def generate(
    backbone: Backbone, requests: Sequence[Request], on_text: OnText | None = None, max_rows: int = MAX_ROWS
) -> list[Answer]:
    """Answer every request, in order.

    Args:
        backbone: the frozen model.
        requests: texts with their prompts and parameters, in any mix.
        on_text: told each new piece of text while it is decoded.
        max_rows: rows decoded together.
    """
    encoded = [_encode(request) for request in requests]
    # Rows of one prompt stand together (they share its prefix product); similar lengths waste little.
    order = sorted(range(len(requests)), key=lambda i: (id(requests[i].ready), -len(encoded[i].prompt)))
    answers: dict[int, Answer] = {}
    for start in range(0, len(order), max_rows):
        chunk = order[start : start + max_rows]
        told = None if on_text is None else _renumbered(on_text, chunk)
        batch = _Batch(backbone, [requests[i] for i in chunk], [encoded[i] for i in chunk], told)
        answers.update(zip(chunk, batch.run(), strict=True))
    return [answers[i] for i in range(len(requests))]


class _Batch:
    """Rows that are decoded together."""

    def __init__(
        self, backbone: Backbone, requests: Sequence[Request], rows: Sequence[Row], on_text: OnText | None
    ) -> None:
        self._requests, self._rows, self._on_text = requests, rows, on_text
        self._backbone = backbone
        self._samplers = [
            Sampler(r.config, r.ready.encoder.end, (*r.ready.encoder.head, *row.prompt), r.ready.guard)
            for r, row in zip(requests, rows, strict=True)
        ]
        self._texts = [_Text(r.ready.encoder, r.config) for r in requests]
        self._limits = [_limit(backbone, r, row) for r, row in zip(requests, rows, strict=True)]
        self._reasons: list[str | None] = [None] * len(requests)

    def run(self) -> list[Answer]:
        live = list(range(len(self._requests)))
        for number in live:
            if self._limits[number][0] == 0:
                self._reasons[number] = self._limits[number][1]
        state = self._prefill(max(limit for limit, _ in self._limits))
        while live:
            staying = [place for place, number in enumerate(live) if self._reasons[number] is None]
            if len(staying) < len(live):
                state.keep(torch.tensor(staying, dtype=torch.long))
                live = [live[place] for place in staying]
                if not live:
                    break
            chosen = self._choose(state.logits, live)
            for number in live:
                self._book(number)
            if any(self._reasons[number] is None for number in live):
                state.step(torch.tensor(chosen, device=state.logits.device))
        return [self._answer(number) for number in range(len(self._requests))]

    def _prefill(self, room: int) -> CausalState | Seq2SeqState:
        groups: list[Group] = []
        for request in self._requests:
            if groups and groups[-1].prompt is request.ready.prompt and groups[-1].prefix is request.ready.prefix:
                groups[-1] = replace(groups[-1], count=groups[-1].count + 1)
            else:
                groups.append(Group(request.ready.prompt, request.ready.prefix, 1))
        return self._backbone.prefill(self._rows, groups, room)

    def _choose(self, logits: Tensor, live: Sequence[int]) -> list[int]:
        """A token for each live row: the plain ones at once, the others by their own rules."""
        if all(self._samplers[number].plain for number in live):
            tokens = logits.argmax(dim=-1)  # not of the log-probabilities: rounding makes equals of them
            best = torch.log_softmax(logits, dim=-1).gather(1, tokens[:, None])[:, 0]
            pairs = zip(live, tokens.tolist(), best.tolist(), strict=True)
            return [self._samplers[number].accept(token, logprob) for number, token, logprob in pairs]
        return [self._samplers[number].choose(logits[place]) for place, number in enumerate(live)]

    def _book(self, number: int) -> None:
        """Add the newest token to the row's text and see whether the row is done."""
        sampler, text = self._samplers[number], self._texts[number]
        ended = sampler.tokens[-1] == self._requests[number].ready.encoder.end
        limit, why = self._limits[number]
        stopped = False if ended else text.add(sampler.tokens[-1])
        if ended:
            self._reasons[number] = "eos_token"
        elif stopped:
            self._reasons[number] = "stop_sequence"
        elif len(sampler.tokens) >= limit:
            self._reasons[number] = why
        piece = text.fresh(final=self._reasons[number] is not None)
        if piece and self._on_text is not None:
            self._on_text(number, piece)

    def _answer(self, number: int) -> Answer:
        request, row, sampler = self._requests[number], self._rows[number], self._samplers[number]
        return Answer(
            input=request.text,
            output=self._texts[number].whole(),
            input_tokens=len(request.ready.encoder.head) + len(row.prompt),
            virtual_tokens=request.ready.prompt.virtual_tokens,
            generated_tokens=len(sampler.tokens),
            stop_reason=self._reasons[number] or "max_tokens",
            confidence=math.exp(sampler.logprob) if sampler.tokens else 0.0,
            cut=row.cut,
        )


class _Text:
    """The text of an answer as its tokens come in, whole characters only, cut behind the first stop text."""

    def __init__(self, encoder: Encoder, config: GenerateConfig) -> None:
        self._tokenizer, self._gap = encoder.tokenizer, encoder.gap
        self._stop, self._least = config.stop, config.min_new_tokens
        self._tokens: list[int] = []
        self._text = ""
        self._early = 0
        self._told = ""

    def add(self, token: int) -> bool:
        """Take a token; True if a stop text is complete (it stays at the end, as IBM's service has it)."""
        self._tokens.append(token)
        text = self._tokenizer.decode(self._tokens, skip_special_tokens=True)
        self._text = text[1:] if self._gap and text.startswith(self._gap) else text
        if len(self._tokens) < self._least:
            self._early = len(self._text)  # a stop text that ends here or before does not count
            return False
        ends = [(self._text.find(s, max(0, self._early - len(s) + 1)), len(s)) for s in self._stop]
        found = [start + length for start, length in ends if start >= 0]
        if found:
            self._text = self._text[: min(found)]
        return bool(found)

    def fresh(self, *, final: bool) -> str:
        """What was not told yet; a character whose bytes are incomplete waits."""
        ready = self._text if final else self._text.rstrip("\ufffd")
        piece = ready[len(self._told) :]
        self._told += piece
        return piece

    def whole(self) -> str:
        return self._told


def _encode(request: Request) -> Row:
    limit = request.config.truncate_input_tokens
    encoder = request.ready.encoder
    if limit and (not encoder.max_input_tokens or limit < encoder.max_input_tokens):
        encoder = replace(encoder, max_input_tokens=limit)
    return encoder.row(request.text)


def _limit(backbone: Backbone, request: Request, row: Row) -> tuple[int, str]:
    """Most tokens this row may get, and what its end is called when it reaches them."""
    guard = request.ready.guard
    if guard is not None:
        check_room(backbone, request.ready, row, guard)
        return max(guard.depths), "max_tokens"
    if backbone.kind == "seq2seq":  # the answer stands in the decoder, not behind the input
        return request.config.max_new_tokens, "max_tokens"
    room = max(backbone.context - _used(request.ready, row), 0)
    if room < request.config.max_new_tokens:
        return room, "token_limit"
    return request.config.max_new_tokens, "max_tokens"


def check_room(backbone: Backbone, ready: Ready, row: Row, answers: Trie) -> None:
    """Refuse a row that leaves the longest known answer no room in the model's context."""
    used, longest = _used(ready, row), max(answers.depths)
    if backbone.kind == "causal" and used + longest > backbone.context:
        raise ParameterInvalid(
            f"{used} tokens of prompt and {longest} of the longest label do not fit into the {backbone.context} of "
            f"{backbone.model_id or 'the model'}. Shorten the input (truncate_input_tokens) or the labels."
        )


def _used(ready: Ready, row: Row) -> int:
    """Places that stand in front of the answer."""
    return ready.prompt.virtual_tokens + len(ready.encoder.head) + len(row.prompt)


def _renumbered(on_text: OnText, numbers: Sequence[int]) -> OnText:
    return lambda number, piece: on_text(numbers[number], piece)
