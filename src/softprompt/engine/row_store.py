"""Keys and values of rows that are being answered: each row fills its own places, rows come and go at any step.

Row `b` holds the first places of slot `b`, as many as it has tokens; what lies behind them is never looked at. So
nothing has to be aligned, and the store is as wide as its longest row. Slots and places grow by halves and shrink when
most are unused. Knows no positions and no tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from softprompt.engine.attention import PrefixCache

SPARE = 16
"""Places made beyond what is needed now."""


@dataclass(slots=True)
class RowStore:
    """Per layer `[slots, K, room, D]` keys and values.

    Attributes:
        room: places made for each row at first.
        width: places of the longest row.
    """

    room: int = SPARE
    width: int = 0
    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)

    def append(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Write `[B, K, T, D]` behind the longest row and return all of it."""
        rows, end = key.shape[0], self.width + key.shape[2]
        for store, new in ((self.keys, key), (self.values, value)):
            self._make(store, layer, new, rows, end)[:rows, :, self.width : end] = new
        return self.keys[layer][:rows, :, :end], self.values[layer][:rows, :, :end]

    def put(self, layer: int, key: Tensor, value: Tensor, places: Tensor, start: int = 0) -> tuple[Tensor, Tensor]:
        """Write `[B, K, D]` to the `[B]` places of the rows from `start` on and return all of theirs."""
        stop, end = start + key.shape[0], self.width + 1
        lines = torch.arange(start, stop, device=places.device)
        for store, new in ((self.keys, key), (self.values, value)):
            self._make(store, layer, new[:, :, None], stop, end)[lines, :, places] = new
        return self.keys[layer][start:stop, :, :end], self.values[layer][start:stop, :, :end]

    def behind(self, prefixes: Sequence[PrefixCache | None], lengths: Sequence[int]) -> RowStore:
        """The same rows, of these lengths, each with a copy of its prefix in front."""
        leads = [0 if prefix is None else prefix.length for prefix in prefixes]
        made = RowStore(width=max(lead + length for lead, length in zip(leads, lengths, strict=True)))
        for layer, old in self.keys.items():
            keys = old.new_zeros(len(leads), old.shape[1], made.width + SPARE, old.shape[3])
            values = torch.zeros_like(keys)
            for row, (prefix, lead, length) in enumerate(zip(prefixes, leads, lengths, strict=True)):
                if prefix is not None:
                    keys[row, :, :lead], values[row, :, :lead] = prefix.keys[layer], prefix.values[layer]
                keys[row, :, lead : lead + length] = old[row, :, :length]
                values[row, :, lead : lead + length] = self.values[layer][row, :, :length]
            made.keys[layer], made.values[layer] = keys, values
        return made

    def join(self, other: RowStore, mine: int, theirs: int) -> None:
        """Put the rows of another store behind the first `mine` rows of this one."""
        self.width = max(self.width, other.width)
        for store, new in ((self.keys, other.keys), (self.values, other.values)):
            for layer, states in new.items():
                there = self._make(store, layer, states, mine + theirs, self.width)
                there[mine : mine + theirs, :, : other.width] = states[:theirs, :, : other.width]
                there[mine : mine + theirs, :, other.width :] = 0.0  # what was there may not be finite

    def move(self, sources: Sequence[int], targets: Sequence[int], width: int) -> None:
        """Copy rows to other slots; from now on the longest row has `width` places."""
        for store in (self.keys, self.values):
            for layer, there in store.items():
                if sources:
                    there[list(targets), :, : self.width] = there[list(sources), :, : self.width]
                if there.shape[2] > 4 * (width + SPARE):
                    store[layer] = there[:, :, : width + SPARE].clone()
        self.width = width

    def nbytes(self) -> int:
        """Bytes that were taken for all slots."""
        return sum(t.numel() * t.element_size() for store in (self.keys, self.values) for t in store.values())

    def _make(self, store: dict[int, Tensor], layer: int, like: Tensor, rows: int, end: int) -> Tensor:
        """The layer's tensor, with at least that many slots and places."""
        there = store.get(layer)
        if there is None:
            store[layer] = like.new_zeros(rows, like.shape[1], max(self.room, end), like.shape[3])
        elif there.shape[0] < rows or there.shape[2] < end:
            slots = there.shape[0] if there.shape[0] >= rows else max(rows, there.shape[0] * 3 // 2)
            room = there.shape[2] if there.shape[2] >= end else max(end + SPARE, there.shape[2] * 3 // 2)
            store[layer] = like.new_zeros(slots, like.shape[1], room, like.shape[3])
            store[layer][: there.shape[0], :, : there.shape[2]] = there
        return store[layer]
