"""Home, and signing in and out with forms."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from softprompt.api.auth import COOKIE
from softprompt.api.context import studio_of, unit_of
from softprompt.api.pages.shared import form_of, frame_of, go, in_unit, page_answer, static_version, text_of
from softprompt.api.studio.sign_in import set_cookie, slow_down
from softprompt.errors import SoftpromptError
from softprompt.storage.tables import Deployment, TunedPrompt
from softprompt.studio import home as first
from softprompt.studio import model_pulls, people
from softprompt.studio.access import SYSTEM, Unit
from softprompt.ui.pages.home import Begin, Desk
from softprompt.ui.pages.home import home as home_page
from softprompt.ui.pages.sign_in import sign_in as sign_in_page

router = APIRouter(include_in_schema=False)
_YEAR = 365 * 24 * 3600


@router.get("/")
def home(request: Request) -> Response:
    with unit_of(request, write=False) as unit:
        seen = unit.visible()
        counts = {
            "deployments": unit.rows.page(Deployment, containers=seen, limit=1).total,
            "prompts": unit.rows.page(TunedPrompt, containers=seen, limit=1).total,
        }
        pulls = [pull for pull in model_pulls.all_pulls().values() if pull.state == "running"]
        hidden = request.cookies.get(_hidden(unit)) == "hidden"
        desk = Desk(_begin(unit), first.steps_done(unit), hidden, first.recent(unit), counts, *pulls[:1])
        text = home_page(frame_of(request, unit), desk)
    return page_answer(request, text)


def _begin(unit: Unit) -> Begin:
    if first.may_begin(unit):
        return "ready"
    return "not a member" if first.sandbox_taken(unit) else "no sandbox"


def _hidden(unit: Unit) -> str:
    """Name of the cookie that says whether this user put the checklist away."""
    return f"softprompt_checklist_{(unit.actor.user_id or 'nobody')[:8]}"


@router.post("/home/checklist")
async def turn_checklist(request: Request) -> Response:
    given = text_of(await form_of(request))
    answer = go("/#lab-steps" if given.get("show") == "yes" else "/")
    name = await in_unit(request, _hidden, write=False)
    if given.get("show") == "yes":
        answer.delete_cookie(name)
    else:
        answer.set_cookie(name, "hidden", max_age=_YEAR, httponly=True, samesite="lax")
    return answer


@router.post("/home/sandbox")
async def make_sandbox(request: Request) -> Response:
    await form_of(request)
    await in_unit(request, first.make_sandbox)
    return go("/")


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
    given = text_of(await request.form(max_files=0))
    after = _inside(given.get("after", "/"))
    try:
        slow_down(request)
        with studio_of(request).office.unit(SYSTEM) as unit:
            signed = people.sign_in(unit, given.get("name", ""), given.get("password", ""))
    except SoftpromptError as error:
        text = sign_in_page(static_version(), problem=str(error), after=after, name=given.get("name", ""))
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
