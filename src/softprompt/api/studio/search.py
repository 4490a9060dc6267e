"""Search over names, over HTTP."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.context import unit_of
from softprompt.api.studio.shapes import new_router
from softprompt.studio import search as names
from softprompt.studio.access import iso

router = new_router("search")


class SearchQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    q: Annotated[str, Field(min_length=1, max_length=200, description="Text in the name, in any case.")]
    limit: Annotated[int, Field(ge=1, le=50, description="Of each noun.")] = 5


class HitShown(TypedDict):
    noun: str
    id: str
    name: str
    container_id: str | None
    updated_at: str


class Hits(TypedDict):
    items: list[HitShown]


def show_hit(hit: names.Hit) -> HitShown:
    return {
        "noun": hit.noun,
        "id": hit.id,
        "name": hit.name,
        "container_id": hit.container_id,
        "updated_at": iso(hit.updated_at) or "",
    }


@router.get("/api/search", response_model=Hits)
def search(request: Request, query: Annotated[SearchQuery, Query()]) -> Any:
    """Everything that you may see with the text in its name, the newest of each noun first."""
    with unit_of(request, write=False) as unit:
        return {"items": [show_hit(hit) for hit in names.search(unit, query.q, limit=query.limit)]}
