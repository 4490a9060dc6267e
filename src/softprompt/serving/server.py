"""The serving host as a process: four HTTP endpoints on one socket, a secret, a clean end.

    POST /generate   work in; events out, one JSON line each, as they come
    POST /tokenize   a text as a target reads it
    GET  /status     what is loaded and how busy it is
    GET  /metrics    the same for Prometheus

Who breaks the connection gives up the work. Does not know torch; what generates is a `Backend`.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from softprompt import logs
from softprompt.errors import SoftpromptError, Unauthenticated, UsageError
from softprompt.serving.backend import Backend
from softprompt.serving.host import Host, HostSettings
from softprompt.serving.protocol import Event, Failed, Target, dump, parse_work
from softprompt.serving.threads import Launch, MainThread

log = logging.getLogger("softprompt.serving")
STOP_SECONDS = 5.0
"""Time that rows get to come to their end when the host is stopped."""
FILE = "serving.json"
MOST_BYTES = 16 * 2**20


def serve(settings: HostSettings) -> None:
    """Run until SIGTERM or SIGINT."""
    listener = socket.create_server((settings.host, settings.port), backlog=512)
    # Asyncio does this for sockets of its own only; without it each answer waits 40 ms for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    note = settings.data_dir / FILE
    main = MainThread()
    server = _Server(settings, note, listener.getsockname()[1], main.launch)
    try:
        with server.capture_signals():
            main.beside(lambda: server.run(sockets=[listener]), "http")
    finally:
        listener.close()
        note.unlink(missing_ok=True)


def make_app(backend: Backend, secret: str, metrics: Callable[[], bytes]) -> Starlette:
    """The endpoints over any backend."""

    async def tokenize(request: Request) -> Response:
        body = json.loads(await request.body() or b"{}")
        target = Target(**body.get("target", {}))
        tokens = await backend.tokenize(target, str(body.get("text", "")))
        return Response(dump(tokens), media_type="application/json")

    async def status(_: Request) -> Response:
        return JSONResponse(await backend.status())

    async def meters(_: Request) -> Response:
        return Response(metrics(), media_type="text/plain; version=0.0.4")

    routes = [
        Route("/generate", _Generate(backend, secret), methods=["POST"]),
        Route("/tokenize", _guarded(tokenize, secret), methods=["POST"]),
        Route("/status", _guarded(status, secret)),
        Route("/metrics", _guarded(meters, secret)),
    ]
    return Starlette(routes=routes)


class _Generate:
    """`POST /generate`, close to the wire: every event leaves at once, and a lost connection is noticed at once."""

    def __init__(self, backend: Backend, secret: str) -> None:
        self._backend, self._secret = backend, secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            _admit(request, self._secret)
            work = parse_work(await _body(request))
        except SoftpromptError as error:
            await _refusal(error)(scope, receive, send)
            return
        task = asyncio.current_task()
        assert task is not None
        gone = asyncio.ensure_future(_gone(receive))
        gone.add_done_callback(lambda left: None if left.cancelled() else task.cancel())
        try:
            await _send_events(self._backend.generate(work), send)
        except asyncio.CancelledError:
            if not gone.done() or gone.cancelled():
                raise
            task.uncancel()  # only the asker went; the server goes on
        finally:
            gone.cancel()


async def _send_events(events: AsyncIterator[Event], send: Send) -> None:
    """Nothing leaves before the first event: who waits is woken once, and not while the model needs the processors."""
    begun = False
    try:
        async for event in events:
            if isinstance(event, Failed):
                _note(event)
            await _send_event(event, send, first=not begun)
            begun = True
            if event.kind != "piece":
                return
    except OSError:  # the connection broke while we wrote
        return
    except Exception as error:
        if begun:  # the answer breaks off, which tells enough
            raise
        log.exception("a request failed")
        await _send_event(Failed.of(error), send, first=True)
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


async def _send_event(event: Event, send: Send, *, first: bool) -> None:
    line, more = dump(event), event.kind == "piece"
    if first:
        length = [] if more else [(b"content-length", str(len(line)).encode())]
        headers = [(b"content-type", b"application/x-ndjson"), *length]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": line, "more_body": more})


async def _gone(receive: Receive) -> None:
    """Ends when the other side has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            raise UsageError(f"The request has more than {MOST_BYTES // 2**20} MiB.")
        parts.append(part)
    return b"".join(parts)


def _admit(request: Request, secret: str) -> None:
    """Whoever knows the secret also says to which request of a person's all that is logged from here on belongs."""
    given = request.headers.get("authorization", "")
    if not hmac.compare_digest(given.encode(), f"Bearer {secret}".encode()):
        raise Unauthenticated("This serving host wants its secret: Authorization: Bearer SECRET.")
    logs.bind(request_id=request.headers.get(logs.REQUEST_ID))


def _guarded(endpoint: Callable[[Request], Any], secret: str) -> Callable[[Request], Any]:
    async def checked(request: Request) -> Response:
        try:
            _admit(request, secret)
            response: Response = await endpoint(request)
            return response
        except SoftpromptError as error:
            return _refusal(error)
        except (ValueError, TypeError, AttributeError) as error:
            return _refusal(UsageError(f"The request cannot be read: {error}."))

    return checked


def _refusal(error: SoftpromptError) -> Response:
    failed = Failed.of(error)
    _note(failed)
    return Response(dump(failed), status_code=error.status, media_type="application/x-ndjson")


def _note(failed: Failed) -> None:
    """A line for a request that got no answer; those that got one stand in the log of the web."""
    level = logging.WARNING if failed.status >= 500 else logging.INFO
    fields = {"status": failed.status, "code": failed.code}
    log.log(level, "A request failed: %s", failed.message, extra={"fields": fields})


class _Server(uvicorn.Server):
    """Uvicorn that tells where it listens, and lets rows end before it ends."""

    def __init__(self, settings: HostSettings, note: Path, port: int, launch: Launch) -> None:
        self._settings, self._note, self._port, self._launch = settings, note, port, launch
        self._backend: Any = None
        config = uvicorn.Config(
            self._made,
            factory=True,
            log_config=None,  # or its words would go past our log
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_keep_alive=75,  # longer than clients keep theirs: they must never write to one that is closing
            timeout_graceful_shutdown=int(STOP_SECONDS) + 2,
        )
        super().__init__(config)

    def _made(self) -> Starlette:
        if self._settings.vllm is not None:
            from softprompt.serving.vllm import VllmBackend

            self._backend = VllmBackend(self._settings.vllm, self._settings.fetch, key=self._settings.vllm_key)
            return make_app(self._backend, self._settings.secret, lambda: b"")
        self._backend = host = Host(self._settings, launch=self._launch)
        host.preload()
        return make_app(host, self._settings.secret, host.meters.page)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            write_note(self._note, self._settings, self._port)
            log.info("Answers requests at port %d of %s.", self._port, self._settings.host)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        closing = asyncio.ensure_future(self._backend.close())
        await super().shutdown(sockets)
        await closing

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, but the process does not die of the signal afterwards."""
        try:
            before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        except ValueError:  # not in the main thread: somebody else ends us
            before = {}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def write_note(note: Path, settings: HostSettings, port: int) -> None:
    """Tell others on this machine, and nobody else, how to reach the host."""
    content = {"url": f"http://{settings.host}:{port}", "secret": settings.secret, "pid": os.getpid()}
    partial = note.with_name(f".{note.name}.{os.getpid()}")
    note.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file)
    os.replace(partial, note)
