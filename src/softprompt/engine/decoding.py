"""Rows of a causal model in the middle of being answered.

Covers: one packed prefill over rows of any prompts and lengths, then a token for every row at each step, and dropping
rows that are done. Does not choose tokens (`sampling`), and does not know text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.engine.attention import PrefixCache, Rows, RowStore
from softprompt.engine.packing import Packed, Row, pack
from softprompt.engine.shared_attention import FAR
from softprompt.engine.soft_prompt import SoftPrompt

if TYPE_CHECKING:
    from softprompt.engine.backbone import CausalBackbone


@dataclass(frozen=True, slots=True)
class Group:
    """Neighbouring rows that stand behind the same prompt.

    Attributes:
        prompt: whose suffix vectors follow each row's cue.
        prefix: the prefix pass of the prompt and the template's head (None: nothing in front).
        count: how many rows.
    """

    prompt: SoftPrompt
    prefix: PrefixCache | None
    count: int


class CausalState:
    """Keys and values of the rows, and what comes next.

    Attributes:
        logits: `[B, V]` scores of each row's next token.
        packed: the prefilled batch.
        tapped: hidden states `[N, H]` of the tapped layers of the prefill.
    """

    logits: Tensor

    def __init__(
        self, backbone: CausalBackbone, rows: Sequence[Row], groups: Sequence[Group], room: int, taps: Sequence[int]
    ) -> None:
        self._backbone = backbone
        self.packed = backbone.place(pack(rows, _suffix_ranges(groups)))
        tables = [g.prompt.suffix for g in groups if g.prompt.suffix is not None]
        bounds, start = [], 0
        for group in groups:
            bounds.append((group.prefix, start, start + group.count))
            start += group.count
        width = self.packed.index.shape[1]
        self._store = RowStore(room=width + room)
        hidden, self.tapped = backbone.rows(
            self.packed, bounds, suffix=torch.cat(tables) if tables else None, store=self._store, taps=taps
        )
        self._store.length = width
        self._owner = torch.tensor([i for i, group in enumerate(groups) for _ in range(group.count)])
        self._prefixes = [group.prefix for group in groups]
        self._next = last_places(self.packed, backbone, bounds)
        # Padding between a short row's end and the longest row's end stays hidden for good.
        places = torch.arange(width + room, device=hidden.device)
        hole = (places[None] >= self.packed.lengths[:, None]) & (places[None] < width)
        self._mask = torch.zeros(hole.shape, dtype=hidden.dtype, device=hidden.device).masked_fill(hole, FAR)
        ends = self.packed.lengths.cumsum(0) - 1
        self.logits = backbone.logits(hidden[ends]).float()

    def step(self, tokens: Tensor) -> None:
        """Give each row its `[B]` next token and compute what follows."""
        rows = tokens.shape[0]
        layout = Rows(
            index=torch.arange(rows, device=tokens.device)[:, None],
            unpad=None,
            mask=self._mask[:, None, None, : self._store.length + 1],
            groups=self._bounds(),
            store=self._store,
        )
        hidden = self._backbone.step(tokens, self._next, layout)
        self._store.length += 1
        self._next = self._next + 1
        self.logits = self._backbone.logits(hidden).float()

    def branch(self, tokens: Tensor, depths: Tensor, visible: Tensor) -> Tensor:
        """Hidden states of a tree of continuations, the same for every row; the state itself stays where it is.

        Args:
            tokens: `[T]` ids of the tree's nodes.
            depths: `[T]` distance of each node from what was read so far, from 1.
            visible: `[T, T]` which nodes (columns) each node (line) sees: its ancestors and itself.

        Returns:
            `[B, T, H]`.
        """
        rows, nodes = self._next.shape[0], tokens.shape[0]
        base = self._mask[:, None, None, : self._store.length].expand(rows, 1, nodes, -1)
        own = torch.zeros(visible.shape, dtype=base.dtype, device=base.device).masked_fill(~visible, FAR)
        layout = Rows(
            index=torch.arange(rows * nodes, device=tokens.device).view(rows, nodes),
            unpad=None,
            mask=torch.cat([base, own.expand(rows, 1, -1, -1)], dim=3),
            groups=self._bounds(),
            store=self._store,
        )
        places = (self._next[:, None] + depths[None] - 1).flatten()
        return self._backbone.step(tokens.repeat(rows), places, layout).view(rows, nodes, -1)

    def keep(self, rows: Tensor) -> None:
        """Go on with these rows alone (`[B']` numbers of today's rows, ascending)."""
        self._store.keep(rows)
        self._owner, self._next, self._mask = self._owner[rows.cpu()], self._next[rows], self._mask[rows]
        self.logits = self.logits[rows]

    def _bounds(self) -> tuple[tuple[PrefixCache | None, int, int], ...]:
        bounds, start = [], 0
        for owner, rows in groupby(self._owner.tolist()):
            count = len(list(rows))
            bounds.append((self._prefixes[owner], start, start + count))
            start += count
        return tuple(bounds)


def last_places(
    packed: Packed, backbone: CausalBackbone, bounds: Sequence[tuple[PrefixCache | None, int, int]]
) -> Tensor:
    """`[B]` position of each row's next token, its prefix counted."""
    offsets = [prefix.length if prefix else 0 for prefix, a, b in bounds for _ in range(a, b)]
    return packed.lengths + torch.tensor(offsets, device=backbone.device)


def _suffix_ranges(groups: Sequence[Group]) -> list[range]:
    """Which vectors of the joined table stand in each row."""
    ranges, start = [], 0
    for group in groups:
        length = group.prompt.suffix_length
        ranges += [range(start, start + length)] * group.count
        start += length
    return ranges
