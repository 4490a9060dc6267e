"""Who is it, as IBM's client asks: the version of the service, and tokens for keys and passwords in its two modes.

The client keeps the token's "exp" in mind and asks anew before. What a token may do stands with its key or user.
"""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool

from softprompt.api.auth import make_token
from softprompt.api.context import Mode, Studio, address_of, studio_of
from softprompt.api.watsonx.shared import Body
from softprompt.errors import Forbidden, Unauthenticated, UsageError
from softprompt.studio import people

router = APIRouter(tags=["watsonx: sign in"])
VERSION = "5.1.3"
"""From 5.2 on the client calls prompt tuning deprecated."""
GRANT = "urn:ibm:params:oauth:grant-type:apikey"
_FOR_ONE_NAME = 30
"""Passwords a minute."""
_FROM_ONE_ADDRESS = 120
"""The same for whatever names. A whole team may sit behind one address; but a hash is slow on purpose."""


class SignIn(Body):
    """A user with a key or a password."""

    username: str
    api_key: str | None = None
    password: str | None = None


@router.get("/ml/wml_services/v2/version")
def version() -> dict[str, str]:
    """The first thing that the client asks in its Cloud Pak modes."""
    return {"version": VERSION, "name": "softprompt"}


@router.post("/icp4d-api/v1/authorize")
def authorize(request: Request, body: SignIn) -> dict[str, str]:
    """A token for a user with API key or password."""
    studio = studio_of(request)
    key_id, password = None, ""
    if body.api_key:
        user_id, key_id = _user_of_key(studio, body.api_key, body.username)
    elif body.password:
        # A guess takes as long as a hit, and nobody gets more than a few a minute.
        studio.limiter.take(f"passwords from {address_of(request)}", _FROM_ONE_ADDRESS)
        studio.limiter.take(f"password of {body.username}", _FOR_ONE_NAME)
        user_id, password = _user_of_password(studio, body.username, body.password)
    else:
        raise UsageError("api_key or password: neither is given. Credentials(url=…, username=…, api_key=…) sends one.")
    token, _ = make_token(studio.secret, user_id=user_id, mode="cpd", key_id=key_id, password=password)
    return {"token": token, "_messageCode_": "success", "message": "success"}


@router.post("/identity/token")
async def identity_token(request: Request) -> dict[str, Any]:
    """A token for an API key, as IBM's cloud gives them; the body is a form."""
    fields = parse_qs((await request.body()).decode("utf-8", "replace"))
    grant, key = fields.get("grant_type", [""])[0], fields.get("apikey", [""])[0]
    if grant != GRANT or not key:
        raise UsageError(f'The form needs "apikey" and "grant_type" {GRANT}; given is the grant_type {grant[:80]!r}.')
    return await run_in_threadpool(_cloud_token, studio_of(request), key)


def _cloud_token(studio: Studio, key: str) -> dict[str, Any]:
    mode: Mode = "cloud"
    user_id, key_id = _user_of_key(studio, key, None)
    token, expires = make_token(studio.secret, user_id=user_id, key_id=key_id, mode=mode)
    return {
        "access_token": token,
        "refresh_token": "not_supported",
        "token_type": "Bearer",
        "expires_in": expires - int(time.time()),
        "expiration": expires,
        "scope": "ibm openid",
    }


def _user_of_key(studio: Studio, secret: str, name: str | None) -> tuple[str, str]:
    """User and key behind a secret. A refusal is a 403: the client would repeat a 401 three times."""
    try:
        with studio.office.unit(write=False) as unit:
            actor, key = people.actor_of_key(unit.rows, secret)
    except Unauthenticated as error:
        raise Forbidden(str(error)) from None
    if name is not None and name.casefold() != actor.name.casefold():
        raise Forbidden(f"username: this API key is not one of {name!r}. Use the name of the user who made it.")
    return key.user_id, key.id


def _user_of_password(studio: Studio, name: str, password: str) -> tuple[str, str]:
    """User behind a name with its password, and the mark of that password."""
    try:
        with studio.office.unit(write=False) as unit:
            user = people.check_password(unit.rows, name, password)
            return user.id, people.password_mark(user)
    except Unauthenticated as error:
        raise Forbidden(str(error)) from None
