"""Which foundation model is this? A digest of its embedding table: the one tensor every soft prompt is bound to.

The same weights give the same fingerprint in every folder and on every device. It does not look at the other layers,
so two fine-tunes of one model that left the embeddings alone look the same.
"""

from __future__ import annotations

import hashlib
from typing import Any
from weakref import WeakKeyDictionary

import torch

_known: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def fingerprint(model: Any) -> str:
    """SHA-256 of the input embedding table's shape and its numbers in bfloat16; computed once per model object.

    Rounded, so that a model loaded in float32 and the same model served in bfloat16 are one.
    """
    if (known := _known.get(model)) is not None:
        return known
    return _known.setdefault(model, digest(model.get_input_embeddings().weight))


def digest(table: torch.Tensor) -> str:
    """The same of an embedding table `[V, H]`."""
    rounded: Any = table.detach().to("cpu", torch.bfloat16).contiguous()
    found = hashlib.sha256(repr(tuple(rounded.shape)).encode())
    found.update(memoryview(rounded.view(torch.int16).numpy()).cast("B"))
    return found.hexdigest()
