"""Attention over a shared prefix.

In a causal model everything in front of the input (soft prompt, instruction, solved examples, head of the template) is
the same for every row that uses it and attends to nothing behind it. So its keys and values are computed once
(`PrefixCache`), and every row attends to them and to itself. Rows lie packed one behind the other, without padding, in
all layers; only inside attention they are laid out as a padded rectangle.

Covers: training (gradients reach the prefix through its keys and values), prefill, decoding with an own cache per row,
rows of several prefixes in one batch. Does not cover: encoder-decoder models, sliding windows shorter than the text.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface

from softprompt.engine.row_store import RowStore
from softprompt.engine.shared_attention import FAR, Ahead, Plan, SharedAttention, make_plan, read, read_ahead
from softprompt.errors import ModelUnsupported

NAME = "softprompt"


@dataclass(frozen=True, slots=True)
class PrefixCache:
    """Keys and values of one prefix: per layer `[K, P, D]` each. `length` is the position of the first row token."""

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    @property
    def length(self) -> int:
        return self.keys[0].shape[1] if self.keys else 0

    def detached(self) -> PrefixCache:
        """The same numbers as leaves that collect gradients of their own."""
        return PrefixCache(
            tuple(k.detach().requires_grad_(k.requires_grad) for k in self.keys),
            tuple(v.detach().requires_grad_(v.requires_grad) for v in self.values),
        )

    def joined(self, other: PrefixCache) -> PrefixCache:
        """This prefix with `other`, computed behind it, appended."""
        return PrefixCache(
            tuple(torch.cat(pair, dim=1) for pair in zip(self.keys, other.keys, strict=True)),
            tuple(torch.cat(pair, dim=1) for pair in zip(self.values, other.values, strict=True)),
        )

    def compact(self) -> PrefixCache:
        """The same numbers in one piece of memory, which goes back whole; for caches that stay."""
        tensors = (*self.keys, *self.values)
        if len({tensor.shape for tensor in tensors}) != 1:
            return self
        whole = torch.stack(tensors).unbind()
        return PrefixCache(whole[: len(self.keys)], whole[len(self.keys) :])

    def nbytes(self) -> int:
        """Bytes that the keys and values hold."""
        return sum(t.numel() * t.element_size() for t in (*self.keys, *self.values))


@dataclass(slots=True)
class Capture:
    """Layout of a prefix pass: plain causal attention over `[1, P]` tokens that keeps each layer's keys and values."""

    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    _plan: Plan | None = field(default=None, init=False)

    def plan(self, heads: int, kv_heads: int, like: Tensor) -> Plan | None:
        """`[P, H]` tokens as one row, for `shared_attention`; made once for all layers."""
        if not _quick(like):
            return None
        self._plan = self._plan or make_plan([len(like)], heads, kv_heads, like)
        return self._plan

    def front(self, layer: int) -> None:
        """Nothing stands in front of a prefix."""

    def ahead(self, layer: int) -> tuple[Ahead, ...]:
        """Nothing stands in front of a prefix."""
        return ()

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Keep `[P, K * D]` keys and values of the next layer. Needs a plan."""
        assert self._plan is not None
        for kept, states in ((self.keys, key), (self.values, value)):
            kept.append(states.view(len(states), self._plan.kv_heads, -1).transpose(0, 1))

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """`[1, A, P, D]` → `[1, P, A, D]`."""
        self.keys.append(key[0])
        self.values.append(value[0])
        out = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=scale, enable_gqa=True)
        return out.transpose(1, 2)

    def cache(self) -> PrefixCache:
        return PrefixCache(tuple(self.keys), tuple(self.values))


@dataclass(slots=True)
class Rows:
    """Layout of packed rows behind their prefixes.

    Attributes:
        index: `[B, T]` packed position of each place of the rectangle (padding points at 0).
        unpad: `[N]` place in the flattened rectangle of each packed position; None if nothing is padded.
        mask: `[B, 1, T, S]` what is added to the scores of the rows' own keys (S = T, or stored length + T).
        groups: which rows (from, to) stand behind which prefix.
        store: keys and values of earlier steps, while decoding. Without one, `mask` is the causal mask.
    """

    index: Tensor
    unpad: Tensor | None
    mask: Tensor
    groups: tuple[tuple[PrefixCache | None, int, int], ...]
    store: RowStore | None = None
    _plan: Plan | None = field(default=None, init=False)
    _ends: list[int] = field(default_factory=list, init=False)

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """`[1, A, N, D]` → `[1, N, A, D]`."""
        heads, kv_heads, dim = query.shape[1], key.shape[1], query.shape[3]
        if (plan := self.plan(heads, kv_heads, query)) is not None:
            return self._attend_planned(plan, layer, query, key, value, scale)
        rows, width = self.index.shape
        share = heads // kv_heads  # query heads that read one key head
        q = self._rectangle(query).view(rows, width, kv_heads, share, dim).permute(0, 2, 3, 1, 4)
        q = q.reshape(rows, kv_heads, share * width, dim) * scale
        k = self._rectangle(key).view(rows, width, kv_heads, dim).transpose(1, 2)
        v = self._rectangle(value).view(rows, width, kv_heads, dim).transpose(1, 2)
        if self.store is not None:
            k, v = self.store.append(layer, k, v)
        parts = [self._group(layer, prefix, q[a:b], k[a:b], v[a:b], self.mask[a:b]) for prefix, a, b in self.groups]
        out = torch.cat(parts) if len(parts) > 1 else parts[0]
        out = out.view(rows, kv_heads, share, width, dim).permute(0, 3, 1, 2, 4).reshape(rows * width, heads, dim)
        return (out if self.unpad is None else out.index_select(0, self.unpad))[None]

    def plan(self, heads: int, kv_heads: int, like: Tensor) -> Plan | None:
        """How fresh rows lie in buckets, for `shared_attention`; made once for all layers.

        With gradient only where all rows stand behind one prefix and nothing is stored.
        """
        stored = self.store is not None and self.store.width > 0
        goes_back = torch.is_grad_enabled() and (self.store is not None or len(self.groups) != 1)
        if stored or goes_back or not _quick(like):
            return None
        if self._plan is None:
            rows, width = self.index.shape
            full = torch.full((rows,), width)
            lengths = full if self.unpad is None else torch.bincount(self.unpad // width, minlength=rows)
            self._ends = [0, *lengths.cumsum(0).tolist()]
            self._plan = make_plan(lengths.tolist(), heads, kv_heads, like)
        return self._plan

    def front(self, layer: int) -> tuple[Tensor, Tensor] | None:
        """Keys and values `[K, P, D]` of the prefix, if there is one and only one."""
        prefix = self.groups[0][0] if len(self.groups) == 1 else None
        return None if prefix is None or prefix.length == 0 else (prefix.keys[layer], prefix.values[layer])

    def ahead(self, layer: int) -> tuple[Ahead, ...]:
        """Keys and values of all prefixes, each with the tokens behind it. Needs a plan."""
        return tuple(
            (prefix.keys[layer], prefix.values[layer], self._ends[a], self._ends[b])
            for prefix, a, b in self.groups
            if prefix is not None and prefix.length
        )

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        """Store `[N, K * D]` keys and values of fresh rows, if they are stored at all."""
        if self.store is not None and self._plan is not None:
            rows, width = self.index.shape
            k, v = (t.view(1, len(t), self._plan.kv_heads, -1).transpose(1, 2) for t in (key, value))
            k, v = (self._rectangle(t).view(rows, width, self._plan.kv_heads, -1).transpose(1, 2) for t in (k, v))
            self.store.append(layer, k, v)

    def _attend_planned(
        self, plan: Plan, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float
    ) -> Tensor:
        """`[1, A, N, D]` → `[1, N, A, D]` by `shared_attention`."""
        _, heads, tokens, dim = query.shape
        q, k, v = (states[0].transpose(0, 1).reshape(tokens, -1) for states in (query, key, value))
        self.keep(layer, k, v)
        if torch.is_grad_enabled():
            none = key.new_zeros(key.shape[1], 0, dim)
            out = SharedAttention.apply(q * scale, k, v, *(self.front(layer) or (none, none)), plan)  # type: ignore[no-untyped-call]
        else:
            out = read(q * scale, k, v, self.ahead(layer), plan)
        return out.view(1, tokens, heads, dim)  # type: ignore[no-any-return]

    def _rectangle(self, states: Tensor) -> Tensor:
        """`[1, heads, N, D]` packed → `[B, T, heads * D]`."""
        flat = states[0].transpose(0, 1).flatten(1)
        if self.unpad is None:
            return flat.view(*self.index.shape, -1)
        return F.embedding(self.index, flat)

    def _group(self, layer: int, prefix: PrefixCache | None, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Scores against the prefix as one product for all rows, against the own keys row by row, one softmax."""
        rows, kv_heads, lines, dim = q.shape
        share = lines // mask.shape[2]
        own = q @ k.transpose(2, 3) + mask.repeat(1, 1, share, 1)
        if prefix is None or prefix.length == 0:
            return torch.softmax(own, dim=-1) @ v
        pk, pv, length = prefix.keys[layer], prefix.values[layer], prefix.length
        flat = q.transpose(0, 1).reshape(kv_heads, rows * lines, dim)
        front = (flat @ pk.transpose(1, 2)).view(kv_heads, rows, lines, length).transpose(0, 1)
        weights = torch.softmax(torch.cat([front, own], dim=-1), dim=-1)
        front = weights[..., :length].transpose(0, 1).reshape(kv_heads, rows * lines, length)
        read = (front @ pv).view(kv_heads, rows, lines, dim).transpose(0, 1)
        return read + weights[..., length:] @ v


@dataclass(slots=True)
class Steps:
    """Layout of one decoding step: the next token of every row, whatever its age and wherever its prefix is kept.

    Attributes:
        places: `[B]` where in the store each row's token goes.
        mask: `[B, 1, 1, S]` what is added to the scores of the rows' own keys.
        shared: prefixes that are kept once, each with the numbers of the rows behind it.
        store: keys and values of the rows; those of a prefix of one's own stand in front of them.
        start: slot of the first row.
    """

    places: Tensor
    mask: Tensor
    shared: tuple[tuple[PrefixCache, Tensor], ...]
    store: RowStore
    start: int = 0
    _order: Tensor | None = field(default=None, init=False)

    def plan(self, heads: int, kv_heads: int, like: Tensor) -> None:
        """None: every row has stored keys."""

    def front(self, layer: int) -> None:
        """Nothing that all rows share."""

    def ahead(self, layer: int) -> tuple[Ahead, ...]:
        """Nothing that a plan would need."""
        return ()

    def keep(self, layer: int, key: Tensor, value: Tensor) -> None:
        """`attend` stores what is new."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """`[1, A, B, D]` → `[1, B, A, D]`."""
        (_, heads, rows, dim), kv_heads = query.shape, key.shape[1]
        q = query[0].transpose(0, 1).reshape(rows, kv_heads, heads // kv_heads, dim) * scale
        k, v = key[0].transpose(0, 1), value[0].transpose(0, 1)
        k, v = self.store.put(layer, k, v, self.places, self.start)
        scores = q @ k.transpose(2, 3) + self.mask
        weights = torch.softmax(scores, dim=-1)
        out = weights @ v
        if self.shared:
            mass = scores.amax(dim=-1, keepdim=True) - weights.amax(dim=-1, keepdim=True).log_()
            if self._order is None:
                self._order = torch.cat([numbers for _, numbers in self.shared])
            read, ahead = self._front(layer, q[self._order])
            # Each part has a softmax of its own; they are merged by their masses, as in `shared_attention`.
            out[self._order] = torch.lerp(out[self._order], read, torch.sigmoid(ahead - mass[self._order]))
        return out.view(1, rows, heads, dim)

    def _front(self, layer: int, q: Tensor) -> tuple[Tensor, Tensor]:
        """What `[b, K, share, D]` queries, prefix by prefix, read from theirs; and the logarithm of its mass."""
        rows, kv_heads, share, dim = q.shape
        ahead, start = [], 0
        for prefix, numbers in self.shared:
            end = start + len(numbers) * share
            ahead.append((prefix.keys[layer], prefix.values[layer], start, end))
            start = end
        found = read_ahead(q.transpose(0, 1).reshape(kv_heads, rows * share, dim), ahead)
        return tuple(t.view(kv_heads, rows, share, -1).transpose(0, 1) for t in found)  # type: ignore[return-value]


Layout = Capture | Rows | Steps
"""How the tokens of a pass lie, and what they attend to."""


def causal_mask(lengths: Tensor, width: int, dtype: torch.dtype) -> Tensor:
    """`[B]` row lengths → `[B, 1, width, width]`: each place sees itself and what stands before it in its row."""
    places = torch.arange(width, device=lengths.device)
    seen = (places[:, None] >= places[None, :])[None] & (places[None, None, :] < lengths[:, None, None])
    return torch.zeros(seen.shape, dtype=dtype, device=lengths.device).masked_fill(~seen, FAR)[:, None]


def _quick(states: Tensor) -> bool:
    """Whether `shared_attention` computes such states: float32 on a processor."""
    return states.device.type == "cpu" and states.dtype == torch.float32


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    layout: Layout | None = None,
    **rest: Any,
) -> tuple[Tensor, None]:
    """What the transformers library calls in place of its own attention; the layout travels as a keyword."""
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    if layout is None:
        raise RuntimeError("this model is wrapped by Softprompt: call the backbone, or load the model once more")
    if rest.get("softcap") is not None:
        raise ModelUnsupported("This architecture caps its attention scores, which is not built in.")
    return layout.attend(int(module.layer_idx), query, key, value, scale), None  # type: ignore[arg-type]


def _no_mask(*_: Any, **__: Any) -> None:
    """The layout holds the mask."""


AttentionInterface.register(NAME, _attend)
AttentionMaskInterface.register(NAME, _no_mask)
