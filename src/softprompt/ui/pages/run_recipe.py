"""The recipe of a run, and its files to take along."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import htpy as h

from softprompt.storage.tables import Dataset, TunedPrompt, TuningRun
from softprompt.studio.curves import Curve
from softprompt.ui.components import code, size


def files_card(run: TuningRun, prompt: TunedPrompt | None, curve: Curve) -> h.Element:
    """What can be carried away."""
    here = f"/tuning/runs/{run.id}"
    items: list[tuple[str, str, str]] = []
    if prompt is not None:
        big = f", {size(prompt.size)}" if prompt.size else ""
        items.append(
            (f"/api/prompts/{prompt.id}/file", "Tuned prompt", f"ZIP{big}: opens in our library, can be imported again")
        )
        if (prompt.card.get("peft") or {}).get("covers"):
            items.append((f"{here}/peft.zip", "PEFT adapter", "ZIP: opens with PeftModel.from_pretrained"))
    items.append((f"{here}/recipe.json", "Recipe", "JSON: every setting, data digests, figures"))
    if curve.update:
        items.append((f"{here}/curve.csv", "Curve", "CSV: loss, learning rate and speed of each update"))
    if (run.results.get("test") or {}).get("evaluation_id"):
        items.append((f"{here}/answers.csv", "Answers", "CSV: every test row with what was said"))
    return h.section(".card.stack.tight", data_part="files")[
        h.h2["Files"],
        h.ul(".list-plain.downloads")[
            [h.li[h.a(href=where, download=True)[name], h.span(".small.muted")[words]] for where, name, words in items]
        ],
    ]


def recipe_card(
    chosen: Mapping[str, Any],
    run: TuningRun,
    data: Sequence[tuple[str, Dataset | None]],
    command: str,
    program: str,
) -> h.Element:
    """Settings, and the same run from a terminal or a program."""
    pairs: list[h.Node] = [h.dt["Foundation model"], h.dd[run.model_id]]
    for role, dataset in data:
        link: h.Node = (
            h.a(href=f"/data/{dataset.id}")[f"{dataset.name}, version {dataset.version}"] if dataset else "deleted"
        )
        pairs += [h.dt[role], h.dd[link]]
    if run.validation.get("share"):
        pairs += [h.dt["Validation"], h.dd[f"{float(run.validation['share']):.0%} of the training rows"]]
    for name, value in chosen.items():
        mine = name in run.config
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        pairs += [
            h.dt[name.replace("_", " ").capitalize()],
            h.dd[shown, None if mine else h.span(".faint.small")["  taken by default"]],
        ]
    return h.section(".card.stack.tight", data_part="recipe")[
        h.h2["Recipe"],
        h.dl(".pairs")[pairs],
        h.details[h.summary["As a command"], code(command)] if command else None,
        h.details[h.summary["As Python"], code(program)] if program else None,
    ]
