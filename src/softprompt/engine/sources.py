"""Finds the folder of a foundation model (stub, grows in a minute)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Located:
    model_id: str
    path: Path


def locate(id_or_path: str | Path) -> Located:
    return Located(str(id_or_path), Path(id_or_path))
