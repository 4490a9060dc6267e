"""Rows of an encoder-decoder model in the middle of being answered, with the surface of `decoding.CausalState`.

Rows of any age stand together: their newest tokens lie below each other, younger rows have hidden places in front. The
decoder knows distances only, so this changes nothing. Does not choose tokens and does not know text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from softprompt.engine.seq2seq import Encoded, Seq2SeqBackbone


class Seq2SeqState:
    """Rows in the middle of being answered: the encoder has read them, the decoder goes on token by token.

    Attributes:
        logits: `[B, V]` scores of each row's next token.
        packed: the rows as the encoder read them.
        tapped: hidden states `[N, H]` of the tapped encoder layers.
    """

    logits: Tensor

    def __init__(self, backbone: Seq2SeqBackbone, encoded: Encoded) -> None:
        from transformers import DynamicCache, EncoderDecoderCache

        self._backbone = backbone
        self.packed, self.tapped = encoded.packed, encoded.tapped
        self._hidden, self._mask = encoded.hidden, encoded.mask
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self._ages = [0] * encoded.hidden.shape[0]
        self.step(torch.full((encoded.hidden.shape[0],), backbone._start, device=backbone.device))

    def __len__(self) -> int:
        return len(self._ages)

    def step(self, tokens: Tensor) -> None:
        """Give each row its `[B]` next token and compute what follows."""
        ages = [age + 1 for age in self._ages]
        own = None if min(ages) == max(ages) else filled(ages, self._backbone.device).flip(1)
        hidden = self._backbone.decode(tokens[:, None], self._hidden, self._mask, self._cache, own)
        self._ages = ages
        self.logits = self._backbone.logits(hidden[:, 0]).float()

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone (`[B']` numbers of today's rows), in this order."""
        self._ages = [self._ages[number] for number in rows.tolist()]
        rows = rows.to(self._mask.device)
        self._mask, self.logits = self._mask[rows], self.logits[rows]
        age = max(self._ages, default=0)
        width = int(self._mask.sum(dim=1).max()) if len(rows) else 0
        self._mask, self._hidden = self._mask[:, :width], self._hidden[rows, :width]
        for layer in self._cache.self_attention_cache.layers:
            start = layer.keys.shape[2] - age
            layer.keys, layer.values = layer.keys[rows, :, start:], layer.values[rows, :, start:]
        for layer in self._cache.cross_attention_cache.layers:
            layer.keys, layer.values = layer.keys[rows, :, :width], layer.values[rows, :, :width]

    def join(self, other: Seq2SeqState) -> None:
        """Take the rows of another state of this model behind one's own; the other one is spent."""
        self._ages = [*self._ages, *other._ages]
        for name, front in (("self_attention_cache", True), ("cross_attention_cache", False)):
            for mine, theirs in zip(getattr(self._cache, name).layers, getattr(other._cache, name).layers, strict=True):
                mine.keys = _stacked(mine.keys, theirs.keys, 2, front=front)
                mine.values = _stacked(mine.values, theirs.values, 2, front=front)
        self._hidden = _stacked(self._hidden, other._hidden, 1)
        self._mask = _stacked(self._mask, other._mask, 1)
        self.logits = torch.cat([self.logits, other.logits])

    def nbytes(self) -> int:
        """Bytes that the caches of the rows hold."""
        caches = (self._cache.self_attention_cache, self._cache.cross_attention_cache)
        tensors = [t for cache in caches for layer in cache.layers for t in (layer.keys, layer.values)]
        return sum(t.numel() * t.element_size() for t in tensors)


def _stacked(one: Tensor, two: Tensor, dim: int, *, front: bool = False) -> Tensor:
    """Rows of both, made as wide as the wider one along `dim` with zeros behind (or in front of) what is there."""
    width = max(one.shape[dim], two.shape[dim])
    wide = []
    for states in (one, two):
        gap = width - states.shape[dim]
        pad = [0, 0] * (states.dim() - 1 - dim) + ([gap, 0] if front else [0, gap])
        wide.append(F.pad(states, pad) if gap else states)
    return torch.cat(wide)


def filled(lengths: Sequence[int], device: torch.device) -> Tensor:
    """`[B, longest]` True where a row holds something."""
    places = torch.arange(max(lengths), device=device)
    return places[None] < torch.tensor(lengths, device=device)[:, None]
