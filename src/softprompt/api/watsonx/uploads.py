"""Files on their way in and out, at addresses that carry their own permission: IBM's client sends no key with them.

A file is written to disk as it comes, examined outside of any unit of work, put into the store, then noted in one. Bad
data is taken in: the client hides what an upload says, so the start of a run refuses it, with every line. What breaks
off is refused.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import jwt
from fastapi import APIRouter, Request
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from softprompt.api.context import Studio, studio_of
from softprompt.api.uploads import UPLOAD_BODY, received
from softprompt.errors import Forbidden, NotFound
from softprompt.storage.tables import Dataset
from softprompt.studio import datasets

router = APIRouter(tags=["watsonx: files"])
_DOWNLOAD = "softprompt-download"
_DOWNLOAD_SECONDS = 900


def upload_path(dataset: Dataset, secret: str) -> str:
    return f"/uploads/{dataset.id}/{dataset.attachment_id}?signature={secret}"


def download_path(studio: Studio, dataset: Dataset) -> str:
    """An address that gives the file for a quarter of an hour."""
    claims = {"aud": _DOWNLOAD, "dataset": dataset.id, "exp": int(time.time()) + _DOWNLOAD_SECONDS}
    signature = jwt.encode(claims, studio.secret, algorithm="HS256")
    return f"/uploads/{dataset.id}/{dataset.attachment_id}?signature={signature}"


@router.put("/uploads/{dataset_id}/{attachment_id}", status_code=201, openapi_extra=UPLOAD_BODY)
async def put_file(request: Request, dataset_id: str, attachment_id: str, signature: str = "") -> dict[str, Any]:
    """Take a file in: raw bytes, or the one file of a form."""
    studio = studio_of(request)
    await run_in_threadpool(_may_put, studio, dataset_id, attachment_id, signature)
    async with received(request, studio.uploads) as got:
        return await run_in_threadpool(_keep, studio, dataset_id, got.path)


@router.get("/uploads/{dataset_id}/{attachment_id}")
def get_file(request: Request, dataset_id: str, attachment_id: str, signature: str = "") -> FileResponse:
    """Give a file out, byte for byte as it came in."""
    studio = studio_of(request)
    try:
        claims = jwt.decode(signature, studio.secret, algorithms=["HS256"], audience=_DOWNLOAD)
    except jwt.InvalidTokenError:
        raise Forbidden("This address is not valid any more. Ask for the attachment again.") from None
    with studio.office.unit(write=False) as unit:
        dataset = unit.rows.get(Dataset, dataset_id)
    if dataset is None or dataset.key is None or claims.get("dataset") != dataset_id:
        raise NotFound("There is no file at this address.")
    name = dataset.file_name or dataset.name
    return FileResponse(studio.office.store.file(dataset.key), media_type=dataset.media_type, filename=name)


def _may_put(studio: Studio, dataset_id: str, attachment_id: str, secret: str) -> None:
    with studio.office.unit(write=False) as unit:
        dataset = datasets.uploading(unit, dataset_id, secret)
        if dataset.attachment_id != attachment_id:
            raise Forbidden("This upload address is not valid. Ask for a new attachment.")


def _keep(studio: Studio, dataset_id: str, path: Path) -> dict[str, Any]:
    found = datasets.examine(path, most_rows=studio.office.limits.rows)
    datasets.keep(studio.office.store, found)
    with studio.office.unit() as unit:
        dataset = datasets.receive(unit, dataset_id, found)
        return {"asset_id": dataset.id, "attachment_id": dataset.attachment_id, "size": dataset.size}
