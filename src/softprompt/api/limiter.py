"""Requests a minute for each caller, counted in this process."""

from __future__ import annotations

import threading
import time

from softprompt.errors import Busy

_MOST_CALLERS = 10_000


class Limiter:
    """A bucket for each caller that fills evenly and holds a minute's worth."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def take(self, caller: str, per_minute: int, *, at: float | None = None) -> None:
        """Count one request; `Busy` if the caller has none left."""
        moment = time.monotonic() if at is None else at
        with self._lock:
            left, since = self._buckets.get(caller, (float(per_minute), moment))
            left = min(float(per_minute), left + (moment - since) * per_minute / 60)
            if left < 1:
                wait = (1 - left) * 60 / per_minute
                raise Busy(f"More than {per_minute} requests a minute. Wait {wait:.1f} seconds.", retry_after=wait)
            if len(self._buckets) >= _MOST_CALLERS and caller not in self._buckets:
                self._buckets.pop(next(iter(self._buckets)))
            self._buckets[caller] = (left - 1, moment)
