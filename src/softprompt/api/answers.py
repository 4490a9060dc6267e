"""Answers that all routes of our own interface share: created things with idempotency keys, pages, ETags."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import Request
from fastapi.responses import JSONResponse

from softprompt.api.context import caller_of, unit_of
from softprompt.errors import Conflict, NameTaken, ParameterInvalid
from softprompt.storage.people import Answered
from softprompt.storage.rows import Page
from softprompt.studio.access import Unit

MOST_KEY = 200


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
    digest, body_digest = _sha256(whose), _sha256(json.dumps(body, sort_keys=True, default=str))
    for _ in range(2):
        try:
            with unit_of(request) as unit:
                before = unit.rows.get(Answered, digest)
                if before is not None:
                    return _repeated(before, body_digest)
                document = make(unit)
                answered = Answered(digest=digest, body_digest=body_digest, status=status, body=json.dumps(document))
                unit.rows.add(answered)
            return _answer(document, status)
        except NameTaken:  # the repeat came while the first was at work, or the name is really taken
            with unit_of(request, write=False) as unit:
                if unit.rows.get(Answered, digest) is None:
                    raise
    raise Conflict("A request with this Idempotency-Key is being answered. Try again.")


def paged(request: Request, page: Page[Any], show: Callable[[Any], Mapping[str, Any]]) -> dict[str, Any]:
    """A page with the address of the next one, all of the query in it."""
    following = None
    if page.next is not None:
        following = str(request.url.include_query_params(cursor=page.next).replace(scheme="", netloc=""))
    return {"items": [show(row) for row in page.items], "total": page.total, "next": following}


def tagged(row: Any, document: Mapping[str, Any], status: int = 200) -> JSONResponse:
    """A noun with its ETag."""
    return JSONResponse(dict(document), status, headers={"etag": f'"{row.revision}"'})


def revision_of(request: Request) -> int | None:
    """The revision in `If-Match`; None if any will do."""
    header = request.headers.get("if-match")
    if header is None or header.strip() == "*":
        return None
    try:
        return int(header.strip().removeprefix("W/").strip('"'))
    except ValueError:
        raise ParameterInvalid(f"If-Match: {header!r} is not an ETag that the studio gave out.") from None


def _repeated(before: Answered, body_digest: str) -> JSONResponse:
    if before.body_digest != body_digest:
        raise Conflict("This Idempotency-Key was used with another body. Use a new key for a new request.")
    answer = _answer(json.loads(before.body), before.status)
    answer.headers["idempotent-replay"] = "true"
    return answer


def _answer(document: Mapping[str, Any], status: int) -> JSONResponse:
    headers = {"etag": f'"{document["revision"]}"'} if "revision" in document else None
    return JSONResponse(dict(document), status, headers=headers)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
