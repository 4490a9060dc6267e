"""Read the label where the model knows it: a linear map from hidden states of the frozen model to the labels.

With few rows a frozen model knows more than it can say through its vocabulary. The map is a logistic regression on
standardised hidden states of chosen layers: their mean and their largest values over the input's tokens, and the last
token of the row; beside them it may count the input's tokens. It costs no decoding step, and its softmax is an honest
confidence.

Covers: the map itself and how features are taken from a packed pass. Fitting: `readout_fit`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from softprompt.data.template import Template
from softprompt.engine.packing import Packed, Row
from softprompt.engine.readout_tokens import counts
from softprompt.engine.soft_prompt import SoftPrompt

PLACES = ("mean", "max", "last")


@dataclass(frozen=True, slots=True)
class LabelReadout:
    """Linear map to labels, with what has to stand around the input for it.

    Attributes:
        labels: one answer per line of the map (a whole combination for multi-label tasks).
        layers: which layers are read (1 = output of the first).
        places: "mean" and "max" (over the input's tokens), "last" (last token of the row); for each layer.
        center, scale: `[F]` standardisation of the features, F = layers × places × H.
        weight: `[C, F]`, bias: `[C]` the map.
        template: what stands around the input; its instruction is frozen text.
        prompt: vectors around the input, if some were trained through the map.
        tokens, idf: `[T]` tokens of the input that are counted too, behind the hidden states: then F is T larger.
    """

    labels: tuple[str, ...]
    layers: tuple[int, ...]
    places: tuple[str, ...]
    center: Tensor
    scale: Tensor
    weight: Tensor
    bias: Tensor
    template: Template
    prompt: SoftPrompt = field(default_factory=SoftPrompt)
    tokens: Tensor | None = None
    idf: Tensor | None = None

    def reads(self, tapped: Mapping[int, Tensor], packed: Packed, rows: Sequence[Row]) -> Tensor:
        """`[B, F]` features of packed rows: what `features` takes, and the counts of tokens."""
        taken = features(tapped, packed, rows, self.layers, self.places)
        if self.tokens is None or self.idf is None:
            return taken
        return torch.cat([taken, counts(rows, self.tokens, self.idf).to(taken)], dim=1)

    def logits(self, features: Tensor) -> Tensor:
        """`[B, F]` features → `[B, C]` scores."""
        return ((features - self.center) * self.scale) @ self.weight.T + self.bias

    def tensors(self) -> dict[str, Tensor]:
        """All numbers of the map by name."""
        own = {name: getattr(self, name) for name in ("center", "scale", "weight", "bias")}
        if self.tokens is not None and self.idf is not None:
            own |= {"tokens": self.tokens, "idf": self.idf}
        return own | {f"prompt.{name}": tensor for name, tensor in self.prompt.tensors().items()}


def features(
    tapped: Mapping[int, Tensor], packed: Packed, rows: Sequence[Row], layers: Sequence[int], places: Sequence[str]
) -> Tensor:
    """Take the features of packed rows.

    Args:
        tapped: `[N, H]` hidden states by layer.
        packed: the batch they belong to.
        rows: the same rows, which know where their input lies.
        layers, places: what to take, in the order of the map.

    Returns:
        `[B, layers * places * H]`, with gradient if the hidden states have one.
    """
    ends = packed.lengths.cumsum(0)
    starts = ends - packed.lengths
    spans = [
        (start + row.input_start, start + max(row.input_end, row.input_start + 1))
        for start, row in zip(starts.tolist(), rows, strict=True)
    ]
    taken = []
    for layer in layers:
        hidden = tapped[layer]
        for place in places:
            if place == "mean":
                taken.append(torch.stack([hidden[a:b].mean(0) for a, b in spans]))
            elif place == "max":
                taken.append(torch.stack([hidden[a:b].amax(0) for a, b in spans]))
            else:
                taken.append(hidden[ends - 1])
    return torch.cat(taken, dim=1).float()
