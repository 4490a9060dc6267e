"""Rows that are being answered together: new ones join and finished ones leave between any two steps.

What a row gets never depends on its neighbours or on when it joined: positions are explicit, nothing is padded where it
could be seen, and every row has its own stream of chance and its own stop rules.

Covers: prefill of what joins, a token for every row at each step, text as it comes, label guard, patterns, token
details. Does not cover: order, fairness, deadlines (the serving host), label readouts (`read_label`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from softprompt.engine.answer_text import AnswerText
from softprompt.engine.decoding import CausalState, Group
from softprompt.engine.packing import Row
from softprompt.engine.pattern import PatternGuard
from softprompt.engine.requests import Answer, Request, Token, encode, limit
from softprompt.engine.sampling import Sampler
from softprompt.errors import ModelError, ParameterInvalid

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone
    from softprompt.engine.seq2seq_decoding import Seq2SeqState

SHARED_FROM = 4
"""Rows of one prompt that make it pay to keep its keys and values once, with products of their own."""
COPIED = 1024
"""A prefix longer than that is never copied for a row."""


@dataclass(frozen=True, slots=True)
class News:
    """What a step brought to one row.

    Attributes:
        ticket: the row's.
        piece: text that is new.
        answer: the whole answer, once the row is done.
        error: why the row cannot go on; it is out.
    """

    ticket: int
    piece: str = ""
    answer: Answer | None = None
    error: Exception | None = None


@dataclass(slots=True, eq=False)
class _Live:
    """One row on its way."""

    ticket: int
    request: Request
    row: Row
    sampler: Sampler
    text: AnswerText
    limit: tuple[int, str]
    ends: frozenset[int]
    reason: str | None = None
    details: list[Token] = field(default_factory=list)

    @classmethod
    def of(cls, ticket: int, request: Request, row: Row, most: tuple[int, str]) -> _Live:
        ready = request.ready
        ends, text = ready.every_end, AnswerText(ready.encoder, request.config)
        wanted = request.config.pattern or ready.pattern
        pattern = PatternGuard(wanted, ready.encoder, ends) if wanted else None
        sampler = Sampler(request.config, ends, (*ready.encoder.head, *row.prompt), ready.guard, pattern)
        return cls(ticket, request, row, sampler, text, most, ends, None if most[0] else most[1])

    def book(self) -> str:
        """Add the newest token to the text and see whether the row is done; the text that is new."""
        token = self.sampler.tokens[-1]
        if token in self.ends:
            self.reason = "eos_token"
        elif self.text.add(token):
            self.reason = "stop_sequence"
        elif len(self.sampler.tokens) >= self.limit[0]:
            self.reason = self.limit[1]
        return self.text.fresh(final=self.reason is not None)

    def answer(self) -> Answer:
        ready, sampler = self.request.ready, self.sampler
        return Answer(
            input=self.request.text,
            output=self.text.whole(),
            input_tokens=len(ready.encoder.head) + len(self.row.prompt),
            virtual_tokens=ready.prompt.virtual_tokens,
            generated_tokens=len(sampler.tokens),
            stop_reason=self.reason or "max_tokens",
            confidence=math.exp(sampler.logprob) if sampler.tokens else 0.0,
            cut=self.row.cut,
            seed=sampler.seed,
            tokens=tuple(self.details),
        )


class Running:
    """A batch without beginning or end."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self._live: list[_Live] = []
        self._done: list[_Live] = []
        self._state: CausalState | Seq2SeqState | None = None
        self._tickets = count()
        self._behind = False  # whether the state has still to read the newest tokens

    def __len__(self) -> int:
        """Rows that are not done."""
        return len(self._live)

    def __bool__(self) -> bool:
        """Whether a step would bring news."""
        return bool(self._live or self._done)

    @torch.inference_mode()
    def admit(self, requests: Sequence[Request], rows: Sequence[Row] | None = None) -> list[int]:
        """Read the prompts and let the rows join; a ticket for each.

        If one of them cannot be read, none has joined. Rows of one prompt should stand together.

        Args:
            requests: what to answer.
            rows: their prompts as `encode` gives them, where that was done already.
        """
        read = rows if rows is not None else [encode(request) for request in requests]
        fresh = [
            _Live.of(next(self._tickets), request, row, limit(self._backbone, request, row))
            for request, row in zip(requests, read, strict=True)
        ]
        going = [live for live in fresh if live.reason is None]
        if going:
            self._advance()
            room = max(live.limit[0] for live in going)
            state: Any = self._backbone.prefill([live.row for live in going], self._groups(going), room)
            if self._state is None:
                self._state = state
            else:
                self._state.join(state)
        self._live += going
        self._done += [live for live in fresh if live.reason is not None]
        return [live.ticket for live in fresh]

    @torch.inference_mode()
    def step(self) -> list[News]:
        """One more token for every row. If it fails for want of memory, it can be tried again with fewer rows."""
        self._advance()
        news = [News(live.ticket, answer=live.answer()) for live in self._done]
        self._done = []
        if self._state is None:
            return news
        chosen = self._choose(self._state.logits)
        self._behind = True
        staying: list[int] = []
        for place, live in enumerate(self._live):
            error = chosen[place]
            piece = live.book() if error is None else ""
            if error is None and live.reason is None:
                staying.append(place)
                if not piece:
                    continue
            answer = live.answer() if error is None and live.reason is not None else None
            news.append(News(live.ticket, piece, answer, error))
        self._keep(staying)
        return news

    @torch.inference_mode()
    def drop(self, ticket: int, reason: str = "cancelled") -> News | None:
        """Take a row out with its answer so far, and text that was not told yet; None if it is not there any more."""
        for live in (*self._live, *self._done):
            if live.ticket == ticket:
                break
        else:
            return None
        live.reason = live.reason or reason
        if live in self._done:
            self._done.remove(live)
        else:
            self._keep([place for place, other in enumerate(self._live) if other is not live])
        piece = live.text.fresh(final=True)
        return News(live.ticket, piece, live.answer())

    def nbytes(self) -> int:
        """Bytes that the rows' keys and values take."""
        return 0 if self._state is None else self._state.nbytes()

    def _advance(self) -> None:
        """Let the model read the tokens that were chosen last."""
        if self._behind and self._state is not None:
            tokens = [live.sampler.tokens[-1] for live in self._live]
            self._state.step(torch.tensor(tokens, device=self._state.logits.device))
        self._behind = False

    def _groups(self, fresh: Sequence[_Live]) -> list[Group]:
        """Neighbours of one prompt together; shared where it pays with the rows that are running."""
        groups: list[Group] = []
        for live in fresh:
            ready = live.request.ready
            if groups and groups[-1].prompt is ready.prompt and groups[-1].prefix is ready.prefix:
                groups[-1] = replace(groups[-1], count=groups[-1].count + 1)
            else:
                groups.append(Group(ready.prompt, ready.prefix, 1))
        return [replace(group, shared=self._pays(group)) for group in groups]

    def _pays(self, group: Group) -> bool:
        if group.prefix is None or group.prefix.length > COPIED:
            return True
        running = sum(live.request.ready.prefix is group.prefix for live in self._live)
        return running + group.count >= SHARED_FROM

    def _keep(self, staying: Sequence[int]) -> None:
        """Go on with these rows; gaps are filled from the end, so that few rows have to move."""
        if len(staying) == len(self._live) or self._state is None:
            return
        if not staying:
            self._live, self._state = [], None
            return
        size = len(staying)
        late = [place for place in staying if place >= size]
        kept = set(staying)
        order = [place if place in kept else late.pop() for place in range(size)]
        self._state.keep(torch.tensor(order, dtype=torch.long))
        self._live = [self._live[place] for place in order]

    def _choose(self, logits: Tensor) -> list[Exception | None]:
        """A token for each row: the plain ones at once, the others by their own rules; errors by row."""
        errors: list[Exception | None] = [None] * len(self._live)
        plain = [place for place, live in enumerate(self._live) if live.sampler.plain]
        others = [place for place, live in enumerate(self._live) if not live.sampler.plain]
        if plain:
            scores = logits if not others else logits[torch.tensor(plain, device=logits.device)]
            best, tokens = scores.max(dim=-1)  # not of the log-probabilities: rounding makes equals of them
            sure = best - scores.logsumexp(dim=-1)
            for place, token, logprob in zip(plain, tokens.tolist(), sure.tolist(), strict=True):
                if math.isnan(logprob):
                    errors[place] = _broken(self._live[place], self._backbone)
                self._live[place].sampler.accept(token, logprob)
        if others:
            drawn = logits[torch.tensor(others, device=logits.device)].to("cpu", torch.float32)
            for place, scores in zip(others, drawn, strict=True):
                if torch.isnan(scores).any():
                    errors[place] = _broken(self._live[place], self._backbone)
                    continue
                try:
                    self._live[place].sampler.choose(scores)
                except ParameterInvalid as error:  # a pattern that takes for ever
                    errors[place] = error
        for place, live in enumerate(self._live):
            if live.request.details is not None and errors[place] is None:
                live.details.append(_token(logits[place], live))
        return errors


def _token(logits: Tensor, live: _Live) -> Token:
    """The newest token as the model saw it."""
    token, wanted, tokenizer = live.sampler.tokens[-1], live.request.details or 0, live.request.ready.encoder.tokenizer
    logprobs = torch.log_softmax(logits.float(), dim=-1)
    likely = logprobs.topk(min(wanted, len(logprobs)))
    top = zip(likely.indices.tolist(), likely.values.tolist(), strict=True)
    return Token(
        text=_says(tokenizer, token),
        logprob=float(logprobs[token]),
        rank=1 + int((logits > logits[token]).sum()),
        top=tuple((_says(tokenizer, other), logprob) for other, logprob in top),
    )


def _says(tokenizer: Any, token: int) -> str:
    """The token's text with the blank in front that some tokenizers take off."""
    text: str = tokenizer.decode([token])
    piece = tokenizer.convert_ids_to_tokens(token) or ""
    return f" {text}" if piece.startswith("\u2581") and not text.startswith(" ") else text


def _broken(live: _Live, backbone: Backbone) -> ModelError:
    return ModelError(
        f"{backbone.model_id or 'The model'} gave scores that are no numbers (NaN) at token "
        f"{len(live.sampler.tokens) + 1} of an answer. Load it in bfloat16 or float32, or tune the prompt again."
    )
