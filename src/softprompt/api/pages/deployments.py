"""Pages of deployments: the list, the forms that deploy and promote, each deployment, and what is done to it.

Its tabs for code, tests, usage and history stand in `deployment_tabs`.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from softprompt.api import swapping
from softprompt.api.context import studio_of, unit_of
from softprompt.api.pages.deployment_views import MOST_CHOICES, endpoints, may_edit, shown_of
from softprompt.api.pages.shared import (
    carry_out,
    form_of,
    frame_of,
    go,
    in_unit,
    once_more,
    page_answer,
    project_of,
    text_of,
)
from softprompt.errors import Forbidden, SoftpromptError
from softprompt.storage.tables import LARGE, Deployment, Project, Space, TunedPrompt
from softprompt.studio import deployment_history, deployments, spaces, standing, tuned_prompts, usage
from softprompt.studio.access import Unit
from softprompt.ui.pages import deployment as deployment_page
from softprompt.ui.pages import deployment_new as forms
from softprompt.ui.pages import deployments as pages

router = APIRouter(include_in_schema=False)
LIST_LENGTH = 50
_ASKED = ("search", "place", "state", "tag", "sort", "cursor")


@router.get("/deployments")
def show_deployments(request: Request) -> Response:
    return _list(request)


def _list(request: Request, *, gone: str = "", problem: str = "", status: int = 200) -> Response:
    asked = {name: request.query_params.get(name, "").strip() for name in _ASKED}
    with unit_of(request, write=False, need="viewer") as unit:
        gone = gone or request.query_params.get("gone", "")
        row = unit.rows.get(Deployment, gone, deleted=True) if gone else None
        if row is not None and (row.deleted_at is None or not unit.role_in(row)):
            row = None
        found = _found(unit, asked, row, problem)
        text = pages.deployments(frame_of(request, unit), found)
    return page_answer(request, text, status)


def _found(unit: Unit, asked: dict[str, str], gone: Deployment | None, problem: str) -> pages.Found:
    places: dict[str, Project | Space] = {}
    seen = unit.visible()
    places |= {row.id: row for row in unit.rows.page(Project, containers=seen, limit=MOST_CHOICES, sort="name").items}
    places |= {row.id: row for row in unit.rows.page(Space, containers=seen, limit=MOST_CHOICES, sort="name").items}
    where: dict[str, Any] = {}
    if isinstance(places.get(asked["place"]), Space):
        where["space_id"] = asked["place"]
    elif asked["place"]:
        where["project_id"] = asked["place"]
    if asked["state"] == "deleted":
        where["deleted"] = True
    elif asked["state"]:
        where["state"] = asked["state"]
    page = deployments.page(
        unit,
        search=asked["search"],
        tagged=[asked["tag"]] if asked["tag"] else [],
        sort=asked["sort"] or "-created_at",
        cursor=asked["cursor"] or None,
        limit=LIST_LENGTH,
        **where,
    )
    ids = [row.id for row in page.items]
    behind = [row.tuned_prompt_id for row in page.items if row.tuned_prompt_id]
    prompts = unit.rows.all(TunedPrompt, id=behind, without=LARGE[TunedPrompt])
    return pages.Found(
        page=page,
        asked=asked,
        places=places,
        prompts={prompt.id: prompt for prompt in prompts},
        standings=standing.of(unit.rows, unit.store, page.items),
        day=usage.last_day(unit, ids),
        may_edit={row.id: may_edit(unit, row) for row in page.items},
        gone=gone,
        problem=problem,
    )


# --- deploying --------------------------------------------------------------------------------------------------------
@router.get("/deployments/check")
def check_name(request: Request, serving_name: str = "", own: str = "", name: str = "") -> Response:
    """Whether a serving name can be taken, or one that can for something of that name; names are the whole studio's."""
    with unit_of(request, write=False, need="viewer") as unit:
        if name:
            return JSONResponse({"suggested": deployments.free_serving_name(unit, name)})
        problem = deployments.name_problem(unit, serving_name, own or None)
    return JSONResponse({"free": not problem, "words": problem or f"{serving_name} is free."})


@router.get("/deployments/new")
def show_form(request: Request, prompt: str = "", space: str = "") -> Response:
    given = {"prompt": prompt, "space": space}
    with unit_of(request, write=False, need="viewer") as unit:
        chosen = unit.rows.get(TunedPrompt, prompt) if prompt else None
        if chosen is not None and unit.role_in(chosen):
            given |= {"name": chosen.name, "serving_name": deployments.free_serving_name(unit, chosen.name)}
            given["space"] = space or chosen.space_id or ""
    return _form(request, given)


def _form(request: Request, given: dict[str, str], problem: str = "", status: int = 200) -> Response:
    with unit_of(request, write=False, need="viewer") as unit:
        prompts = list(tuned_prompts.page(unit, limit=MOST_CHOICES, without=LARGE[TunedPrompt]).items)
        chosen = given.get("prompt", "")
        if chosen and all(prompt.id != chosen for prompt in prompts):
            named = unit.rows.get(TunedPrompt, chosen)
            prompts += [named] if named is not None and unit.role_in(named) else []
        found = spaces.page(unit, limit=MOST_CHOICES, sort="name").items
        text = forms.new_deployment(frame_of(request, unit), prompts, found, given, problem)
    return page_answer(request, text, status)


@router.post("/deployments/new")
async def deploy(request: Request) -> Response:
    given = text_of(await form_of(request))

    def make(unit: Unit) -> Deployment:
        return deployments.create(
            unit,
            _where(unit, given) or project_of(unit),
            given.get("name", ""),
            serving=given.get("serving_name"),
            prompt_id=given.get("prompt"),
            description=given.get("description", ""),
            tags=tags_of(given),
        )

    return await carry_out(
        request,
        make,
        then=lambda made: f"/deployments/{made.id}?deployed=1",
        again=lambda words, status: _form(request, given, words, status),
    )


def _where(unit: Unit, given: dict[str, str]) -> Space | None:
    """The space that a form names, made if it is a new one; None: the project."""
    if given.get("space") == "new":
        return spaces.create(unit, given.get("space_name", ""), stage=given.get("stage", "development"))
    return spaces.get(unit, given["space"]) if given.get("space") else None


def tags_of(given: dict[str, str]) -> list[str]:
    return [tag.strip() for tag in given.get("tags", "").split(",") if tag.strip()]


# --- one of them ------------------------------------------------------------------------------------------------------
@router.get("/deployments/{deployment_id}")
def show_deployment(request: Request, deployment_id: str) -> Response:
    return _overview(request, deployment_id)


def _overview(request: Request, deployment_id: str, problem: str = "", status: int = 200) -> Response:
    studio_of(request).usage.flush_if_possible()
    with unit_of(request, write=False, need="viewer") as unit:
        shown = shown_of(unit, deployment_id)
        earlier = deployment_history.earlier_prompts(unit, shown.deployment)
        before = request.query_params.get("swapped", "")
        swapped = next(((each.id, each.name) for each in earlier if each.id == before and each.prompt), None)
        told = deployment_page.Overview(
            endpoints=endpoints(request, shown.deployment),
            swappable=_swappable(unit, shown.deployment) if shown.may_edit else (),
            earlier=earlier,
            day=usage.of(unit, shown.deployment.id, usage.span_of("day")).whole,
            swapped=swapped,
            problem=problem,
            deployed="deployed" in request.query_params,
        )
        text = deployment_page.overview(frame_of(request, unit), shown, told)
    return page_answer(request, text, status)


def _swappable(unit: Unit, found: Deployment) -> list[tuple[str, list[TunedPrompt]]]:
    """Tuned prompts that can answer in its place; a prompt and its copy in this space are one."""
    prompts = tuned_prompts.page(unit, limit=MOST_CHOICES, without=LARGE[TunedPrompt]).items
    own = unit.rows.get(TunedPrompt, found.tuned_prompt_id) if found.tuned_prompt_id else None
    here = {p.source_id for p in prompts if p.space_id and p.space_id == found.space_id} | {found.tuned_prompt_id}
    here |= {own.source_id} if own is not None else set()
    fit = [
        p for p in prompts
        if p.id not in here and (p.space_id is None or p.space_id == found.space_id)
    ]  # fmt: skip
    same = [p for p in fit if p.model_id == found.model_id]
    return [("On the same model", same), ("On another model", [p for p in fit if p.model_id != found.model_id])]


@router.post("/deployments/{deployment_id}/swap")
async def swap(request: Request, deployment_id: str) -> Response:
    """Let another tuned prompt answer."""
    prompt_id = text_of(await form_of(request)).get("prompt", "")
    try:
        swapped = await swapping.swap(request, deployment_id, prompt_id)
    except Forbidden:
        raise
    except SoftpromptError as error:
        return await once_more(
            lambda words, status: _overview(request, deployment_id, f"What answers now goes on. {words}", status), error
        )
    return go(f"/deployments/{deployment_id}?swapped={swapped}")


@router.get("/deployments/{deployment_id}/edit")
def show_edit(request: Request, deployment_id: str) -> Response:
    return _edit(request, deployment_id, None)


def _edit(
    request: Request, deployment_id: str, given: dict[str, str] | None, problem: str = "", status: int = 200
) -> Response:
    with unit_of(request, write=False, need="editor") as unit:
        shown = shown_of(unit, deployment_id)
        row = shown.deployment
        own = {
            "name": row.name,
            "serving_name": row.serving_name or "",
            "description": row.description,
            "tags": ", ".join(row.tags),
            "revision": str(row.revision),
        }
        shown_given = own if given is None else {**dict.fromkeys(own, ""), **given, "revision": own["revision"]}
        text = deployment_page.edit(frame_of(request, unit), shown, shown_given, problem)
    return page_answer(request, text, status)


@router.post("/deployments/{deployment_id}/edit")
async def change(request: Request, deployment_id: str) -> Response:
    given = text_of(await form_of(request))

    def write(unit: Unit) -> None:
        revision = given.get("revision", "")
        deployments.update(
            unit,
            deployment_id,
            name=given.get("name", ""),
            serving=given.get("serving_name"),
            description=given.get("description", ""),
            tags=tags_of(given),
            revision=int(revision) if revision.isdecimal() else None,
        )

    return await carry_out(
        request,
        write,
        then=f"/deployments/{deployment_id}",
        again=lambda words, status: _edit(request, deployment_id, given, words, status),
    )


@router.get("/deployments/{deployment_id}/promote")
def show_promote(request: Request, deployment_id: str, space: str = "") -> Response:
    return _promote(request, deployment_id, {"space": space})


def _promote(
    request: Request, deployment_id: str, given: dict[str, str], problem: str = "", status: int = 200
) -> Response:
    with unit_of(request, write=False, need="editor") as unit:
        shown = shown_of(unit, deployment_id)
        found = [s for s in spaces.page(unit, limit=MOST_CHOICES, sort="name").items
                 if s.id != shown.deployment.space_id and may_edit(unit, s)]  # fmt: skip
        if "serving_name" not in given:
            wanted = shown.deployment.serving_name or shown.deployment.name
            given = {**given, "serving_name": deployments.free_serving_name(unit, wanted)}
        text = forms.promote(frame_of(request, unit), shown, found, given, problem)
    return page_answer(request, text, status)


@router.post("/deployments/{deployment_id}/promote")
async def promote(request: Request, deployment_id: str) -> Response:
    given = text_of(await form_of(request))

    def make(unit: Unit) -> Deployment:
        space = _where(unit, given)
        moved = given.get("move") == "1"
        serving = None if moved else given.get("serving_name")
        return deployments.promote(unit, deployment_id, space.id if space else "", serving=serving, move_name=moved)

    return await carry_out(
        request,
        make,
        then=lambda made: f"/deployments/{made.id}?deployed=1",
        again=lambda words, status: _promote(request, deployment_id, given, words, status),
    )


@router.post("/deployments/{deployment_id}/state")
async def set_state(request: Request, deployment_id: str) -> Response:
    online = bool(text_of(await form_of(request)).get("online"))
    await in_unit(request, lambda unit: deployments.update(unit, deployment_id, online=online))
    return go(f"/deployments/{deployment_id}")


@router.post("/deployments/{deployment_id}/delete")
async def delete(request: Request, deployment_id: str) -> Response:
    await form_of(request)
    await in_unit(request, lambda unit: deployments.delete(unit, deployment_id))
    return go(f"/deployments?gone={deployment_id}")


@router.post("/deployments/{deployment_id}/restore")
async def restore(request: Request, deployment_id: str) -> Response:
    nameless = bool(text_of(await form_of(request)).get("nameless"))
    return await carry_out(
        request,
        lambda unit: deployments.restore(unit, deployment_id, nameless=nameless),
        then=f"/deployments/{deployment_id}",
        again=lambda words, status: _list(request, gone=deployment_id, problem=words, status=status),
    )
