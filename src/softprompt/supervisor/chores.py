"""What has to be done now and then beside the processes: numbers for the view, jobs of dead workers put back,
and once a day the cleaning up.

Runs in a thread of the parent; the database may be away for a while, the parent goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from softprompt.errors import SoftpromptError
from softprompt.jobs.queue import Queue
from softprompt.studio import maintenance
from softprompt.studio.access import Office
from softprompt.supervisor import figures
from softprompt.supervisor.figures import Figures

log = logging.getLogger("softprompt.chores")
DAY = 24 * 3600.0
FIRST_CLEANING = 600.0
"""Seconds after the start: not while everything is being loaded."""
LOOK_EVERY = 2.0
SWEEP_EVERY = 10.0
"""Seconds between two looks for jobs whose workers are dead: where no worker lives, nobody else looks."""


class Chores:
    """Does them until it is stopped.

    Args:
        uploads: folder of files on their way in.
        watched: whether somebody looks at the numbers.
        daily: called once a day.
    """

    def __init__(
        self, office: Office, uploads: Path, *, watched: bool, daily: Callable[[], None] = lambda: None
    ) -> None:
        self.figures: Figures | None = None
        self.trouble = ""
        self._office, self._uploads, self._watched, self._daily = office, uploads, watched, daily
        self._queue = Queue(office.database, office.limits)
        self._sweeping = time.monotonic()
        self._cleaning = time.monotonic() + FIRST_CLEANING
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="chores", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Not waited for: each step may break off anywhere."""
        self._stopping.set()

    def _work(self) -> None:
        while not self._stopping.wait(LOOK_EVERY):
            if self._watched:
                self._look()
            if time.monotonic() >= self._sweeping:
                self._sweep()
            if time.monotonic() >= self._cleaning:
                self._cleaning = time.monotonic() + DAY
                self._clean()

    def _look(self) -> None:
        try:
            self.figures, self.trouble = figures.read(self._office), ""
        except SoftpromptError as error:
            self.trouble = str(error)

    def _sweep(self) -> None:
        self._sweeping = time.monotonic() + SWEEP_EVERY
        try:
            if count := self._queue.sweep():
                log.warning("Taken from workers that are silent: %d jobs.", count)
        except SoftpromptError as error:
            log.warning("%s", error)
            # After an outage everybody's lease has run out; those who live need time to say so.
            self._sweeping += self._queue.timing.lease

    def _clean(self) -> None:
        try:
            self._daily()
            gone = maintenance.purge(self._office, uploads=self._uploads)
            log.info("Cleaned up: %s.", gone.in_words())
        except SoftpromptError as error:
            log.warning("Cleaning up did not work, and is tried again tomorrow: %s", error)
        except Exception:
            log.exception("Cleaning up broke off, and is tried again tomorrow.")
