"""Assets as IBM's client knows them: datasets as data assets, with attachments; search; deletion of every kind.

A dataset's file comes and goes at addresses of `uploads`. Tuned prompts are deleted here as well, since the client
deletes models as assets, and so is what it takes for the folder of a training run, which is nothing here.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from softprompt.api.answers import REPEATABLE, refuse_key
from softprompt.api.context import studio_of, unit_of
from softprompt.api.watsonx.shared import Body, container, for_mode, home, made, placed, project_of
from softprompt.api.watsonx.uploads import download_path, upload_path
from softprompt.errors import NotFound
from softprompt.storage.rows import Page
from softprompt.storage.tables import Dataset, PromptSession, TunedPrompt, TuningRun
from softprompt.storage.types import new_id
from softprompt.studio import datasets, prompt_sessions, tuned_prompts
from softprompt.studio.access import Unit, iso

router = APIRouter(tags=["watsonx: assets"])
Asset = Dataset | TunedPrompt | PromptSession
TYPES = {Dataset: "data_asset", TunedPrompt: "wml_model", PromptSession: "wx_prompt"}
_NAME = re.compile(r"asset\.name:\s*\"?([^\"]+?)\"?\s*$")


class AssetMetadata(Body):
    name: str
    description: str | None = None
    asset_type: str = "data_asset"
    tags: list[str] | None = None


class NewAsset(Body):
    metadata: AssetMetadata
    entity: dict[str, Any] = {}


class NewAttachment(Body):
    name: str = ""
    mime: str = "application/octet-stream"


class Search(Body):
    query: str = "*:*"
    limit: Annotated[int, Field(ge=1)] = 200
    bookmark: str | None = None
    sort: str | None = None
    include: str | None = None


@router.post("/v2/assets", status_code=201, response_model=dict[str, Any], openapi_extra=REPEATABLE)
def create_asset(request: Request, body: NewAsset) -> JSONResponse:
    """A dataset that waits for its file."""
    about = body.entity.get("data_asset") or {}
    kind = str(about.get("mime_type") or "application/octet-stream") if isinstance(about, dict) else ""

    def make(unit: Unit) -> dict[str, Any]:
        project = project_of(unit, request, what="data assets")
        meta = body.metadata
        dataset = datasets.create(
            unit, project, meta.name, description=meta.description or "", tags=meta.tags, media_type=kind[:100]
        )
        return document(dataset)

    return made(request, body, make)


@router.get("/v2/assets/{asset_id}")
def get_asset(request: Request, asset_id: str) -> dict[str, Any]:
    with unit_of(request, write=False) as unit:
        return document(_find(unit, asset_id))


@router.delete("/v2/assets/{asset_id}", status_code=204)
def delete_asset(request: Request, asset_id: str) -> Response:
    with unit_of(request) as unit:
        run = unit.seen(TuningRun, asset_id, deleted=True)
        if run is not None:
            unit.require(run)
            return Response(status_code=204)
        found = _find(unit, asset_id)
        if isinstance(found, Dataset):
            datasets.delete(unit, found.id)
        elif isinstance(found, TunedPrompt):
            tuned_prompts.delete(unit, found.id)
        else:
            prompt_sessions.delete(unit, found.id)
    return Response(status_code=204)


@router.post("/v2/assets/{asset_id}/attachments", status_code=201)
def create_attachment(request: Request, asset_id: str, body: NewAttachment) -> dict[str, Any]:
    """The address at which the file may be put, once."""
    refuse_key(request)
    with unit_of(request) as unit:
        dataset, secret = datasets.open_upload(
            unit, asset_id, attachment_id=new_id(), file_name=body.name[:300], media_type=body.mime[:100]
        )
        url = for_mode(request, upload_path(dataset, secret))
        return {**_attachment(dataset), "attachment_id": dataset.attachment_id, "url1": url}


@router.get("/v2/assets/{asset_id}/attachments/{attachment_id}")
def get_attachment(request: Request, asset_id: str, attachment_id: str) -> dict[str, Any]:
    """The address at which the file can be had."""
    with unit_of(request, write=False) as unit:
        dataset = _attached(unit, asset_id, attachment_id)
        if dataset.key is None:
            raise NotFound(f"Data asset {dataset.name!r} has no file yet.")
        url = for_mode(request, download_path(studio_of(request), dataset))
        return {**_attachment(dataset), "attachment_id": attachment_id, "url": url}


@router.post("/v2/assets/{asset_id}/attachments/{attachment_id}/complete")
def complete_attachment(request: Request, asset_id: str, attachment_id: str) -> dict[str, Any]:
    with unit_of(request, write=False) as unit:
        dataset = _attached(unit, asset_id, attachment_id)
        if dataset.state == "uploading":
            raise NotFound(f"Data asset {dataset.name!r} has no file yet. Put it to the attachment's url1 first.")
        return {**_attachment(dataset), "attachment_id": attachment_id}


@router.post("/v2/asset_types/{asset_type}/search")
def search(request: Request, asset_type: str, body: Search) -> dict[str, Any]:
    """Assets of a type, the newest first. Types that the studio does not know have none."""
    named = _NAME.search(body.query)
    exact: dict[str, Any] = {"name": named.group(1)} if named else {}
    exact |= {"limit": body.limit, "cursor": body.bookmark}
    with unit_of(request, write=False) as unit:
        container(unit, request)
        page = _page(unit, asset_type, placed(request), exact)
        found: dict[str, Any] = {"results": [document(row) for row in page.items], "total_rows": page.total}
    if page.next is not None:
        found["next"] = {**body.model_dump(exclude_none=True), "bookmark": page.next}
    return found


def _page(unit: Unit, asset_type: str, where: dict[str, str], exact: dict[str, Any]) -> Page[Any]:
    if asset_type == "data_asset" and "project_id" in where:
        return datasets.page(unit, **where, **exact)
    if asset_type == "wx_prompt":
        return prompt_sessions.page(unit, **where, **exact)
    if asset_type == "wml_model":
        return tuned_prompts.page(unit, **where, **exact)
    return Page((), 0, None)


def _find(unit: Unit, asset_id: str) -> Asset:
    kinds: tuple[type[Asset], ...] = (Dataset, TunedPrompt, PromptSession)
    for table in kinds:
        if unit.seen(table, asset_id) is not None:  # else the words would tell strangers which kind it is
            return unit.get(table, asset_id)
    raise NotFound(f"There is no asset {asset_id!r} here.")


def _attached(unit: Unit, asset_id: str, attachment_id: str) -> Dataset:
    dataset = datasets.get(unit, asset_id)
    if dataset.attachment_id != attachment_id:
        raise NotFound(f"Data asset {dataset.name!r} has no attachment {attachment_id!r}.")
    return dataset


def _attachment(dataset: Dataset) -> dict[str, Any]:
    return {
        "id": dataset.attachment_id,
        "asset_type": "data_asset",
        "name": dataset.file_name or dataset.name,
        "mime": dataset.media_type,
        "size": dataset.size,
        "created_at": iso(dataset.created_at),
        "transfer_complete": dataset.state != "uploading",
    }


def document(row: Asset) -> dict[str, Any]:
    """An asset in the client's words."""
    kind, where = TYPES[type(row)], home(row)
    shown: dict[str, Any] = {
        "href": f"/v2/assets/{row.id}?" + "&".join(f"{name}={value}" for name, value in where.items()),
        "metadata": {
            "asset_id": row.id,
            "name": row.name,
            "description": row.description,
            "tags": row.tags,
            "asset_type": kind,
            "origin_country": "us",
            "size": getattr(row, "size", 0),
            "version": 2,
            "created_at": iso(row.created_at),
            "usage": {"last_updated_at": iso(row.updated_at)},
            **where,
        },
        "entity": {kind: {}},
        "attachments": [],
    }
    if isinstance(row, Dataset):
        shown["entity"] = {kind: {"mime_type": row.media_type}}
        if row.attachment_id is not None:
            shown["attachments"] = [_attachment(row)]
    return shown
