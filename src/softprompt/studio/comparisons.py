"""Runs side by side: the settings that differ, what came out, and the two datasets' rows per combination of labels,
tabulated as one reads them: of each label the rows with it alone, with each other label, and with anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from softprompt.data.labels import labels_of
from softprompt.errors import ParameterInvalid
from softprompt.storage.tables import Dataset, TunedPrompt, TuningRun
from softprompt.studio import outcomes, recipes, runs
from softprompt.studio.access import Unit
from softprompt.studio.outcomes import Figures, figures

MOST = 6
"""Runs that a picture can hold apart."""


@dataclass(frozen=True, slots=True)
class Side:
    """One run of a comparison.

    Attributes:
        settings: what it went by, as texts.
        best: its best method on its test rows.
    """

    run: TuningRun
    dataset: Dataset | None
    test: Dataset | None
    prompt: TunedPrompt | None
    settings: Mapping[str, str]
    methods: tuple[Figures, ...]

    @property
    def best(self) -> Figures | None:
        return max(self.methods, key=lambda each: each.share, default=None)


@dataclass(frozen=True, slots=True)
class Combination:
    """Rows with one set of labels, in each dataset."""

    label: str
    others: str
    counts: tuple[int, ...]

    @property
    def spread(self) -> int:
        return max(self.counts) - min(self.counts)


@dataclass(frozen=True, slots=True)
class Group:
    """What the datasets show of one label: `total` rows, of them the combinations."""

    label: str
    total: Combination
    parts: tuple[Combination, ...]


@dataclass(frozen=True, slots=True)
class Counts:
    """The datasets' label combinations.

    Attributes:
        datasets: each once, in the order of the runs.
        groups: labels, those first whose rows differ most.
        remark: the difference in a sentence.
    """

    datasets: tuple[Dataset, ...]
    rows: tuple[int, ...]
    groups: tuple[Group, ...]
    remark: str


def sides(unit: Unit, run_ids: Sequence[str]) -> list[Side]:
    """The runs in the order they were asked for, each once."""
    wanted = list(dict.fromkeys(key for key in run_ids if key))
    if len(wanted) > MOST:
        raise ParameterInvalid(f"runs: {len(wanted)} runs were chosen; at most {MOST} stand side by side.")
    return [_side(unit, runs.get(unit, key)) for key in wanted]


def differing(found: Sequence[Side]) -> list[tuple[str, tuple[str, ...]]]:
    """Names of settings with a value for each run, where not all are alike."""
    names = list(dict.fromkeys(name for side in found for name in side.settings))
    lines = [(name, tuple(side.settings.get(name, "") for side in found)) for name in names]
    return [(name, values) for name, values in lines if len(set(values)) > 1]


def alike(found: Sequence[Side]) -> list[tuple[str, str]]:
    """Settings that all runs share."""
    unlike = {name for name, _ in differing(found)}
    return [(name, value) for name, value in found[0].settings.items() if name not in unlike] if found else []


def counts(found: Sequence[Side]) -> Counts | None:
    """Rows per combination of the datasets behind the runs; None where their answers are free text."""
    datasets = tuple({side.dataset.id: side.dataset for side in found if side.dataset is not None}.values())
    tables = [dict((each.report or {}).get("combinations") or {}) for each in datasets]
    if not datasets or not any(tables):
        return None
    task = "multilabel" if any(each.task == "multilabel" for each in datasets) else "classification"
    sets = [_as_sets(table, task) for table in tables]
    labels = sorted({label for table in sets for labels in table for label in labels})
    groups = sorted((_group(label, sets) for label in labels), key=lambda g: (-_unlike(g), g.label))
    rows = tuple(each.rows or 0 for each in datasets)
    return Counts(datasets, rows, tuple(groups), _remark(datasets, sets, rows) if task == "multilabel" else "")


def joined(unit: Unit, found: Sequence[Side]) -> Mapping[str, Any] | None:
    """What the runs answered to the same test rows, each by its best way, as results of one evaluation.

    None where one was not tested, or they were tested on other rows.
    """
    methods, right = [], None
    for side in found:
        if side.best is None or side.best.evaluation_id is None:
            return None
        results = outcomes.answers_of(unit, side.best.evaluation_id)
        if right is not None and results["right"] != right:
            return None
        right = results["right"]
        said = results["methods"][side.best.number]["answers"]
        inputs = results["methods"][0]["answers"]
        answers = [{**answer, "input": first["input"]} for answer, first in zip(said, inputs, strict=True)]
        methods.append({"name": side.run.name, "answers": answers})
    return {"methods": methods, "right": right}


def _side(unit: Unit, run: TuningRun) -> Side:
    prompt = unit.rows.get(TunedPrompt, run.tuned_prompt_id) if run.tuned_prompt_id else None
    dataset = unit.rows.get(Dataset, run.dataset_id, deleted=True)
    test = unit.rows.get(Dataset, run.test_dataset_id, deleted=True) if run.test_dataset_id else None
    test_results = run.results.get("test") or {}
    return Side(
        run=run,
        dataset=dataset,
        test=test,
        prompt=prompt,
        settings=_settings(unit, run, prompt, dataset),
        methods=figures(test_results, test_results.get("evaluation_id")),
    )


def _settings(unit: Unit, run: TuningRun, prompt: TunedPrompt | None, dataset: Dataset | None) -> dict[str, str]:
    held_id = run.validation.get("dataset_id")
    held = unit.rows.get(Dataset, held_id, deleted=True) if held_id else None
    share = run.validation.get("share")
    validation = _called(held) if held else f"{float(share):.0%} of the training rows" if share else "none"
    fixed = {
        "foundation model": run.model_id,
        "training data": _called(dataset),
        "training rows": f"{dataset.rows:,}" if dataset and dataset.rows else "",
        "validation": validation,
        "answers by": prompt.answers_by if prompt else "",
        "virtual tokens": str(prompt.virtual_tokens) if prompt else str(run.config.get("virtual_tokens", "")),
        "updates": str(run.results.get("updates") or run.progress.get("updates") or ""),
    }
    chosen = recipes.chosen(run, prompt.card if prompt else None)
    rest = {_words(name): _shown(value) for name, value in chosen.items() if _words(name) not in fixed}
    return {**fixed, **dict(sorted(rest.items()))}


def _called(dataset: Dataset | None) -> str:
    return f"{dataset.name}, version {dataset.version}" if dataset else "deleted"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _as_sets(table: Mapping[str, int], task: str) -> dict[tuple[str, ...], int]:
    """Counts by the set of labels; the order in which they were written does not matter."""
    found: dict[tuple[str, ...], int] = {}
    for output, rows in table.items():
        key = tuple(sorted(labels_of(output, task)))  # type: ignore[arg-type]
        found[key] = found.get(key, 0) + rows
    return found


def _group(label: str, sets: Sequence[Mapping[tuple[str, ...], int]]) -> Group:
    mine = sorted({key for table in sets for key in table if label in key}, key=lambda key: (len(key), key))
    parts = [
        Combination(
            label,
            ", ".join(other for other in key if other != label) or "alone",
            tuple(table.get(key, 0) for table in sets),
        )
        for key in mine
    ]
    total = tuple(sum(rows for key, rows in table.items() if label in key) for table in sets)
    return Group(label, Combination(label, "all", total), tuple(parts))


def _unlike(group: Group) -> int:
    return sum(part.spread for part in group.parts)


def _remark(datasets: Sequence[Dataset], sets: Sequence[Mapping[tuple[str, ...], int]], rows: Sequence[int]) -> str:
    """Which dataset shows how labels stand together, and which hardly does."""
    if len(datasets) < 2:
        return ""
    shares = [
        sum(count for key, count in table.items() if len(key) > 1) / max(1, total)
        for table, total in zip(sets, rows, strict=True)
    ]
    kinds = [sum(len(key) > 1 for key in table) for table in sets]
    most, least = (shares.index(pick(shares)) for pick in (max, min))
    if shares[most] - shares[least] < 0.05:
        return ""
    a, b = _called(datasets[most]), _called(datasets[least])
    return (
        f"{shares[most]:.0%} of the rows of “{a}” carry more than one label, in {kinds[most]} combinations; of those "
        f"of “{b}”, {shares[least]:.0%}, in {kinds[least]}. A prompt learns to say combinations only from rows that do."
    )
