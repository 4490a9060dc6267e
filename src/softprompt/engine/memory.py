"""Whether an error means that memory is full."""

from __future__ import annotations

import torch


def out_of_memory(error: BaseException) -> bool:
    """Devices raise their own class; the allocator of the CPU only says it in words."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
