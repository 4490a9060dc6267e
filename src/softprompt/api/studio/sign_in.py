"""Signing in and out with a browser: name and password, or a link that works once.

The pages use what stands here; the address `/sign-in` is theirs. Keys and tokens are `auth`'s.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.answers import GUARDED, marked, paged
from softprompt.api.auth import COOKIE
from softprompt.api.context import address_of, caller_of, studio_of, unit_of
from softprompt.api.studio.lists import Whole
from softprompt.api.studio.shapes import Body, Cut, new_router, page_of
from softprompt.api.studio.users import Ended, Password, UserShown, hold_as_read, marked_user, show_user, user_mark
from softprompt.errors import Forbidden, Unauthenticated
from softprompt.storage.people import BrowserSession, User
from softprompt.studio import people
from softprompt.studio.access import SYSTEM, Unit, iso
from softprompt.studio.people import SESSION_LIFE, SignedIn
from softprompt.studio.secrets import digest

router = new_router("sign-in")
TRIES = 20
"""Passwords and links a minute from one address."""


class Credentials(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "admin", "password": "correct horse battery"}]})
    name: Annotated[str, Field(min_length=1, max_length=100)]
    password: Annotated[str, Field(min_length=1, max_length=1000)]


class Link(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"link": "the part of the address behind link="}]})
    link: Annotated[str, Field(min_length=1, max_length=200)]


class OwnPassword(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"old": None, "new": "correct horse battery"}]})
    old: Annotated[str | None, Field(max_length=1000, description="Left out if there is none yet.")] = None
    new: Password


class OwnName(Body):
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "kim"}]})
    name: Annotated[str, Field(min_length=1, max_length=100)]


class SessionShown(TypedDict):
    """A browser that is signed in; `current` is the one that asks."""

    created_at: str
    expires_at: str
    current: bool


class SessionPaging(Cut):
    sort: Literal["created_at", "-created_at"] = "-created_at"


SESSIONS: Whole[BrowserSession] = Whole(
    key=lambda row: row.digest, sorts={"created_at": lambda row: row.created_at.timestamp()}
)


class SignedInShown(TypedDict):
    """`csrf` goes into the header X-CSRF-Token of everything that changes something."""

    user: UserShown
    csrf: str


class Me(TypedDict):
    user: UserShown | None
    role: str
    admin: bool
    container_id: str | None
    key_id: str | None
    csrf: str | None


@router.post("/api/sign-in", response_model=SignedInShown)
def sign_in(request: Request, body: Credentials) -> JSONResponse:
    """Sign in with name and password; the answer sets a cookie."""
    slow_down(request)
    with studio_of(request).office.unit(SYSTEM) as unit:
        signed = people.sign_in(unit, body.name, body.password)
        return _welcome(request, signed)


@router.post("/api/sign-in/link", response_model=SignedInShown)
def sign_in_by_link(request: Request, body: Link) -> JSONResponse:
    """Sign in with a link's secret, once; the answer sets a cookie."""
    slow_down(request)
    with studio_of(request).office.unit(SYSTEM) as unit:
        signed = people.follow_link(unit, body.link)
        return _welcome(request, signed)


@router.post("/api/sign-out", status_code=204)
def sign_out(request: Request) -> Response:
    """End the browser's session."""
    cookie = request.cookies.get(COOKIE)
    if cookie:
        with unit_of(request) as unit:
            people.sign_out(unit, cookie)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=request.url.scheme == "https")
    return answer


@router.get("/api/me", response_model=Me)
def me(request: Request) -> JSONResponse:
    """Who you are, and what you may at most."""
    caller = caller_of(request)
    with unit_of(request, write=False) as unit:
        user = unit.rows.get(User, caller.actor.user_id) if caller.actor.user_id else None
        shown = {
            "user": show_user(user) if user else None,
            "role": caller.actor.role,
            "admin": caller.actor.admin,
            "container_id": caller.actor.container_id,
            "key_id": caller.actor.key_id,
            "csrf": caller.csrf,
        }
        return marked(user_mark(user), shown) if user else JSONResponse(shown)


@router.patch("/api/me", response_model=UserShown, openapi_extra=GUARDED)
def rename_oneself(request: Request, body: OwnName) -> JSONResponse:
    """Change your name, with which you sign in."""
    with unit_of(request) as unit:
        user = hold_as_read(request, unit, _oneself(request, unit, "A name"))
        people.rename(unit, user, body.name)
        return marked_user(user)


@router.put("/api/me/password", response_model=SignedInShown)
def set_own_password(request: Request, body: OwnPassword) -> JSONResponse:
    """Change your password; all your sessions end, and this browser gets a new one."""
    with unit_of(request) as unit:
        user = _oneself(request, unit, "A password")
        slow_down(request)
        if user.password_hash is not None:
            people.check_password(unit.rows, user.name, body.old or "")
        people.set_password(unit, user, body.new)
        return _welcome(request, people.sign_in(unit, user.name, body.new))


@router.get("/api/me/sessions", response_model=page_of(SessionShown, "Sessions"))
def list_own_sessions(request: Request, query: Annotated[SessionPaging, Query()]) -> Any:
    """Your browsers that are signed in, the newest first."""
    own = digest(request.cookies.get(COOKIE, ""))
    with unit_of(request, write=False) as unit:
        return paged(request, SESSIONS.page(people.sessions(unit), query), lambda row: _session(row, own))


@router.delete("/api/me/sessions", response_model=Ended)
def end_own_sessions(request: Request) -> Any:
    """Sign yourself out in all other browsers. This one signs out by `POST /api/sign-out`."""
    with unit_of(request) as unit:
        user = _oneself(request, unit, "The list of browsers")
        return {"ended": people.end_sessions(unit, user.id, keep=request.cookies.get(COOKIE, ""))}


def _oneself(request: Request, unit: Unit, what: str) -> User:
    """Whoever sits at the browser: a person can do more than the key that would change them."""
    if caller_of(request).csrf is None:
        raise Forbidden(f"{what} is changed from a browser that is signed in, not with an API key.")
    user = unit.rows.get(User, unit.actor.user_id)
    if user is None:
        raise Unauthenticated
    return user


def _session(row: BrowserSession, own: str) -> SessionShown:
    return {
        "created_at": iso(row.created_at) or "",
        "expires_at": iso(row.expires_at) or "",
        "current": row.digest == own,
    }


def _welcome(request: Request, signed: SignedIn) -> JSONResponse:
    document = {"user": show_user(signed.user), "csrf": signed.csrf}
    answer = JSONResponse(document, headers={"cache-control": "no-store"})
    set_cookie(request, answer, signed)
    return answer


def set_cookie(request: Request, answer: Response, signed: SignedIn) -> None:
    """The browser's session, which no script can read."""
    # Behind a proxy that is trusted the server takes the scheme from its header.
    answer.set_cookie(
        COOKIE,
        signed.secret,
        max_age=int(SESSION_LIFE.total_seconds()),
        httponly=True,
        samesite="lax",
        secure=request.url.scheme == "https",
    )


def slow_down(request: Request) -> None:
    """Count a try to sign in from this address."""
    studio_of(request).limiter.take(f"sign-in {address_of(request)}", TRIES)
