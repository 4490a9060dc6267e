"""A finished run, and whether a folder holds the result of one: who starts the same again has nothing left to do."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt import __version__
from softprompt.engine.artifact import TunedPrompt, is_tuned_prompt
from softprompt.errors import ArtifactError
from softprompt.params import TuneConfig
from softprompt.workbench.tune_records import data_record
from softprompt.workbench.tune_rows import TuneRows

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Run:
    """A finished tuning run.

    Attributes:
        tuned: the prompt, also in `out` if a folder was given.
        updates: optimizer updates of the text path.
        epochs: one record per epoch.
        seconds: of everything, loading the model apart.
        tokens: prompt and target tokens read while training.
        notes: choices that were made, in words.
    """

    tuned: TunedPrompt
    out: Path | None
    updates: int
    epochs: tuple[dict[str, Any], ...]
    seconds: float
    tokens: int
    notes: tuple[str, ...]


def finished(folder: Path, config: TuneConfig, rows: TuneRows, backbone: Backbone) -> Run | None:
    """The run that made what lies in `folder`, if it had these settings, rows, model and version; else None.

    One that started from another tuned prompt is never known again: its card does not say what was in that.
    """
    if config.init == "prompt" or not is_tuned_prompt(folder):
        return None
    try:
        tuned = TunedPrompt.load(folder, backbone=backbone)
    except ArtifactError:
        return None
    recipe = tuned.recipe
    then = (recipe.get("config"), tuned.data, tuned.versions.get("softprompt"))
    if then != (json.loads(json.dumps(asdict(config))), data_record(rows), __version__) or "updates" not in recipe:
        return None
    epochs = tuple(tuned.metrics.get("epochs", ()))
    return Run(tuned, folder, recipe["updates"], epochs, seconds=0.0, tokens=0, notes=tuple(recipe.get("notes", ())))
