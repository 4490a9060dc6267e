"""Choose the next token of one row from its scores. Each row has its own stream of chance, so neighbours never matter.

Covers: greedy, temperature, top-k, top-p (Holtzman et al. 2019, arXiv:1904.09751), repetition penalty (Keskar et al.
2019, arXiv:1909.05858), a least number of tokens, the label guard and patterns.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence

import torch
from torch import Tensor

from softprompt.engine.pattern import PatternGuard
from softprompt.engine.trie import Trie
from softprompt.params import GenerateConfig

REFUSALS = 32
"""Tokens that a pattern may refuse in a row until all of the vocabulary is held against it."""


class Sampler:
    """The choices of one row.

    Attributes:
        tokens: what was chosen so far.
        logprob: natural logarithm of the probability of all choices together (under the guard, if there is one; under
            a pattern without the tokens that it refused).
        seed: of the draws, given or made up; None: nothing is drawn.
    """

    def __init__(
        self,
        config: GenerateConfig,
        end: int | Collection[int],
        prompt: Sequence[int] = (),
        guard: Trie | None = None,
        pattern: PatternGuard | None = None,
    ) -> None:
        self._config = config
        self._ends = [end] if isinstance(end, int) else sorted(end)
        self._guard = guard
        self._pattern = None if guard is not None else pattern
        self._node = -1
        self._seen = set(prompt)
        self.tokens: list[int] = []
        self.logprob = 0.0
        self._chance: torch.Generator | None = None
        self.seed: int | None = None
        if config.decoding == "sample" and config.temperature > 0:
            self.seed = secrets.randbits(32) if config.seed is None else config.seed
            self._chance = torch.Generator().manual_seed(self.seed)

    @property
    def plain(self) -> bool:
        """Whether the likeliest token is always the choice, so that a batch can be decided at once."""
        return (
            self._chance is None
            and self._guard is None
            and self._pattern is None
            and self._config.repetition_penalty == 1.0
            and len(self.tokens) >= self._config.min_new_tokens
        )

    def accept(self, token: int, logprob: float) -> int:
        """Book a token that was chosen elsewhere."""
        self.tokens.append(token)
        self._seen.add(token)
        self.logprob += logprob
        return token

    def choose(self, logits: Tensor) -> int:
        """Pick from `[V]` scores."""
        scores = self._shape(logits.detach().to("cpu", torch.float32).clone())
        if self._pattern is None:
            token = self._pick(scores)
        else:
            token, scores = self._pick_under(self._pattern, scores)
        if self._guard is not None:
            self._node = self._guard.allowed(self._node)[token]
        return self.accept(token, float(torch.log_softmax(scores, dim=-1)[token]))

    def _pick(self, scores: Tensor) -> int:
        """The likeliest token, or a draw."""
        return int(scores.argmax()) if self._chance is None else self._draw(scores, self._chance)

    def _pick_under(self, pattern: PatternGuard, scores: Tensor) -> tuple[int, Tensor]:
        """A token that the pattern allows, and the scores without those that it refused on the way."""
        token = self._pick(scores)
        for _ in range(REFUSALS):
            if pattern.allows(token):
                break
            scores[token] = -torch.inf
            token = self._pick(scores)
        else:
            scores = pattern.only(scores)
            token = self._pick(scores)
        pattern.take(token)
        return token, scores

    def _shape(self, scores: Tensor) -> Tensor:
        """Penalise repetition, forbid an early end, allow what the guard allows."""
        if self._config.repetition_penalty != 1.0 and self._seen:
            seen = torch.tensor(sorted(self._seen))
            past = scores[seen]
            penalty = self._config.repetition_penalty
            scores[seen] = torch.where(past > 0, past / penalty, past * penalty)
        if self._guard is not None:
            allowed = torch.tensor(sorted(self._guard.allowed(self._node)))
            kept = scores[allowed]
            scores = torch.full_like(scores, -torch.inf)
            scores[allowed] = kept
        elif len(self.tokens) < self._config.min_new_tokens:
            scores[self._ends] = -torch.inf
        return scores

    def _draw(self, scores: Tensor, chance: torch.Generator) -> int:
        """Draw from the likeliest tokens, by number and by joint probability, with one number of the row's chance."""
        flat = (scores - scores.max()).double().div_(self._config.temperature)  # from 0 down: never infinite upwards
        ids = self._ordered(flat)
        shares = torch.softmax(flat, dim=-1)[ids].cumsum(0)
        # A token stays while the ones before it have not reached top_p: the first always stays.
        kept = 1 + int((shares[:-1] < self._config.top_p).sum())
        place = torch.rand((), generator=chance, dtype=torch.double) * shares[kept - 1]
        return int(ids[min(int(torch.searchsorted(shares, place, right=True)), kept - 1)])

    def _ordered(self, flat: Tensor) -> Tensor:
        """The ids to draw from, the likeliest first; among equals the first, as greedy has it."""
        most = self._config.top_k
        if not most or most >= len(flat):
            return flat.sort(descending=True, stable=True).indices
        likely = (flat >= flat.topk(most).values[-1]).nonzero()[:, 0]  # equals of the last one included
        return likely[flat[likely].sort(descending=True, stable=True).indices[:most]]
