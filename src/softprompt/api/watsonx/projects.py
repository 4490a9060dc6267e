"""Projects as IBM's client knows them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from softprompt.api.answers import GUARDED, REPEATABLE, revision_of, tagged
from softprompt.api.context import caller_of, unit_of
from softprompt.api.watsonx.shared import Body, Limit, listed, made
from softprompt.storage.tables import Project
from softprompt.studio import projects
from softprompt.studio.access import Unit, check_revision, iso

router = APIRouter(tags=["watsonx: projects"])


class NewProject(Body):
    name: str
    description: str | None = None
    tags: list[str] | None = None


class ChangedProject(Body):
    name: str | None = None
    description: str | None = None
    tags: list[str] | None = None


@router.get("/v2/projects")
def list_projects(request: Request, limit: Limit = 100, name: str = "", cursor: str | None = None) -> dict[str, Any]:
    with unit_of(request, write=False) as unit:
        exact = {"name": name} if name else {}
        page = projects.page(unit, limit=limit, cursor=cursor, **exact)
        return listed(request, page, lambda row: document(request, row), limit)


@router.post("/transactional/v2/projects", status_code=201, response_model=dict[str, str], openapi_extra=REPEATABLE)
def create_project(request: Request, body: NewProject) -> JSONResponse:
    def make(unit: Unit) -> dict[str, Any]:
        project = projects.create(unit, body.name, description=body.description or "", tags=body.tags)
        return {"location": f"/v2/projects/{project.id}"}

    return made(request, body, make)


@router.get("/v2/projects/{project_id}", response_model=dict[str, Any])
def get_project(request: Request, project_id: str) -> JSONResponse:
    with unit_of(request, write=False) as unit:
        project = projects.get(unit, project_id)
        return tagged(project, document(request, project))


@router.patch("/v2/projects/{project_id}", response_model=dict[str, Any], openapi_extra=GUARDED)
def update_project(request: Request, project_id: str, body: ChangedProject) -> JSONResponse:
    changes: dict[str, Any] = {"name": body.name, "description": body.description, "tags": body.tags}
    with unit_of(request) as unit:
        project = projects.update(unit, project_id, revision=revision_of(request), **changes)
        return tagged(project, document(request, project))


@router.delete("/transactional/v2/projects/{project_id}", status_code=204, openapi_extra=GUARDED)
def delete_project(request: Request, project_id: str) -> Response:
    with unit_of(request) as unit:
        check_revision(projects.get(unit, project_id), revision_of(request))
        projects.delete(unit, project_id)
    return Response(status_code=204)


def document(request: Request, project: Project) -> dict[str, Any]:
    return {
        "metadata": {
            "guid": project.id,
            "url": f"/v2/projects/{project.id}",
            "created_at": iso(project.created_at),
            "updated_at": iso(project.updated_at),
        },
        "entity": {
            "name": project.name,
            "description": project.description,
            "tags": project.tags,
            "public": False,
            "creator": project.created_by or "studio",
            "storage": storage(request, project.id),
        },
    }


def storage(request: Request, container_id: str) -> dict[str, Any]:
    """Where files lie, in the words that each mode insists on. The bucket is never asked: files come from here."""
    if caller_of(request).mode != "cloud":
        return {"type": "assetfiles", "guid": container_id}
    admin = {"access_key_id": "not-used", "secret_access_key": "not-used"}
    properties = {"bucket_name": container_id, "endpoint_url": "https://not.used", "credentials": {"admin": admin}}
    return {"type": "bmcos_object_storage", "guid": container_id, "properties": properties}
