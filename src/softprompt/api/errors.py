"""Errors as answers, in the shape of each wire: ours, OpenAI's, watsonx's. Nothing internal gets out."""

from __future__ import annotations

import logging
import math
from typing import Any
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.datastructures import URL
from starlette.exceptions import HTTPException

from softprompt import logs
from softprompt.api.html import page_answer, static_version
from softprompt.errors import Busy, SoftpromptError, Unauthenticated
from softprompt.ui.layout import Frame
from softprompt.ui.pages.problem import Problem, problem

log = logging.getLogger("softprompt.api")
MORE_INFO = "https://github.com/softprompt/softprompt/blob/main/docs/api.md#errors"
WATSONX = ("/ml/", "/v2/", "/wx/", "/transactional/", "/icp4d-api/", "/identity/", "/projects/", "/uploads/")
PAGES = (
    "/lab",
    "/data",
    "/tuning",
    "/deployments",
    "/spaces",
    "/models",
    "/account",
    "/sign-",
    "/home",
    "/search",
    "/admin",
    "/members",
)
JSON_HINT = 'Send one document such as {"name": "Spring"}, with every name and text in double quotes.'
FIELD_WORDS = {
    "missing": "is missing",
    "extra_forbidden": "is not known here; check the spelling, or leave it out",
    "model_attributes_type": "must be an object, in braces",
    "dict_type": "must be an object, in braces",
}
"""What to say of a field by the kind of mistake, where pydantic's own words speak of its inside."""
OPENAI_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


def install(app: FastAPI) -> None:
    """Every error that leaves a route becomes an answer."""

    @app.exception_handler(SoftpromptError)
    async def known(request: Request, error: SoftpromptError) -> Response:
        return answer(request, error.status, error.code, str(error), _headers(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        places = [_place(item) for item in error.errors() if item["type"] != "json_invalid"]
        field = next(filter(None, places), None)
        return answer(request, 400, "invalid_request", sentence(error), field=field)

    @app.exception_handler(HTTPException)
    async def other(request: Request, error: HTTPException) -> Response:
        if isinstance(error.__cause__, SoftpromptError):  # the limit was passed while the body was being read
            return await known(request, error.__cause__)
        if isinstance(error.__cause__, UnicodeDecodeError):
            where = f"The body is no JSON: it is not UTF-8 (byte {error.__cause__.start + 1})."
            return answer(request, 400, "invalid_request", f"{where} {JSON_HINT}")
        words = {404: f"There is nothing at {request.url.path}.", 405: f"{request.method} is not known here."}
        message = words.get(error.status_code, str(error.detail))
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "invalid_request")
        return answer(request, error.status_code, code, message, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def unknown(request: Request, error: Exception) -> Response:
        log.exception("%s %s failed", request.method, request.url.path)
        message = (
            "Something went wrong inside the studio; its log says what, under the request id. Nothing was changed."
        )
        return answer(request, 500, "internal", message)


def answer(
    request: Request,
    status: int,
    code: str,
    message: str,
    headers: dict[str, str] | None = None,
    *,
    field: str | None = None,
) -> Response:
    """An error in the shape of the wire that the request came by; for people with browsers, a page.

    Args:
        field: the first one that does not fit, for wires that name it beside the message.
    """
    request_id = getattr(request.state, "request_id", "")
    message = message.encode("utf-8", "replace").decode()  # what was sent may hold half a character
    if _for_eyes(request):
        if status == Unauthenticated.status:
            after = quote(_address(request.url)) if request.method == "GET" else "/"
            return RedirectResponse(f"/sign-in?after={after}", 303)
        return _page(request, Problem(status, code, message, request_id, _back(request)), headers or {})
    body = document(wire_of(request.url.path), status, code, message, request_id, field)
    return JSONResponse(body, status, headers={logs.REQUEST_ID: request_id, **(headers or {})})


def wire_of(path: str) -> str:
    if path.startswith("/v1/"):
        return "openai"
    return "watsonx" if path.startswith(WATSONX) else "studio"


def is_page(path: str) -> bool:
    """Whether a person looks at what is there, with a browser."""
    return path == "/" or path.startswith(PAGES)


def _for_eyes(request: Request) -> bool:
    """Whether a browser shows the answer to a person, at an address that is no program's interface."""
    path = request.url.path
    return "text/html" in request.headers.get("accept", "") and not path.startswith(("/api/", "/v1/", *WATSONX))


def _page(request: Request, told: Problem, headers: dict[str, str]) -> Response:
    """What happened, inside the navigation if it is known who asks. Reads nothing: the database may be what is away."""
    caller = getattr(request.state, "caller", None)
    actor = getattr(caller, "actor", None)
    frame = None
    if actor is not None:
        csrf = getattr(caller, "csrf", None) or ""
        frame = Frame(actor.name, request.url.path, "", csrf, static_version(), actor.whole)
    return page_answer(request, problem(frame, static_version(), told), told.status, headers)


def _back(request: Request) -> str:
    """Where somebody can try again: the page itself, or the one whose form was sent."""
    if request.method == "GET":
        return _address(request.url)
    before = URL(request.headers.get("referer", ""))
    return _address(before) if before.netloc == request.url.netloc else ""


def _address(url: URL) -> str:
    return f"{url.path}?{url.query}" if url.query else url.path


def document(
    wire: str, status: int, code: str, message: str, request_id: str, field: str | None = None
) -> dict[str, Any]:
    if wire == "openai":
        kind = OPENAI_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        return {"error": {"message": message, "type": kind, "param": field, "code": code, "request_id": request_id}}
    if wire == "watsonx":
        errors = [{"code": code, "message": message, "more_info": MORE_INFO}]
        return {"trace": request_id, "status_code": status, "errors": errors}
    return {"error": {"code": code, "message": message, "status": status, "request_id": request_id}}


def sentence(error: RequestValidationError) -> str:
    """All fields that do not fit, in one line."""
    told = []
    for item in error.errors():
        if item["type"] == "json_invalid":
            return _no_json(error.body, item)
        seen = item.get("input")
        shown = f" (given: {str(seen)[:60]!r})" if isinstance(seen, str | int | float | bool) else ""
        told.append(f"{_place(item) or 'body'}: {FIELD_WORDS.get(item['type'], item['msg'])}{shown}")
    return "; ".join(told) + "."


def _place(item: dict[str, Any]) -> str:
    """The field that a mistake is about, such as `messages.0.role`; empty for the body as a whole."""
    return ".".join(str(part) for part in item["loc"] if part not in ("body", "query", "path"))


def _no_json(body: Any, item: dict[str, Any]) -> str:
    """Where the text of a body stops to be JSON, and what should stand there."""
    before = str(body)[: item["loc"][-1]]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"The body is no JSON: line {line}, column {column}: {item['ctx']['error']}. {JSON_HINT}"


def _headers(error: SoftpromptError) -> dict[str, str]:
    if isinstance(error, Busy):
        return {"retry-after": str(max(1, math.ceil(error.retry_after)))}
    return {"www-authenticate": "Bearer"} if isinstance(error, Unauthenticated) else {}
