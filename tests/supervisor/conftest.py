"""A whole studio in processes of its own, on free ports and an empty data folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 90.0
"""Seconds; the machine may be busy."""


def wait_for(what: str, found: Callable[[], Any], seconds: float = DEADLINE) -> Any:
    """The first true answer."""
    until = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < until, f"after {seconds:.0f} s still not: {what}"
        time.sleep(0.05)
    return answer


def alive(pid: int) -> bool:
    """Whether a process works; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def descendants(pid: int) -> set[int]:
    """All processes below one."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            with contextlib.suppress(OSError):
                words = (folder / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
                parents[int(folder.name)] = int(words[1])
    found: set[int] = set()
    while fresh := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= fresh
    return found


class Up:
    """`softprompt up`, and what it says."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data = data
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "softprompt", "up", "--data-dir", str(data), "--port", "0", "--tls-port", "0"]
            + list(options),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        self.lines.extend(line.rstrip("\n") for line in self.process.stdout)

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    @property
    def state(self) -> dict[str, Any]:
        with contextlib.suppress(OSError, ValueError):
            return dict(json.loads((self.data / "studio.json").read_text(encoding="utf-8")))
        return {}

    def part(self, name: str) -> dict[str, Any]:
        return next((each for each in self.state.get("processes", []) if each["name"] == name), {})

    def until_running(self) -> Up:
        def running() -> bool:
            assert self.process.poll() is None, self.text
            parts = self.state.get("processes", [])
            return bool(parts) and all(each["state"] == "running" for each in parts)

        wait_for("all processes run", running)
        wait_for("the link", lambda: "/sign-in?link=" in self.text)
        return self

    def stop(self, how: int = signal.SIGINT) -> int:
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(DEADLINE)
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()
        return code


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """`up("--workers", "0")`: a studio of one test."""
    made: list[Up] = []

    def start(*options: str, data: Path = tmp_path / "studio") -> Up:
        made.append(Up(data, *options))
        return made[-1]

    yield start
    for each in made:
        below = descendants(each.process.pid)
        with contextlib.suppress(ProcessLookupError):
            each.stop()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A studio with all its parts, for all tests that leave it as it was."""
    running = Up(tmp_path_factory.mktemp("whole") / "studio", "--web-processes", "2")
    try:
        yield running.until_running()
    finally:
        assert running.stop(signal.SIGTERM) == 0, running.text


@pytest.fixture(scope="session")
def light(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A studio of one web process, open to others, with the sample data."""
    options = ("--workers", "0", "--no-serving", "--host", "0.0.0.0", "--sample")
    running = Up(tmp_path_factory.mktemp("light") / "studio", *options)
    try:
        yield running.until_running()
    finally:
        running.stop()
