"""One process that is kept alive: started, watched, started again with growing pauses, stopped.

One that dies too often counts as failing; it is still tried, rarely, and is well again once it stays alive.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from softprompt.supervisor.lifeline import Heard
from softprompt.supervisor.plan import Part, command

WINDOW = 60.0
"""Seconds over which deaths are counted."""
TOO_MANY = 5
FIRST_PAUSE, LONGEST_PAUSE, FAILING_PAUSE = 0.1, 5.0, 30.0
_OUT_BYTES = 2**20


class State(StrEnum):
    #: Was started, has not said yet that it is ready.
    STARTING = "starting"
    #: Does its work.
    RUNNING = "running"
    #: Died; is started again in a moment.
    RESTARTING = "restarting"
    #: Dies again and again; is tried every half minute.
    FAILING = "failing"
    #: Was stopped.
    STOPPED = "stopped"


@dataclass(slots=True)
class Deaths:
    """When a process died, and what follows from it."""

    times: deque[float] = field(default_factory=deque)

    def add(self, at: float) -> None:
        self.times.append(at)
        while self.times and at - self.times[0] > WINDOW:
            self.times.popleft()

    @property
    def failing(self) -> bool:
        return len(self.times) >= TOO_MANY

    def pause(self) -> float:
        """Seconds until the next start."""
        return FAILING_PAUSE if self.failing else min(FIRST_PAUSE * 4 ** (len(self.times) - 1), LONGEST_PAUSE)


class Kept:
    """A part of the studio and the process that does its work just now.

    Args:
        environment: of the process.
        log_dir: for its log, and for what it writes past that.
        quiet: its words go to files only.
        say: told in words what happens.
    """

    def __init__(
        self, part: Part, environment: dict[str, str], log_dir: Path, *, quiet: bool, say: Callable[[str], None]
    ) -> None:
        self.part = part
        self.state = State.STOPPED
        self.restarts = 0
        self.started = 0.0
        self.problem = ""
        self.told: dict[str, Any] = {}
        self.due: float | None = None
        self.heard: Heard | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._deaths = Deaths()
        self._environment, self._quiet, self._say = environment, quiet, say
        self._log = log_dir / f"{part.file_name}.log"
        self._out = log_dir / f"{part.file_name}.out"

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    def start(self) -> None:
        """Start the process. Has to be called in the main thread: Linux takes the end of a thread for the parent's."""
        self.heard = Heard()
        line = self.heard.childs.fileno()
        output = self._open_output() if self._quiet else None
        try:
            self._process = subprocess.Popen(
                command(self.part, line, self._log, quiet=self._quiet),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(*self.part.fds, line),
                env=self._environment,
                start_new_session=True,  # Ctrl-C reaches the parent alone, which stops everything in order
            )
        finally:
            if output is not None:
                os.close(output)
            self.heard.childs.close()
        self.state, self.started, self.due, self.told = State.STARTING, time.time(), None, {}

    def look(self, now: float) -> None:
        """Hear what it says, notice its death, start it again when it is time."""
        if self.heard is not None:
            for facts in self.heard.read():
                self.told |= facts
                if facts.get("ready") and self.state == State.STARTING:
                    self.state, self.problem = State.RUNNING, ""
        code = self._process.poll() if self._process is not None else None
        if code is not None:
            self._died(code, now)
        if self.due is not None and now >= self.due:
            failing = self.state == State.FAILING
            self.restarts += 1
            self.start()
            if failing:
                self._say(f"{self.part.name}: tried again (pid {self.pid})")

    def restart(self) -> None:
        """End the process; it comes back by itself."""
        self._signal(signal.SIGTERM)

    def ask_to_stop(self) -> None:
        self.due = None
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def ended(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            self._forget()
            self.state = State.STOPPED
            return True
        return False

    def _died(self, code: int, now: float) -> None:
        self._forget()
        self._deaths.add(now)
        pause = self._deaths.pause()
        self.due = now + pause
        self.problem = f"{_cause(code)}{self._last_words()}"
        if self._deaths.failing:
            self.state = State.FAILING
            times = len(self._deaths.times)
            self._say(
                f"{self.part.name} is failing: it ended {times} times in a minute, last {self.problem}; it is tried "
                f"again in {pause:.0f} s. Its log: {self._log}"
            )
        else:
            self.state = State.RESTARTING
            self._say(f"{self.part.name} {self.problem}; it starts again")

    def _forget(self) -> None:
        self._process = None
        if self.heard is not None:
            self.heard.close()
            self.heard = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _open_output(self) -> int:
        """Where what is not logged goes: traces of crashes, words of libraries. Begun anew when it has grown."""
        self._out.parent.mkdir(parents=True, exist_ok=True)
        grown = self._out.exists() and self._out.stat().st_size > _OUT_BYTES
        return os.open(self._out, os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if grown else os.O_APPEND), 0o600)

    def _last_words(self) -> str:
        if not self._quiet:
            return ""
        with suppress(OSError):
            if self._out.stat().st_mtime >= self.started - 1:
                lines = self._out.read_text(encoding="utf-8", errors="replace").strip().splitlines()
                return f" ({lines[-1].strip()[:200]})" if lines else ""
        return ""


def _cause(code: int) -> str:
    if code < 0:
        words = {signal.SIGKILL: "was killed (signal 9)", signal.SIGTERM: "was told to end (signal 15)"}
        return words.get(-code, f"was ended by signal {-code}")  # type: ignore[call-overload, no-any-return]
    return f"ended by itself with exit code {code}"
