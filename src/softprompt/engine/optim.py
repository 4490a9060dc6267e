"""From gradients to steps: optimizer, learning rate over time, clipping. Knows tensors and numbers only."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from softprompt.params import Optimizer


def make_optimizer(
    name: Optimizer, parameters: Sequence[Tensor], learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW, or Adafactor (Shazeer & Stern 2018, arXiv:1804.04235) without its relative step sizes."""
    if name == "adafactor":
        from transformers.optimization import Adafactor  # that of torch always scales its steps by the parameters

        plain = {"scale_parameter": False, "relative_step": False, "warmup_init": False}
        return Adafactor(list(parameters), lr=learning_rate, weight_decay=weight_decay, **plain)  # type: ignore[no-any-return]
    return torch.optim.AdamW(list(parameters), lr=learning_rate, weight_decay=weight_decay, betas=(0.9, 0.98))


def rate_at(update: int, updates: int, warmup: float, decay: bool) -> float:
    """Factor on the learning rate of update number `update` (from 0): linear rise, then a half cosine to zero."""
    rise = math.ceil(warmup * updates)
    if update < rise:
        return (update + 1) / rise
    if not decay:
        return 1.0
    done = (update - rise) / max(updates - rise, 1)
    return 0.5 * (1.0 + math.cos(math.pi * done))


def clip(parameters: Sequence[Tensor], largest: float) -> float:
    """Scale the gradients down to a joint norm of at most `largest` (0: leave them); returns the norm before."""
    limit = largest if largest > 0 else math.inf
    return float(torch.nn.utils.clip_grad_norm_(list(parameters), limit))
