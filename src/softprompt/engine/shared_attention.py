"""Attention of packed rows to a prefix that all share and to themselves, with a backward pass of its own.

The prefix part needs no padding: one product a head for all tokens of all rows. For the own part, rows of like length
lie together in small rectangles (`Bucket`). Each part has a softmax of its own and they are merged by their masses, so
scores are never joined; the gradient of a part is that of plain attention, scaled by its share (the identity behind
FlashAttention, Dao et al. 2022, arXiv:2205.14135).

Where nothing goes back, rows of several prefixes lie in one batch (`read`, and `read_ahead` for rows with stored keys).
Works on any device; made for float32 on processors. Does not cover masks other than the causal one (`attention`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

FAR = -1e30  # finite, so that no line of scores ever becomes NaN
ROWS = 4
"""Rows of one bucket: enough for efficient products, few enough to be of like length."""
KEPT = 2_000_000
"""Weights of one layer that are kept for the backward pass; if there are more, they are computed again."""

Front = tuple[Tensor, Tensor]
"""Keys and values of the prefix, `[K, P, D]` each."""
Ahead = tuple[Tensor, Tensor, int, int]
"""Keys and values `[K, P, D]` of a prefix, and the first and the last + 1 of what stands behind it."""
Saved = tuple[Any, ...]
"""What `backward` needs from `forward`."""


@dataclass(frozen=True, slots=True, eq=False)
class Bucket:
    """Rows of like length: their lines are `[start, end)`, in the order `[rows, K, width]`.

    `mask` `[1, width * share, width]` is added to the scores.
    """

    start: int
    end: int
    rows: int
    mask: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """How packed tokens lie in the buckets. A line is one key head of one token: number `n * K + k` in packed order.

    Attributes:
        kv_heads, share: key heads K, and query heads that read each of them.
        places: `[L]` the packed line at each place of the buckets (padding repeats line 0).
        live: `[L, 1]` 1 where a place holds a token, 0 where it is padding.
        back: `[N * K]` the place of each packed line.
        buckets: one behind the other, they are the `L` places.
    """

    kv_heads: int
    share: int
    places: Tensor
    live: Tensor
    back: Tensor
    buckets: tuple[Bucket, ...]


def make_plan(lengths: Sequence[int], heads: int, kv_heads: int, like: Tensor) -> Plan:
    """The plan of rows of these lengths, on the device and in the dtype of `like`."""
    share, device = heads // kv_heads, like.device
    ends = torch.tensor(list(lengths)).cumsum(0).tolist()
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    places, live, buckets, start = [], [], [], 0
    for chunk in (order[i : i + ROWS] for i in range(0, len(order), ROWS)):
        width = max(lengths[row] for row in chunk)
        there = torch.arange(width) < torch.tensor([[[lengths[row]]] for row in chunk])
        token = torch.arange(width) + torch.tensor([[[ends[row] - lengths[row]]] for row in chunk])
        line = token * kv_heads + torch.arange(kv_heads)[:, None]
        places.append(torch.where(there, line, 0).flatten())
        live.append(there.expand(line.shape).flatten())
        mask = torch.full((width, width), FAR).triu(1).repeat_interleave(share, dim=0)[None]
        buckets.append(Bucket(start, start + line.numel(), len(chunk), mask.to(like)))
        start += line.numel()
    where, alive = torch.cat(places), torch.cat(live)
    back = torch.empty(sum(lengths) * kv_heads, dtype=torch.long)
    back[where[alive]] = torch.arange(start)[alive]
    return Plan(kv_heads, share, where.to(device), alive.to(like)[:, None], back.to(device), tuple(buckets))


class SharedAttention(torch.autograd.Function):
    """`forward` and `backward` below as one step of autograd."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor, pk: Tensor, pv: Tensor, plan: Plan) -> Tensor:
        out, saved = forward(query, key, value, (pk, pv) if pk.shape[1] else None, plan)
        ctx.save_for_backward(*saved)
        ctx.plan = plan
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return (*backward(ctx.saved_tensors, ctx.plan, grad), None)


def forward(query: Tensor, key: Tensor, value: Tensor, front: Front | None, plan: Plan) -> tuple[Tensor, Saved]:
    """`[N, A * D]` scaled queries, `[N, K * D]` keys and values → `[N, A * D]`."""
    out, own, weights = _own(query, key, value, plan)
    ahead: Tensor | None = None
    prefix: Tensor | None = None
    if front is not None:
        ahead, mass = _weights(_by_head(query, plan), _for_heads(front[0], plan))
        lead = mass[..., 0].t() - own
        prefix, own = torch.sigmoid(lead), torch.sigmoid(-lead)
        before = torch.bmm(ahead, _for_heads(front[1], plan)).transpose(0, 1)
        out.mul_(own[..., None]).addcmul_(before, prefix[..., None])
    out = out.view(query.shape)
    if sum(w.numel() for w in weights) + (0 if ahead is None else ahead.numel()) > KEPT:
        return out, (query, key, value, *(front or (None, None)), out, prefix, None, *[None] * len(weights))
    return out, (query, key, value, *(front or (None, None)), out, prefix, ahead, *weights)


def read(query: Tensor, key: Tensor, value: Tensor, ahead: Sequence[Ahead], plan: Plan) -> Tensor:
    """What `forward` gives, without a way back; `ahead` tells which tokens stand behind which prefix."""
    out, own, _ = _own(query, key, value, plan, keep=False)
    if ahead:
        tokens, share = len(query), plan.share
        lines = query.view(tokens, plan.kv_heads, share, -1).transpose(0, 1).reshape(plan.kv_heads, tokens * share, -1)
        before, mass = read_ahead(lines, [(pk, pv, a * share, b * share) for pk, pv, a, b in ahead])
        before, mass = (t.view(plan.kv_heads, tokens, share, -1).transpose(0, 1) for t in (before, mass))
        lead = mass.reshape(tokens, -1, 1) - own[..., None]
        out = torch.lerp(out, before.reshape(out.shape), torch.sigmoid(lead))
    return out.view(query.shape)


def read_ahead(lines: Tensor, ahead: Sequence[Ahead]) -> tuple[Tensor, Tensor]:
    """What scaled queries `[K, L, D]` read from the prefixes in front of them, and the log of its mass `[K, L, 1]`.

    A line with nothing in front reads zeros, of no mass.
    """
    found, mass = torch.zeros_like(lines), lines.new_full((*lines.shape[:2], 1), -torch.inf)
    for key, value, start, end in ahead:
        weights, mass[:, start:end] = _weights(lines[:, start:end], key)
        torch.bmm(weights, value, out=found[:, start:end])
    return found, mass


def backward(saved: Saved, plan: Plan, grad: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None, Tensor | None]:
    """Gradients of scaled queries, keys, values, prefix keys and prefix values from that of the output."""
    query, key, value, front_key, front_value, out, prefix, ahead, *weights = saved
    tokens, heads = len(query), plan.kv_heads * plan.share
    sent = grad.reshape(tokens, heads, -1)
    pull = (sent * out.view_as(sent)).sum(dim=-1)
    if prefix is None:
        return (*_own_backward(query, key, value, weights, plan, sent, pull), None, None)
    own = 1.0 - prefix
    of_query, of_key, of_value = _own_backward(query, key, value, weights, plan, sent * own[..., None], pull * own)
    by_head, keys = _by_head(query, plan), _for_heads(front_key, plan)
    if ahead is None:
        ahead, _ = _weights(by_head, keys)
    sent = (sent * prefix[..., None]).transpose(0, 1)
    scores = torch.bmm(sent, _for_heads(front_value, plan).transpose(1, 2))
    scores = scores.sub_((pull * prefix).t()[..., None]).mul_(ahead)
    of_query.view(tokens, heads, -1).add_(torch.bmm(scores, keys).transpose(0, 1))
    of_front_key = _to_kv_heads(torch.bmm(scores.transpose(1, 2), by_head), plan)
    return of_query, of_key, of_value, of_front_key, _to_kv_heads(torch.bmm(ahead.transpose(1, 2), sent), plan)


def _own(
    query: Tensor, key: Tensor, value: Tensor, plan: Plan, keep: bool = True
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """What each token reads from its own row `[N, A, D]`, the logarithm of its mass `[N, A]`; the weights to `keep`."""
    q, k, v, dim = *_lay_out(query, key, value, plan), key.shape[1] // plan.kv_heads
    read, mass, weights = torch.empty_like(q), q.new_empty(len(q), plan.share), []
    for bucket in plan.buckets:
        qb, kb, vb, out = (_piece(t, bucket, plan, dim) for t in (q, k, v, read))
        found, found_mass = _weights(qb, kb, bucket.mask)
        torch.bmm(found, vb, out=out)
        _piece(mass, bucket, plan, 1).copy_(found_mass)
        if keep:
            weights.append(found)
    read, mass = read.index_select(0, plan.back), mass.index_select(0, plan.back)
    return read.view(len(query), -1, dim), mass.view(len(query), -1), weights


def _own_backward(
    query: Tensor, key: Tensor, value: Tensor, weights: Sequence[Tensor | None], plan: Plan, sent: Tensor, pull: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of queries, keys and values through the own part; `sent` and `pull` carry its factors."""
    q, k, v, dim = *_lay_out(query, key, value, plan), key.shape[1] // plan.kv_heads
    # Padding repeats a real line: it must send nothing.
    s = sent.reshape(len(plan.back), -1).index_select(0, plan.places).mul_(plan.live)
    p = pull.reshape(len(plan.back), -1).index_select(0, plan.places).mul_(plan.live)
    of_q, of_k, of_v = torch.empty_like(q), torch.empty_like(k), torch.empty_like(v)
    for bucket, kept in zip(plan.buckets, weights, strict=True):
        qb, kb, vb, sb, to_q, to_k, to_v = (_piece(t, bucket, plan, dim) for t in (q, k, v, s, of_q, of_k, of_v))
        found = _weights(qb, kb, bucket.mask)[0] if kept is None else kept
        scores = torch.bmm(sb, vb.transpose(1, 2)).sub_(_piece(p, bucket, plan, 1)).mul_(found)
        torch.bmm(scores, kb, out=to_q)
        torch.bmm(scores.transpose(1, 2), qb, out=to_k)
        torch.bmm(found.transpose(1, 2), sb, out=to_v)
    found_q, found_k, found_v = (t.index_select(0, plan.back) for t in (of_q, of_k, of_v))
    return found_q.view(query.shape), found_k.view(key.shape), found_v.view(value.shape)


def _weights(query: Tensor, key: Tensor, mask: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Softmax of the scores `[G, lines, S]`, and the logarithm of the mass they had before `[G, lines, 1]`."""
    turned = key.transpose(1, 2)
    scores = torch.bmm(query, turned) if mask is None else torch.baddbmm(mask, query, turned)
    weights = torch.softmax(scores, dim=-1)
    # The largest weight is exp(0) / mass: cheaper than a pass of exponentials for the mass.
    return weights, scores.amax(dim=-1, keepdim=True) - weights.amax(dim=-1, keepdim=True).log_()


def _lay_out(query: Tensor, key: Tensor, value: Tensor, plan: Plan) -> tuple[Tensor, Tensor, Tensor]:
    """Packed → the places of the buckets: `[L, share * D]`, `[L, D]`, `[L, D]`."""
    lines = len(plan.back)
    q, k, v = (t.reshape(lines, -1).index_select(0, plan.places) for t in (query, key, value))
    return q, k, v


def _piece(flat: Tensor, bucket: Bucket, plan: Plan, dim: int) -> Tensor:
    """A bucket's part, one key head of one row a group: `[rows * K, lines, dim]`."""
    return flat[bucket.start : bucket.end].view(bucket.rows * plan.kv_heads, -1, dim)


def _by_head(query: Tensor, plan: Plan) -> Tensor:
    """`[N, A * D]` → `[A, N, D]`, a view."""
    return query.view(len(query), plan.kv_heads * plan.share, -1).transpose(0, 1)


def _for_heads(front: Tensor, plan: Plan) -> Tensor:
    """`[K, P, D]` → `[A, P, D]`."""
    return front.repeat_interleave(plan.share, dim=0)


def _to_kv_heads(grad: Tensor, plan: Plan) -> Tensor:
    """`[A, P, D]` → `[K, P, D]`, summed over the heads that read the same."""
    return grad.view(plan.kv_heads, plan.share, *grad.shape[1:]).sum(dim=1)
