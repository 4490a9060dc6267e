"""What a run or an evaluation tells, as pages of JSON or as server-sent events that go on where they broke off.

Any number of web processes tell the same, since all read the database; the followers of one run share the reading
(`api.followers`). A stream begins with the rights of whoever listens, and they are looked at again every few seconds:
losing them ends it.
"""

from __future__ import annotations

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
from softprompt.api.context import studio_of, unit_of
from softprompt.api.followers import Feed, Subject, followers_of, frames
from softprompt.errors import ParameterInvalid, SoftpromptError
from softprompt.jobs import events
from softprompt.jobs.events import Told
from softprompt.jobs.states import OVER
from softprompt.studio.access import iso

PING_EVERY = 15.0
"""Seconds after which rights are looked at again, and of silence after which a comment is sent, so that nobody between
us and the reader hangs up."""
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


TOLD: dict[int | str, dict[str, Any]] = {
    200: {"model": EventsShown, "content": {"text/event-stream": {"schema": {"type": "string"}}}},
    204: {"description": "Everything was told to this reader already (only to a reader that comes back)."},
}


def show_event(event: Told) -> EventShown:
    return {"id": event.id, "at": iso(event.at) or "", "kind": event.kind, "data": event.data}


async def tell(request: Request, table: Subject, key: str, query: EventsQuery) -> Response:
    """Events as the reader wants them: a page of JSON, or a stream if it accepts `text/event-stream`."""
    if "text/event-stream" not in request.headers.get("accept", ""):
        found, last, over = await run_in_threadpool(_read, request, table, key, query.after, query.limit)
        page: EventsShown = {"items": [show_event(event) for event in found], "last": last, "over": over}
        return Response(json.dumps(page), media_type="application/json")
    seen = _last_event_id(request)
    after = query.after if seen is None else seen
    first = await run_in_threadpool(_read, request, table, key, after, MOST)
    if seen is not None and first[2] and not first[0]:
        return Response(status_code=204)  # a browser that reconnects stops at this
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_stream(request, table, key, first), media_type="text/event-stream", headers=headers)


async def _stream(request: Request, table: Subject, key: str, first: Read) -> AsyncIterator[str]:
    found, cursor, over = first
    yield "retry: 1000\n\n" + frames(found)
    try:
        with followers_of(request).joined(studio_of(request).office.database, table, key, cursor) as feed:
            async for chunk in _pieces(request, table, key, feed, cursor, over):
                yield chunk
        yield "event: end\ndata: {}\n\n"
    except SoftpromptError as error:  # the headers are out: the reason can only be told in the stream
        yield f"event: error\ndata: {json.dumps({'code': error.code, 'message': str(error)})}\n\n"


async def _pieces(
    request: Request, table: Subject, key: str, feed: Feed, cursor: int, over: bool
) -> AsyncIterator[str]:
    """What follows behind a cursor, until nothing more will."""
    spoken = checked = time.monotonic()
    while not over:
        if time.monotonic() - checked >= PING_EVERY:
            await recheck(request)
            await run_in_threadpool(_allowed, request, table, key)
            checked = time.monotonic()
        chunk = ""
        if cursor < feed.start:
            found, cursor, over = await run_in_threadpool(_read, request, table, key, cursor, MOST)
            chunk = frames(found)
        elif cursor < feed.last:
            chunk, cursor = feed.since(cursor), feed.last
        elif feed.problem is not None:
            raise feed.problem
        elif feed.over:
            return
        else:
            await feed.news(PING_EVERY - (time.monotonic() - checked))
        if not chunk and cursor == feed.last and time.monotonic() - spoken >= PING_EVERY:
            chunk = ": ping\n\n"
        if chunk:
            spoken = time.monotonic()
            yield chunk


Read = tuple[list[Told], int, bool]
"""Events, the id to go on behind, whether there will never be more."""


def _read(request: Request, table: Subject, key: str, after: int, limit: int) -> Read:
    with unit_of(request, write=False, need="viewer") as unit:
        # The state is read first: what is told afterwards is at most told once more, never left out.
        over = unit.get(table, key).state in OVER
        found = events.told_after(unit.rows, key, after, limit)
    return found, found[-1].id if found else after, over and len(found) < limit


def _allowed(request: Request, table: Subject, key: str) -> None:
    with unit_of(request, write=False, need="viewer") as unit:
        unit.get(table, key)


def _last_event_id(request: Request) -> int | None:
    header = request.headers.get("last-event-id")
    if header is None or not header.strip():
        return None
    if not header.strip().isdecimal() or len(header) > 19 or int(header) > MOST_ID:
        raise ParameterInvalid(f"Last-Event-ID: {header[:40]!r} is not an id that the studio gave out.")
    return int(header)
