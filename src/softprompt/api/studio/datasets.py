"""Datasets over HTTP: uploads that are checked as they come in, reports, rows, versions.

What makes new versions out of stored rows is in `dataset_changes`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import FileResponse, JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict

from softprompt.api.answers import GUARDED, REPEATABLE, created, paged, revision_of, tagged
from softprompt.api.context import studio_of, unit_of
from softprompt.api.studio.shapes import (
    BINARY,
    Body,
    Cut,
    Description,
    InProjectPaging,
    Name,
    NounShown,
    Project,
    Tags,
    given,
    new_router,
    page_of,
    show_noun,
)
from softprompt.api.tables import TABLE, table, wants_table
from softprompt.api.uploads import UPLOAD_BODY, Received, received
from softprompt.errors import DatasetUnreadable, WrongState
from softprompt.params import Task
from softprompt.storage.tables import Dataset
from softprompt.storage.tables import Project as ProjectRow
from softprompt.studio import datasets, projects
from softprompt.studio.access import Unit

router = new_router("datasets")
State = Literal["uploading", "checking", "ready", "invalid"]


class DatasetPaging(InProjectPaging):
    state: State | None = None
    name: Annotated[str | None, Field(description="Exactly this name: its versions.")] = None


class VersionPaging(Cut):
    sort: Literal["version", "-version", "created_at", "-created_at"] = "-version"


class UploadFacts(BaseModel):
    """What stands in the address of an upload."""

    model_config = ConfigDict(extra="forbid")
    project: Project = None
    name: Name | None = None
    description: Description = ""
    tag: Tags = []
    task: Annotated[Task, Field(description="What the outputs are; auto looks at them.")] = "auto"


class DatasetChanges(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "Complaints of April."}]})
    description: Description | None = None
    tags: Tags | None = None


class RowsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    search: Annotated[str, Field(max_length=500, description="Text in input or output.")] = ""
    start: Annotated[int, Field(ge=0, le=2**31)] = 0
    limit: Annotated[int, Field(ge=1, le=500)] = 50


class DatasetShown(NounShown):
    project_id: str
    version: int
    state: str
    file_name: str
    media_type: str
    size: int
    sha256: str | None
    rows: int | None
    task: str | None


class RowShown(TypedDict):
    number: int
    input: str
    output: str


class RowsPage(TypedDict):
    items: list[RowShown]
    next: str | None


def show_dataset(row: Dataset) -> DatasetShown:
    return {
        **show_noun(row),
        "project_id": row.project_id,
        "version": row.version,
        "state": row.state,
        "file_name": row.file_name,
        "media_type": row.media_type,
        "size": row.size,
        "sha256": row.sha256,
        "rows": row.rows,
        "task": row.task,
    }


def show_report(row: Dataset) -> dict[str, Any]:
    """The report, without the path at which the file lay while it was read."""
    if row.report is None:
        raise WrongState(f"Dataset {row.name!r} has no file yet, so there is nothing to report. Upload it first.")
    return {**row.report, "path": row.file_name or row.name}


@router.get("/api/datasets", response_model=page_of(DatasetShown, "Datasets"))
def list_datasets(request: Request, query: Annotated[DatasetPaging, Query()]) -> Any:
    """Datasets of the projects that you may see, every version."""
    with unit_of(request, write=False) as unit:
        where = {**query.where(unit), **query.model_dump(include={"state", "name"}, exclude_none=True)}
        return paged(request, datasets.page(unit, **where, **query.words()), show_dataset)


@router.post("/api/datasets", status_code=201, response_model=DatasetShown, openapi_extra={**UPLOAD_BODY, **REPEATABLE})
async def upload_dataset(request: Request, query: Annotated[UploadFacts, Query()]) -> JSONResponse:
    """Upload labelled rows: JSON lines, a JSON array or CSV, as the raw body or as the file of a form.

    The rows are checked before the answer; `state` is `ready`, or `invalid` with the reasons in the report. A name that
    is there gets a new version; the same bytes under the same name are the dataset that is there.
    """
    project_id = await run_in_threadpool(_project_id, request, query.project)
    async with received(request, studio_of(request).uploads) as got:
        return await run_in_threadpool(_store, request, query, project_id, got)


@router.get("/api/datasets/{dataset_id}", response_model=DatasetShown)
def get_dataset(request: Request, dataset_id: str) -> JSONResponse:
    with unit_of(request, write=False) as unit:
        row = datasets.get(unit, dataset_id)
        return tagged(row, show_dataset(row))


@router.get("/api/datasets/{dataset_id}/versions", response_model=page_of(DatasetShown, "Versions"))
def list_dataset_versions(request: Request, dataset_id: str, query: Annotated[VersionPaging, Query()]) -> Any:
    """All versions of the dataset's name, the newest first."""
    with unit_of(request, write=False) as unit:
        row = datasets.get(unit, dataset_id)
        page = datasets.page(unit, project_id=row.project_id, name=row.name, **query.model_dump())
        return paged(request, page, show_dataset)


@router.get("/api/datasets/{dataset_id}/report", response_model=dict[str, Any])
def get_dataset_report(request: Request, dataset_id: str) -> Any:
    """What was found in it: labels, lengths, copies, contradictions, every row that cannot be used."""
    with unit_of(request, write=False) as unit:
        return show_report(datasets.get(unit, dataset_id))


@router.get("/api/datasets/{dataset_id}/rows", response_model=RowsPage, responses=TABLE)
def list_dataset_rows(request: Request, dataset_id: str, query: Annotated[RowsQuery, Query()]) -> Any:
    """Rows that can be used, from a number on; with `search` those that contain it."""
    with unit_of(request, write=False) as unit:
        row = datasets.get(unit, dataset_id)
        path = _file(unit, row)
    if wants_table(request):
        pairs = ((item.input, item.output) for _, item in datasets.examples(path, query.search))
        return table(datasets.as_csv(pairs), f"{row.name}.csv")
    found = datasets.rows(path, start=query.start, limit=query.limit + 1, search=query.search)
    following = None
    if len(found) > query.limit:
        following = str(request.url.include_query_params(start=query.start + query.limit).replace(scheme="", netloc=""))
    return {"items": found[: query.limit], "next": following}


@router.get(
    "/api/datasets/{dataset_id}/file",
    response_class=FileResponse,
    responses={200: {"content": {"application/octet-stream": BINARY}}},
)
def download_dataset(request: Request, dataset_id: str) -> FileResponse:
    """The file, byte by byte as it came in."""
    with unit_of(request, write=False) as unit:
        row = datasets.get(unit, dataset_id)
        path, name = _file(unit, row), row.file_name or row.name
    return FileResponse(path, filename=name, media_type="application/octet-stream")


@router.patch("/api/datasets/{dataset_id}", response_model=DatasetShown, openapi_extra=GUARDED)
def update_dataset(request: Request, dataset_id: str, body: DatasetChanges) -> JSONResponse:
    """What is said about the data can change, the data cannot."""
    with unit_of(request) as unit:
        changes = given(body, "description", "tags")
        row = datasets.update(unit, dataset_id, revision=revision_of(request), **changes)
        return tagged(row, show_dataset(row))


@router.delete("/api/datasets/{dataset_id}", status_code=204, openapi_extra=GUARDED)
def delete_dataset(request: Request, dataset_id: str) -> Response:
    """Refused while a run or an evaluation that is not over needs it."""
    with unit_of(request) as unit:
        datasets.delete(unit, dataset_id, revision_of(request))
    return Response(status_code=204)


def _project_id(request: Request, project: str | None) -> str:
    with unit_of(request, write=False) as unit:
        return projects.find(unit, project).id


def _store(request: Request, facts: UploadFacts, project_id: str, got: Received) -> JSONResponse:
    """Check the file and keep it (both take long, so outside of any unit of work), then write it down."""
    if not got.size:
        raise DatasetUnreadable('The file is empty. Send rows such as {"input": "…", "output": "…"}, one a line.')
    studio = studio_of(request)
    found = datasets.examine(got.path, most_rows=studio.settings.limits.rows, task=facts.task)
    datasets.keep(studio.office.store, found)
    name = facts.name or Path(got.file_name).stem or "dataset"

    def make(unit: Unit) -> DatasetShown:
        row = datasets.create(
            unit,
            unit.get(ProjectRow, project_id),
            name,
            found,
            description=facts.description,
            tags=facts.tag,
            file_name=got.file_name,
            media_type=got.media_type[:100],
        )
        return show_dataset(row)

    return created(request, {**facts.model_dump(), "sha256": found.sha256, "project": project_id}, make)


def _file(unit: Unit, row: Dataset) -> Path:
    if row.key is None:
        raise WrongState(f"Dataset {row.name!r} has no file yet. Upload it first.")
    return unit.store.file(row.key)
