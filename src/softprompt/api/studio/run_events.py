"""What a run or an evaluation tells, as pages of JSON or as server-sent events that go on where they broke off.

The database is asked a few times a second, in a thread, so that any number of web processes tell the same. Everything
is read with the rights of whoever listens: losing them ends the stream.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from typing_extensions import TypedDict

from softprompt.api.auth import recheck
from softprompt.api.context import unit_of
from softprompt.errors import ParameterInvalid, SoftpromptError
from softprompt.jobs import events
from softprompt.jobs.states import OVER
from softprompt.storage.tables import Evaluation, RunEvent, TuningRun
from softprompt.studio.access import iso

LOOK_EVERY = 0.25
"""Seconds between two looks into the database."""
PING_EVERY = 15.0
"""Seconds of silence after which a comment is sent, so that nobody between us and the reader hangs up."""
MOST = 500
MOST_ID = 2**63 - 1


class EventsQuery(BaseModel):
    model_config = ConfigDict(extra="forbid")
    after: Annotated[int, Field(ge=0, le=MOST_ID, description="Id of the last event that was seen.")] = 0
    limit: Annotated[int, Field(ge=1, le=MOST, description="Of a page of JSON.")] = MOST


class EventShown(TypedDict):
    id: int
    at: str
    kind: str
    data: dict[str, Any]


class EventsShown(TypedDict):
    """`last` is the id to go on behind; `over` says whether there will never be more."""

    items: list[EventShown]
    last: int
    over: bool


Subject = type[TuningRun] | type[Evaluation]
TOLD: dict[int | str, dict[str, Any]] = {
    200: {"model": EventsShown, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
    204: {"description": "Everything was told to this reader already (only to a reader that comes back)."},
}


def show_event(row: RunEvent) -> EventShown:
    return {"id": row.id, "at": iso(row.at) or "", "kind": row.kind, "data": row.data}


async def tell(request: Request, table: Subject, key: str, query: EventsQuery) -> Response:
    """Events as the reader wants them: a page of JSON, or a stream if it accepts `text/event-stream`."""
    if "text/event-stream" not in request.headers.get("accept", ""):
        page = await run_in_threadpool(_page, request, table, key, query.after, query.limit)
        return Response(json.dumps(page), media_type="application/json")
    seen = _last_event_id(request)
    after = query.after if seen is None else seen
    first = await run_in_threadpool(_page, request, table, key, after, MOST)
    if seen is not None and first["over"] and not first["items"]:
        return Response(status_code=204)  # a browser that reconnects stops at this
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_stream(request, table, key, first), media_type="text/event-stream", headers=headers)


async def _stream(request: Request, table: Subject, key: str, page: EventsShown) -> AsyncIterator[str]:
    spoken = time.monotonic()
    yield "retry: 1000\n\n"
    try:
        while True:
            for item in page["items"]:
                data = json.dumps(item["data"] | {"at": item["at"]}, ensure_ascii=False)
                yield f"id: {item['id']}\nevent: {item['kind']}\ndata: {data}\n\n"
                spoken = time.monotonic()
            if page["over"]:
                yield "event: end\ndata: {}\n\n"
                return
            if not page["items"]:
                await asyncio.sleep(LOOK_EVERY)
            if time.monotonic() - spoken > PING_EVERY:
                spoken = time.monotonic()
                await recheck(request)
                yield ": ping\n\n"
            page = await run_in_threadpool(_page, request, table, key, page["last"], MOST)
    except SoftpromptError as error:  # the headers are out: the reason can only be told in the stream
        yield f"event: error\ndata: {json.dumps({'code': error.code, 'message': str(error)})}\n\n"


def _page(request: Request, table: Subject, key: str, after: int, limit: int) -> EventsShown:
    with unit_of(request, write=False, need="viewer") as unit:
        # The state is read first: what is told afterwards is at most told once more, never left out.
        over = unit.get(table, key).state in OVER
        found = [show_event(row) for row in events.after(unit.rows, key, after, limit)]
    last = found[-1]["id"] if found else after
    return {"items": found, "last": last, "over": over and len(found) < limit}


def _last_event_id(request: Request) -> int | None:
    header = request.headers.get("last-event-id")
    if header is None or not header.strip():
        return None
    if not header.strip().isdecimal() or len(header) > 19 or int(header) > MOST_ID:
        raise ParameterInvalid(f"Last-Event-ID: {header[:40]!r} is not an id that the studio gave out.")
    return int(header)
