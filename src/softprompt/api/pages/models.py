"""Foundation models: the cards, the page of one, fetching with progress, and taking off the disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from softprompt.api.context import unit_of
from softprompt.api.pages.shared import carry_out, form_of, frame_of, page_answer, text_of
from softprompt.config import Settings
from softprompt.engine import model_disk
from softprompt.studio import foundation_models, model_choice, model_pulls, model_use
from softprompt.studio.access import Unit
from softprompt.studio.model_choice import Wish
from softprompt.ui import components
from softprompt.ui.model_parts import address, pull_shown
from softprompt.ui.pages import model as model_page
from softprompt.ui.pages import models as models_page
from softprompt.ui.pages.models import Purpose

router = APIRouter(include_in_schema=False)


@router.get("/models")
def show_models(
    request: Request,
    search: str = "",
    task: str = "",
    size: str = "",
    licence: str = "",
    tunable: str = "",
    here: str = "",
    freed: str = "",
    purpose: Annotated[str, Query(alias="for")] = "",
) -> Response:
    wish = Wish(
        search=search.strip(), task=task, size=size, licence=licence, tunable=bool(tunable), here=bool(here)
    )  # fmt: skip
    done = f"{components.size(int(freed))} of disk are free again." if freed.isdecimal() else ""
    return _models(request, wish, purpose, done=done)


def _models(
    request: Request, wish: Wish, purpose: str = "", *, problem: str = "", done: str = "", status: int = 200
) -> Response:
    with unit_of(request, write=False) as unit:
        found = foundation_models.all_models(unit.rows)
        shelf = models_page.Shelf(
            found, model_pulls.all_pulls(), model_use.disk(found), model_choice.licences(found)
        )  # fmt: skip
        text = models_page.models(
            frame_of(request, unit), shelf, wish, purpose=_purpose(purpose), problem=problem, done=done
        )
    return page_answer(request, text, status)


def _purpose(word: str) -> Purpose:
    return "lab" if word == "lab" else "tuning" if word == "tuning" else ""


@router.get("/models/pulls")
def follow(request: Request) -> Response:
    """How far each download is; asked by the page's script while one goes on."""
    shown = [pull_shown(pull) for pull in model_pulls.all_pulls().values()]
    return JSONResponse({"items": shown}, headers={"cache-control": "no-store"})


@router.post("/models/add")
async def add(request: Request) -> Response:
    given = text_of(await form_of(request))
    return await carry_out(
        request,
        lambda unit: foundation_models.add(unit, given.get("id", ""), given.get("path", "")),
        then=lambda row: address(row.model_id),
        again=lambda words, status: _models(request, Wish(), problem=words, status=status),
    )


@router.post("/models/forget")
async def forget(request: Request) -> Response:
    return await _order(request, foundation_models.remove, lambda _model, _result: "/models")


@router.post("/models/pull")
async def pull(request: Request) -> Response:
    return await _order(request, model_pulls.start)


@router.post("/models/stop")
async def stop(request: Request) -> Response:
    return await _order(request, model_pulls.stop)


@router.post("/models/remove")
async def remove(request: Request) -> Response:
    return await _order(request, model_use.remove, lambda _model, freed: f"/models?freed={freed}")


@router.get("/models/{model_id:path}")
def show_model(request: Request, model_id: str) -> Response:
    return _model(request, model_id)


async def _order(
    request: Request,
    work: Callable[[Unit, str], Any],
    then: Callable[[str, Any], str] = lambda model, _result: address(model),
) -> Response:
    """What a button of a model does; what is wrong with it stands on the model's page."""
    model = text_of(await form_of(request)).get("model", "")
    return await carry_out(
        request,
        lambda unit: work(unit, model),
        then=lambda result: then(model, result),
        again=lambda words, status: _model(request, model, problem=words, status=status),
    )


def _model(request: Request, model_id: str, *, problem: str = "", status: int = 200) -> Response:
    settings = Settings.from_environment()
    with unit_of(request, write=False) as unit:
        found = foundation_models.find(unit.rows, model_id)
        card = found.card
        here = model_page.Here(
            footprint=model_disk.footprint(found.path, card, settings) if found.path else None,
            left=model_disk.arrived(card, settings) if card and not found.path else 0,
            estimate=model_disk.estimate(card) if card else None,
            free=model_disk.room(settings),
            pullable=card is not None and model_pulls.pullable(card),
            home=str(model_disk.own_folder(card, settings)) if card else "",
        )
        frame, pull, use = frame_of(request, unit), model_pulls.get(found.id, settings), model_use.of(unit, found)
        text = model_page.model(frame, found, here, pull, use, problem=problem)
    return page_answer(request, text, status)
