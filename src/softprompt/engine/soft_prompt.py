"""The trained tensors of a prompt. Knows nothing of models, batches or files."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class SoftPrompt:
    """Vectors of a prompt; each part is optional.

    Attributes:
        prefix: `[P, H]` vectors in front of everything.
        suffix: `[S, H]` vectors after the cue, in front of the answer.
        deep: `[L, 2, K, P, D]` keys and values of every layer (prefix tuning), in front of everything.
    """

    prefix: Tensor | None = None
    suffix: Tensor | None = None
    deep: Tensor | None = None

    @property
    def prefix_length(self) -> int:
        if self.deep is not None:
            return self.deep.shape[3]
        return 0 if self.prefix is None else self.prefix.shape[0]

    @property
    def suffix_length(self) -> int:
        return 0 if self.suffix is None else self.suffix.shape[0]

    @property
    def virtual_tokens(self) -> int:
        return self.prefix_length + self.suffix_length

    def tensors(self) -> dict[str, Tensor]:
        """The parts that are there, by name."""
        parts = {item.name: getattr(self, item.name) for item in fields(self)}
        return {name: part for name, part in parts.items() if part is not None}

    def parameters(self) -> SoftPrompt:
        """The same numbers as float32 leaves that collect gradients."""
        return SoftPrompt(**{n: t.detach().float().clone().requires_grad_() for n, t in self.tensors().items()})

    def detached(self) -> SoftPrompt:
        """A copy that no optimizer will move."""
        return SoftPrompt(**{name: tensor.detach().clone() for name, tensor in self.tensors().items()})

    def load_(self, other: SoftPrompt) -> None:
        """Copy the numbers of `other`, which has the same parts, into this prompt."""
        with torch.no_grad():
            for name, tensor in self.tensors().items():
                tensor.copy_(other.tensors()[name])
