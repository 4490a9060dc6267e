"""Around every request: an id, a limit on the body, a line in the log, a count in the metrics. Streams pass.

Where programs ask, HEAD is answered as GET is, without the body.
"""

from __future__ import annotations

import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from softprompt import logs
from softprompt.api import metrics
from softprompt.api.errors import answer
from softprompt.errors import TooLarge

log = logging.getLogger("softprompt.requests")
_ID = re.compile(r"^[A-Za-z0-9._-]{1,64}$")
HEADED = ("/api/", "/healthz", "/readyz", "/metrics")
SECURITY = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "x-frame-options": "DENY",
}


class Around:
    """The one middleware.

    Args:
        body_bytes: the most a request may carry that is no upload.
        upload_bytes: the same for uploads.
    """

    def __init__(self, app: ASGIApp, body_bytes: int, upload_bytes: int) -> None:
        self._app, self._body, self._upload = app, body_bytes, upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method = scope["method"]
        if method == "HEAD" and scope["path"].startswith(HEADED):
            scope, send = {**scope, "method": "GET"}, _without_body(send)
        headers = Headers(scope=scope)
        given = headers.get(logs.REQUEST_ID, "")
        request_id = given if _ID.match(given) else uuid.uuid4().hex
        logs.bind(request_id=request_id)
        scope.setdefault("state", {})["request_id"] = request_id
        limit = self._upload if _is_upload(scope) else self._body
        began, status, started = time.perf_counter(), 500, False

        async def tell(message: Message) -> None:
            nonlocal status, started
            if message["type"] == "http.response.start":
                status, started = message["status"], True
                out = MutableHeaders(scope=message)
                out[logs.REQUEST_ID] = request_id
                for name, value in SECURITY.items():
                    out.setdefault(name, value)
            await send(message)

        try:
            declared = int(headers.get("content-length") or 0)
            if declared > limit:
                raise TooLarge(_too_large(declared, limit))
            await self._app(scope, _limited(receive, limit), tell)
        except TooLarge as error:
            if not started:
                told = answer(Request(scope), error.status, error.code, str(error))
                await told(scope, receive, tell)
        finally:
            route = scope.get("route")
            path = getattr(route, "path", "unknown")
            seconds = time.perf_counter() - began
            metrics.count(method, path, status, seconds)
            fields = _fields(scope, method, status, seconds)
            log.info("%s %s %s", method, scope["path"], status, extra={"fields": fields})


def _without_body(send: Send) -> Send:
    """The answer is over with its headers; what comes behind them goes nowhere."""

    async def tell(message: Message) -> None:
        if message["type"] == "http.response.start":
            await send(message)
            await send({"type": "http.response.body"})

    return tell


def _fields(scope: Scope, method: str, status: int, seconds: float) -> dict[str, Any]:
    caller = scope.get("state", {}).get("caller")
    return {
        "method": method,
        "path": scope["path"],
        "status": status,
        "ms": round(seconds * 1000, 1),
        "user": getattr(getattr(caller, "actor", None), "name", None),
    }


def _limited(receive: Receive, limit: int) -> Receive:
    seen = 0

    async def take() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise TooLarge(_too_large(seen, limit))
        return message

    return take


def _too_large(size: int, limit: int) -> str:
    return f"The request carries {size:,} bytes; at most {limit:,} are allowed here."


def _is_upload(scope: Scope) -> bool:
    path = scope["path"]
    return scope["method"] in ("PUT", "POST") and (
        path == "/data" or path.startswith(("/uploads/", "/data/uploads", "/api/datasets", "/api/prompts/import"))
    )
