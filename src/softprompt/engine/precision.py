"""How exactly float32 products are done while a prompt is tuned.

Processors with matrix units (Intel AMX) multiply bfloat16 several times as fast as float32. Inside `products` the
factors of large products are rounded to bfloat16 and summed in float32; all else, and what is stored, stays float32.
Does not concern answering, which is always done in the model's own precision.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from softprompt.params import Precision


def has_matrix_unit() -> bool:
    """Whether this processor multiplies bfloat16 in hardware made for it."""
    return bool(torch.cpu.get_capabilities().get("amx_bf16", False))


def decided(precision: Precision, device: torch.device) -> Precision:
    """What "auto" means here: bfloat16 where it is fast, else float32."""
    if precision != "auto":
        return precision
    return "bfloat16" if device.type == "cpu" and has_matrix_unit() else "float32"


@contextmanager
def products(precision: Precision) -> Iterator[None]:
    """Products of float32 numbers in this precision while the block runs (on processors)."""
    setting = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    before = setting.fp32_precision
    setting.fp32_precision = "bf16" if precision == "bfloat16" else "ieee"
    try:
        yield
    finally:
        setting.fp32_precision = before
