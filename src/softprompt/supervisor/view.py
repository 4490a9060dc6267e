"""What a person at the terminal sees of a running studio: one table that stays in place, or plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from softprompt.supervisor.figures import Figures
from softprompt.supervisor.process import Kept

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live

KEPT_LINES = 6
_COLOURS = {"running": "green", "starting": "yellow", "restarting": "yellow", "failing": "red", "stopped": "dim"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where the studio answers.

    Attributes:
        link: signs the admin in, once.
    """

    web: str
    tls: str
    link: str
    logs: str
    data: str


@dataclass(slots=True)
class Snapshot:
    """What is shown."""

    processes: Sequence[Kept]
    figures: Figures | None = None
    trouble: str = ""


class View(Protocol):
    def say(self, line: str) -> None:
        """Something happened."""

    def show(self, snapshot: Snapshot) -> None:
        """How things are; called often."""

    def close(self) -> None: ...


class Lines:
    """For pipes, files and service managers: a line when something happens."""

    def say(self, line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def show(self, snapshot: Snapshot) -> None:
        pass

    def close(self) -> None:
        pass


@dataclass(slots=True)
class Screen:
    """For terminals. Addresses and the link are printed above, where they can be copied and scroll away last."""

    console: Console
    addresses: Addresses
    began: float = field(default_factory=time.monotonic)
    _lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    _live: Live | None = None
    _shown: float = 0.0

    def open(self) -> None:
        from rich.live import Live

        self._live = Live(console=self.console, refresh_per_second=4, transient=True)
        self._live.start()

    def say(self, line: str) -> None:
        self._lines.append(f"{time.strftime('%H:%M:%S')} {line}")

    def show(self, snapshot: Snapshot) -> None:
        if self._live is not None and time.monotonic() - self._shown >= 0.25:
            self._shown = time.monotonic()
            self._live.update(self._picture(snapshot))

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
        for line in self._lines:
            self.console.print(line, markup=False)

    def _picture(self, snapshot: Snapshot) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        processes = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for title in ("PROCESS", "STATE", "PID", "SINCE", "RESTARTS", ""):
            processes.add_column(title)
        for kept in snapshot.processes:
            processes.add_row(
                kept.part.name,
                Text(kept.state.value, _COLOURS[kept.state.value]),
                str(kept.pid or "–"),
                _age(time.time() - kept.started),
                str(kept.restarts or ""),
                Text(kept.problem[:60] or _doing(kept, snapshot.figures)),
            )
        parts: list[RenderableType] = [processes, Text(f"\n{_numbers(snapshot)}")]
        if snapshot.figures is not None and snapshot.figures.nobody_works:
            parts.append(Text(snapshot.figures.nobody_works, "yellow"))
        if snapshot.trouble:
            parts.append(Text(snapshot.trouble, "red"))
        parts += [Text(line, "dim") for line in self._lines]
        return Group(*parts, Text("Ctrl-C stops the studio.", "dim"))


def greeting(addresses: Addresses, hours: int) -> list[str]:
    """The lines with which a studio begins."""
    return [
        f"Sign in (once, within {hours} hours):  {addresses.link}",
        f"Studio:                          {addresses.web}",
        f"With TLS, for ibm-watsonx-ai:    {addresses.tls}",
        f"Data: {addresses.data}   Logs: {addresses.logs}",
    ]


def _numbers(snapshot: Snapshot) -> str:
    requests = sum(kept.told.get("requests", 0) for kept in snapshot.processes)
    errors = sum(kept.told.get("errors", 0) for kept in snapshot.processes)
    failed = f" ({errors:,} failed)" if errors else ""
    found = snapshot.figures
    if found is None:
        return f"requests {requests:,}{failed}"
    runs = ", ".join(f"{count:,} {state}" for state, count in found.runs.items() if count) or "none"
    return (
        f"queue {found.queued:,} waiting, {found.running:,} at work   runs {runs}   "
        f"deployments {found.deployments:,}   requests {requests:,}{failed}"
    )


def _doing(kept: Kept, found: Figures | None) -> str:
    if kept.part.kind == "worker" and found is not None:
        return next((worker.job for worker in found.working if worker.pid == kept.pid), "")
    return f"{kept.told['requests']:,} requests" if kept.told.get("requests") else ""


def _age(seconds: float) -> str:
    for size, letter in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= size:
            return f"{int(seconds // size)}{letter}"
    return f"{int(seconds)}s"
