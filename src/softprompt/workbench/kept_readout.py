"""A finished label readout beside the checkpoint of its run: another attempt need not fit and train it again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from softprompt.data.template import Template
from softprompt.engine import checkpoint
from softprompt.engine.readout import LabelReadout
from softprompt.engine.readout_fit import Fitted, Trial
from softprompt.engine.soft_prompt import SoftPrompt

_PROMPT = "prompt."


@dataclass(frozen=True, slots=True)
class KeptReadout:
    """What became of the readout (None: it was left out), and what was said about it."""

    fitted: Fitted | None
    notes: tuple[str, ...]


def save(path: Path, key: str, kept: KeptReadout) -> None:
    """Write it.

    Args:
        key: digest of everything that decides it.
    """
    fitted = kept.fitted
    facts = {
        "notes": kept.notes,
        "labels": fitted and fitted.readout.labels,
        "chosen": fitted and asdict(fitted.chosen),
        "judged": fitted and fitted.judged,
        "rows": fitted and fitted.rows,
    }
    metadata = {"progress": json.dumps({"key": key, "update": 1}), "facts": json.dumps(facts)}
    checkpoint.write(path, fitted.readout.tensors() if fitted else {}, metadata)


def load(path: Path, key: str, template: Template, device: torch.device) -> KeptReadout | None:
    """What `save` wrote; None if there is nothing, or nothing that belongs to this run."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if json.loads(metadata["progress"])["key"] != key:
                return None
            facts = json.loads(metadata["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        fitted = None if facts["chosen"] is None else _fitted(facts, tensors, template, device)
    except (SafetensorError, KeyError, TypeError, ValueError, OSError):
        return None
    return KeptReadout(fitted, tuple(facts["notes"]))


def _fitted(
    facts: dict[str, Any], tensors: dict[str, torch.Tensor], template: Template, device: torch.device
) -> Fitted:
    chosen = {**facts["chosen"], "layers": tuple(facts["chosen"]["layers"]), "places": tuple(facts["chosen"]["places"])}
    trial = Trial(**chosen)
    vectors = {name.removeprefix(_PROMPT): t.to(device) for name, t in tensors.items() if name.startswith(_PROMPT)}
    own = {name: tensor for name, tensor in tensors.items() if not name.startswith(_PROMPT)}
    readout = LabelReadout(
        labels=tuple(facts["labels"]),
        layers=trial.layers,
        places=trial.places,
        template=template,
        prompt=SoftPrompt(**vectors),
        **own,
    )
    return Fitted(readout, trial, (trial,), int(facts["judged"]), int(facts["rows"]))
