"""Who asks? API keys, tokens made from them, browser cookies; and whether the route's rule lets them through.

The key may stand behind `Bearer` or `Basic`, bare, as clients of the watsonx wire send it. Tokens are JWTs that carry a
key's or user's id; each request asks for both again, so that a revoked key or a new password ends its tokens too. What
the database said is used again while it stands there (`remembered`).
"""

from __future__ import annotations

import base64
import hmac
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import jwt
from fastapi import Request

from softprompt.api.context import Caller, Mode, Studio, studio_of
from softprompt.api.errors import is_page
from softprompt.api.policy import Rule, rule
from softprompt.errors import Forbidden, NotFound, Unauthenticated, UsageError
from softprompt.storage.people import ApiKey, User
from softprompt.storage.rows import Rows
from softprompt.studio import people
from softprompt.studio.access import RANKS, SYSTEM, Actor
from softprompt.studio.secrets import KEY_PREFIX, digest

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
    admit(request, await _caller(studio, request), needed)


def admit(request: Request, caller: Caller, needed: Rule) -> None:
    """Compare a caller with what the route needs; what a key may at most is known before anything is looked up."""
    actor = caller.actor
    if needed == "studio_admin" and not actor.whole:
        raise Forbidden(f"This needs an admin of the whole studio, and {actor.standing}.")
    if needed in RANKS and RANKS[actor.role] < RANKS[needed]:
        raise Forbidden(f"This needs the role {needed}, and {actor.standing}.")
    caller.need = needed if needed in ("viewer", "editor", "admin") else "viewer"
    studio = studio_of(request)
    studio.limiter.take(actor.tenant, studio.settings.limits.requests_per_minute)
    request.state.caller = caller


async def recheck(request: Request) -> None:
    """Whether the caller of a long answer is still who they were: keys are revoked, sessions end."""
    if isinstance(getattr(request.state, "caller", None), Caller) and not request.state.caller.local:
        await _caller(studio_of(request), request)


async def admit_local(request: Request) -> None:
    """In place of `authorize` where the command line asks a studio inside its own process, without any port."""
    needed = rule(request.method, request.scope["route"].path)
    if needed not in (None, "public", "signed_link"):
        admit(request, Caller(SYSTEM, "viewer", local=True), needed)


async def _caller(studio: Studio, request: Request) -> Caller:
    credential = bearer(request.headers.get("authorization", ""))
    cookie = request.cookies.get(COOKIE)
    if credential is not None:
        known = await known_by_credential(studio, credential)
    elif cookie is not None:
        known = await studio.remembered.of(("cookie", digest(cookie)), partial(_by_cookie, studio, cookie))
    else:
        raise Unauthenticated
    actor = replace(known.actor, request_id=getattr(request.state, "request_id", None))
    caller = Caller(actor, "viewer", known.mode, csrf=known.csrf)
    if caller.csrf is not None and request.method not in _SAFE:
        token = request.headers.get(CSRF_HEADER)
        if token is None and is_page(request.url.path):
            caller.checked = False  # its form carries the token; until that is read, nothing can be written
        else:
            check_csrf(caller.csrf, token or "")
    return caller


@dataclass(frozen=True, slots=True)
class Known:
    """Who stands behind a key, a token or a cookie."""

    actor: Actor
    mode: Mode = "cpd"
    csrf: str | None = None


async def known_by_credential(studio: Studio, credential: str) -> Known:
    """Whoever a key or token names, as the database says in this moment."""
    return await studio.remembered.of(("credential", digest(credential)), partial(_by_credential, studio, credential))


def _by_credential(studio: Studio, credential: str) -> tuple[Known, datetime]:
    """Also until when: keys and tokens expire, and now and then it is written down that a key was used."""
    database = studio.office.database
    if credential.count(".") == 2 and not credential.startswith(KEY_PREFIX):
        claims = read_token(credential, studio.secret)
        with database.read() as session:
            actor, end = _actor_of_claims(Rows(session), claims)
        return Known(actor, "cloud" if claims.get("mode") == "cloud" else "cpd"), end
    with database.read() as session:
        actor, key = people.actor_of_key(Rows(session), credential)
    if people.needs_note(key):
        with database.write() as session:
            people.note_use(Rows(session), key.id)
    return Known(actor), people.quiet_until(key)


def _by_cookie(studio: Studio, cookie: str) -> tuple[Known, datetime]:
    with studio.office.database.read() as session:
        actor, browser = people.actor_of_session(Rows(session), cookie)
    return Known(actor, csrf=browser.csrf), browser.expires_at


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


def make_token(
    secret: str, *, user_id: str, mode: Mode, key_id: str | None = None, password: str = ""
) -> tuple[str, int]:
    """A token and the second at which it expires (Unix time).

    Args:
        password: mark of the user's password, for tokens without a key: they end when it changes.
    """
    expires = int(time.time()) + TOKEN_SECONDS
    claims = {"sub": user_id, "key": key_id, "mode": mode, "iat": int(time.time()), "exp": expires}
    if key_id is None:
        claims["password"] = password
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


def _actor_of_claims(rows: Rows, claims: dict[str, Any]) -> tuple[Actor, datetime]:
    """And until when, if nobody changes anything."""
    end = datetime.fromtimestamp(claims["exp"], UTC)
    key_id = claims.get("key")
    if key_id:
        key = rows.get(ApiKey, key_id)
        if key is None:
            raise Unauthenticated("The API key of this token is gone. Sign in again.")
        return people.actor_of_stored_key(rows, key), min(end, key.expires_at or end)
    user = rows.get(User, str(claims["sub"]))
    if user is None or user.disabled_at is not None:
        raise Unauthenticated("The user of this token was disabled.")
    mark = people.password_mark(user)
    if not mark or claims.get("password") != mark:
        raise Unauthenticated("The password was changed after this token was made. Sign in again.")
    return Actor(user_id=user.id, name=user.name, admin=user.admin), end
