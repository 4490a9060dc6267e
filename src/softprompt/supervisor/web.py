"""A web process: the application behind two servers in one loop, plain HTTP and TLS, on sockets it is given."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import uvicorn

from softprompt.config import StudioSettings
from softprompt.supervisor.lifeline import Lifeline

if TYPE_CHECKING:
    from fastapi import FastAPI

    from softprompt.serving.backend import Backend

log = logging.getLogger("softprompt.web")
PATIENCE = 8
"""Seconds that requests have to end when the process is told to stop; below those after which it is killed."""
TOLD_EVERY = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Listeners:
    """Where to listen.

    Attributes:
        tls: with `cert` and `key`; None: no TLS.
    """

    plain: socket.socket | None
    tls: socket.socket | None = None
    cert: Path | None = None
    key: Path | None = None


def serve(
    settings: StudioSettings,
    listeners: Listeners,
    *,
    trust_proxy: bool = False,
    lifeline: Lifeline | None = None,
    backend: Backend | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; requests at hand are answered first."""
    from softprompt.app import create_app
    from softprompt.supervisor.doctor import examine

    app = create_app(settings, backend)
    app.state.studio.examine = lambda: examine(settings, *_ports(listeners))
    gc.collect()
    gc.freeze()  # what is there from the start is never looked through again: that would take tens of ms of a request
    asyncio.run(_serve(app, listeners, trust_proxy, lifeline))


def _ports(listeners: Listeners) -> tuple[int, int]:
    """Of plain HTTP and TLS; 0 where nobody listens."""
    plain, tls = (each.getsockname()[1] if each is not None else 0 for each in (listeners.plain, listeners.tls))
    return plain, tls


class _Server(uvicorn.Server):
    """One of several in a loop: signals are ours."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(app: FastAPI, listeners: Listeners, trust_proxy: bool, lifeline: Lifeline | None) -> None:
    common: dict[str, Any] = {
        "lifespan": "off",  # it begins and ends once, around both servers
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "timeout_keep_alive": 75,  # longer than clients keep theirs: they must never write to one that is closing
        "timeout_graceful_shutdown": PATIENCE,
        "proxy_headers": trust_proxy,
        "forwarded_allow_ips": "*" if trust_proxy else None,
    }
    pairs = []
    if listeners.plain is not None:
        pairs.append((_Server(uvicorn.Config(app, **common)), listeners.plain))
    if listeners.tls is not None:
        config = uvicorn.Config(app, ssl_certfile=listeners.cert, ssl_keyfile=listeners.key, **common)
        pairs.append((_Server(config), listeners.tls))
    servers = [server for server, _ in pairs]
    loop = asyncio.get_running_loop()

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    async with app.router.lifespan_context(app):
        telling = asyncio.create_task(_tell(servers, lifeline))
        try:
            await asyncio.gather(*(server.serve(sockets=[listening]) for server, listening in pairs))
        finally:
            telling.cancel()


async def _tell(servers: list[_Server], lifeline: Lifeline | None) -> None:
    """Tell the parent when all servers listen, and then what was answered."""
    while not all(server.started for server in servers):
        await asyncio.sleep(0.01)
    log.info("Answers requests.")
    if lifeline is None:
        return
    lifeline.tell(ready=True)
    told = None
    while True:
        counts = _counts()
        if counts != told:
            lifeline.tell(**counts)
            told = counts
        await asyncio.sleep(TOLD_EVERY)


def _counts() -> dict[str, int]:
    from softprompt.api.metrics import REGISTRY

    requests = errors = 0.0
    for metric in REGISTRY.collect():
        if metric.name == "softprompt_requests":
            for sample in metric.samples:
                if sample.name.endswith("_total"):
                    requests += sample.value
                    errors += sample.value if sample.labels["status"].startswith("5") else 0
    return {"requests": int(requests), "errors": int(errors)}
