"""The state of a tuning run on disk: one safetensors file, written whole or not at all, read without unpickling.

A run that goes on from a checkpoint ends in the same bits as one that was never disturbed: order and noise follow from
seed and counters, so that the tensors here and two numbers are the whole state.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from softprompt.errors import CheckpointInvalid


@dataclass(slots=True)
class Progress:
    """How far a run has come.

    Attributes:
        key: digest of everything that decides the outcome; a checkpoint of another key is not continued.
        update: updates done.
        epoch: epochs done.
        epoch_loss, epoch_tokens: sum of the running epoch.
        history: one record per finished epoch.
        best: best validation value so far (larger is better), None before the first.
        worse: epochs since the best one.
        seconds: time spent so far.
    """

    key: str
    update: int = 0
    epoch: int = 0
    epoch_loss: float = 0.0
    epoch_tokens: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best: float | None = None
    worse: int = 0
    seconds: float = 0.0


def save(path: Path, progress: Progress, tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> None:
    """Write everything to `path`; at any instant either the old or the new file is there."""
    write(path, tensors | optimizer_tensors(optimizer), {"progress": json.dumps(asdict(progress))})


def write(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file, whole or not at all."""
    stored = {name: t.detach().contiguous() for name, t in tensors.items()}
    fresh = path.with_name(path.name + f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(stored, fresh, metadata=metadata)
        with fresh.open("rb") as handle:
            os.fsync(handle.fileno())
        os.replace(fresh, path)
    except (OSError, SafetensorError) as error:  # a full disk comes as either
        with suppress(OSError):
            fresh.unlink()
        raise CheckpointInvalid(
            f"The checkpoint {path} could not be written: {getattr(error, 'strerror', None) or error}. Free some space "
            "and start again with --resume; the checkpoint before it is intact."
        ) from error


def load(path: Path, key: str) -> tuple[Progress, dict[str, Tensor]] | None:
    """What `save` wrote, or None if there is nothing."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads((file.metadata() or {})["progress"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
        raise CheckpointInvalid(
            f"The checkpoint {path} cannot be read ({error}). Delete it to start from the beginning."
        ) from error
    if progress.key != key:
        raise CheckpointInvalid(
            f"The checkpoint {path} belongs to a run with other data, model or parameters. Use the same ones, another "
            "output folder, or leave out --resume to start anew."
        )
    return progress, tensors


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's memory under flat names."""
    state = optimizer.state_dict()["state"]
    return {f"optimizer.{i}.{name}": torch.as_tensor(v) for i, part in state.items() for name, v in part.items()}


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what `optimizer_tensors` took out."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, number, entry = name.split(".", 2)
            state.setdefault(int(number), {})[entry] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
