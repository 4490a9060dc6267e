"""Home, and signing in and out with forms."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from softprompt.api.auth import COOKIE
from softprompt.api.context import Caller, studio_of, unit_of
from softprompt.api.pages.shared import form_of, frame_of, go, page_answer, static_version, text_of
from softprompt.api.studio.sign_in import set_cookie, slow_down
from softprompt.errors import SoftpromptError
from softprompt.storage.people import ApiKey
from softprompt.storage.tables import Dataset, Deployment, PromptSession, TuningRun
from softprompt.studio import people
from softprompt.studio.access import SYSTEM, Unit
from softprompt.ui.pages.home import Tick
from softprompt.ui.pages.home import home as home_page
from softprompt.ui.pages.sign_in import sign_in as sign_in_page

router = APIRouter(include_in_schema=False)
HIDDEN = "softprompt_checklist"
_YEAR = 365 * 24 * 3600


@router.get("/")
def home(request: Request) -> Response:
    with unit_of(request, write=False) as unit:
        runs = unit.rows.page(TuningRun, containers=unit.visible(), limit=6).items
        deployments = unit.rows.page(Deployment, containers=unit.visible(), limit=5).items
        hidden = request.cookies.get(HIDDEN) == "hidden"
        text = home_page(frame_of(request, unit), _ticks(unit), runs, deployments, hidden=hidden)
    return page_answer(request, text)


def _ticks(unit: Unit) -> list[Tick]:
    """The lab in seven steps."""
    seen = unit.visible()
    completed = unit.rows.page(TuningRun, containers=seen, state="completed", limit=1).total
    deployed = unit.rows.page(Deployment, containers=seen, limit=1).total
    used = any(key.last_used_at for key in unit.rows.all(ApiKey, user_id=unit.actor.user_id))
    return [
        Tick(
            "Try a prompt in the Prompt Lab",
            "/lab",
            bool(unit.rows.page(PromptSession, containers=seen, limit=1).total),
        ),
        Tick("Load labelled examples", "/data", bool(unit.rows.page(Dataset, containers=seen, limit=1).total)),
        Tick("Start a tuning run", "/tuning/new", bool(unit.rows.page(TuningRun, containers=seen, limit=1).total)),
        Tick("See its loss level off", "/tuning", bool(completed)),
        Tick("Deploy the tuned prompt", "/deployments/new", bool(deployed)),
        Tick("Call it from a program", "/account", bool(used)),
        Tick("Tune a second time and compare", "/tuning", completed > 1),
    ]


@router.post("/home/checklist")
async def hide_checklist(request: Request) -> Response:
    await form_of(request)
    answer = go("/")
    answer.set_cookie(HIDDEN, "hidden", max_age=_YEAR, httponly=True, samesite="lax")
    return answer


@router.get("/sign-in")
def sign_in_form(request: Request, link: str = "", after: str = "/") -> Response:
    """The form; with a one-time link, straight in."""
    if not link:
        return page_answer(request, sign_in_page(static_version(), after=_inside(after)))
    try:
        slow_down(request)
        with studio_of(request).office.unit(SYSTEM) as unit:
            signed = people.follow_link(unit, link)
    except SoftpromptError as error:
        return page_answer(request, sign_in_page(static_version(), problem=str(error)), error.status)
    answer = go("/")
    set_cookie(request, answer, signed)
    return answer


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    # Nobody is signed in yet, so there is no token to compare; a stranger's form can only sign in as the stranger.
    given = text_of(await request.form())
    after = _inside(given.get("after", "/"))
    try:
        slow_down(request)
        with studio_of(request).office.unit(SYSTEM) as unit:
            signed = people.sign_in(unit, given.get("name", ""), given.get("password", ""))
    except SoftpromptError as error:
        text = sign_in_page(static_version(), problem=str(error), after=after)
        return page_answer(request, text, error.status)
    answer = go(after)
    set_cookie(request, answer, signed)
    return answer


@router.post("/sign-out")
async def sign_out(request: Request) -> Response:
    await form_of(request)
    with unit_of(request) as unit:
        people.sign_out(unit, request.cookies.get(COOKIE, ""))
    answer = go("/sign-in")
    answer.delete_cookie(COOKIE)
    return answer


def _inside(path: str) -> str:
    """A path of this studio, never another site's address."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


__all__ = ["Caller", "router"]
