"""The recipe of a run in other words: as a command, as a Python program, as a JSON document. Runs nothing."""

from __future__ import annotations

import dataclasses
import json
import shlex
from typing import Any

from softprompt.params import TuneConfig
from softprompt.storage.tables import Dataset, TunedPrompt, TuningRun

_FIELDS = {item.name: item for item in dataclasses.fields(TuneConfig)}
_CHOSEN = ("epochs", "batch_size", "accumulate", "learning_rate")
"""Of what the run chose, the numbers that a person would want to see fixed."""


def chosen(run: TuningRun, card: dict[str, Any] | None) -> dict[str, Any]:
    """The numbers the run went by: what the person set, and what was taken where it was left open."""
    recipe = (card or run.results.get("card") or {}).get("recipe") or {}
    decided = recipe.get("chosen") or {}
    return {**{name: decided[name] for name in _CHOSEN if decided.get(name) is not None}, **run.config}


def settings(run: TuningRun, card: dict[str, Any] | None) -> dict[str, Any]:
    """The fields of `TuneConfig` that differ from their defaults, in the order of the class."""
    found = chosen(run, card)
    return {
        name: found[name]
        for name, item in _FIELDS.items()
        if found.get(name) is not None and found[name] != item.default
    }


def command(run: TuningRun, files: dict[str, str], card: dict[str, Any] | None) -> str:
    """For the command line.

    Args:
        files: names of the files "train" and, if there is one, "validation".
    """
    parts = [f"softprompt tune {shlex.quote(files['train'])}", f"--model {shlex.quote(run.model_id)}", "--out tuned"]
    held = files.get("validation") or run.validation.get("share")
    if held:
        parts.append(f"--validation {shlex.quote(str(held))}")
    parts += [_option(name, value) for name, value in settings(run, card).items()]
    return " \\\n    ".join(parts)


def program(run: TuningRun, files: dict[str, str], card: dict[str, Any] | None) -> str:
    """For Python."""
    held = files.get("validation") or run.validation.get("share")
    config = "".join(f"\n        {name}={value!r}," for name, value in settings(run, card).items())
    lines = [
        "from softprompt import tune",
        "from softprompt.params import TuneConfig",
        "",
        "run = tune(",
        f"    {files['train']!r},",
        f"    model={run.model_id!r},",
        '    out="tuned",',
        f"    config=TuneConfig({config}\n    )," if config else "    config=TuneConfig(),",
        *([f"    validation={held!r},"] if held else []),
        ")",
        "print(run.updates, run.seconds)",
    ]
    return "\n".join(lines)


def document(run: TuningRun, prompt: TunedPrompt | None, data: dict[str, Dataset | None]) -> str:
    """Everything that decides where a run ends, and where it ended."""
    card = prompt.card if prompt else run.results.get("card")
    shown = {
        "name": run.name,
        "model": run.model_id,
        "data": {name: _file(dataset) for name, dataset in data.items() if dataset is not None},
        "validation": run.validation,
        "set": run.config,
        "taken": (card or {}).get("recipe"),
        "epochs": run.results.get("epochs", []),
        "updates": run.results.get("updates"),
        "seconds": run.results.get("seconds"),
        "notes": run.results.get("notes", []),
        "test": run.results.get("test"),
    }
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _file(dataset: Dataset) -> dict[str, Any]:
    return {"name": dataset.name, "version": dataset.version, "rows": dataset.rows, "sha256": dataset.sha256}


def _option(name: str, value: Any) -> str:
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {shlex.quote(str(value))}"
