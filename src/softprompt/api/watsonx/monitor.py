"""A run watched through a web socket: IBM's `monitor_metrics` and `monitor_logs`.

The policy's table is of HTTP; here the same credentials are looked up and the same roles compared.
"""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from softprompt.api.auth import bearer, known_by_credential
from softprompt.api.context import Studio
from softprompt.api.watsonx import trainings_view
from softprompt.errors import SoftpromptError, Unauthenticated
from softprompt.jobs import events
from softprompt.jobs.states import OVER
from softprompt.studio import runs
from softprompt.studio.access import Actor

router = APIRouter()
INTERVAL = 0.25
"""Seconds between two looks at the run."""
_REFUSED = 1008


async def watch(socket: WebSocket) -> None:
    """Every event of the run so far, then what follows, until it is over."""
    studio: Studio = socket.app.state.studio
    run_id = socket.path_params["training_id"]
    try:
        actor = await _actor(studio, socket.headers.get("authorization", ""))
        last, told, over = await run_in_threadpool(_news, studio, actor, run_id, 0)
    except SoftpromptError as error:
        await socket.close(_REFUSED, str(error)[:120])
        return
    await socket.accept()
    try:
        while True:
            for frame in told:
                await socket.send_json(frame)
            if over and not told:
                await socket.close()
                return
            await asyncio.sleep(0 if over else INTERVAL)
            last, told, over = await run_in_threadpool(_news, studio, actor, run_id, last)
    except (WebSocketDisconnect, RuntimeError):
        return  # the client has gone
    except SoftpromptError as error:
        await socket.close(_REFUSED, str(error)[:120])


async def _actor(studio: Studio, header: str) -> Actor:
    credential = bearer(header)
    if credential is None:
        raise Unauthenticated
    return (await known_by_credential(studio, credential)).actor


def _news(studio: Studio, actor: Actor, run_id: str, last: int) -> tuple[int, list[dict[str, Any]], bool]:
    """Frames since an event, the newest event, and whether nothing follows any more."""
    with studio.office.unit(actor, "viewer", write=False) as unit:
        run = runs.get(unit, run_id)
        found = events.after(unit.rows, run.id, last)
        began = run.started_at or run.created_at
        frames = [frame for event in found if (frame := trainings_view.event_status(event, began))]
        # With events found, there is another look: some may have been told after these.
        return (found[-1].id if found else last), frames, run.state in OVER and not found


router.add_websocket_route("/ml/v4/trainings/{training_id}", watch)
