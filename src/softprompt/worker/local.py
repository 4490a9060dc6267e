"""A runner on this machine: one child process that stays warm between tasks, lines of JSON over its pipes.

The child has torch; this side never loads it. A child that is gone is replaced before the next task, at once if there
is a spare one that has its libraries loaded already.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from typing import IO

from softprompt import logs
from softprompt.worker.runner import ALIVE, KINDS, LOGGED, READY, SPARE, Message, Stop, Task

TRACE = 0.5
"""Seconds that a child has to write where it stands."""
END = 5.0
"""Seconds after which a killed child that does not go is left to the system: it waits inside of it."""


class LocalRunner:
    """Runs tasks in a child process.

    Args:
        spare: keep a second child in reserve, so that the task after one that had to be killed need not wait until the
            libraries are loaded. It takes memory, and no processor.
    """

    def __init__(self, *, spare: bool = False) -> None:
        self._child: _Child | None = None
        self._spare: _Child | None = None
        self._wants_spare = spare

    def warm(self) -> None:
        """While nothing is asked: see to it that there is a child, and then a spare one beside it."""
        child = self._renewed()
        if self._wants_spare and self._spare is None and child.ready.is_set():
            self._spare = _Child(spare=True)

    def start(self, task: Task) -> None:
        child = self._renewed()  # another spare would take a core from this task while it loads
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
        if self._child is None:
            return
        if trace and self._child.ready.is_set():  # before, it would end of the signal
            self._child.process.send_signal(signal.SIGUSR1)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.process.wait(TRACE)
        self._child.killed = True
        self._child.process.kill()

    def close(self) -> None:
        for child in (self._child, self._spare):
            self._drop(child)
        self._child = self._spare = None

    def _renewed(self) -> _Child:
        """The child, in place of one that is gone."""
        if self._spare is not None and not self._spare.alive:
            self._drop(self._spare)
            self._spare = None
        if self._child is None or not self._child.alive:
            self._drop(self._child)
            if self._spare is not None and self._spare.ready.is_set():
                self._child, self._spare = self._spare, None
            else:  # a spare one that still loads does so at its leisure
                self._child = _Child()
        return self._child

    @staticmethod
    def _drop(child: _Child | None) -> None:
        if child is not None:
            child.close()


class _Child:
    """One process and what it says.

    Args:
        spare: it is not needed now, and leaves the processor to others while it loads.

    Attributes:
        ready: set when it has loaded its libraries.
        heard: the moment at which it told something, or came further.
    """

    def __init__(self, *, spare: bool = False) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "softprompt.worker.child", *([SPARE] if spare else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the worker alone, which then asks the child to stop
        )
        self.ready, self.killed = threading.Event(), False
        self.heard = time.monotonic()
        self._told: queue.SimpleQueue[Message] = queue.SimpleQueue()
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        return not self.killed and self.process.poll() is None

    def send(self, message: Message) -> None:
        """A child that is gone does not mind; `died` tells."""
        assert self.process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self.process.stdin.write(json.dumps(message).encode() + b"\n")
            self.process.stdin.flush()

    def messages(self, seconds: float) -> list[Message]:
        found = []
        with contextlib.suppress(queue.Empty):
            found.append(self._told.get(timeout=seconds))
            while True:
                found.append(self._told.get_nowait())
        return found

    def close(self) -> None:
        self.process.kill()
        try:
            self.process.wait(END)
        except subprocess.TimeoutExpired:
            return
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            with contextlib.suppress(ValueError):  # the last line of a killed child may be half a line
                self._take(json.loads(line))
        code = self.process.wait()
        self._told.put({"kind": "died", "message": _cause(code), "killed": code < 0})

    def _take(self, message: Message) -> None:
        self.heard = time.monotonic()
        if message["kind"] == READY:
            self.ready.set()
        elif message["kind"] == LOGGED:
            logs.relayed(message["line"])
        elif message["kind"] != ALIVE:
            self._told.put(message)


def _cause(code: int) -> str:
    if code == -signal.SIGKILL:
        return "The process of the run was killed (signal 9). If nobody did it, the machine was out of memory."
    if code < 0:
        return f"The process of the run was ended by signal {-code} ({signal.strsignal(-code)})."
    return f"The process of the run ended by itself with exit code {code}; the worker's log shows why."
