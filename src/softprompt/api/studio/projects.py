"""Projects over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict

from softprompt.api.answers import GUARDED, REPEATABLE, created, paged, revision_of, tagged
from softprompt.api.context import unit_of
from softprompt.api.studio.shapes import (
    Body,
    Description,
    Name,
    NounShown,
    Paging,
    Tags,
    given,
    new_router,
    page_of,
    show_noun,
)
from softprompt.storage.tables import Project
from softprompt.studio import projects
from softprompt.studio.access import check_revision

router = new_router("projects")


class NewProject(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Complaints", "tags": ["retail"]}]})
    name: Name
    description: Description = ""
    tags: Tags = []


class ProjectChanges(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"description": "Routing of complaints."}]})
    name: Name | None = None
    description: Description | None = None
    tags: Tags | None = None


class ProjectShown(NounShown):
    sandbox: bool


def show_project(row: Project) -> ProjectShown:
    return {**show_noun(row), "sandbox": row.sandbox}


@router.get("/api/projects", response_model=page_of(ProjectShown, "Projects"))
def list_projects(request: Request, query: Annotated[Paging, Query()]) -> Any:
    """Projects that you may see."""
    with unit_of(request, write=False) as unit:
        return paged(request, projects.page(unit, **query.words()), show_project)


@router.post("/api/projects", status_code=201, response_model=ProjectShown, openapi_extra=REPEATABLE)
def create_project(request: Request, body: NewProject) -> JSONResponse:
    """Make a project; you become its admin."""
    return created(request, body.model_dump(), lambda unit: show_project(projects.create(unit, **body.model_dump())))


@router.get("/api/projects/{project_id}", response_model=ProjectShown)
def get_project(request: Request, project_id: str) -> JSONResponse:
    """A project by its id or name."""
    with unit_of(request, write=False) as unit:
        row = projects.find(unit, project_id)
        return tagged(row, show_project(row))


@router.patch("/api/projects/{project_id}", response_model=ProjectShown, openapi_extra=GUARDED)
def update_project(request: Request, project_id: str, body: ProjectChanges) -> JSONResponse:
    """Change name, description or tags."""
    with unit_of(request) as unit:
        changes = given(body, "name", "description", "tags")
        row = projects.update(unit, project_id, revision=revision_of(request), **changes)
        return tagged(row, show_project(row))


@router.delete("/api/projects/{project_id}", status_code=204, openapi_extra=GUARDED)
def delete_project(request: Request, project_id: str) -> Response:
    """Hide a project with all that is in it; refused while a run or a deployment in it is at work."""
    with unit_of(request) as unit:
        check_revision(unit.get(Project, project_id), revision_of(request))
        projects.delete(unit, project_id)
    return Response(status_code=204)
