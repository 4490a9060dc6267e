"""Answers that keep a regular expression while they are written: a token may come if some ending could still match.

A guard is asked about single tokens, the likeliest first, so that a step costs a match or two. Only where many are
refused in a row is the whole vocabulary looked through. Taking out what is refused and choosing again gives the model's
own distribution over the tokens that are allowed (rejection).
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from softprompt.engine.tokens import Encoder
from softprompt.patterns import matches

HOLE = "\ufffd"


class PatternGuard:
    """The expression of one answer.

    A character that the vocabulary spells in several tokens cannot be said under a pattern.

    Attributes:
        text: what the answer says so far.
    """

    def __init__(self, pattern: str, encoder: Encoder, ends: Collection[int]) -> None:
        self._pattern, self._ends = pattern, sorted(ends)
        self._pieces = _pieces(encoder.tokenizer)
        self._gap = encoder.gap or self._pieces.gap
        self._raw = self.text = ""

    def allows(self, token: int) -> bool:
        """Whether this token may come next."""
        if token in self._ends:
            return matches(self._pattern, self.text)
        piece = self._pieces.says(token)
        if not piece or HOLE in piece:
            return False
        longer = self._said(self._raw + piece)
        return longer == self.text or matches(self._pattern, longer, partial=True)

    def take(self, token: int) -> None:
        """Go on behind this token."""
        if token not in self._ends:
            self._raw += self._pieces.says(token)
            self.text = self._said(self._raw)

    def only(self, scores: Tensor) -> Tensor:
        """`[V]` scores of the tokens that may come; where there is none at all, of the ends."""
        wanted = torch.isfinite(scores).nonzero()[:, 0].tolist()
        allowed = [token for token in wanted if self.allows(token)] or self._ends
        kept = torch.full_like(scores, -torch.inf)
        kept[allowed] = scores[allowed].clamp_min(torch.finfo(scores.dtype).min / 2)
        return kept

    def _said(self, raw: str) -> str:
        """The answer as it is told: without the blank that belongs to the template."""
        return raw.removeprefix(self._gap) if self._gap else raw


class _Pieces:
    """What each token says behind others; decoded when it is first asked for.

    Attributes:
        gap: the blank that the tokenizer itself puts in front of a text, if it does.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._decode, self._names, self._size = tokenizer.decode, tokenizer.convert_ids_to_tokens, len(tokenizer)
        self._known: dict[int, str] = {}
        self.gap = " " if self._marked(tokenizer(" a", add_special_tokens=False)["input_ids"][0]) else ""

    def says(self, token: int) -> str:
        """Its text; "" of special tokens and of numbers that are no token."""
        if token not in self._known:
            text: str = self._decode([token], skip_special_tokens=True) if token < self._size else ""
            blank = token < self._size and self._marked(token) and not text.startswith(" ")
            self._known[token] = f" {text}" if blank else text
        return self._known[token]

    def _marked(self, token: int) -> bool:
        """Whether its name starts with the mark that stands for a blank (SentencePiece)."""
        return str(self._names(token)).startswith("\u2581")


_tables: WeakKeyDictionary[Any, _Pieces] = WeakKeyDictionary()


def _pieces(tokenizer: Any) -> _Pieces:
    """One table for each tokenizer."""
    if tokenizer not in _tables:
        _tables[tokenizer] = _Pieces(tokenizer)
    return _tables[tokenizer]
