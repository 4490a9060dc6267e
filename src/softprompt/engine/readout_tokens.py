"""Count the tokens of an input: the part of a label readout that sees which words turn up at all.

Hidden states say what a text is about; where single words give an answer away, counting them is hard to beat. Each row
becomes its TF-IDF over token ids, 1 + ln(count) times the token's inverse document frequency, of length one (Salton and
Buckley 1988). Knows nothing of models.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from softprompt.engine.packing import Row

MOST = 2048
"""Tokens that are counted, the most frequent ones."""
LEAST = 2
"""Rows that a token has to stand in: what is in one row alone says nothing about others."""


def vocabulary(rows: Sequence[Row]) -> tuple[Tensor, Tensor]:
    """Tokens worth counting, `[T]` ids in rising order, and their inverse document frequencies `[T]`."""
    found = Counter(token for row in rows for token in set(_input(row)))
    often = [(-count, token) for token, count in found.items() if count >= LEAST]
    kept = sorted(token for _, token in sorted(often)[:MOST])
    idf = [math.log((1 + len(rows)) / (1 + found[token])) + 1 for token in kept]
    return torch.tensor(kept, dtype=torch.long), torch.tensor(idf, dtype=torch.float32)


def counts(rows: Sequence[Row], tokens: Tensor, idf: Tensor) -> Tensor:
    """`[B, T]` TF-IDF of each row's input, of length one; zero where no token of it is counted.

    Args:
        rows: with the places of their inputs.
        tokens, idf: of `vocabulary`.
    """
    whole = torch.zeros(len(rows), len(tokens))
    if not len(tokens):
        return whole
    for number, row in enumerate(rows):
        ids = torch.tensor(_input(row), dtype=torch.long)
        place = torch.searchsorted(tokens, ids).clamp(max=len(tokens) - 1)
        whole[number] = torch.bincount(place[tokens[place] == ids], minlength=len(tokens))
    whole = torch.where(whole > 0, 1 + whole.clamp(min=1).log(), whole) * idf
    return F.normalize(whole, dim=1)


def _input(row: Row) -> tuple[int, ...]:
    return row.prompt[row.input_start : row.input_end]
