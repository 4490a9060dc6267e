"""How exactly float32 products are done while a prompt is tuned.

Processors that multiply bfloat16 in hardware made for it (AMX, AVX-512 BF16) do so two to ten times as fast as float32.
Inside `products` the large products of a frozen model take their factors rounded to bfloat16; sums of states, norms,
softmax, the loss and what is stored stay float32. Lean layers bring their own products (`through`, `back`) with one
rounded copy of each weight for the block; elsewhere the library of matrix products may round by itself, which it does
on AMX only. Answering is always done in the model's own precision, with weights that are `blocked` where they may be.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from softprompt.engine import blocked
from softprompt.params import Precision

_copies: ContextVar[dict[int, Tensor] | None] = ContextVar("copies", default=None)
"""Weights rounded to bfloat16, by the identity of their layer; None: products are exact."""


def rounds_fast(lean: bool) -> bool:
    """Whether this processor multiplies bfloat16 in hardware made for it, and the products get there."""
    can = torch.cpu.get_capabilities()
    return bool(can.get("amx_bf16", False) or (lean and can.get("avx512_bf16", False)))


def decided(precision: Precision, device: torch.device, lean: bool) -> Precision:
    """What "auto" means here: bfloat16 where it is fast, else float32.

    Args:
        precision: as chosen.
        device: where the model is.
        lean: whether its layers are lean ones, which round by themselves.
    """
    if precision != "auto":
        return precision
    return "bfloat16" if device.type == "cpu" and rounds_fast(lean) else "float32"


@contextmanager
def products(precision: Precision, copies: dict[int, Tensor] | None = None) -> Iterator[None]:
    """Products of float32 numbers in this precision while the block runs (on processors).

    In bfloat16 it holds one more copy of the weights of lean layers, half their size, until it ends; blocks that are
    given the same `copies` share theirs.
    """
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = setting.fp32_precision
    setting.fp32_precision = "bf16" if precision == "bfloat16" else "ieee"
    token = _copies.set((copies if copies is not None else {}) if precision == "bfloat16" else None)
    try:
        yield
    finally:
        _copies.reset(token)
        setting.fp32_precision = before


def answer_in_blocks(model: nn.Module) -> None:
    """Let the linear layers of a frozen model use weights in blocks where they may, whoever calls them."""
    layers = [part for part in model.modules() if type(part) is nn.Linear and not part.weight.requires_grad]
    if blocked.allow(layers):
        for layer in layers:
            layer.forward = partial(through, layer)  # type: ignore[method-assign]


# --- products of lean layers -----------------------------------------------------------------------------------------
def rounded(states: Tensor) -> Tensor:
    """States as a factor of the block's precision: bfloat16, or themselves."""
    return states if _copies.get() is None else states.to(torch.bfloat16)


def through(linear: nn.Linear, factor: Tensor) -> Tensor:
    """`[…, I]` → `[…, O]`, float32; a `factor` that is `rounded`, `[N, I]`, meets the rounded weight."""
    if factor.dtype == linear.weight.dtype:
        if (laid_out := _blocks(linear)) is not None:
            return blocked.product(factor, linear, laid_out)
        return F.linear(factor, linear.weight, linear.bias)
    out = torch.mm(factor, _copy(linear).t()).float()
    return out if linear.bias is None else out.add_(linear.bias)


def back(linear: nn.Linear, grad: Tensor) -> Tensor:
    """`[N, O]` → `[N, I]`, float32: gradient of the input from the gradient of the output."""
    factor = rounded(grad)
    return torch.mm(factor, linear.weight if factor is grad else _copy(linear)).float()


def add_back_(total: Tensor, linear: nn.Linear, grad: Tensor) -> Tensor:
    """`total` plus `back(linear, grad)`, in place."""
    factor = rounded(grad)
    if factor.dtype == linear.weight.dtype:
        return total.addmm_(factor, linear.weight)
    return total.add_(torch.mm(factor, _copy(linear)))


def add_through(hidden: Tensor, linear: nn.Linear, states: Tensor, weight: float) -> Tensor:
    """hidden + weight × linear(states), float32."""
    factor = rounded(states)
    if factor.dtype == linear.weight.dtype:
        if weight == 1.0 and (laid_out := _blocks(linear)) is not None:
            return blocked.product_added(hidden, factor, linear, laid_out)
        out = torch.addmm(hidden, factor, linear.weight.t(), alpha=weight)
    else:
        out = torch.add(hidden, torch.mm(factor, _copy(linear).t()), alpha=weight)
    return out if linear.bias is None else out.add_(linear.bias, alpha=weight)


def _blocks(linear: nn.Linear) -> Tensor | None:
    """The weight in blocks, where products are exact and nothing goes back."""
    return blocked.blocks(linear) if _copies.get() is None else None


def _copy(linear: nn.Linear) -> Tensor:
    copies = _copies.get()
    assert copies is not None, "a rounded factor outside of the block that rounded it"
    kept = copies.get(id(linear))
    if kept is None:
        kept = copies[id(linear)] = linear.weight.detach().to(torch.bfloat16)
    return kept
