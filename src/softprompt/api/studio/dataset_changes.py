"""What is made of the rows of a dataset over HTTP: new versions, edited, repaired or brought forward again; parts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.answers import REPEATABLE, created
from softprompt.api.context import studio_of, unit_of
from softprompt.api.studio.datasets import DatasetShown, show_dataset
from softprompt.api.studio.shapes import Body, new_router
from softprompt.api.uploads import written
from softprompt.errors import DatasetUnreadable, ParameterInvalid, WrongState
from softprompt.storage.tables import Dataset, Project
from softprompt.studio import datasets, datasets_edit, datasets_fix
from softprompt.studio.access import Unit
from softprompt.studio.datasets import Examined
from softprompt.studio.datasets_edit import Added, Draft
from softprompt.studio.datasets_fix import Change, Steps, line_of
from softprompt.studio.datasets_index import RowIndex
from softprompt.studio.datasets_split import Shares, parts

router = new_router("datasets")
Step = Literal["spellings", "wrapper", "duplicates", "contradictions"]
RowNumber = Annotated[int, Field(ge=0, lt=2**31, description="As `rows` numbers them, from 0.")]


class Repair(Body):
    """What is done beside repairing rows and leaving out those that cannot be used."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"steps": ["spellings", "duplicates"]}]})
    steps: Annotated[
        list[Step],
        Field(
            max_length=4,
            description="Labels get one spelling; the text around all inputs is taken off; the first of copies stays; "
            "inputs with different outputs are left out.",
        ),
    ] = []


class PlanQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: Annotated[int, Field(ge=0, le=100, description="Examples of each kind.")] = 8


class ChangedRow(Body):
    number: RowNumber
    input: str
    output: str


class AddedRow(Body):
    after: Annotated[int, Field(ge=-1, lt=2**31, description="Number of the row before it; -1: in front of all.")]
    input: str
    output: str


class Edit(Body):
    """What shall be different in the new version."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "changed": [{"number": 3, "input": "The lamp hums.", "output": "Service"}],
                    "deleted": [4],
                    "added": [{"after": 9, "input": "The sofa is late.", "output": "Warehouse"}],
                }
            ]
        }
    )
    changed: Annotated[list[ChangedRow], Field(max_length=datasets_edit.MOST)] = []
    deleted: Annotated[list[RowNumber], Field(max_length=datasets_edit.MOST)] = []
    added: Annotated[list[AddedRow], Field(max_length=datasets_edit.MOST)] = []


class Split(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"validation": 10, "test": 20, "seed": 73}]})
    validation: Annotated[int, Field(ge=0, le=90, description="Percent of the rows.")] = 10
    test: Annotated[int, Field(ge=0, le=90, description="Percent of the rows; together at most 90.")] = 20
    seed: Annotated[int, Field(ge=0, lt=2**32, description="The same one chooses the same rows.")] = 73


class RowText(TypedDict):
    input: str
    output: str


class ChangeShown(TypedDict):
    """A row before and after; `after` is null where it is left out. Of a repair `problems` say what was wrong."""

    line: int
    before: RowText | None
    after: RowText | None
    problems: list[str]


class PlanShown(TypedDict):
    """Kinds are repaired and refused rows, which are always dealt with, and the steps that can be chosen."""

    counts: dict[str, int]
    examples: dict[str, list[ChangeShown]]


class PartsShown(TypedDict):
    train: DatasetShown
    validation: DatasetShown | None
    test: DatasetShown | None


def show_change(change: Change) -> ChangeShown:
    return {
        "line": change.line,
        "before": _text(change.before),
        "after": _text(change.after),
        "problems": [str(mark.problem) for mark in change.marks],
    }


def _text(pair: tuple[str, str] | None) -> RowText | None:
    return {"input": pair[0], "output": pair[1]} if pair else None


@router.get("/api/datasets/{dataset_id}/repair", response_model=PlanShown)
def preview_repair(request: Request, dataset_id: str, query: Annotated[PlanQuery, Query()]) -> Any:
    """What a repair would change: how many rows, with examples of each kind."""
    found, index = stored_rows(request, dataset_id)
    plan = datasets_fix.plan(index, found.report or {}, each=query.limit)
    return {
        "counts": plan.counts,
        "examples": {kind: [show_change(each) for each in changes] for kind, changes in plan.examples.items()},
    }


@router.post(
    "/api/datasets/{dataset_id}/repair", status_code=201, response_model=DatasetShown, openapi_extra=REPEATABLE
)
def repair_dataset(request: Request, dataset_id: str, body: Repair | None = None) -> JSONResponse:
    """A new version with the rows that can be used, repairs made, and what else is chosen."""
    found, index = stored_rows(request, dataset_id)
    if not len(index):
        raise DatasetUnreadable("No row of the dataset can be used, so a repaired version would be empty.")
    steps = body.steps if body else []
    lines = datasets_fix.fixed(index, found.report or {}, Steps.of(steps))
    return _new_version(request, found, lines, {"steps": steps})


@router.post("/api/datasets/{dataset_id}/edit", status_code=201, response_model=DatasetShown, openapi_extra=REPEATABLE)
def edit_dataset(request: Request, dataset_id: str, body: Edit) -> JSONResponse:
    """A new version with rows changed, added and taken out; nothing is saved if any of them cannot be."""
    found, index = stored_rows(request, dataset_id)
    draft = _draft(body)
    datasets_edit.check(draft, index, first=0)
    draft = datasets_edit.without_idle(draft, index)
    if draft.empty:
        raise ParameterInvalid(
            f"changed, deleted, added: nothing would be different from version {found.version} of {found.name!r}."
        )
    return _new_version(request, found, datasets_edit.edited(index, draft), body.model_dump())


@router.post("/api/datasets/{dataset_id}/split", status_code=201, response_model=PartsShown, openapi_extra=REPEATABLE)
def split_dataset(request: Request, dataset_id: str, body: Split) -> JSONResponse:
    """Part the rows into datasets for training, validation and test, by output in equal shares.

    Copies of a row stay in one part; the same seed gives the same parts. A part of 0 percent is null.
    """
    whole, index = stored_rows(request, dataset_id, usable=True)
    shares = Shares(**body.model_dump())
    told = f"{datasets.split_of(whole)} version {whole.version}, seed {shares.seed}."
    with ExitStack() as files:
        made = {
            part: files.enter_context(_examined(request, (line_of(row.input, row.output) for row in rows)))
            for part, rows in parts(index, whole.report or {}, shares).items()
        }

        def make(unit: Unit) -> dict[str, DatasetShown | None]:
            names = {part: datasets.name_of_part(unit, whole, part) for part in made}
            shown = {
                part: show_dataset(_store(unit, whole, each, names[part], description=told))
                for part, each in made.items()
            }
            return {part: shown.get(part) for part in ("train", "validation", "test")}

        return created(request, body.model_dump(), make)


@router.post(
    "/api/datasets/{dataset_id}/restore", status_code=201, response_model=DatasetShown, openapi_extra=REPEATABLE
)
def restore_version(request: Request, dataset_id: str) -> JSONResponse:
    """A new version with what an older one holds. If it is what the newest one holds, that one."""
    return created(request, {}, lambda unit: show_dataset(datasets.restore(unit, dataset_id)))


def stored_rows(request: Request, dataset_id: str, *, usable: bool = False) -> tuple[Dataset, RowIndex]:
    """A dataset with its rows; with `usable` one that could be tuned on."""
    with unit_of(request, write=False) as unit:
        found = datasets.usable(unit, dataset_id, "dataset") if usable else datasets.get(unit, dataset_id)
    index = datasets.index(studio_of(request).office.store, found)
    if index is None:
        raise WrongState(f"Dataset {found.name!r} has no file yet. Upload it first.")
    return found, index


def _draft(body: Edit) -> Draft:
    times = Counter(row.number for row in body.changed)
    if twice := [number for number, count in times.items() if count > 1]:
        raise ParameterInvalid(f"changed: row {twice[0]} is there {times[twice[0]]} times. Send it once.")
    return Draft(
        {row.number: (row.input, row.output) for row in body.changed},
        frozenset(body.deleted),
        tuple(Added(row.after, row.input, row.output) for row in body.added),
    )


def _new_version(request: Request, older: Dataset, lines: Iterable[bytes], sent: Any) -> JSONResponse:
    with _examined(request, lines) as found:
        return created(request, sent, lambda unit: show_dataset(_store(unit, older, found, older.name)))


@contextmanager
def _examined(request: Request, lines: Iterable[bytes]) -> Iterator[Examined]:
    """Rows checked and kept, both outside of any unit of work; their file is there until the block ends."""
    studio = studio_of(request)
    with written(studio.uploads, lines) as path:
        found = datasets.examine(path, most_rows=studio.settings.limits.rows)
        datasets.refuse_no_dataset(found)
        datasets.keep(studio.office.store, found)
        yield found


def _store(unit: Unit, source: Dataset, found: Examined, name: str, *, description: str = "") -> Dataset:
    stem = Path(source.file_name or source.name).stem
    return datasets.create(
        unit,
        unit.get(Project, source.project_id),
        name,
        found,
        description=description or source.description,
        tags=source.tags,
        file_name=f"{stem[:280]}.jsonl",
        media_type="application/jsonl",
    )
