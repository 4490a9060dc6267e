"""A dataset parted into training, validation and test rows: by output in equal shares, the same for the same seed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from softprompt.data.records import Example
from softprompt.data.split import split
from softprompt.errors import ParameterInvalid
from softprompt.params import Task
from softprompt.studio.datasets_index import RowIndex


@dataclass(frozen=True, slots=True, kw_only=True)
class Shares:
    """Percent of the rows that are held out, and the seed that chooses them."""

    validation: int = 10
    test: int = 20
    seed: int = 73

    def check(self) -> None:
        told = []
        for name in ("validation", "test"):
            if not 0 <= getattr(self, name) <= 90:
                told.append(f"{name}: {getattr(self, name)} is not between 0 and 90")
        if not told and not 0 < self.validation + self.test <= 90:
            told.append(
                f"validation and test: {self.validation} and {self.test} percent leave "
                f"{100 - self.validation - self.test} for training; hold out between 1 and 90 in all"
            )
        if not 0 <= self.seed < 2**32:
            told.append(f"seed: {self.seed} is not between 0 and {2**32 - 1}")
        if told:
            raise ParameterInvalid(f"{'; '.join(told)}.")


def parts(index: RowIndex, report: Mapping[str, Any], shares: Shares) -> dict[str, list[Example]]:
    """Rows of each part that is not empty, in the order of the file. Copies of a row stay in one part."""
    shares.check()
    task: Task = report.get("task", "auto")
    rest = [Example(row.input, row.output, row.line) for row in index.rows()]
    made: dict[str, list[Example]] = {}
    if shares.test:
        rest, made["test"] = split(rest, shares.test / 100, shares.seed, task=task)
    if shares.validation:
        share = shares.validation / (100 - shares.test)
        rest, made["validation"] = split(rest, share, shares.seed, task=task)
    return {name: rows for name, rows in {"train": rest, **made}.items() if rows}
