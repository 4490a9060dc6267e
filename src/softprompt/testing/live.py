"""A studio on a real port, in a thread of this process, for tests with real clients.

`EchoBackend` answers by rule instead of by model: quick, and every answer is known beforehand.
"""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from softprompt.config import StudioSettings
from softprompt.params import GenerateConfig
from softprompt.serving.protocol import Done, Event, Failed, Piece, Target, TokenDetail, Tokens, Work
from softprompt.studio.access import SYSTEM, Actor, Office

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.routing import BaseRoute

    from softprompt.serving.backend import Backend
    from softprompt.storage.tables import Project
    from softprompt.studio.access import Role

PATIENCE = 20.0
"""Seconds after which waiting for something becomes an error."""


class EchoBackend:
    """Answers with the words of the input, one a token, in capitals behind a tuned prompt.

    Inputs that begin with an exclamation mark do something else: `!busy`, `!late-busy` (after the first piece),
    `!hang` (until canceled) and `!label` (as a label readout does).

    Attributes:
        works: what was asked, in order.
        canceled: inputs whose work was left before its end.
        running, most_running: works at hand, now and at most.
        gate: if set, nobody gets an answer before that many works are at hand.
    """

    def __init__(self, gate: int = 0) -> None:
        self.works: list[Work] = []
        self.canceled: list[str] = []
        self.running = self.most_running = 0
        self.gate = gate

    async def generate(self, work: Work) -> AsyncIterator[Event]:
        """Pieces, then `Done` or `Failed`."""
        self.works.append(work)
        text = work.input or ""
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        finished = False
        try:
            while self.most_running < self.gate:
                await asyncio.sleep(0.001)
            if text == "!hang":
                await asyncio.sleep(PATIENCE * 3)
            async for event in self._events(work, text):
                finished = isinstance(event, Done | Failed)
                yield event
        finally:
            self.running -= 1
            if not finished:
                self.canceled.append(text)

    async def _events(self, work: Work, text: str) -> AsyncIterator[Event]:
        busy = Failed(code="busy", status=429, message="The queue is full. Try again.", retry_after=2.5)
        if text == "!busy":
            yield busy
        elif text == "!late-busy":
            yield Piece("Well")
            yield busy
        elif text == "!label":
            yield Piece("Service")
            yield _label(work)
        else:
            done = _echo(work, text)
            position = 0
            for token in done.tokens:
                piece = done.output[position : position + len(token.text)]
                position += len(piece)
                if piece and work.stream:
                    yield Piece(piece)
                    await asyncio.sleep(0)
            yield done if work.details is not None else _without_tokens(done)

    async def tokenize(self, target: Target, text: str) -> Tokens:
        words = tuple(_words(text))
        return Tokens(count=len(words), virtual_tokens=_virtual(target), tokens=words)

    async def status(self) -> dict[str, Any]:
        return {"state": "ready"}

    async def close(self) -> None:
        pass


@dataclass
class LiveStudio:
    """A running studio.

    Attributes:
        url: of plain HTTP.
        tls: of the listener with TLS; None without one.
        cert: file of its certificate.
        key: API key of an admin.
        project: the sandbox.
    """

    url: str
    office: Office
    backend: Any
    key: str
    project: Project
    data_dir: Path
    tls: str | None = None
    cert: Path | None = None
    keys: dict[str, str] = field(default_factory=dict)

    def deploy_model(self, name: str, model_id: str, serving: str | None = None) -> str:
        """Put a foundation model behind a serving name; the deployment's id."""
        from softprompt.studio import deployments

        with self.office.unit(SYSTEM) as unit:
            return deployments.create(unit, self.project, name, serving=serving, model_id=model_id).id

    def deploy_prompt(
        self, name: str, model_id: str, serving: str | None = None, folder: Path | None = None, **columns: Any
    ) -> str:
        """Put a tuned prompt (of a folder, or one that nobody can open) behind a serving name; the deployment's id."""
        from softprompt.storage.tables import TunedPrompt
        from softprompt.studio import deployments

        with self.office.unit(SYSTEM) as unit:
            values = {"key": "prompts/" + re.sub(r"[^A-Za-z0-9._-]", "-", name), "virtual_tokens": 3, **columns}
            prompt = TunedPrompt(project_id=self.project.id, name=name, model_id=model_id, **values)
            unit.rows.add(prompt)
            if folder is None:
                folder = self.data_dir / "nothing"
                folder.mkdir(exist_ok=True)
                (folder / "empty").touch()
            prompt.size = unit.store.put_folder(prompt.key, folder)
            return deployments.create(unit, self.project, name, serving=serving, prompt_id=prompt.id).id

    def add_model(self, model_id: str, folder: Path) -> str:
        from softprompt.studio import foundation_models

        with self.office.unit(SYSTEM) as unit:
            return foundation_models.add(unit, model_id, str(folder)).model_id

    def new_key(self, user: str, role: Role = "editor", *, member: Role | None = None) -> str:
        """The API key of a new user, who is in the sandbox if `member` is given."""
        from softprompt.studio import memberships, people

        with self.office.unit(SYSTEM) as unit:
            made = people.create_user(unit, user)
            if member is not None:
                memberships.set_member(unit, self.project, user, member)
            return people.create_key(unit, "test", role=role, user=made)[1]


def _as_it_is(_data_dir: Path) -> None:
    """Nothing to prepare: rows and files lie in the data folder."""


PREPARE: Callable[[Path], None] = _as_it_is
"""Called with the data folder of each studio before it starts, such as to name another database there."""


@contextmanager
def live_studio(data_dir: Path, backend: Backend, *, tls: bool = False, **settings: Any) -> Iterator[LiveStudio]:
    """A studio that answers on a free port until the block ends."""
    import uvicorn

    from softprompt.app import create_app
    from softprompt.studio import people, projects
    from softprompt.supervisor.doctor import examine

    PREPARE(data_dir)
    given = StudioSettings.of(data_dir)
    chosen = StudioSettings(
        data_dir=given.data_dir, database_url=given.database_url, storage_url=given.storage_url, **settings
    )
    app = create_app(chosen, backend)
    _know_routes(app)
    app.state.studio.examine = lambda: examine(chosen, 0, 0)
    office = app.state.studio.office
    with office.unit(SYSTEM) as unit:
        admin, _ = people.first_admin(unit)
        project = projects.sandbox(unit)
        unit.actor = Actor(user_id=admin.id, name=admin.name, admin=True)
        key = people.create_key(unit, "tests", role="admin")[1]
    common: dict[str, Any] = {"log_config": None, "access_log": False, "timeout_graceful_shutdown": 1}
    with _listening() as plain, _listening() as secure:
        studio = LiveStudio(_bound(plain), office, backend, key, project, data_dir)
        server = _server_class()
        servers = [(server(uvicorn.Config(app, **common)), plain)]
        if tls:
            from softprompt.supervisor import certificate

            made = certificate.ensure(data_dir / "tls", "127.0.0.1")
            studio.tls, studio.cert = _bound(secure).replace("http://127.0.0.1", "https://localhost"), made.cert
            ssl: dict[str, Any] = {"ssl_certfile": made.cert, "ssl_keyfile": made.key, "lifespan": "off"}
            servers.append((server(uvicorn.Config(app, **common, **ssl)), secure))
        with _running(servers):
            yield studio


def _know_routes(app: FastAPI) -> None:
    """Give an application the routes of the first one of this process.

    They are equal, and nothing in them belongs to one studio. FastAPI works out what each of them takes when they are
    first asked, for half a second: once is enough.
    """
    if not _ROUTES:
        _ROUTES.extend(app.router.routes)
    app.router.routes[:] = _ROUTES


_ROUTES: list[BaseRoute] = []


@cache
def _server_class() -> Any:
    """A server that ends when it is told to; uvicorn's looks ten times a second and then waits for who may be there."""
    import uvicorn

    class Server(uvicorn.Server):
        def leave(self) -> None:
            self.should_exit = True
            self._loop.call_soon_threadsafe(self._told.set)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            self._loop, self._told = asyncio.get_running_loop(), asyncio.Event()
            await super().startup(sockets)

        async def main_loop(self) -> None:
            both = [asyncio.create_task(super().main_loop()), asyncio.create_task(self._told.wait())]
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            for task in both:
                task.cancel()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            if self.server_state.connections or self.server_state.tasks:
                await super().shutdown(sockets)
                return
            for server in self.servers:
                server.close()
            for each in sockets or []:
                each.close()
            await self.lifespan.shutdown()

    return Server


@contextmanager
def serving_process(data_dir: Path, *models: str) -> Iterator[None]:
    """A serving host of its own process for a studio, until the block ends; ask it with `discovery.DiscoveredHost`.

    Its log is where a studio has it: `logs/serving.log` in the data folder.
    """
    from softprompt.serving import discovery

    wanted = [part for model in models for part in ("--model", model)]
    command = [sys.executable, "-m", "softprompt", "serve", "--data-dir", str(data_dir), *wanted]
    command += ["--quiet", "--log-file", str(data_dir / "logs" / "serving.log")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        ready = lambda: process.poll() is not None or discovery.read(data_dir) is not None  # noqa: E731
        wait_until(ready, "the serving host does not start", 6 * PATIENCE)
        if process.poll() is not None:
            raise RuntimeError(f"the serving host ended with {process.returncode}")
        yield
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def _running(servers: list[Any]) -> Iterator[None]:
    """All in one event loop, as they are in a real studio: a backend's connections belong to one."""

    async def serve() -> None:
        await asyncio.gather(*(server.serve(sockets=[listening]) for server, listening in servers))

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    try:
        wait_until(lambda: all(server.started for server, _ in servers), "the servers do not start")
        yield
    finally:
        for server, _ in servers:
            server.leave()
        thread.join(PATIENCE)


def wait_until(true: Any, otherwise: str, seconds: float = PATIENCE) -> None:
    """Return as soon as `true()` is; an error after `seconds`."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError(otherwise)
        time.sleep(0.005)


def _listening() -> socket.socket:
    # With the protocol named, asyncio switches off the delay of small packets, as it does for sockets of its own.
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)


def _bound(listening: socket.socket) -> str:
    listening.bind(("127.0.0.1", 0))
    return f"http://127.0.0.1:{listening.getsockname()[1]}"


def _words(text: str) -> list[str]:
    return [(" " if number else "") + word for number, word in enumerate(text.split())]


def _virtual(target: Target) -> int:
    return 3 if target.prompt else 0


def _echo(work: Work, text: str) -> Done:
    """One word a token; ends by the end of the words, a stop text or the number of tokens."""
    said = text.upper() if work.target.prompt else text
    words, reason = _words(said), "eos_token"
    if len(words) >= work.config.max_new_tokens:
        words, reason = words[: work.config.max_new_tokens], "max_tokens"
    output = "".join(words)
    ends = [output.find(stop) + len(stop) for stop in work.config.stop if stop in output]
    if ends:
        output, reason = output[: min(ends)], "stop_sequence"
    kept, length = [], 0
    for word in words:
        if length < len(output):
            kept.append(word)
            length += len(word)
    top = (work.details or 0) * (("other", -3.0),)
    tokens = [TokenDetail(word, -0.25 * (number + 1), 1, top) for number, word in enumerate(kept)]
    if reason == "eos_token":
        tokens.append(TokenDetail("</s>", -0.01, 1, top))
    return Done(
        output=output,
        input_tokens=len(text.split()),
        virtual_tokens=_virtual(work.target),
        generated_tokens=len(tokens),
        stop_reason=reason,
        confidence=0.5,
        seed=_seed(work.config),
        tokens=tuple(tokens),
    )


def _label(work: Work) -> Done:
    labels = (("Service", 0.75), ("Warehouse", 0.25))
    counts: dict[str, Any] = {"input_tokens": 2, "virtual_tokens": 3, "generated_tokens": 0}
    return Done(output="Service", **counts, stop_reason="label", confidence=0.75, labels=labels, way="readout")


def _without_tokens(done: Done) -> Done:
    from dataclasses import replace

    return replace(done, tokens=())


def _seed(config: GenerateConfig) -> int | None:
    return None if config.decoding == "greedy" else 7 if config.seed is None else config.seed
