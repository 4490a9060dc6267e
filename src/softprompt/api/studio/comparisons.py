"""Runs side by side over HTTP: settings that differ, what came out, what their data show, and their answers."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.context import unit_of
from softprompt.api.studio.outcomes import AnswersQuery, AnswersShown, MethodShown, show_answers, show_method
from softprompt.api.studio.shapes import Reference, new_router
from softprompt.api.tables import TABLE, table, wants_table
from softprompt.errors import WrongState
from softprompt.studio import comparisons, outcomes, runs
from softprompt.studio.access import Unit
from softprompt.studio.comparisons import MOST, Combination, Counts, Side

router = new_router("comparisons")
Runs = Annotated[
    list[Reference], Field(min_length=1, max_length=MOST, description="Ids or names of runs, each as `run=`.")
]


class ComparisonQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    run: Runs


class DifferencesQuery(AnswersQuery):
    run: Runs


class SideShown(TypedDict):
    """One run: what it went by, and what came out on its test rows."""

    run_id: str
    name: str
    state: str
    dataset_id: str
    test_dataset_id: str | None
    tuned_prompt_id: str | None
    settings: dict[str, str]
    methods: list[MethodShown]


class Setting(TypedDict):
    """`values` has one for each run."""

    name: str
    values: list[str]


class CombinationShown(TypedDict):
    """Rows with a label and these others (`alone`: with none), in each dataset."""

    others: str
    rows: list[int]


class LabelShown(TypedDict):
    label: str
    rows: list[int]
    combinations: list[CombinationShown]


class DatasetNamed(TypedDict):
    id: str
    name: str
    version: int
    rows: int


class CountsShown(TypedDict):
    """What the datasets show of each label; `remark` is the difference in a sentence."""

    datasets: list[DatasetNamed]
    labels: list[LabelShown]
    remark: str


class ComparisonShown(TypedDict):
    """`counts` is null where answers are free text."""

    runs: list[SideShown]
    differing: list[Setting]
    alike: dict[str, str]
    counts: CountsShown | None


@router.get("/api/comparisons", response_model=ComparisonShown)
def compare(request: Request, query: Annotated[ComparisonQuery, Query()]) -> Any:
    """Up to six runs side by side. Their curves: `/api/runs/{run_id}/curve`."""
    with unit_of(request, write=False) as unit:
        sides = _sides(unit, query.run)
        found = comparisons.counts(sides)
        return {
            "runs": [show_side(side) for side in sides],
            "differing": [{"name": n, "values": list(values)} for n, values in comparisons.differing(sides)],
            "alike": dict(comparisons.alike(sides)),
            "counts": show_counts(found) if found else None,
        }


@router.get("/api/comparisons/answers", response_model=AnswersShown, responses=TABLE)
def compare_answers(request: Request, query: Annotated[DifferencesQuery, Query()]) -> Any:
    """What the runs' tuned prompts answered to the test rows that they share, each by its best way."""
    with unit_of(request, write=False) as unit:
        sides = _sides(unit, query.run)
        results = comparisons.joined(unit, sides)
    if results is None:
        raise WrongState("These runs were not measured on the same test rows. Evaluate their prompts on one dataset.")
    if wants_table(request):
        return table(outcomes.as_csv(results), "answers side by side.csv")
    wanted = AnswersQuery(**query.model_dump(exclude={"run"}))
    return show_answers(request, results, wanted)


def show_side(side: Side) -> SideShown:
    return {
        "run_id": side.run.id,
        "name": side.run.name,
        "state": side.run.state,
        "dataset_id": side.run.dataset_id,
        "test_dataset_id": side.run.test_dataset_id,
        "tuned_prompt_id": side.run.tuned_prompt_id,
        "settings": dict(side.settings),
        "methods": [show_method(each) for each in side.methods],
    }


def show_counts(found: Counts) -> CountsShown:
    return {
        "datasets": [
            {"id": each.id, "name": each.name, "version": each.version, "rows": rows}
            for each, rows in zip(found.datasets, found.rows, strict=True)
        ],
        "labels": [
            {
                "label": group.label,
                "rows": list(group.total.counts),
                "combinations": [_combination(part) for part in group.parts],
            }
            for group in found.groups
        ],
        "remark": found.remark,
    }


def _combination(part: Combination) -> CombinationShown:
    return {"others": part.others, "rows": list(part.counts)}


def _sides(unit: Unit, named: list[str]) -> list[Side]:
    return comparisons.sides(unit, [runs.find(unit, each).id for each in named])
