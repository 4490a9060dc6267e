"""What a run tells, on its way into the database: gathered, written a few times a second, never lost to an outage.

While the database is away, everything stays in memory and the run goes on. A write whose answer got lost on the way is
done again: then events stand there twice, and readers go by the number of the update.
"""

from __future__ import annotations

import logging
import time
from datetime import datetime
from typing import Any

from softprompt.errors import StorageFull, Unavailable
from softprompt.jobs.events import tell_all
from softprompt.jobs.queue import Claim, Queue
from softprompt.storage.tables import TuningRun
from softprompt.storage.types import now

log = logging.getLogger(__name__)
INTERVAL = 0.15
"""Least seconds between two writes."""
PATIENCE = 1.0
"""Seconds until another try when the database is away."""


class Journal:
    """The events of one claim."""

    def __init__(self, queue: Queue, claim: Claim) -> None:
        self._queue, self._claim = queue, claim
        self._waiting: list[tuple[datetime, dict[str, Any]]] = []
        self._progress: dict[str, Any] = {}
        self._began = 0
        self._next = 0.0

    def add(self, event: dict[str, Any]) -> None:
        """Something happened: a record with its kind under "event"."""
        at = now()
        self._waiting.append((at, event))
        if event["event"] == "Started":
            self._progress |= {"update": event["done"], "updates": event["updates"]}
            self._began = event["done"]
        elif event["event"] == "StepDone":
            self._progress |= _without_kind(event)
        else:
            return
        self._progress["at"] = at.isoformat()

    def note(self, text: str) -> None:
        self.add({"event": "Note", "text": text})

    def flush(self, *, at_once: bool = False) -> bool:
        """Write what waits, if it is time; whether nothing waits any more.

        Raises:
            LeaseLost: it is not this worker's to write.
        """
        if not self._waiting:
            return True
        if time.monotonic() < self._next and not at_once:
            return False
        count = len(self._waiting)  # other threads may add meanwhile
        try:
            self._write(count)
        except (Unavailable, StorageFull) as error:
            log.warning("%d events wait: %s", len(self._waiting), error)
            self._next = time.monotonic() + PATIENCE
            return False
        del self._waiting[:count]
        self._next = time.monotonic() + INTERVAL
        return True

    def _write(self, count: int) -> None:
        with self._queue.unit(self._claim) as held:
            told = [(at, event["event"], _without_kind(event)) for at, event in self._waiting[:count]]
            tell_all(held.rows, self._claim.subject_id, told)
            if any(kind == "Kept" or kind == "Saved" and data["update"] > self._began for _, kind, data in told):
                held.job.attempts = 1  # it came further: only attempts that bring nothing are counted
            if isinstance(held.subject, TuningRun) and self._progress:
                held.subject.progress = dict(self._progress)


def _without_kind(event: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name != "event"}
