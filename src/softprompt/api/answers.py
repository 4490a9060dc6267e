"""Answers that our own interface and the watsonx wire share: creates that are sent again, ETags. And pages of ours.

Whatever has a revision has it for its ETag. What has none has a mark, made of all that can change about it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from softprompt.api.context import caller_of, studio_of, unit_of
from softprompt.errors import Conflict, NameTaken, ParameterInvalid, UsageError, VersionMismatch
from softprompt.storage.people import Answered
from softprompt.storage.rows import Page
from softprompt.studio.access import Unit
from softprompt.studio.secrets import digest, keyed_digest

REPEATABLE = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "A repeat with the same key and body gets the first answer and makes nothing.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 200},
        }
    ]
}
GUARDED = {
    "parameters": [
        {
            "name": "If-Match",
            "in": "header",
            "required": False,
            "description": "The ETag that was read, or several; 412 if it changed since.",
            "schema": {"type": "string"},
        }
    ]
}
MOST_KEY = 200
_TAG = re.compile(r'(?:W/)?"[^"]*"|[0-9]+')
_TAGS = re.compile(rf"[\s,]*(?:{_TAG.pattern})(?:\s*,[\s,]*(?:{_TAG.pattern}))*[\s,]*")


def created(request: Request, body: Any, make: Callable[[Unit], Mapping[str, Any]], status: int = 201) -> JSONResponse:
    """Make something in one unit of work and answer with it.

    With an `Idempotency-Key` header the answer is stored in the same unit: a repeat with the same body gets it again
    and makes nothing, one with another body is refused.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        with unit_of(request) as unit:
            document = make(unit)
        return _answer(document, status)
    if not 0 < len(key) <= MOST_KEY:
        raise ParameterInvalid(f"Idempotency-Key: {len(key)} characters given; 1 to {MOST_KEY} are allowed.")
    whose = f"{caller_of(request).actor.tenant}\n{request.method} {request.url.path}\n{key}"
    # Keyed, since a password may be in the body.
    body_digest = keyed_digest(json.dumps(body, sort_keys=True, default=str), studio_of(request).secret)
    stored = digest(whose)
    for _ in range(2):
        try:
            with unit_of(request) as unit:
                before = unit.rows.get(Answered, stored)
                if before is not None:
                    return _repeated(before, body_digest)
                document = make(unit)
                answered = Answered(digest=stored, body_digest=body_digest, status=status, body=json.dumps(document))
                unit.rows.add(answered)
            return _answer(document, status)
        except NameTaken:  # the repeat came while the first was at work, or the name is really taken
            with unit_of(request, write=False) as unit:
                if unit.rows.get(Answered, stored) is None:
                    raise
    raise Conflict("A request with this Idempotency-Key is being answered. Try again.")


def refuse_key(request: Request, why: str = "the answer holds a secret that is stored nowhere") -> None:
    """For creates that cannot be sent again: answers to an idempotency key are stored, and a secret must not be."""
    if "idempotency-key" in request.headers:
        raise UsageError(f"Idempotency-Key: not here, since {why}.")


def paged(request: Request, page: Page[Any], show: Callable[[Any], Mapping[str, Any]]) -> dict[str, Any]:
    """A page with the address of the next one, all of the query in it."""
    following = None
    if page.next is not None:
        following = str(request.url.include_query_params(cursor=page.next).replace(scheme="", netloc=""))
    return {"items": [show(row) for row in page.items], "total": page.total, "next": following}


def tagged(row: Any, document: Mapping[str, Any], status: int = 200) -> JSONResponse:
    """A noun with its ETag."""
    return marked(row.revision, document, status)


def marked(mark: object, document: Mapping[str, Any], status: int = 200) -> JSONResponse:
    """The same, of what has no revision."""
    return JSONResponse(dict(document), status, headers={"etag": f'"{mark}"'})


def mark_of(*parts: Any) -> str:
    """A mark that changes with any of these."""
    return digest(json.dumps(parts, sort_keys=True))[:32]


def check_mark(request: Request, mark: str, what: str) -> None:
    """Refuse a change of what was read with another mark."""
    marks = tags_of(request)
    if marks is not None and mark not in marks:
        raise VersionMismatch(f"{what} was changed since you read it. Read it again, then change it.")


def revision_of(request: Request) -> frozenset[int] | None:
    """The revisions in `If-Match`; None if any will do."""
    tags = tags_of(request)
    return None if tags is None else frozenset(int(tag) for tag in tags if re.fullmatch("[1-9][0-9]{0,17}", tag))


def tags_of(request: Request) -> frozenset[str] | None:
    """The ETags in `If-Match`, without their quotes; None if any will do. Weak ones (W/) are never the same as ours."""
    header = ", ".join(request.headers.getlist("if-match")).strip()
    if "if-match" not in request.headers or header == "*":
        return None
    if not _TAGS.fullmatch(header):
        raise ParameterInvalid(f"If-Match: {header[:60]!r} is no list of ETags. Send what the header ETag said.")
    return frozenset(tag.strip('"') for tag in _TAG.findall(header) if not tag.startswith("W/"))


def _repeated(before: Answered, body_digest: str) -> JSONResponse:
    if before.body_digest != body_digest:
        raise Conflict("This Idempotency-Key was used with another body. Use a new key for a new request.")
    answer = _answer(json.loads(before.body), before.status)
    answer.headers["idempotent-replay"] = "true"
    return answer


def _answer(document: Mapping[str, Any], status: int) -> JSONResponse:
    headers = {"etag": f'"{document["revision"]}"'} if "revision" in document else None
    return JSONResponse(dict(document), status, headers=headers)
