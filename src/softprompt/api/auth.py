"""Who asks? API keys, tokens made from them, browser cookies; and whether the route's rule lets them through.

The key may stand behind `Bearer` or `Basic`, bare, as clients of the watsonx wire send it. Tokens are JWTs that carry a
key's or user's id; each request looks both up again, so that a revoked key ends its tokens too.
"""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import replace
from typing import Any

import jwt
from fastapi import Request
from starlette.concurrency import run_in_threadpool

from softprompt.api.context import Caller, Mode, Studio, studio_of
from softprompt.api.errors import is_page
from softprompt.api.policy import Rule, rule
from softprompt.errors import Forbidden, NotFound, Unauthenticated, UsageError
from softprompt.storage.people import ApiKey, User
from softprompt.storage.rows import Rows
from softprompt.studio import people
from softprompt.studio.access import RANKS, SYSTEM, Actor
from softprompt.studio.secrets import KEY_PREFIX

COOKIE = "softprompt_session"
CSRF_HEADER = "x-csrf-token"
TOKEN_SECONDS = 3600
_SAFE = ("GET", "HEAD", "OPTIONS")


async def authorize(request: Request) -> None:
    """A dependency of every route: find the caller, compare with the policy, count the request."""
    studio = studio_of(request)
    needed = rule(request.method, request.scope["route"].path)
    if needed is None:
        raise NotFound(f"{request.method} {request.url.path} stands in no policy.")
    if "\x00" in request.url.path or "%00" in request.url.query:  # no database holds it
        raise UsageError("The address holds a null character (%00). Leave it out.")
    if needed in ("public", "signed_link"):
        return
    admit(request, await run_in_threadpool(_caller, studio, request), needed)


def admit(request: Request, caller: Caller, needed: Rule) -> None:
    """Compare a caller with what the route needs; what a key may at most is known before anything is looked up."""
    actor = caller.actor
    if needed == "studio_admin" and not actor.whole:
        raise Forbidden(f"{actor.name} may not do this: it needs an admin of the whole studio.")
    if needed in RANKS and RANKS[actor.role] < RANKS[needed]:
        raise Forbidden(f"This needs the role {needed}, and the API key of {actor.name} has the role {actor.role}.")
    caller.need = needed if needed in ("viewer", "editor", "admin") else "viewer"
    studio = studio_of(request)
    studio.limiter.take(actor.tenant, studio.settings.limits.requests_per_minute)
    request.state.caller = caller


async def recheck(request: Request) -> None:
    """Whether the caller of a long answer is still who they were: keys are revoked, sessions end."""
    if isinstance(getattr(request.state, "caller", None), Caller) and not request.state.caller.local:
        await run_in_threadpool(_caller, studio_of(request), request)


async def admit_local(request: Request) -> None:
    """In place of `authorize` where the command line asks a studio inside its own process, without any port."""
    needed = rule(request.method, request.scope["route"].path)
    if needed not in (None, "public", "signed_link"):
        admit(request, Caller(SYSTEM, "viewer", local=True), needed)


def _caller(studio: Studio, request: Request) -> Caller:
    credential = bearer(request.headers.get("authorization", ""))
    cookie = request.cookies.get(COOKIE)
    if credential is None and cookie is None:
        raise Unauthenticated
    note = None
    with studio.office.database.read() as session:
        rows = Rows(session)
        if credential is not None:
            caller, note = caller_of_credential(rows, credential, studio.secret)
        else:
            actor, csrf = people.actor_of_session(rows, cookie or "")
            caller = Caller(actor, "viewer", csrf=csrf)
    if caller.csrf is not None and request.method not in _SAFE:
        token = request.headers.get(CSRF_HEADER)
        if token is None and is_page(request.url.path):
            caller.checked = False  # its form carries the token; until that is read, nothing can be written
        else:
            check_csrf(caller.csrf, token or "")
    if note is not None:
        with studio.office.database.write() as session:
            people.note_use(Rows(session), note)
    caller.actor = replace(caller.actor, request_id=getattr(request.state, "request_id", None))
    return caller


def caller_of_credential(rows: Rows, credential: str, secret: str) -> tuple[Caller, str | None]:
    """The caller behind a key or token, and the id of a key whose use should be written down."""
    mode: Mode = "cpd"
    if credential.count(".") == 2 and not credential.startswith(KEY_PREFIX):
        claims = read_token(credential, secret)
        mode = "cloud" if claims.get("mode") == "cloud" else "cpd"
        return Caller(_actor_of_claims(rows, claims), "viewer", mode), None
    actor, key = people.actor_of_key(rows, credential)
    return Caller(actor, "viewer", mode), key.id if people.needs_note(key) else None


def bearer(header: str) -> str | None:
    """The credential of an Authorization header; a pair in base64 gives its password."""
    word, _, rest = header.strip().partition(" ")
    rest = rest.strip()
    if not rest or word.lower() not in ("bearer", "basic"):
        return None
    if word.lower() == "basic" and not rest.startswith(KEY_PREFIX):
        try:
            return base64.b64decode(rest, validate=True).decode().partition(":")[2] or rest
        except ValueError:
            return rest
    return rest


def make_token(secret: str, *, user_id: str, key_id: str | None, mode: Mode) -> tuple[str, int]:
    """A token and the second at which it expires (Unix time)."""
    expires = int(time.time()) + TOKEN_SECONDS
    claims = {"sub": user_id, "key": key_id, "mode": mode, "iat": int(time.time()), "exp": expires}
    return jwt.encode(claims, secret, algorithm="HS256"), expires


def read_token(token: str, secret: str) -> dict[str, Any]:
    try:
        return dict(jwt.decode(token, secret, algorithms=["HS256"], options={"require": ["exp", "sub"]}))
    except jwt.ExpiredSignatureError:
        raise Unauthenticated("The token has expired. Ask for a new one.") from None
    except jwt.InvalidTokenError:
        raise Unauthenticated("The token was not made by this studio. Sign in again.") from None


def check_csrf(expected: str, given: str) -> None:
    if not hmac.compare_digest(expected.encode(), given.encode()):
        raise Forbidden(f"A request with a browser's cookie needs its {CSRF_HEADER} header. Reload the page.")


def _actor_of_claims(rows: Rows, claims: dict[str, Any]) -> Actor:
    key_id = claims.get("key")
    if key_id:
        key = rows.get(ApiKey, key_id)
        if key is None:
            raise Unauthenticated("The API key of this token is gone. Sign in again.")
        return people.actor_of_stored_key(rows, key)
    user = rows.get(User, str(claims["sub"]))
    if user is None or user.disabled_at is not None:
        raise Unauthenticated("The user of this token was disabled.")
    return Actor(user_id=user.id, name=user.name, admin=user.admin)
