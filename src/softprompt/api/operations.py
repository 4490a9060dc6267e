"""For those who run the studio: is it alive, is it ready, what does it count."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from softprompt import __version__
from softprompt.api import metrics
from softprompt.api.context import Studio, studio_of
from softprompt.errors import SoftpromptError
from softprompt.storage.rows import Rows

router = APIRouter(tags=["operations"])


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """This process answers."""
    return {"status": "ok", "version": __version__}


@router.get("/readyz")
def readyz(request: Request) -> JSONResponse:
    """Database and file store answer, and the tables are those of this version."""
    studio = studio_of(request)
    parts: dict[str, Any] = {}
    try:
        here, wanted = studio.office.database.revision(), studio.office.database.newest_revision()
        parts["database"] = "ok" if here == wanted else f"tables at {here}, this version needs {wanted}"
    except SoftpromptError as error:
        parts["database"] = str(error)
    try:
        studio.office.store.probe()
        parts["storage"] = "ok"
    except (SoftpromptError, OSError) as error:  # this machine's cache may be what is broken
        parts["storage"] = str(error)
    ready = all(state == "ok" for state in parts.values())
    return JSONResponse({"ready": ready, **parts}, 200 if ready else 503)


@router.get("/api/openapi.json", include_in_schema=False)
def openapi(request: Request) -> JSONResponse:
    """The description of all interfaces, made when it is first wanted."""
    return JSONResponse(request.app.openapi())


@router.get("/metrics")
async def prometheus(request: Request) -> Response:
    """Numbers of the web, the queue and the serving host."""
    studio = studio_of(request)
    body = await run_in_threadpool(_own_numbers, studio)
    ask = getattr(studio.backend, "metrics", None)
    if ask is not None:
        body += (await ask()).encode()
    return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")


def _own_numbers(studio: Studio) -> bytes:
    with studio.office.database.read() as session:
        return metrics.text(Rows(session))
