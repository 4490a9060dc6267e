"""Keys and values of rows that are being answered: each row fills its own places, rows come and go at any step.

Row `b` holds the first `lengths` places of slot `b`; what lies behind them is never looked at, so nothing has to be
aligned and the store is as wide as its longest row. Places and slots grow by doubling and shrink when most are unused.
Knows no positions, prefixes or tokens.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

SPARE = 16
"""Places made beyond what is needed now."""


@dataclass(slots=True)
class RowStore:
    """Per layer `[slots, K, room, D]` keys and values.

    Attributes:
        room: places made for each row.
        width: places of the longest row.
    """

    room: int = SPARE
    width: int = 0
    keys: dict[int, Tensor] = field(default_factory=dict)
    values: dict[int, Tensor] = field(default_factory=dict)

    def append(self, layer: int, key: Tensor, value: Tensor, places: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Write `[B, K, T, D]` behind what is there, or to the `[B, T]` places of each row; return all of it."""
        rows, end = key.shape[0], self.width + key.shape[2]
        self.room = max(self.room, end)
        for store, new in ((self.keys, key), (self.values, value)):
            there = store.get(layer)
            if there is None or there.shape[0] < rows or there.shape[2] < end:
                there = store[layer] = self._remade(there, new, rows, self._grown(there, end))
            if places is None:
                there[:rows, :, self.width : end] = new
            else:
                there[torch.arange(rows, device=new.device)[:, None], :, places] = new.transpose(1, 2)
        return self.keys[layer][:rows, :, :end], self.values[layer][:rows, :, :end]

    def join(self, other: RowStore, mine: int, theirs: int) -> None:
        """Put the rows of another store behind the first `mine` rows of this one."""
        self.width = width = max(self.width, other.width)
        for store, new in ((self.keys, other.keys), (self.values, other.values)):
            for layer, states in new.items():
                there = store[layer]
                if there.shape[0] < mine + theirs or there.shape[2] < width:
                    slots = max(mine + theirs, 2 * mine)
                    there = store[layer] = self._remade(there, states, slots, self._grown(there, width))
                end = min(states.shape[2], there.shape[2])
                there[mine : mine + theirs, :, :end] = states[:theirs, :, :end]
                there[mine : mine + theirs, :, end:] = 0.0  # what was there may not be finite
        self.room = max(self.room, width)

    def move(self, sources: Tensor, targets: Tensor, width: int) -> None:
        """Copy rows to other slots; from now on the longest row has `width` places."""
        crowd = len(sources) > 0
        for store in (self.keys, self.values):
            for layer, there in store.items():
                if crowd:
                    there[targets, :, : self.width] = there[sources, :, : self.width]
                if there.shape[2] > 4 * (width + SPARE):
                    store[layer] = there[:, :, : width + SPARE].clone()
        self.width = width

    def nbytes(self) -> int:
        return sum(t.numel() * t.element_size() for store in (self.keys, self.values) for t in store.values())

    def _grown(self, there: Tensor | None, end: int) -> int:
        """Places to make so that `end` fit for a while."""
        had = self.room if there is None else there.shape[2]
        return had if had >= end else max(end + SPARE, had + had // 2)

    def _remade(self, there: Tensor | None, like: Tensor, slots: int, room: int) -> Tensor:
        if there is None:
            return like.new_zeros(slots, like.shape[1], room, like.shape[3])
        made = there.new_zeros(max(slots, there.shape[0]), there.shape[1], max(room, there.shape[2]), there.shape[3])
        made[: there.shape[0], :, : there.shape[2]] = there
        return made
