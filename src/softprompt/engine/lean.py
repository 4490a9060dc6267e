"""Decoder layers of the llama family with less work around their matrix products.

The weights are frozen, so only gradients of states are wanted: each half of a layer is one step of autograd with a
backward pass written by hand, which keeps little and works in place. The numbers are those of the transformers library
up to rounding. Covers llama, mistral, qwen2 and granite in float32 on processors; everywhere else (other architectures,
devices, number formats, layouts) the library's own layers stay in charge.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from softprompt.engine import shared_attention
from softprompt.engine.attention import Layout
from softprompt.engine.precision import add_back_, add_through, back, rounded, through
from softprompt.engine.shared_attention import Front, Plan, Saved

FAMILY = {"LlamaDecoderLayer", "MistralDecoderLayer", "Qwen2DecoderLayer", "GraniteDecoderLayer"}
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

Turn = tuple[Tensor, Tensor]
"""Cosines and sines of the positions, `[N, 1, D / 2]` each."""


def apply(model: Any) -> int:
    """Put lean layers into a frozen transformers model, on the weights it has; returns how many."""
    inner = model.base_model
    layers = [layer for layer in getattr(inner, "layers", ()) if _covers(layer)]
    for layer in layers:
        layer.forward = LeanLayer(layer)
    if layers:
        inner.norm.forward = LeanNorm(inner.norm)
    return len(layers)


def _covers(layer: Any) -> bool:
    """Whether a layer is of the family, as the library made it, frozen and not lean yet."""
    if type(layer).__name__ not in FAMILY or isinstance(layer.forward, LeanLayer):
        return False
    kinds = {name.rsplit(".", 1)[-1]: type(m) for name, m in layer.named_modules() if name.endswith("_proj")}
    as_made = kinds == dict.fromkeys(_PROJECTIONS, nn.Linear) and type(layer.mlp.act_fn).__name__ in (
        "SiLU",
        "SiLUActivation",
    )
    return as_made and not any(parameter.requires_grad for parameter in layer.parameters())


class LeanLayer:
    """Stands in for the `forward` of one decoder layer.

    Attributes:
        heads, kv_heads, dim: query heads A, key heads K, their width D.
        scale: of the scores.
        weight: of each half in the sum of states (1 outside Granite).
    """

    def __init__(self, layer: Any) -> None:
        self.attention, self.mlp = layer.self_attn, layer.mlp
        self.before, self.between = layer.input_layernorm, layer.post_attention_layernorm
        self.number, self.dim = int(self.attention.layer_idx), int(self.attention.head_dim)
        self.heads = int(self.attention.q_proj.out_features) // self.dim
        self.kv_heads = int(self.attention.k_proj.out_features) // self.dim
        self.scale = float(self.attention.scaling)
        self.weight = float(getattr(layer, "residual_multiplier", 1.0))
        self._plain: Callable[..., Tensor] = layer.forward

    def __call__(
        self,
        hidden_states: Tensor,
        *,
        position_embeddings: Turn,
        layout: Layout | None = None,
        **others: Any,
    ) -> Tensor:
        """`[1, N, H]` → `[1, N, H]`."""
        front = None if layout is None else layout.front(self.number)
        tracked = torch.is_grad_enabled() and any(t.requires_grad for t in (hidden_states, *(front or ())))
        plan = None if layout is None else layout.plan(self.heads, self.kv_heads, hidden_states[0])
        if (
            layout is None
            or (torch.is_grad_enabled() and plan is None)
            or not self._fits(hidden_states, position_embeddings[0])
        ):
            return self._plain(hidden_states, position_embeddings=position_embeddings, layout=layout, **others)
        cos, sin = (t[0, :, None, : self.dim // 2] for t in position_embeddings)
        hidden = hidden_states[0]
        if plan is None:
            return mlp_half(self, self._stored_half(hidden, (cos, sin), layout))[0][None]
        if tracked:
            hidden, key, value = _AttentionHalf.apply(hidden, *(front or (None, None)), self, (cos, sin), plan)  # type: ignore[no-untyped-call]
        else:
            hidden, key, value = self._fresh_half(hidden, (cos, sin), layout, plan)
        layout.keep(self.number, key, value)
        out: Tensor = _MlpHalf.apply(hidden, self) if tracked else mlp_half(self, hidden)[0]  # type: ignore[no-untyped-call]
        return out[None]

    def project(self, hidden: Tensor, turn: Turn) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`[N, H]` → turned queries `[N, A * D]`, turned keys and values `[N, K * D]`, and the norm's factor."""
        normed, factor = normalise(hidden, self.before)
        normed, linears = rounded(normed), self.attention
        query, key, value = (through(linear, normed) for linear in (linears.q_proj, linears.k_proj, linears.v_proj))
        turn_(query, turn, self.dim)
        turn_(key, turn, self.dim)
        return query, key, value, factor

    def add(self, hidden: Tensor, linear: nn.Linear, states: Tensor) -> Tensor:
        """hidden + weight × linear(states), as one product."""
        return add_through(hidden, linear, states, self.weight)

    def weighted_(self, states: Tensor) -> Tensor:
        """weight × states, in place."""
        return states if self.weight == 1.0 else states.mul_(self.weight)

    def _fresh_half(self, hidden: Tensor, turn: Turn, layout: Layout, plan: Plan) -> tuple[Tensor, Tensor, Tensor]:
        """The attention half of rows that have no stored keys, where nothing goes back; with their keys and values."""
        query, key, value, _ = self.project(hidden, turn)
        out = shared_attention.read(query.mul_(self.scale), key, value, layout.ahead(self.number), plan)
        return self.add(hidden, self.attention.o_proj, out), key, value

    def _stored_half(self, hidden: Tensor, turn: Turn, layout: Layout) -> Tensor:
        """The attention half where the layout has to read or to keep more than a plan knows."""
        query, key, value, _ = self.project(hidden, turn)
        q, k, v = (t.view(1, len(hidden), -1, self.dim).transpose(1, 2) for t in (query, key, value))
        out = layout.attend(self.number, q, k, v, self.scale)
        return self.add(hidden, self.attention.o_proj, out.reshape(len(hidden), -1))

    def _fits(self, states: Tensor, cos: Tensor) -> bool:
        return states.device.type == "cpu" and states.dtype == torch.float32 and cos.shape[-1] == self.dim


class LeanNorm:
    """Stands in for the `forward` of the norm behind the last layer."""

    def __init__(self, norm: Any) -> None:
        self.norm = norm
        self._plain: Callable[[Tensor], Tensor] = norm.forward

    def __call__(self, hidden_states: Tensor) -> Tensor:
        if hidden_states.device.type != "cpu" or hidden_states.dtype != torch.float32:
            return self._plain(hidden_states)
        return _Norm.apply(hidden_states, self.norm)  # type: ignore[no-any-return, no-untyped-call]


# --- attention half --------------------------------------------------------------------------------------------------
def attention_half(
    layer: LeanLayer, hidden: Tensor, front: Front | None, turn: Turn, plan: Plan
) -> tuple[tuple[Tensor, Tensor, Tensor], Saved]:
    """`[N, H]` → states `[N, H]`, keys and values `[N, K * D]`; and what the way back needs."""
    query, key, value, factor = layer.project(hidden, turn)
    out, saved = shared_attention.forward(query.mul_(layer.scale), key, value, front, plan)
    return (layer.add(hidden, layer.attention.o_proj, out), key, value), (hidden, factor, *turn, *saved)


class _AttentionHalf(torch.autograd.Function):
    """States, keys and values from states and the prefix's keys and values."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, pk: Tensor | None, pv: Tensor | None, layer: LeanLayer, turn: Turn, plan: Plan
    ) -> tuple[Tensor, Tensor, Tensor]:
        front = None if pk is None or pv is None else (pk, pv)
        out, saved = attention_half(layer, hidden, front, turn, plan)
        ctx.save_for_backward(*saved)
        ctx.set_materialize_grads(False)
        ctx.layer, ctx.plan = layer, plan
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, of_key: Tensor | None, of_value: Tensor | None) -> tuple[Any, ...]:
        hidden, factor, cos, sin, *saved = ctx.saved_tensors
        layer: LeanLayer = ctx.layer
        attention, of_query = layer.attention, None
        of_front: list[Tensor | None] = [None, None]
        if grad is not None:
            of_out = layer.weighted_(back(attention.o_proj, grad))
            of_query, own_key, own_value, *of_front = shared_attention.backward(tuple(saved), ctx.plan, of_out)
            of_key = own_key if of_key is None else own_key.add_(of_key)
            of_value = own_value if of_value is None else own_value.add_(of_value)
        if not ctx.needs_input_grad[0]:
            return None, *of_front, None, None, None
        of_normed = torch.zeros_like(hidden)
        unturn = (cos, -sin)
        if of_query is not None:
            turn_(of_query.mul_(layer.scale), unturn, layer.dim)
            of_normed = back(attention.q_proj, of_query)
        if of_key is not None:
            of_key = of_key if grad is not None else of_key.clone()
            turn_(of_key, unturn, layer.dim)
            add_back_(of_normed, attention.k_proj, of_key)
        if of_value is not None:
            add_back_(of_normed, attention.v_proj, of_value)
        return normalise_back(of_normed, hidden, factor, layer.before, grad), *of_front, None, None, None


# --- mlp half --------------------------------------------------------------------------------------------------------
def mlp_half(layer: LeanLayer, hidden: Tensor, keep: bool = False) -> tuple[Tensor, Saved]:
    """`[N, H]` → `[N, H]`; and with `keep` what the way back needs."""
    mlp = layer.mlp
    normed, factor = normalise(hidden, layer.between)
    normed = rounded(normed)
    gate, up = through(mlp.gate_proj, normed), through(mlp.up_proj, normed)
    if not keep:
        return layer.add(hidden, mlp.down_proj, F.silu(gate, inplace=True).mul_(up)), ()
    # silu = gate × s and its slope = s + silu × (1 - s), from the one costly function s = sigmoid(gate)
    s = torch.sigmoid(gate)
    silu = gate.mul_(s)
    slope = torch.addcmul(s, silu, s, value=-1).add_(silu).mul_(up)
    return layer.add(hidden, mlp.down_proj, up.mul_(silu)), (hidden, factor, silu, slope)


class _MlpHalf(torch.autograd.Function):
    """States from states."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, layer: LeanLayer) -> Tensor:
        out, saved = mlp_half(layer, hidden, keep=True)
        ctx.save_for_backward(*saved)
        ctx.layer = layer
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        hidden, factor, silu, slope = ctx.saved_tensors
        layer: LeanLayer = ctx.layer
        of_product = layer.weighted_(back(layer.mlp.down_proj, grad))
        of_up = of_product * silu
        of_normed = back(layer.mlp.gate_proj, of_product.mul_(slope))
        add_back_(of_normed, layer.mlp.up_proj, of_up)
        return normalise_back(of_normed, hidden, factor, layer.between, grad), None


# --- norm and rotation -----------------------------------------------------------------------------------------------
class _Norm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, norm: Any) -> Tensor:
        out, factor = normalise(hidden, norm)
        ctx.save_for_backward(hidden, factor)
        ctx.norm = norm
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        hidden, factor = ctx.saved_tensors
        return normalise_back(grad.clone(), hidden, factor, ctx.norm), None


def normalise(hidden: Tensor, norm: Any) -> tuple[Tensor, Tensor]:
    """RMS norm over the last dimension, and the factor `[…, 1]` it multiplied by."""
    factor = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True).square_().div_(hidden.shape[-1])
    factor = factor.add_(norm.variance_epsilon).rsqrt_()
    return (hidden * factor).mul_(norm.weight), factor


def normalise_back(grad: Tensor, hidden: Tensor, factor: Tensor, norm: Any, through: Tensor | None = None) -> Tensor:
    """Gradient of the norm's input, plus `through`; spends `grad`."""
    grad.mul_(norm.weight)
    along = (grad * hidden).sum(dim=-1, keepdim=True).mul_(factor.pow(3)).div_(hidden.shape[-1])
    out = grad.mul_(factor) if through is None else torch.addcmul(through, grad, factor)
    return out.addcmul_(hidden, along, value=-1)


def turn_(states: Tensor, turn: Turn, dim: int) -> None:
    """Rotate `[N, heads * D]` by the positions' angles, in place."""
    cos, sin = turn
    first, second = torch.split(states.view(len(states), -1, dim), dim // 2, dim=-1)
    swept = first * sin
    first.mul_(cos).addcmul_(second, sin, value=-1)
    second.mul_(cos).add_(swept)
