"""What a finished run writes down about itself in the card of its tuned prompt: recipe, data, metrics.

JSON values alone; a number that is none (NaN) is written as null.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.data.records import Example
from softprompt.engine import readout_fit
from softprompt.engine.defaults import Recipe
from softprompt.params import TuneConfig
from softprompt.workbench.tune_rows import TuneRows, content_hash

if TYPE_CHECKING:
    from softprompt.engine.readout_fit import Fitted


def recipe_record(config: TuneConfig, recipe: Recipe | None, notes: Sequence[str], updates: int) -> dict[str, Any]:
    """What the person chose, what was chosen for them, what was said about it, and how many updates there were."""
    chosen = {"chosen": asdict(recipe.schedule)} if recipe else {}
    given = asdict(config)
    given["init_prompt"] = Path(config.init_prompt).name  # a folder of this machine says nothing elsewhere
    return {"config": given, **chosen, "notes": list(notes), "updates": updates}


def data_record(rows: TuneRows) -> dict[str, Any]:
    """Which rows these were."""
    held = {"validation_sha256": content_hash(rows.held)} if rows.held else {}
    return {
        "sha256": content_hash(rows.train),
        "rows": len(rows.train),
        "validation_rows": len(rows.held),
        **held,
    }


def metrics_record(history: Sequence[dict[str, Any]], fitted: Fitted | None) -> dict[str, Any]:
    """What was measured while tuning."""
    record: dict[str, Any] = {"epochs": list(history)}
    if fitted:
        record["readout"] = {
            "cross_validation": asdict(fitted.chosen), "folds": readout_fit.FOLDS, "rows": fitted.rows
        }  # fmt: skip
    return {name: finite(value) for name, value in record.items()}


def too_many(known: Sequence[Example], fitted: Fitted) -> str:
    """That a readout was not chosen on all rows, or not fitted on all; empty if it was."""
    words = "" if fitted.judged == len(known) else f", on a sample of {fitted.judged:,}"
    return words if fitted.rows == len(known) else f"{words}; fitted on {fitted.rows:,} of {len(known):,} rows"


def best_metric(history: Sequence[dict[str, Any]]) -> float | None:
    """The best result on validation rows; None if none was measured."""
    return max((record["metric"] for record in history if isinstance(record["metric"], float)), default=None)


def finite(value: Any) -> Any:
    """The value, with None in place of every number that JSON has no word for."""
    if isinstance(value, dict):
        return {name: finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
