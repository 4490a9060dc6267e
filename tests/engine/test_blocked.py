"""Weights in blocks give what the layer gives, and are used for exact answers of small models only."""

from __future__ import annotations

import gc
import weakref
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Tensor, nn

from softprompt.engine import blocked
from softprompt.engine.backbone import CausalBackbone, wrap
from softprompt.engine.packing import Row, pack
from softprompt.engine.precision import add_through, products, rounded, through
from softprompt.testing.tiny import tiny_model

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def linear(bias: bool = True) -> nn.Linear:
    made = nn.Linear(96, 64, bias=bias).requires_grad_(False)
    made.weight.copy_(numbers(64, 96))
    return made


def laid_out(backbone: Backbone) -> list[Tensor]:
    """The blocks of a model's layers."""
    found = [blocked._blocks.get(part) for part in backbone.model.modules() if isinstance(part, nn.Linear)]
    return [weight for weight in found if weight is not None]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 7, 64, 300])
@torch.inference_mode()
def test_products_are_those_of_the_layer(bias: bool, rows: int) -> None:
    layer, states, hidden = linear(bias), numbers(rows, 96), numbers(rows, 64)
    plain = [layer(states), hidden + layer(states), hidden + 0.5 * layer(states)]
    assert blocked.blocks(layer) is None
    assert blocked.allow([layer])
    assert blocked.blocks(layer) is not None
    ours = [through(layer, states), add_through(hidden, layer, states, 1.0), add_through(hidden, layer, states, 0.5)]
    for one, other in zip(ours, plain, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-4)


def test_they_are_for_exact_answers_alone() -> None:
    layer, states = linear(), numbers(9, 96)
    blocked.allow([layer])
    exact = layer(states)
    assert torch.equal(through(layer, states), exact)  # a gradient may be wanted
    with torch.inference_mode(), products("bfloat16"):
        apart = through(layer, rounded(states)) - exact
    assert 1e-3 < float(apart.abs().max() / exact.abs().max()) < 0.05
    with torch.inference_mode():
        assert through(layer.double(), states.double()).dtype == torch.float64


def test_large_models_stay_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    layers = [linear(), linear()]
    monkeypatch.setattr(blocked, "memory", lambda: blocked.SHARE * 2 * layers[0].weight.nbytes - 1)
    assert not blocked.allow(layers)
    assert blocked.allow(layers[:1])
    with torch.inference_mode():
        assert [blocked.blocks(layer) is None for layer in layers] == [False, True]


def test_layers_of_any_model_answer_in_blocks_whoever_calls_them() -> None:
    model, tokenizer = tiny_model("t5")
    ids = torch.tensor([[5, 6, 7]])
    plain = model(input_ids=ids, decoder_input_ids=ids).logits
    backbone = wrap(model, tokenizer)
    with torch.inference_mode():
        fast = model(input_ids=ids, decoder_input_ids=ids).logits
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-4)
    assert len(laid_out(backbone)) == sum(isinstance(part, nn.Linear) for part in model.modules())


def test_other_layers_are_left_out() -> None:
    class Scaled(nn.Linear):
        """Gives something else than a plain one."""

    other = Scaled(96, 64).requires_grad_(False)
    half = linear().to(torch.bfloat16)
    assert blocked.allow([other, half])
    with torch.inference_mode():
        assert blocked.blocks(other) is None
        assert blocked.blocks(half) is None


def test_a_model_is_answered_with_blocks_which_go_with_it() -> None:
    backbone = wrap(*tiny_model("llama"))
    assert isinstance(backbone, CausalBackbone)
    row = pack([Row((5, 6, 7))])

    plain = backbone.logits(backbone.rows(row, [(None, 0, 1)])[0])
    assert laid_out(backbone) == []
    with torch.inference_mode():
        fast = backbone.logits(backbone.rows(row, [(None, 0, 1)])[0])
    torch.testing.assert_close(fast, plain, rtol=1e-4, atol=1e-4)
    kept = [weakref.ref(weight) for weight in laid_out(backbone)]
    assert len(kept) == 2 * 7 + 1
    del backbone
    gc.collect()
    assert [reference() for reference in kept] == [None] * 15
