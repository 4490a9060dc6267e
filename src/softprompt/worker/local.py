"""A runner on this machine: one child process that stays warm between tasks, JSON over a pair of sockets.

The child has torch; this side never loads it. On Linux children are forked from a process that has loaded the libraries
and does nothing else (`multiprocessing.forkserver`): one that is gone is replaced at once. If that process dies, its
children go on, and the next one begins another. Elsewhere each child loads the libraries itself.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from dataclasses import asdict
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, SpawnContext

from softprompt import logs
from softprompt.worker.child import serve
from softprompt.worker.runner import ALIVE, KINDS, LOGGED, READY, Message, Stop, Task

TRACE = 0.5
"""Seconds that a child has to write where it stands."""
END = 5.0
"""Seconds after which a killed child that does not go is left to the system: it waits inside of it."""

LOST = 255
"""What `multiprocessing` gives as the code of a process of which nobody can tell how it ended."""


def _processes() -> ForkServerContext | SpawnContext:
    """How children begin. The system libraries of macOS do not bear a fork."""
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    forking = multiprocessing.get_context("forkserver")
    forking.set_forkserver_preload(["softprompt.worker.libraries"])
    return forking


PROCESSES = _processes()


class LocalRunner:
    """Runs tasks in a child process."""

    def __init__(self) -> None:
        self._child: _Child | None = None
        atexit.register(self.close)  # before Python waits for processes of its own, as this one is

    def warm(self) -> None:
        self._renewed()

    def start(self, task: Task) -> None:
        child = self._renewed()
        child.heard = time.monotonic()
        child.send({"kind": KINDS[type(task)], "task": asdict(task), "about": logs.bound_fields()})

    def messages(self, seconds: float) -> list[Message]:
        return [] if self._child is None else self._child.messages(seconds)

    def stop(self, how: Stop) -> None:
        if self._child is not None:
            self._child.send({"kind": "stop", "how": how})

    def silent(self) -> float:
        return 0.0 if self._child is None else time.monotonic() - self._child.heard

    def kill(self, *, trace: bool = False) -> None:
        if self._child is not None:
            self._child.kill(trace=trace)

    def close(self) -> None:
        atexit.unregister(self.close)
        if self._child is not None:
            self._child.close()
        self._child = None

    def _renewed(self) -> _Child:
        """The child, in place of one that is gone."""
        if self._child is None or not self._child.alive:
            if self._child is not None:
                self._child.close()
            self._child = _Child()
        return self._child


class _Child:
    """One process and what it says.

    A thread begins it, since the first one waits for the libraries, and hears it out.

    Attributes:
        ready: set when it has its libraries and listens.
        heard: the moment at which it told something, or came further.
    """

    def __init__(self) -> None:
        self._line, theirs = PROCESSES.Pipe()
        self._process = PROCESSES.Process(target=serve, args=(theirs,), daemon=True)
        self.ready = threading.Event()
        self.heard = time.monotonic()
        self._killed, self._gone = False, threading.Event()
        self._told: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._live, args=(theirs,), daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return not self._killed and not self._gone.is_set()

    @property
    def pid(self) -> int | None:
        """Number of the process, once it has begun."""
        return self._process.pid

    def send(self, message: Message) -> None:
        """What comes too early waits in the socket. A child that is gone does not mind; `died` tells."""
        with contextlib.suppress(OSError):
            self._line.send_bytes(json.dumps(message).encode())

    def messages(self, seconds: float) -> list[Message]:
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._told.get(timeout=seconds))
            while True:
                found.append(self._told.get_nowait())
        return found

    def kill(self, *, trace: bool = False) -> None:
        if trace and self.ready.is_set():  # before, it would end of the signal
            self._signal(signal.SIGUSR1)
            self._gone.wait(TRACE)
        self._killed = True
        if self.pid is None:
            self._died(-signal.SIGKILL)  # as soon as it begins: nobody needs to wait for that
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        self.kill()
        if self.pid is not None:
            self._thread.join(END)
        self._line.close()

    def _live(self, theirs: Connection) -> None:
        with theirs:
            try:
                self._process.start()
            except (OSError, EOFError, RuntimeError) as error:
                self._gone.set()
                self._died(-signal.SIGKILL, f"The process of the run could not begin: {error}")
                return
        if self._killed:
            self._signal(signal.SIGKILL)
        with contextlib.suppress(OSError, EOFError):
            while True:
                self._take(json.loads(self._line.recv_bytes()))
        self._gone.set()
        self._process.join(END)
        code = self._process.exitcode
        self._died(-signal.SIGKILL if code is None else code)

    def _signal(self, number: int) -> None:
        """While its end of the line is open, the number of the process is its own."""
        if self.pid is not None and not self._gone.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _take(self, message: Message) -> None:
        self.heard = time.monotonic()
        if message["kind"] == READY:
            self.ready.set()
        elif message["kind"] == LOGGED:
            logs.relayed(message["line"])
        elif message["kind"] != ALIVE:
            self._told.put(message)

    def _died(self, code: int, words: str = "") -> None:
        self._told.put({"kind": "died", "message": words or _cause(code), "killed": code < 0 or code == LOST})


def _cause(code: int) -> str:
    if code == LOST:
        return "The process of the run is gone; how it ended is not known, since the one that began it is gone too."
    if code == -signal.SIGKILL:
        return "The process of the run was killed (signal 9). If nobody did it, the machine was out of memory."
    if code < 0:
        return f"The process of the run was ended by signal {-code} ({signal.strsignal(-code)})."
    return f"The process of the run ended by itself with exit code {code}; the worker's log shows why."
