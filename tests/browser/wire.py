"""A wire between browser and studio that can be cut and mended, and led to another studio behind the same address."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from urllib.parse import urlsplit


class Wire:
    """Passes bytes on from a port of its own.

    Attributes:
        url: where the browser goes.
    """

    def __init__(self, target: str) -> None:
        self._target = _address(target)
        self._whole = True
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Every connection breaks, and no new one gets through."""
        self._whole = False
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def mend(self, target: str | None = None) -> None:
        """Connections get through again, to another studio if one is named."""
        if target:
            self._target = _address(target)
        self._whole = True

    def close(self) -> None:
        self.cut()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)  # else accept goes on waiting
        self._listening.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listening.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(near,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, near: socket.socket) -> None:
        """One connection, both ways, until either end is done."""
        with near, contextlib.suppress(OSError):
            if not self._whole:
                return
            with socket.create_connection(self._target, 5) as far:
                ends = {near: far, far: near}
                with self._lock:
                    self._open |= set(ends)
                try:
                    while True:
                        for source in select.select(list(ends), [], [])[0]:
                            piece = source.recv(65536)
                            if not piece:
                                return
                            ends[source].sendall(piece)
                finally:
                    with self._lock:
                        self._open -= set(ends)


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port
