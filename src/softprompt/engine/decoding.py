"""Rows of a causal model in the middle of being answered.

Covers: one packed prefill over rows of any prompts and lengths, then a token for every row at each step; rows join and
leave between any two steps. Does not choose tokens (`sampling`), and does not know text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.engine.attention import PrefixCache, Rows, Steps
from softprompt.engine.memory import out_of_memory
from softprompt.engine.packing import Packed, Row, pack
from softprompt.engine.row_store import SPARE, RowStore
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
        shared: whether the prefix is kept once for all of them, which pays from a few rows on; else each gets a copy.
    """

    prompt: SoftPrompt
    prefix: PrefixCache | None
    count: int
    shared: bool = True


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
        self._store = RowStore(room=width + min(room, SPARE))
        hidden, self.tapped = backbone.rows(
            self.packed, bounds, suffix=torch.cat(tables) if tables else None, store=self._store, taps=taps
        )
        self._store.width = width
        self._lengths = self.packed.lengths.tolist()
        self._prefixes = [group.prefix if group.shared else None for group in groups for _ in range(group.count)]
        self._next = last_places(self.packed, backbone, bounds)
        ends = self.packed.lengths.cumsum(0) - 1
        self.logits = backbone.logits(hidden[ends]).float()
        own = [None if group.shared else group.prefix for group in groups for _ in range(group.count)]
        if any(prefix is not None for prefix in own):
            self._store = self._store.behind(own, self._lengths)
            leads = (0 if prefix is None else prefix.length for prefix in own)
            self._lengths = [length + lead for length, lead in zip(self._lengths, leads, strict=True)]
        self._ends = torch.tensor(self._lengths, device=hidden.device)

    def __len__(self) -> int:
        return len(self._lengths)

    def step(self, tokens: Tensor) -> None:
        """Give each row its `[B]` next token and compute what follows; in parts, if memory is short."""
        mask, lot = self._hidden_places(self._store.width + 1, 1), max(len(self), 1)
        while True:
            try:
                parts = [self._read(tokens, mask, start, start + lot) for start in range(0, len(self), lot)]
                break
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or lot == 1:
                    raise
                lot = lot // 2  # places that were written already are written again
        hidden = torch.cat(parts) if len(parts) > 1 else parts[0]
        self._lengths = [length + 1 for length in self._lengths]
        self._store.width += 1
        self._next, self._ends = self._next + 1, self._ends + 1
        self.logits = self._backbone.logits(hidden).float()

    def _read(self, tokens: Tensor, mask: Tensor, start: int, end: int) -> Tensor:
        """Hidden states `[b, H]` of the tokens of some rows."""
        shared = self._shared(start, end)
        layout = Steps(self._ends[start:end], mask[start:end], shared, self._store, start)
        return self._backbone.step(tokens[start:end], self._next[start:end], layout)

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
        base = self._hidden_places(self._store.width, 0).expand(rows, 1, nodes, -1)
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
        """Go on with these rows alone (`[B']` numbers of today's rows), in this order."""
        numbers = rows.tolist()
        self._lengths = [self._lengths[number] for number in numbers]
        self._prefixes = [self._prefixes[number] for number in numbers]
        moved = [(number, place) for place, number in enumerate(numbers) if number != place]
        self._store.move([a for a, _ in moved], [b for _, b in moved], max(self._lengths, default=0))
        rows = rows.to(self._next.device)
        self._next, self._ends, self.logits = self._next[rows], self._ends[rows], self.logits[rows]

    def join(self, other: CausalState) -> None:
        """Take the rows of another state of this model behind one's own; the other one is spent."""
        self._store.join(other._store, len(self), len(other))
        self._lengths = [*self._lengths, *other._lengths]
        self._prefixes = [*self._prefixes, *other._prefixes]
        self._next, self._ends = torch.cat([self._next, other._next]), torch.cat([self._ends, other._ends])
        self.logits = torch.cat([self.logits, other.logits])

    def nbytes(self) -> int:
        """Bytes that keys and values of the rows hold, shared prefixes not counted."""
        return self._store.nbytes()

    def _hidden_places(self, width: int, more: int) -> Tensor:
        """`[B, 1, 1, width]` what is added to scores: only a row's own places count, and `more` behind them."""
        places = torch.arange(width, device=self._ends.device)
        hidden = places[None] >= (self._ends + more)[:, None]
        mask = torch.zeros(hidden.shape, dtype=self._backbone.dtype, device=hidden.device)
        return mask.masked_fill(hidden, FAR)[:, None, None]

    def _shared(self, start: int, end: int) -> tuple[tuple[PrefixCache, Tensor], ...]:
        """Each prefix that is kept once, with those of the rows that stand behind it, counted from `start`."""
        found: dict[int, tuple[PrefixCache, list[int]]] = {}
        for row, prefix in enumerate(self._prefixes[start:end]):
            if prefix is not None and prefix.length:
                found.setdefault(id(prefix), (prefix, []))[1].append(row)
        return tuple((p, torch.tensor(numbers, device=self._ends.device)) for p, numbers in found.values())

    def _bounds(self) -> tuple[tuple[PrefixCache | None, int, int], ...]:
        bounds, start = [], 0
        for _, group in groupby(self._prefixes, key=id):
            rows = list(group)
            bounds.append((rows[0], start, start + len(rows)))
            start += len(rows)
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
