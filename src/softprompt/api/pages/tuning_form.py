"""The form of a tuning run: from text fields to a plan, from an earlier run back to text fields."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from softprompt.params import TuneConfig
from softprompt.storage.tables import Dataset, TuningRun
from softprompt.studio.runs import Plan

CONFIG = {item.name: item for item in fields(TuneConfig)}
NAMES = tuple(CONFIG)
OTHERS = ("experiment", "description", "model", "dataset", "validation", "share", "test", "again")
"""Fields beside those of `TuneConfig`."""
SHARE = "share"
"""The choice of `validation` that holds rows out."""
_HELD_OUT = re.compile(r"\b(test|tests|testing|held.?out|hold.?out|validation|evaluation|eval|dev)\b", re.IGNORECASE)
"""In the name of a dataset: its rows are there to measure on."""


@dataclass(frozen=True, slots=True)
class Read:
    """A form as it was understood; problems begin with the name of their field."""

    plan: Plan
    problems: tuple[str, ...]


def to_train_on(ready: Sequence[Dataset]) -> Dataset:
    """The first that is not named as one to measure on; the first of all if they are all named so."""
    return next((each for each in ready if not _held_out(each)), ready[0])


def to_test_on(ready: Sequence[Dataset], train: Dataset) -> str:
    """Id of the first one that is named as a test of it: "Complaints test" for "Complaints v1". Empty: none is."""
    return next((each.id for each in ready if _held_out(each) and each.id != train.id and _akin(each, train)), "")


def _held_out(dataset: Dataset) -> bool:
    return _HELD_OUT.search(dataset.name.replace("_", " ")) is not None


def _akin(one: Dataset, other: Dataset) -> bool:
    first = [re.split(r"[\W_]+", each.name.casefold())[0] for each in (one, other)]
    return one.project_id == other.project_id and one.task == other.task and first[0] == first[1]


def read(given: Mapping[str, str]) -> Read:
    """What the fields say. Ranges are not checked here: `TuneConfig` does."""
    problems: list[str] = []
    config: dict[str, Any] = {}
    for name in NAMES:
        text = given.get(name, "")
        try:
            value = _value(name, text) if text else None
        except ValueError:
            problems.append(f"{name}: {text[:40]!r} is no number.")
            continue
        if value is not None and value != CONFIG[name].default:
            config[name] = value
    validation: dict[str, Any] = {}
    try:
        validation = _validation(given)
    except ValueError:
        problems.append(f"validation: {given.get('share', '')[:40]!r} is no share of the rows; 20 means one in five.")
    plan = Plan(
        experiment=given.get("experiment", ""),
        model_id=given.get("model", ""),
        dataset_id=given.get("dataset", ""),
        config=config,
        validation=validation,
        test_dataset_id=given.get("test") or None,
    )
    return Read(plan, tuple(problems))


def as_before(run: TuningRun, experiment: str) -> dict[str, str]:
    """The form as it was for an earlier run."""
    share = run.validation.get("share")
    given = {name: _text(value) for name, value in run.config.items() if name in NAMES and value is not None}
    held = str(run.validation.get("dataset_id") or "")
    return {
        **given,
        "experiment": experiment,
        "model": run.model_id,
        "dataset": run.dataset_id,
        "test": run.test_dataset_id or "",
        "validation": held or (SHARE if share else ""),
        "share": f"{100 * share:g}" if share else "",
    }


def differences(given: Mapping[str, str], before: Mapping[str, str]) -> dict[str, str]:
    """Fields that say something else than they did, with what they said ("" if it was left open)."""
    names = ("model", "dataset", "validation", "share", "test", *NAMES)
    return {
        name: before.get(name, "")
        for name in names
        if _plain(name, given.get(name, "")) != _plain(name, before.get(name, ""))
        and not (name == "share" and given.get("validation") != SHARE)
    }


def _value(name: str, text: str) -> Any:
    kind = str(CONFIG[name].type).removesuffix(" | None")
    if kind == "bool":
        return text != "no"
    number = text.replace(",", ".").replace(" ", "")
    if kind == "float":
        return float(number)
    return int(number) if kind == "int" else text.replace("\r\n", "\n")


def _validation(given: Mapping[str, str]) -> dict[str, Any]:
    """A share in percent, a share as it is (0.2), or another dataset."""
    wanted = given.get("validation", "")
    if wanted == SHARE:
        share = float(given.get("share", "20").replace(",", ".").removesuffix("%").strip()) / 100
        return {"share": share}
    if wanted.replace(".", "", 1).isdecimal():
        return {"share": float(wanted)}
    return {"dataset_id": wanted} if wanted else {}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(name: str, text: str) -> str:
    """So that 0.030 and 0.03 are the same, and so are what is taken anyway and nothing."""
    if name not in CONFIG or not text:
        return text.strip()
    try:
        value = _value(name, text)
    except ValueError:
        return text
    return "" if value == CONFIG[name].default else _text(value)
