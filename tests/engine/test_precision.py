"""Products in bfloat16 while a block runs, and exactly again behind it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from softprompt.engine import precision
from softprompt.engine.backbone import wrap
from softprompt.engine.packing import Row
from softprompt.engine.precision import add_back_, add_through, back, decided, products, rounded, through
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.testing.tiny import tiny_model


def numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def linear(bias: bool) -> nn.Linear:
    made = nn.Linear(256, 64, bias=bias).requires_grad_(False)
    made.weight.copy_(numbers(64, 256))
    return made


def close(rounds: Tensor, exact: Tensor) -> bool:
    """Alike to about the 8 bits of a bfloat16, and not the same."""
    apart = float((rounds - exact).norm() / exact.norm())
    return rounds.dtype == torch.float32 and 0 < apart < 0.01


@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_close_inside_and_the_same_bits_outside(bias: bool) -> None:
    layer, states, grad, hidden = linear(bias), numbers(9, 256), numbers(9, 64), numbers(9, 64)
    out, of_input = layer(states), grad @ layer.weight

    def all_four() -> list[Tensor]:
        return [
            through(layer, rounded(states)),
            back(layer, grad),
            add_through(hidden, layer, states, 0.5),
            add_back_(numbers(9, 256), layer, grad),
        ]

    exact = [out, of_input, hidden + 0.5 * out, numbers(9, 256) + of_input]
    with products("bfloat16"):
        assert all(close(a, b) for a, b in zip(all_four(), exact, strict=True))
    with products("bfloat16"), products("float32"):
        assert torch.equal(all_four()[0], out)
    for ours, plain in zip(all_four(), exact, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-4)


def test_gradients_of_a_prompt_are_close_and_inside_is_deterministic() -> None:
    backbone = wrap(*tiny_model("llama"))
    assert backbone.kind == "causal"
    assert backbone.lean
    rows = [Row((5, 6, 7), (8, 9)), Row((10, 11), (12,))]

    def gradient() -> Tensor:
        prompt = SoftPrompt(prefix=numbers(4, backbone.hidden_size) * backbone.embedding_rms).parameters()
        backbone.add_gradient([rows], prompt, (1, 2))
        assert prompt.prefix is not None
        assert prompt.prefix.grad is not None
        return prompt.prefix.grad

    exact = gradient()
    with products("bfloat16"):
        first, second = gradient(), gradient()
    assert torch.equal(first, second)
    assert not torch.equal(first, exact)
    assert float((first - exact).norm() / exact.norm()) < 0.05
    assert torch.equal(gradient(), exact)


def test_the_setting_comes_back_after_an_error() -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    with pytest.raises(ZeroDivisionError), products("bfloat16"):
        raise ZeroDivisionError
    assert torch.backends.mkldnn.matmul.fp32_precision == before
    assert rounded(numbers(2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("can", "lean", "other"),
    [({}, False, False), ({"amx_bf16": True}, True, True), ({"avx512_bf16": True}, True, False)],
)
def test_auto_follows_the_processor_and_a_choice_is_kept(
    can: dict[str, bool], lean: bool, other: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision.torch.cpu, "get_capabilities", lambda: can)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert decided("auto", cpu, lean=True) == ("bfloat16" if lean else "float32")
    assert decided("auto", cpu, lean=False) == ("bfloat16" if other else "float32")
    assert decided("auto", gpu, lean=True) == decided("float32", cpu, lean=True) == "float32"
    assert decided("bfloat16", cpu, lean=False) == "bfloat16"
