"""The parent of a studio: binds the ports, starts the processes, watches them, stops them.

One thread and one loop; it wakes when a child tells something or dies, when a signal comes, and when a pause is over.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from softprompt import __version__
from softprompt.config import METRICS_FOLDER
from softprompt.studio.access import Office
from softprompt.supervisor import certificate, first_start, home, sockets
from softprompt.supervisor.certificate import Certificate
from softprompt.supervisor.chores import Chores
from softprompt.supervisor.lifeline import GRACE
from softprompt.supervisor.plan import Plan, parts, plain_warning
from softprompt.supervisor.process import Kept, State
from softprompt.supervisor.pull import SAMPLE_MODEL, Pull
from softprompt.supervisor.view import Addresses, Lines, Screen, Snapshot, View, greeting

TICK = 0.5
SPINS = "3000"
"""Turns that a thread of the matrix products waits awake for the others, unless `OMP_WAIT_POLICY` or `GOMP_SPINCOUNT`
say otherwise. The library's own 300,000 are right where a process has the cores for itself; here tuning, serving and
web share them, and a thread that waits awake takes the core that the others wait for."""


def up(plan: Plan) -> None:
    """Run a studio until SIGINT or SIGTERM."""
    with ExitStack() as stack:
        stack.enter_context(home.sole(plan.settings.data_dir))
        given = certificate.given(plan.tls_cert, plan.tls_key)
        plain = stack.enter_context(sockets.listen(plan.host, plan.port, "--port"))
        tls = stack.enter_context(sockets.listen(plan.host, plan.tls_port, "--tls-port"))
        office = home.office_of(plan.settings)
        stack.callback(office.database.close)
        chosen = given or certificate.ensure(plan.settings.data_dir / "tls", plan.host)
        ready = first_start.prepare(office)
        studio = Studio(plan, office, plain, tls, chosen)
        studio.run(ready)


class Studio:
    """The processes of one `up`."""

    def __init__(self, plan: Plan, office: Office, plain: socket.socket, tls: socket.socket, cert: Certificate) -> None:
        self.plan, self.office, self.cert = plan, office, cert
        self.ports = (sockets.port_of(plain), sockets.port_of(tls))
        self.terminal = sys.stdout.isatty()
        self.view: View = Lines()
        self.began = datetime.now(UTC)
        self.pull: Pull | None = None
        self._stops = 0
        self._wakeup = -1
        self._written: Any = None
        shared = _counted_together(plan)
        self.kept = [
            Kept(
                part,
                _environment(plan) | (shared if part.kind == "web" else {}),
                plan.log_dir,
                quiet=self.terminal,
                say=self._say,
            )
            for part in parts(plan, plain.fileno(), tls.fileno(), cert.cert, cert.key)
        ]
        self.chores = Chores(office, plan.settings.data_dir / "uploads", watched=self.terminal, daily=self._renew)

    def run(self, ready: first_start.Ready) -> None:
        with _signals(self._stop) as wakeup, contextlib.closing(selectors.DefaultSelector()) as selector:
            selector.register(wakeup, selectors.EVENT_READ)
            self._wakeup = wakeup
            try:
                self._start(selector, ready)
                while not self._stops:
                    self._turn(selector)
            finally:
                self._end(selector)

    # --- beginning ----------------------------------------------------------------------------------------------------
    def _start(self, selector: selectors.BaseSelector, ready: first_start.Ready) -> None:
        web = [kept for kept in self.kept if kept.part.kind == "web"]
        for kept in web:
            kept.start()
        self._write_state()
        samples = first_start.sample_or_reason(self.office) if self.plan.sample else ""
        # The others load torch, which takes the processors; a person waits for the address.
        while not self._answers(web) and not self._stops:
            self._turn(selector)
        for kept in self.kept:
            if kept not in web:
                kept.start()
        self._write_state()  # before the link: who follows it at once waits for the serving host, and is not refused
        addresses = self._addresses(ready)
        for line in (*greeting(addresses, ready.hours), samples, *self._warnings()):
            if line:
                self.view.say(line)
        if self.terminal:
            from rich.console import Console

            screen = Screen(Console(), addresses)
            screen.open()
            self.view = screen
        self.chores.start()
        if self.plan.sample:
            self.pull = Pull(SAMPLE_MODEL)
            if self.pull.needed:
                self._say(f"Fetching {SAMPLE_MODEL}; the studio can be used meanwhile.")
                self.pull.start()

    @staticmethod
    def _answers(web: list[Kept]) -> bool:
        """Whether one of them is ready; if all fail nobody waits, their reasons have been said."""
        return any(kept.state == State.RUNNING for kept in web) or all(kept.state == State.FAILING for kept in web)

    def _addresses(self, ready: first_start.Ready) -> Addresses:
        plan = self.plan
        web = f"http://{plan.shown_host}:{self.ports[0]}"
        return Addresses(
            web=web,
            tls=f"https://{plan.shown_host}:{self.ports[1]}",
            link=f"{web}/sign-in?link={ready.secret}",
            logs=str(plan.log_dir),
            data=str(plan.settings.data_dir),
        )

    def _warnings(self) -> list[str]:
        found = []
        if self.cert.made:
            found.append(f"A certificate was made for TLS; clients that check it need {self.cert.cert}.")
        found.append(plain_warning(self.plan.host, self.ports[0], trust_proxy=self.plan.trust_proxy))
        return found

    # --- going on -----------------------------------------------------------------------------------------------------
    def _turn(self, selector: selectors.BaseSelector) -> None:
        """Wait for something to happen, and see to it."""
        due = [kept.due - time.monotonic() for kept in self.kept if kept.due is not None]
        with self._heard(selector):
            self._wait(selector, max(0.0, min([TICK, *due])))
        if self._stops:
            return
        for kept in self.kept:
            kept.look(time.monotonic())
        if self.pull is not None and (words := self.pull.outcome()):
            self._say(words)
        self._write_state()
        self.view.show(Snapshot(self.kept, self.chores.figures, self.chores.trouble))

    def _wait(self, selector: selectors.BaseSelector, seconds: float) -> None:
        selector.select(seconds)
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 4096)

    @contextlib.contextmanager
    def _heard(self, selector: selectors.BaseSelector) -> Iterator[None]:
        """Listen to all children that live now."""
        lines = [kept.heard for kept in self.kept if kept.heard is not None]
        for line in lines:
            selector.register(line, selectors.EVENT_READ)
        try:
            yield
        finally:
            for line in lines:
                selector.unregister(line)

    def _write_state(self) -> None:
        processes = [
            {
                "name": kept.part.name,
                "kind": kept.part.kind,
                "state": kept.state.value,
                "pid": kept.pid,
                "restarts": kept.restarts,
                "problem": kept.problem or None,
            }
            for kept in self.kept
        ]
        if processes == self._written:
            return
        self._written = processes
        host = self.plan.shown_host
        state = {
            "version": __version__,
            "pid": os.getpid(),
            "started": self.began.isoformat(timespec="seconds"),
            "web": f"http://{host}:{self.ports[0]}",
            "tls": f"https://{host}:{self.ports[1]}",
            "certificate": str(self.cert.cert),
            "certificate_expires": self.cert.expires.isoformat(timespec="seconds"),
            "processes": processes,
            "elsewhere": self.plan.settings.elsewhere,
        }
        try:
            home.write_state(self.plan.settings.data_dir, state)
        except Exception as error:  # a full disk must not end the studio
            self._say(str(error))

    def _renew(self) -> None:
        """Our own certificate, before it ends; web processes that use it start anew, one after the other."""
        if not self.cert.own:
            return
        fresh = certificate.ensure(self.plan.settings.data_dir / "tls", self.plan.host)
        if fresh.made:
            self.cert = fresh
            for kept in self.kept:
                if kept.part.kind == "web":
                    kept.restart()
                    time.sleep(5)

    def _say(self, line: str) -> None:
        self.view.say(line)

    # --- ending -------------------------------------------------------------------------------------------------------
    def _stop(self) -> None:
        self._stops += 1

    def _end(self, selector: selectors.BaseSelector) -> None:
        """Ask every process to end; kill those that do not, at once if the person asks twice."""
        self.chores.stop()
        self.view.close()
        self.view = Lines()
        self._say("Stopping …")
        if self.pull is not None:
            self.pull.stop()
        for kept in self.kept:
            kept.ask_to_stop()
        until = time.monotonic() + GRACE
        left = list(self.kept)
        while left := [kept for kept in left if not kept.ended()]:
            if time.monotonic() > until or self._stops > 1:
                self._say(f"Killed: {', '.join(kept.part.name for kept in left)}.")
                for kept in left:
                    kept.kill()
                until = time.monotonic() + GRACE
                self._stops = min(self._stops, 1)
            self._wait(selector, 0.05)
        self._write_state()
        self._say("Stopped.")


def _environment(plan: Plan) -> dict[str, str]:
    """Addresses go through the environment: a command line is read by everybody, and a password may be in them."""
    settings = plan.settings
    return {
        **os.environ,
        "SOFTPROMPT_DATA_DIR": str(settings.data_dir),
        "SOFTPROMPT_DATABASE_URL": settings.database_url,
        "SOFTPROMPT_STORAGE_URL": settings.storage_url,
        "PYTHONUNBUFFERED": "1",
        **({} if "OMP_WAIT_POLICY" in os.environ else {"GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", SPINS)}),
    }


def _counted_together(plan: Plan) -> dict[str, str]:
    """A fresh folder for the counters of several web processes; one alone needs none."""
    if plan.web_processes == 1:
        return {}
    folder = plan.settings.data_dir / "metrics"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return {METRICS_FOLDER: str(folder)}


@contextlib.contextmanager
def _signals(stop: Any) -> Iterator[int]:
    """SIGINT and SIGTERM call `stop`; every signal, the death of a child too, makes the descriptor readable."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    before_fd = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    handlers = {signal.SIGINT: stop, signal.SIGTERM: stop, signal.SIGCHLD: lambda: None}
    before = {number: signal.signal(number, lambda *_, act=act: act()) for number, act in handlers.items()}
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(before_fd)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)
