"""A runner on this machine: one child process that stays warm between tasks, lines of JSON over its pipes.

The child has torch; this side never loads it. A child that is gone is replaced before the next task.
"""

from __future__ import annotations

import contextlib
import json
import queue
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from typing import IO

from softprompt.worker.runner import KINDS, Message, Stop, Task


class LocalRunner:
    """Runs tasks in a child process."""

    def __init__(self) -> None:
        self._child: _Child | None = None

    def warm(self) -> None:
        """Start the child if there is none, so that it has loaded its libraries when a task comes."""
        if self._child is None or not self._child.alive:
            self.close()
            self._child = _Child()

    def start(self, task: Task) -> None:
        self.warm()
        assert self._child is not None
        self._child.send({"kind": KINDS[type(task)], "task": asdict(task)})

    def messages(self, seconds: float) -> list[Message]:
        return [] if self._child is None else self._child.messages(seconds)

    def stop(self, how: Stop) -> None:
        if self._child is not None:
            self._child.send({"kind": "stop", "how": how})

    def kill(self) -> None:
        if self._child is not None:
            self._child.process.kill()

    def close(self) -> None:
        if self._child is not None:
            self._child.close()
            self._child = None


class _Child:
    """One process and what it says."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "softprompt.worker.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C reaches the worker alone, which then asks the child to stop
        )
        self._told: queue.SimpleQueue[Message] = queue.SimpleQueue()
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

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
        self.process.wait()
        self._reader.join()
        for stream in (self.process.stdin, self.process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):
                stream.close()

    def _read(self, stream: IO[bytes]) -> None:
        for line in stream:
            with contextlib.suppress(ValueError):  # the last line of a killed child may be half a line
                self._told.put(json.loads(line))
        self._told.put({"kind": "died", "message": _cause(self.process.wait())})


def _cause(code: int) -> str:
    if code == -signal.SIGKILL:
        return "The process of the run was killed (signal 9). If nobody did it, the machine was out of memory."
    if code < 0:
        return f"The process of the run was ended by signal {-code} ({signal.strsignal(-code)})."
    return f"The process of the run ended by itself with exit code {code}; the worker's log shows why."
