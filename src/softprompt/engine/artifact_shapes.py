"""Shapes that the tensors of a tuned prompt must have, and what is said of those that have another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from softprompt.engine.artifact_card import Base
from softprompt.engine.readout import PLACES, LabelReadout
from softprompt.engine.safe_files import refuse

Due = Mapping[str, tuple[int | None, ...]]


def due_of(base: Base, labels: int) -> Due:
    """The shape each tensor must have; None: any length above 0."""
    return {
        "prefix": (None, base.hidden_size),
        "suffix": (None, base.hidden_size),
        "deep": (base.layers, 2, base.kv_heads, None, base.head_dim),
        "calibration": (labels,),
    }


def misfits(tensors: Mapping[str, Tensor], due: Due, place: str) -> list[str]:
    """What does not have the shape that is due, in words."""
    problems = []
    for name, tensor in tensors.items():
        there, wanted = tuple(tensor.shape), due[name]
        fits = len(there) == len(wanted) and all(
            size == want if want is not None else size > 0 for size, want in zip(there, wanted, strict=True)
        )
        if not fits:
            words = ", ".join("any" if size is None else str(size) for size in wanted)
            problems.append(f"{place}{name} has the shape {list(there)} where [{words}] belongs")
    return problems


def readout_misfits(readout: LabelReadout, base: Base) -> list[str]:
    """What in a readout does not fit together, or not to its model."""
    problems = []
    if not readout.labels or len(set(readout.labels)) != len(readout.labels):
        problems.append(f"the readout has {len(readout.labels)} labels, {len(set(readout.labels))} of them different")
    if not readout.layers or not all(1 <= layer <= base.layers for layer in readout.layers):
        problems.append(f"the readout reads the layers {list(readout.layers)[:9]} of a model with {base.layers}")
    if not readout.places or not set(readout.places) <= set(PLACES):
        problems.append(f"the readout reads at {list(readout.places)[:9]}; known: {', '.join(PLACES)}")
    counted = 0 if readout.tokens is None else readout.tokens.numel()
    wide = len(readout.layers) * len(readout.places) * base.hidden_size + counted
    count = len(readout.labels)
    due = {
        "tokens": (None,),
        "idf": (counted,),
        "center": (wide,),
        "scale": (wide,),
        "weight": (count, wide),
        "bias": (count,),
    }
    whole = {**due, **{f"prompt.{name}": shape for name, shape in due_of(base, 0).items()}}
    return problems + misfits(readout.tensors(), whole, "readout ")


def token_ids(numbers: Tensor, where: Path) -> Tensor:
    """Ids, which the file has as numbers like all others: whole, and in rising order."""
    ids = numbers.long()
    if ids.dim() != 1 or not torch.equal(ids.float(), numbers) or bool((ids < 0).any() or (ids.diff() <= 0).any()):
        refuse(where, "has tokens that are no ids in rising order", "Export the tuned prompt again.")
    return ids
