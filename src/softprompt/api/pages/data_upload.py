"""Uploads in pieces, from pages with scripts: streamed to disk, and gone on with where a connection broke off.

A file lies under the id of whoever sends it until its last piece is there; then it is checked and stored.
"""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from softprompt.api.context import caller_of, studio_of
from softprompt.api.pages.data_store import stored
from softprompt.api.pages.shared import in_unit, project_of
from softprompt.errors import Conflict, DatasetUnreadable, Forbidden, NotFound, SoftpromptError, TooLarge
from softprompt.studio.datasets_index import digest

router = APIRouter(include_in_schema=False)
_TOKEN = re.compile(r"[0-9a-f]{32}")
_GATHERED = 2**20


@router.post("/data/uploads")
async def begin(request: Request, size: int) -> Response:
    """A place for a file of that many bytes."""
    most = studio_of(request).settings.limits.upload_bytes
    if size > most:
        raise TooLarge(f"The file has {size:,} bytes; at most {most:,} are allowed here.")
    await in_unit(request, lambda unit: unit.require(project_of(unit)), write=False)
    token = uuid.uuid4().hex
    (await run_in_threadpool(_path, request, token, new=True)).touch(exist_ok=False)
    return JSONResponse({"token": token, "at": 0}, 201)


@router.get("/data/uploads/{token}")
def how_far(request: Request, token: str) -> Response:
    """Bytes that have arrived."""
    return JSONResponse({"token": token, "at": _path(request, token).stat().st_size})


@router.put("/data/uploads/{token}")
async def piece(request: Request, token: str, at: int) -> Response:
    """The bytes from `at` on. What came before a connection broke off stays."""
    _checked(request)
    path = _path(request, token)
    here, most = path.stat().st_size, studio_of(request).settings.limits.upload_bytes
    if here != at:
        raise Conflict(f"at: {at:,} bytes were expected here, {here:,} have arrived. Go on from there.")
    waiting = bytearray()
    with path.open("ab") as file:
        try:
            async for chunk in request.stream():
                waiting += chunk
                here += len(chunk)
                if here > most:
                    raise TooLarge(f"The file has more than {most:,} bytes, which is what is allowed here.")
                if len(waiting) >= _GATHERED:
                    await run_in_threadpool(file.write, bytes(waiting))
                    waiting.clear()
        except ClientDisconnect:
            return Response(status_code=204)
        finally:
            file.write(waiting)
    return JSONResponse({"token": token, "at": here})


@router.post("/data/uploads/{token}")
async def finish(request: Request, token: str, size: int, name: str = "", file_name: str = "") -> Response:
    """The last piece is there: check the file and store it."""
    _checked(request)
    path = _path(request, token)
    here = path.stat().st_size
    if here != size:
        raise Conflict(f"size: {size:,} bytes were announced, {here:,} have arrived. Send the rest.")
    shown = Path(file_name.replace("\\", "/")).name[:300]

    def work() -> dict[str, Any]:
        try:
            if not here:
                raise DatasetUnreadable('The file is empty. Put rows such as {"input": "…", "output": "…"} into it.')
            found = stored(request, path, name.strip() or Path(shown).stem or "Pasted rows", shown)
        except SoftpromptError as error:
            if error.status < 500:  # else a second try may succeed
                path.unlink(missing_ok=True)
            raise
        path.unlink(missing_ok=True)
        return {"id": found.id, "href": f"/data/{found.id}", "state": found.state}

    return JSONResponse(await run_in_threadpool(work), 201)


@router.delete("/data/uploads/{token}")
def cancel(request: Request, token: str) -> Response:
    _checked(request)
    _path(request, token).unlink(missing_ok=True)
    return Response(status_code=204)


def _path(request: Request, token: str, *, new: bool = False) -> Path:
    """Where a file of this person lies while it comes in."""
    if not _TOKEN.fullmatch(token):
        raise NotFound(f"There is no upload {token[:40]!r}.")
    path = studio_of(request).uploads / f"{digest(caller_of(request).actor.tenant):016x}-{token}.part"
    if not new and not path.exists():
        raise NotFound("This upload is not here any more. Start it again.")
    return path


def _checked(request: Request) -> None:
    """Pieces write no rows, so no unit of work looks for the page's token."""
    if not caller_of(request).checked:
        raise Forbidden("A request with a browser's cookie needs its x-csrf-token header. Load the page again.")
