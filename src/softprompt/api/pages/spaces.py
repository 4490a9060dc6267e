"""Pages of spaces: the list, each space with its deployments and members, the form that makes or changes one."""

from __future__ import annotations

from typing import Any, cast

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from softprompt.api.context import unit_of
from softprompt.api.pages.deployments import tags_of
from softprompt.api.pages.shared import carry_out, form_of, frame_of, go, in_unit, page_answer, text_of
from softprompt.api.readiness import readiness
from softprompt.storage.tables import LARGE, Deployment, Space, TunedPrompt
from softprompt.studio import memberships, spaces, standing, trash
from softprompt.studio.access import RANKS, Role, Unit
from softprompt.studio.deployment_history import user_names
from softprompt.ui.pages import spaces as pages
from softprompt.ui.pages.deployments import pages as page_links

router = APIRouter(include_in_schema=False)
LIST_LENGTH = 50


@router.get("/spaces")
def show_spaces(request: Request) -> Response:
    asked = {name: request.query_params.get(name, "").strip() for name in ("search", "stage", "cursor")}
    with unit_of(request, write=False, need="viewer") as unit:
        where: dict[str, Any] = {"stage": asked["stage"]} if asked["stage"] else {}
        found = spaces.page(
            unit, search=asked["search"], cursor=asked["cursor"] or None, sort="name", limit=LIST_LENGTH, **where
        )
        gone = unit.rows.get(Space, request.query_params.get("gone", ""), deleted=True)
        if gone is not None and (gone.deleted_at is None or not unit.role_in(gone)):
            gone = None
        links = page_links("/spaces", asked, len(found.items), found.total, found.next)
        counts = spaces.inside(unit, [row.id for row in found.items])
        text = pages.spaces(frame_of(request, unit), found, counts, asked, links, gone)
    return page_answer(request, text)


@router.get("/spaces/new")
async def show_form(request: Request) -> Response:
    return await _form(request, {})


async def _form(
    request: Request, given: dict[str, str], space_id: str = "", problem: str = "", status: int = 200
) -> Response:
    ready = await readiness(request)

    def draw(unit: Unit) -> str:
        row = spaces.get(unit, space_id) if space_id else None
        shown = given
        if row is not None:
            own = {"name": row.name, "stage": row.stage, "description": row.description, "tags": ", ".join(row.tags)}
            shown = {**(given or own), "revision": str(row.revision)}
        return pages.space_form(frame_of(request, unit), shown, ready, row, problem)

    return page_answer(request, await in_unit(request, draw, write=False), status)


@router.post("/spaces/new")
async def make(request: Request) -> Response:
    given = text_of(await form_of(request))

    def work(unit: Unit) -> Space:
        return spaces.create(
            unit,
            given.get("name", ""),
            stage=given.get("stage", "development"),
            description=given.get("description", ""),
            tags=tags_of(given),
        )

    return await carry_out(
        request,
        work,
        then=lambda made: f"/spaces/{made.id}?made=1",
        again=lambda words, status: _form(request, given, "", words, status),
    )


@router.get("/spaces/{space_id}")
async def show_space(request: Request, space_id: str) -> Response:
    return await _space(request, space_id)


async def _space(request: Request, space_id: str, problem: str = "", status: int = 200) -> Response:
    ready = await readiness(request)

    def draw(unit: Unit) -> str:
        row = spaces.find(unit, space_id)
        inside = unit.rows.all(Deployment, space_id=row.id, sort="-created_at", limit=200)
        behind = [d.tuned_prompt_id for d in inside if d.tuned_prompt_id]
        prompts = unit.rows.all(TunedPrompt, id=behind, without=LARGE[TunedPrompt])
        shown = pages.Inside(
            space=row,
            who=user_names(unit, [row.created_by]).get(row.created_by or "", "the studio"),
            ready=ready,
            deployments=inside,
            standings=standing.of(unit.rows, unit.store, inside),
            prompts={prompt.id: prompt for prompt in prompts},
            members=sorted(memberships.members(unit, row), key=lambda member: member[0].name),
            may_admin=unit.role_in(row) >= RANKS["admin"],
            problem=problem,
            made="made" in request.query_params,
        )
        return pages.space(frame_of(request, unit), shown)

    return page_answer(request, await in_unit(request, draw, write=False), status)


@router.get("/spaces/{space_id}/state")
async def space_state(request: Request, space_id: str) -> Response:
    """Whether the space can serve, for scripts that wait for it."""
    await in_unit(request, lambda unit: spaces.get(unit, space_id), write=False)
    ready = await readiness(request)
    return JSONResponse({"ready": ready.ready, "words": ready.words, "waits_for": ready.waits_for})


@router.get("/spaces/{space_id}/edit")
async def show_edit(request: Request, space_id: str) -> Response:
    return await _form(request, {}, space_id)


@router.post("/spaces/{space_id}/edit")
async def change(request: Request, space_id: str) -> Response:
    given = text_of(await form_of(request))

    def work(unit: Unit) -> None:
        revision = given.get("revision", "")
        spaces.update(
            unit,
            space_id,
            name=given.get("name", ""),
            stage=given.get("stage"),
            description=given.get("description", ""),
            tags=tags_of(given),
            revision=int(revision) if revision.isdecimal() else None,
        )

    return await carry_out(
        request,
        work,
        then=f"/spaces/{space_id}",
        again=lambda words, status: _form(request, given, space_id, words, status),
    )


@router.post("/spaces/{space_id}/members")
async def set_member(request: Request, space_id: str) -> Response:
    given = text_of(await form_of(request))
    role = cast(Role, given.get("role", "viewer"))
    return await _members(request, space_id, given.get("user", ""), role)


@router.post("/spaces/{space_id}/members/{user}/remove")
async def remove_member(request: Request, space_id: str, user: str) -> Response:
    await form_of(request)
    return await _members(request, space_id, user, None)


async def _members(request: Request, space_id: str, user: str, role: Role | None) -> Response:
    where = await in_unit(request, lambda unit: spaces.get(unit, space_id).id, write=False)
    return await carry_out(
        request,
        lambda unit: memberships.set_member(unit, spaces.get(unit, where), user, role),
        then=f"/spaces/{where}",
        again=lambda words, status: _space(request, where, words, status),
    )


@router.post("/spaces/{space_id}/delete")
async def delete(request: Request, space_id: str) -> Response:
    await form_of(request)
    return await carry_out(
        request,
        lambda unit: spaces.delete(unit, space_id),
        then=f"/spaces?gone={space_id}",
        again=lambda words, status: _space(request, space_id, words, status),
    )


@router.post("/spaces/{space_id}/restore")
async def restore(request: Request, space_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: trash.bring_back(unit, "space", space_id))
    return go(f"/spaces/{space_id}")
