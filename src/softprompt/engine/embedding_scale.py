"""The scale of a model's embeddings: the unit in which learning rates are given.

Imports no torch and opens no model: a few thousand rows of one table in its files are enough to show the number on a
page. A run takes the exact one (`Backbone.embedding_rms`).
"""

from __future__ import annotations

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

ROWS = 4096
"""Rows of the table that are read, evenly over all of it."""
_NAMES = ("embed_tokens.weight", "shared.weight", "wte.weight")
_TYPES: dict[str, Any] = {"F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "BF16": np.dtype("<u2")}
_LONGEST_HEADER = 100_000_000
_SCALED = ("gemma", "gemma3_text")
"""Architectures that multiply their embeddings by the root of the hidden size."""


def root_mean_square(table: Tensor) -> float:
    """Of all numbers of `[V, H]`, by its rows: no second table is made, and float32 is exact enough for a row."""
    rows = table.float().norm(dim=1).double()
    return float(rows.square().mean().div(table.shape[1]).sqrt())


def embedding_rms(folder: Path) -> float | None:
    """Root mean square of the input embeddings, to about a percent; None if the files do not tell it."""
    try:
        return _embedding_rms(folder, (folder / "config.json").stat().st_mtime_ns)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@lru_cache(maxsize=64)
def _embedding_rms(folder: Path, _changed: int) -> float:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    path, start, entry = _table(folder)
    count, width = entry["shape"]
    first, _ = entry["data_offsets"]
    kind = _TYPES[entry["dtype"]]
    table: Any = np.memmap(path, kind, "r", offset=start + first, shape=(count, width))
    rows = np.asarray(table[:: max(1, count // ROWS)])
    numbers = (rows.astype("<u4") << 16).view("<f4") if entry["dtype"] == "BF16" else rows
    found = math.sqrt(float(np.square(numbers, dtype=np.float64).mean()))
    return found * math.sqrt(width) if config.get("model_type") in _SCALED else found


def _table(folder: Path) -> tuple[Path, int, dict[str, Any]]:
    """File, begin of its data and entry of the embedding table."""
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _LONGEST_HEADER:
                raise ValueError(f"{path} is no safetensors file")
            header = json.loads(file.read(length))
        for name, entry in header.items():
            if name.endswith(_NAMES) and len(entry["shape"]) == 2:
                return path, 8 + length, entry
    raise KeyError(f"no embedding table in {folder}")
