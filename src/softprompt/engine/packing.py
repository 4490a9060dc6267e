"""Rows of token ids become one packed batch: no padding between rows, targets known by position.

Knows nothing of text, tokenizers or models. A virtual token that stands inside a row (a suffix vector) is written as a
negative id: -1 is the first suffix vector, -2 the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Row:
    """Token ids of one row behind its shared head: prompt first, then the target (empty when only asking)."""

    prompt: tuple[int, ...]
    target: tuple[int, ...] = ()
    input_start: int = 0
    """First prompt id that belongs to the input itself (behind what the template puts in front)."""
    input_end: int = 0
    cut: bool = False
    """Whether the input was too long and lost its end."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A batch of rows, packed.

    Attributes:
        tokens: `[N]` ids, negative for suffix vectors.
        positions: `[N]` place of each token inside its row, from 0.
        lengths: `[B]` tokens of each row.
        index, unpad: how the packed tokens lie in the padded rectangle, see `attention.Rows`.
        predict: `[M]` packed positions whose hidden state predicts a target token.
        targets: `[M]` those target tokens.
        target_row: `[M]` the row each target belongs to.
    """

    tokens: Tensor
    positions: Tensor
    lengths: Tensor
    index: Tensor
    unpad: Tensor | None
    predict: Tensor
    targets: Tensor
    target_row: Tensor

    @property
    def rows(self) -> int:
        return int(self.lengths.shape[0])


def pack(rows: Sequence[Row], suffix: int | Sequence[range] = 0) -> Packed:
    """Pack rows; virtual tokens go between prompt and target of each.

    Args:
        rows: what to pack.
        suffix: how many suffix vectors every row has, or which ones each row has (numbers in a table of vectors).
    """
    if not rows:
        raise ValueError("no rows to pack")
    ranges = [range(suffix)] * len(rows) if isinstance(suffix, int) else suffix
    tokens: list[int] = []
    predict: list[int] = []
    targets: list[int] = []
    target_row: list[int] = []
    lengths: list[int] = []
    for number, row in enumerate(rows):
        virtual = [-1 - j for j in ranges[number]]
        asked = len(tokens) + len(row.prompt) + len(virtual)
        # The last target token is only predicted, never read.
        tokens += [*row.prompt, *virtual, *row.target[:-1]]
        predict += range(asked - 1, asked - 1 + len(row.target))
        targets += row.target
        target_row += [number] * len(row.target)
        lengths.append(len(row.prompt) + len(virtual) + max(len(row.target) - 1, 0))
    if min(lengths, default=1) < 1:
        raise ValueError("a row without tokens cannot be packed")
    index, unpad = _rectangle(lengths)
    return Packed(
        tokens=torch.tensor(tokens, dtype=torch.long),
        positions=torch.cat([torch.arange(n) for n in lengths]),
        lengths=torch.tensor(lengths),
        index=index,
        unpad=unpad,
        predict=torch.tensor(predict, dtype=torch.long),
        targets=torch.tensor(targets, dtype=torch.long),
        target_row=torch.tensor(target_row, dtype=torch.long),
    )


def _rectangle(lengths: list[int]) -> tuple[Tensor, Tensor | None]:
    """Where each packed token lies in `[B, longest]`, and back."""
    width = max(lengths)
    index = torch.zeros(len(lengths), width, dtype=torch.long)
    start = 0
    for number, length in enumerate(lengths):
        index[number, :length] = torch.arange(start, start + length)
        start += length
    if min(lengths) == width:
        return index, None
    return index, torch.cat([torch.arange(n) + b * width for b, n in enumerate(lengths)])
