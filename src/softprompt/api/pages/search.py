"""Search by name: the page, and the lines of the command palette."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from softprompt.api.context import unit_of
from softprompt.api.pages.shared import frame_of, page_answer
from softprompt.storage.tables import Project, Space
from softprompt.studio import home
from softprompt.studio import search as names
from softprompt.studio.access import Unit
from softprompt.ui.pages import search as pages

router = APIRouter(include_in_schema=False)
LONGEST = 200
OF_EACH, OF_ONE, IN_PALETTE, RECENT = 8, 200, 4, 5


@router.get("/search")
def show(request: Request, q: str = "", all: str = "") -> Response:
    text = _clean(q)
    with unit_of(request, write=False) as unit:
        found = names.groups(unit, text, limit=OF_ONE if all in names.ORDER else OF_EACH) if text else []
        found = [group for group in found if all not in names.ORDER or group.noun == all]
        answer = pages.search(frame_of(request, unit), text, found, _containers(unit), all_of=all)
    return page_answer(request, answer)


@router.get("/search/lines")
def lines(request: Request, q: str = "") -> Response:
    """Without a text: pages, actions, and what was worked on last."""
    text = _clean(q)
    with unit_of(request, write=False) as unit:
        if text:
            items = pages.items(names.groups(unit, text, limit=IN_PALETTE), _containers(unit))
        else:
            items = [*pages.recent(home.recent(unit, most=RECENT)), *pages.places(frame_of(request, unit))]
    return JSONResponse({"items": items}, headers={"cache-control": "no-store"})


def _clean(text: str) -> str:
    return " ".join(text.replace("\x00", "").split())[:LONGEST]


def _containers(unit: Unit) -> dict[str, str]:
    """Names of the projects and spaces that may be seen, by id."""
    seen = unit.visible()
    projects = {row.id: row.name for row in unit.rows.page(Project, containers=seen, limit=200).items}
    return projects | {row.id: row.name for row in unit.rows.page(Space, containers=seen, limit=200).items}
