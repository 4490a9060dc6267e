"""Frozen weights laid out once for this processor, for answering.

A library of products works on blocks of a weight. Left as it lies in the file, a weight is brought into blocks again at
every product, which weighs most where few rows are multiplied: tokens of a decoding step, and the matrix of the output.
Laid out once, float32 products take half to nine tenths of the time. The blocks are one more copy of the weights, so
only a model that is small beside the memory of this machine gets them; what was read from a file can leave the memory
again. Does not concern tuning (`precision`), nor layers on other devices and in other number formats.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

SHARE = 8
"""The blocks of a model take at most this part (one in …) of the machine's memory."""
ROWS = 64
"""Rows that the layout is made for; any number can be multiplied."""

_blocks: WeakKeyDictionary[nn.Linear, Tensor | None] = WeakKeyDictionary()
"""Layers that may be laid out, with their blocks as soon as they were wanted."""


def allow(layers: Iterable[nn.Linear]) -> bool:
    """Let these layers of one model be laid out when they first answer; False if they are too large for that."""
    chosen = [layer for layer in layers if type(layer) is nn.Linear and layer.weight.dtype == torch.float32]
    if not _possible() or sum(layer.weight.nbytes for layer in chosen) > memory() // SHARE:
        return False
    for layer in chosen:
        _blocks.setdefault(layer, None)
    return True


def memory() -> int:
    """Bytes of this machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def blocks(layer: nn.Linear) -> Tensor | None:
    """The layer's weight in blocks; None where it is used as it lies."""
    if not torch.is_inference_mode_enabled() or layer not in _blocks:
        return None
    weight = layer.weight
    if weight.dtype != torch.float32 or weight.device.type != "cpu":  # it was moved since
        return None
    found = _blocks[layer]
    if found is None:
        found = _blocks[layer] = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), ROWS)
    return found


def product(states: Tensor, layer: nn.Linear, laid_out: Tensor) -> Tensor:
    """`[N, I]` → `[N, O]`: what the layer gives."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise(states, laid_out, layer.bias, "none", [], "")
    return out


def product_added(hidden: Tensor, states: Tensor, layer: nn.Linear, laid_out: Tensor) -> Tensor:
    """hidden + what the layer gives."""
    out: Tensor = torch.ops.mkldnn._linear_pointwise.binary(states, hidden, laid_out, layer.bias, "add")
    return out


def _possible() -> bool:
    """Measured on x86 alone; elsewhere the library may have no such blocks."""
    there: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return there and platform.machine() in ("x86_64", "AMD64") and hasattr(os, "sysconf")
