"""What is found out about the rows of a dataset over HTTP: their lengths in tokens, rows of a test set, differences."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.context import unit_of
from softprompt.api.studio.dataset_changes import stored_rows
from softprompt.api.studio.datasets import RowShown
from softprompt.api.studio.shapes import Reference, new_router
from softprompt.errors import NotFound
from softprompt.studio import datasets_leaks, datasets_lengths, foundation_models
from softprompt.studio.datasets_diff import diff, labels_between
from softprompt.studio.datasets_index import Row

router = new_router("datasets")


class LengthsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    model: Annotated[
        Reference | None, Field(description="Id of a foundation model whose tokenizer is here; without one, words.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=32_768, description="Longer rows are counted as `over`.")] = 256


class LeaksQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    test: Annotated[Reference, Field(description="Id of the dataset that holds the test rows.")]
    limit: Annotated[int, Field(ge=0, le=1000, description="Pairs that are shown.")] = 50


class DiffQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    older: Annotated[Reference, Field(description="Id of the dataset to compare with, such as an earlier version.")]
    limit: Annotated[int, Field(ge=0, le=500, description="Rows of each kind that are shown.")] = 25


class Bar(TypedDict):
    """Rows whose length is between the two, both included."""

    first: int
    last: int
    rows: int


class LengthsShown(TypedDict):
    """`unit` is tokens or words. `p50`, `p95` are lengths that so many percent of the rows do not exceed."""

    unit: str
    model_id: str | None
    longest: int
    p50: int
    p95: int
    limit: int
    over: int
    bars: list[Bar]


class LeakShown(TypedDict):
    """`overlap` is the share of common words."""

    kind: str
    overlap: float
    row: RowShown
    test_row: RowShown


class LeaksShown(TypedDict):
    """The first ones of `count`."""

    count: int
    items: list[LeakShown]


class Changed(TypedDict):
    before: RowShown
    after: RowShown


class LabelCount(TypedDict):
    label: str
    before: int
    after: int


class DiffShown(TypedDict):
    """Row numbers are those of the version that a row is in; `changed` have the same input and another output."""

    same: int
    removed_count: int
    added_count: int
    changed_count: int
    removed: list[RowShown]
    added: list[RowShown]
    changed: list[Changed]
    labels: list[LabelCount]


def show_row(row: Row) -> RowShown:
    return {"number": row.number, "input": row.input, "output": row.output}


@router.get("/api/datasets/{dataset_id}/lengths", response_model=LengthsShown)
def dataset_lengths(request: Request, dataset_id: str, query: Annotated[LengthsQuery, Query()]) -> Any:
    """How long the rows are as a model reads them. Counted once, which takes long for many rows; then remembered."""
    found, index = stored_rows(request, dataset_id)
    model = None
    if query.model is None:
        lengths = datasets_lengths.in_words(index)
    else:
        with unit_of(request, write=False) as unit:
            model = foundation_models.find(unit.rows, query.model)
            if model.id not in {each.id for each in datasets_lengths.models(unit.rows)}:
                raise NotFound(
                    f"The tokenizer of {model.label!r} is not on this server. Fetch the model, or leave `model` out."
                )
        lengths = datasets_lengths.count(index, model, found.report or {})
    return {
        "unit": lengths.unit,
        "model_id": model and model.id,
        "longest": lengths.longest,
        "p50": lengths.share_below(0.5),
        "p95": lengths.share_below(0.95),
        "limit": query.limit,
        "over": lengths.over(query.limit),
        "bars": [{"first": first, "last": last, "rows": rows} for first, last, rows in lengths.bins()],
    }


@router.get("/api/datasets/{dataset_id}/leaks", response_model=LeaksShown)
def dataset_leaks(request: Request, dataset_id: str, query: Annotated[LeaksQuery, Query()]) -> Any:
    """Rows that stand in a test set too, or nearly do. Looked for once, which takes long for many; then remembered."""
    found, index = stored_rows(request, dataset_id)
    held, test = stored_rows(request, query.test)
    leaks = datasets_leaks.look(index, found.report or {}, test, held.report or {})
    items = [
        {
            "kind": pair.kind,
            "overlap": pair.overlap,
            "row": show_row(index.row(pair.row)),
            "test_row": show_row(test.row(pair.test_row)),
        }
        for pair in leaks.pairs[: query.limit]
    ]
    return {"count": leaks.count, "items": items}


@router.get("/api/datasets/{dataset_id}/diff", response_model=DiffShown)
def dataset_diff(request: Request, dataset_id: str, query: Annotated[DiffQuery, Query()]) -> Any:
    """What is different from an older version, row by row and label by label. The order of rows does not count."""
    newer, new = stored_rows(request, dataset_id)
    older, old = stored_rows(request, query.older)
    found = diff(old, new)
    return {
        "same": found.same,
        "removed_count": len(found.removed),
        "added_count": len(found.added),
        "changed_count": len(found.changed[0]),
        "removed": [show_row(row) for row in old.rows(found.removed[: query.limit])],
        "added": [show_row(row) for row in new.rows(found.added[: query.limit])],
        "changed": [
            {"before": show_row(before), "after": show_row(after)}
            for before, after in found.pairs(old, new, query.limit)
        ],
        "labels": [
            {"label": label, "before": before, "after": after}
            for label, before, after in labels_between(older.report, newer.report)
        ],
    }
