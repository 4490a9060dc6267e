"""What is known of a deployment over HTTP: how often it was asked, how long that took, what happened to it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query, Request
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from softprompt.api.answers import paged
from softprompt.api.context import studio_of, unit_of
from softprompt.api.studio.lists import Whole
from softprompt.api.studio.shapes import Cut, new_router
from softprompt.studio import deployment_history, deployments, usage
from softprompt.studio.access import iso
from softprompt.studio.deployment_history import Earlier, Happened
from softprompt.studio.usage import Stretch

router = new_router("deployments")


class UsageQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    span: Annotated[
        Literal["hour", "day", "week", "month"],
        Field(description="Up to now, in points of 1 minute, 30 minutes, 3 hours and 12 hours."),
    ] = "day"


class StretchShown(TypedDict):
    """From `at` on. `p50` and `p95` are seconds until the answer, of answered requests; null if there were none."""

    at: str
    requests: int
    errors: int
    input_tokens: int
    virtual_tokens: int
    generated_tokens: int
    p50: float | None
    p95: float | None


class UsageShown(TypedDict):
    span: str
    step_seconds: int
    whole: StretchShown
    points: list[StretchShown]


class HappenedShown(TypedDict):
    at: str
    user: str
    action: str
    data: dict[str, Any]
    request_id: str | None


class EarlierShown(TypedDict):
    """`there` is false if the tuned prompt is gone."""

    id: str
    name: str
    until: str
    there: bool


class HistoryPaging(Cut):
    sort: Literal["at", "-at"] = "-at"


HISTORY: Whole[Happened] = Whole(key=lambda found: str(found.id), sorts={"at": lambda found: found.id})


class HistoryShown(TypedDict):
    """What was done, the newest first, and the tuned prompts that answered before: `PATCH` with one goes back to it."""

    items: list[HappenedShown]
    total: int
    next: str | None
    earlier_prompts: list[EarlierShown]


def show_stretch(found: Stretch) -> StretchShown:
    return {
        "at": iso(found.at) or "",
        "requests": found.requests,
        "errors": found.errors,
        "input_tokens": found.input_tokens,
        "virtual_tokens": found.virtual_tokens,
        "generated_tokens": found.generated_tokens,
        "p50": found.p50,
        "p95": found.p95,
    }


def show_happened(found: Happened) -> HappenedShown:
    return {
        "at": iso(found.at) or "",
        "user": found.who,
        "action": found.action,
        "data": dict(found.data),
        "request_id": found.request_id,
    }


def show_earlier(found: Earlier) -> EarlierShown:
    there = found.prompt is not None
    return {"id": found.id, "name": found.name, "until": iso(found.until) or "", "there": there}


@router.get("/api/deployments/{deployment_id}/usage", response_model=UsageShown)
def deployment_usage(request: Request, deployment_id: str, query: Annotated[UsageQuery, Query()]) -> Any:
    """Requests, errors, tokens and latencies, as a whole and as a curve."""
    studio_of(request).usage.flush_if_possible()  # what this process still has in memory counts too
    with unit_of(request, write=False) as unit:
        found = usage.of(unit, deployments.find(unit, deployment_id).id, usage.span_of(query.span))
    return {
        "span": found.span.name,
        "step_seconds": round(found.span.step.total_seconds()),
        "whole": show_stretch(found.whole),
        "points": [show_stretch(point) for point in found.points],
    }


@router.get("/api/deployments/{deployment_id}/history", response_model=HistoryShown)
def deployment_history_of(request: Request, deployment_id: str, query: Annotated[HistoryPaging, Query()]) -> Any:
    """What was done to it and by whom: swaps and the way back, promotions, changes."""
    with unit_of(request, write=False) as unit:
        row = deployments.find(unit, deployment_id)
        page = HISTORY.page(deployment_history.of(unit, row.id), query)
        earlier = [show_earlier(each) for each in deployment_history.earlier_prompts(unit, row)]
    return {**paged(request, page, show_happened), "earlier_prompts": earlier}
