"""The page of settings: what is in force, the project, backups, deleted things."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from softprompt.api.context import caller_of, studio_of, unit_of
from softprompt.api.pages.admin import Draw, again_for_admins, for_admins
from softprompt.api.pages.shared import Again, carry_out, form_of, frame_of, go, once_more, project_of, text_of
from softprompt.errors import SoftpromptError
from softprompt.studio import backups, projects, settings, trash
from softprompt.studio.access import Unit
from softprompt.ui.pages import settings as pages

router = APIRouter(include_in_schema=False)
TITLE = "Settings"
DONE = {
    "project": "The project was changed.",
    "backup": "The backup is made. Download it, and keep it elsewhere.",
    "removed": "The backup was deleted.",
    "back": "It is back where it was.",
    "purged": "Gone for good.",
}


@router.get("/admin/settings")
def show_settings(request: Request, told: str = "") -> Response:
    return for_admins(request, TITLE, _settings(request, done=DONE.get(told, "")))


def _settings(request: Request, **told: str) -> Draw:
    studio = studio_of(request)

    def draw(unit: Unit) -> str:
        deleted, counts = trash.waiting(unit)
        return pages.settings(
            frame_of(request, unit),
            project_of(unit),
            settings.in_force(studio.settings),
            backups.kept(unit, studio.settings.data_dir),
            deleted,
            counts,
            **told,
        )

    return draw


@router.post("/admin/settings/project")
async def change_project(request: Request) -> Response:
    form = await form_of(request)
    given = text_of(form)

    def change(unit: Unit) -> None:
        revision = int(given["revision"]) if given.get("revision", "").isdecimal() else None
        projects.update(
            unit, project_of(unit).id, name=given.get("name", ""), description=given.get("description", ""),
            revision=revision,
        )  # fmt: skip

    return await _changed(request, change, "project", "#project")


@router.post("/admin/settings/backups")
async def make_backup(request: Request) -> Response:
    await form_of(request)
    studio, actor = studio_of(request), caller_of(request).actor
    try:
        await run_in_threadpool(backups.make, studio.office, actor, studio.settings.data_dir)
    except SoftpromptError as error:
        return await once_more(_again(request), error)
    return go("/admin/settings?told=backup#backups")


@router.get("/admin/settings/backups/{name}")
def download_backup(request: Request, name: str) -> Response:
    with unit_of(request) as unit:
        path = backups.path_of(unit, studio_of(request).settings.data_dir, name)
    return FileResponse(path, media_type="application/zip", filename=name, headers={"cache-control": "no-store"})


@router.post("/admin/settings/backups/delete")
async def remove_backup(request: Request) -> Response:
    given = text_of(await form_of(request))
    data_dir = studio_of(request).settings.data_dir
    work = lambda unit: backups.remove(unit, data_dir, given.get("name", ""))  # noqa: E731
    return await _changed(request, work, "removed", "#backups")


@router.post("/admin/settings/deleted/back")
async def bring_back(request: Request) -> Response:
    given = text_of(await form_of(request))
    work = lambda unit: trash.bring_back(unit, given.get("noun", ""), given.get("id", ""))  # noqa: E731
    return await _changed(request, work, "back", "#deleted")


@router.post("/admin/settings/deleted/purge")
async def purge(request: Request) -> Response:
    given = text_of(await form_of(request))

    def work(unit: Unit) -> None:
        if "all" in given:
            trash.purge_all(unit)
        else:
            trash.purge_one(unit, given.get("noun", ""), given.get("id", ""))

    return await _changed(request, work, "purged", "#deleted")


async def _changed(request: Request, work: Any, told: str, anchor: str) -> Response:
    return await carry_out(request, work, then=f"/admin/settings?told={told}{anchor}", again=_again(request))


def _again(request: Request) -> Again:
    return again_for_admins(request, TITLE, lambda words: _settings(request, problem=words))
