"""The line between the parent and a process it started: a pair of sockets that either side notices the end of.

A process that was started by `up` ends when its parent does, however the parent ended. Over the same line it tells the
parent that it is ready and what it counts, one JSON object a line. Knows nothing about what a process does.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import socket
import sys
import threading
import time
from typing import Any

GRACE = 10.0
"""Seconds that a process has to end by itself."""
_PR_SET_PDEATHSIG = 1


class Lifeline:
    """The child's end.

    Args:
        fd: number of the descriptor, as the parent gave it.
    """

    def __init__(self, fd: int) -> None:
        self._line = socket.socket(fileno=fd)
        self._line.set_inheritable(False)  # a grandchild that holds the end would hide this process's death
        self._send = threading.Lock()
        _end_with_parent()
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()

    def tell(self, **facts: Any) -> None:
        """Say something to the parent; it does not matter if it is gone, or does not listen just now."""
        with self._send, contextlib.suppress(OSError):
            self._line.send(json.dumps(facts).encode() + b"\n", socket.MSG_DONTWAIT)

    def _watch(self) -> None:
        with contextlib.suppress(OSError):
            while self._line.recv(1024):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        os.kill(os.getpid(), signal.SIGKILL)


class Heard:
    """The parent's end: what the child tells, without waiting."""

    def __init__(self) -> None:
        self._line, self.childs = socket.socketpair()
        self._line.setblocking(False)
        self._rest = b""

    def fileno(self) -> int:
        return self._line.fileno()

    def read(self) -> list[dict[str, Any]]:
        """Whole lines that have come since the last call."""
        found = []
        with contextlib.suppress(OSError):
            while part := self._line.recv(65536):
                self._rest += part
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            with contextlib.suppress(ValueError):
                found.append(json.loads(line))
        return found

    def close(self) -> None:
        self._line.close()
        self.childs.close()


def _end_with_parent() -> None:
    """Linux sends SIGTERM when the parent dies, even while this process is stuck in a long call without Python."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
