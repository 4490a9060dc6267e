"""Foundation models."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from softprompt.api.context import unit_of
from softprompt.api.pages.shared import frame_of, page_answer
from softprompt.studio import foundation_models
from softprompt.ui.pages import models as models_page

router = APIRouter(include_in_schema=False)


@router.get("/models")
def show_models(request: Request, search: str = "") -> Response:
    needle = search.strip().lower()
    with unit_of(request, write=False) as unit:
        found = [m for m in foundation_models.all_models(unit.rows) if needle in _told(m)]
        text = models_page.models(frame_of(request, unit), found, search)
    return page_answer(request, text)


def _told(model: foundation_models.Model) -> str:
    card = model.card
    return f"{model.id} {model.label} {card.good_at if card else ''} {card.licence if card else ''}".lower()
