"""Products in bfloat16 while a block runs, and exactly again behind it."""

from __future__ import annotations

import pytest
import torch

from softprompt.engine import precision
from softprompt.engine.precision import decided, has_matrix_unit, products


def product() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(64, 256, generator=generator) @ torch.randn(256, 64, generator=generator)


def test_a_product_is_close_inside_and_the_same_bits_outside() -> None:
    exact = product()
    with products("bfloat16"):
        rounded = product()
    assert (rounded - exact).abs().max() < 0.3
    if has_matrix_unit():
        assert not torch.equal(rounded, exact)
    assert torch.equal(product(), exact)


def test_the_setting_comes_back_after_an_error() -> None:
    before = torch.backends.mkldnn.matmul.fp32_precision
    with pytest.raises(ZeroDivisionError), products("bfloat16"):
        raise ZeroDivisionError
    assert torch.backends.mkldnn.matmul.fp32_precision == before


@pytest.mark.parametrize("unit", [True, False])
def test_auto_follows_the_processor_and_a_choice_is_kept(unit: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_matrix_unit", lambda: unit)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert decided("auto", cpu) == ("bfloat16" if unit else "float32")
    assert decided("auto", gpu) == decided("float32", cpu) == "float32"
    assert decided("bfloat16", cpu) == "bfloat16"
