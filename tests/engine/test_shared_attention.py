"""Attention over buckets against plain dense attention of each row alone, values and gradients."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softprompt.engine import shared_attention
from softprompt.engine.shared_attention import SharedAttention, make_plan, read

DIM = 4
LENGTHS = st.lists(st.integers(1, 9), min_size=1, max_size=11)


def leaves(tokens: int, heads: int, kv_heads: int, prefix: int, seed: int) -> tuple[Tensor, ...]:
    """Queries, keys, values, prefix keys and prefix values."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(tokens, heads * DIM), *[(tokens, kv_heads * DIM)] * 2, *[(kv_heads, prefix, DIM)] * 2]
    return tuple(torch.randn(s, dtype=torch.float64, generator=generator).requires_grad_() for s in shapes)


def dense(parts: tuple[Tensor, ...], lengths: list[int], heads: int, kv_heads: int) -> Tensor:
    """The same by the library, one row after the other."""
    query, key, value, front_key, front_value = parts
    out = []
    for q, k, v in zip(query.split(lengths), key.split(lengths), value.split(lengths), strict=True):
        k = torch.cat([front_key, k.view(-1, kv_heads, DIM).transpose(0, 1)], dim=1).repeat_interleave(
            heads // kv_heads, 0
        )
        v = torch.cat([front_value, v.view(-1, kv_heads, DIM).transpose(0, 1)], dim=1).repeat_interleave(
            heads // kv_heads, 0
        )
        seen = torch.ones(len(q), k.shape[1], dtype=torch.bool).tril(k.shape[1] - len(q))
        read = F.scaled_dot_product_attention(q.view(-1, heads, DIM).transpose(0, 1), k, v, attn_mask=seen, scale=1.0)
        out.append(read.transpose(0, 1).flatten(1))
    return torch.cat(out)


@pytest.mark.parametrize("kept", [shared_attention.KEPT, 0], ids=["weights kept", "weights computed again"])
@settings(max_examples=40, deadline=None)
@given(lengths=LENGTHS, kv_heads=st.integers(1, 3), share=st.integers(1, 3), prefix=st.integers(0, 5))
def test_values_and_gradients_are_those_of_dense_attention(
    kept: int, lengths: list[int], kv_heads: int, share: int, prefix: int
) -> None:
    heads = kv_heads * share
    parts = leaves(sum(lengths), heads, kv_heads, prefix, seed=len(lengths))
    plan = make_plan(lengths, heads, kv_heads, parts[0])
    wanted = dense(parts, lengths, heads, kv_heads)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared_attention, "KEPT", kept)
        found = SharedAttention.apply(*parts, plan)
    torch.testing.assert_close(found, wanted)
    sent = torch.linspace(-1, 1, wanted.numel(), dtype=torch.float64).view_as(wanted)
    used = parts if prefix else parts[:3]
    wanted_gradients = torch.autograd.grad(wanted, used, sent)
    for gradient, expected in zip(torch.autograd.grad(found, used, sent), wanted_gradients, strict=True):
        torch.testing.assert_close(gradient, expected)


@settings(max_examples=40, deadline=None)
@given(
    groups=st.lists(st.tuples(LENGTHS, st.integers(0, 5)), min_size=1, max_size=5),
    kv_heads=st.integers(1, 3),
    share=st.integers(1, 3),
)
def test_rows_of_several_prefixes_read_as_each_group_alone(
    groups: list[tuple[list[int], int]], kv_heads: int, share: int
) -> None:
    heads, wanted, states, ahead, start = kv_heads * share, [], [], [], 0
    for seed, (lengths, prefix) in enumerate(groups):
        with torch.no_grad():
            parts = tuple(part.detach() for part in leaves(sum(lengths), heads, kv_heads, prefix, seed))
            wanted.append(dense(parts, lengths, heads, kv_heads))
        states.append(parts[:3])
        ahead += [(parts[3], parts[4], start, start + sum(lengths))] if prefix else []
        start += sum(lengths)
    query, key, value = (torch.cat(each) for each in zip(*states, strict=True))
    plan = make_plan([length for lengths, _ in groups for length in lengths], heads, kv_heads, query)
    torch.testing.assert_close(read(query, key, value, ahead, plan), torch.cat(wanted))


def test_a_prefix_that_outweighs_the_row_by_far_stays_finite() -> None:
    query, key, value, front_key, front_value = leaves(3, 1, 1, 2, seed=0)
    parts = (query * 0 + 30, key * 0 - 30, value, front_key * 0 + 30, front_value)
    out = SharedAttention.apply(*parts, make_plan([3], 1, 1, query))
    torch.testing.assert_close(out, front_value.mean(dim=1).expand(3, -1))
    gradient = torch.autograd.grad(out.sum(), front_value)[0]
    torch.testing.assert_close(gradient, torch.full_like(gradient, 1.5))


def test_what_a_row_reads_does_not_depend_on_its_neighbours() -> None:
    lengths = [2, 7, 4, 4, 1, 9]
    parts = leaves(sum(lengths), 4, 2, 3, seed=1)
    together = SharedAttention.apply(*parts, make_plan(lengths, 4, 2, parts[0])).split(lengths)
    for number, length in enumerate(lengths):
        start = sum(lengths[:number])
        own = [part[start : start + length] for part in parts[:3]]
        alone = SharedAttention.apply(*own, *parts[3:], make_plan([length], 4, 2, parts[0]))
        torch.testing.assert_close(alone, together[number])
