"""Starts a real studio for the benchmarks of the service, with a tiny model or SmolLM2, and speaks to it.

Not a benchmark itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

PATIENCE = 120.0
"""Seconds after which waiting becomes an error."""
OVER = ("completed", "failed", "canceled")

CHILD = "child of a worker"
KINDS = {
    "web": "web",
    "serve": "serving host",
    "worker": "worker",
}
"""Words of a command line → what the process is."""


@dataclass
class Studio:
    """A studio that runs in processes of its own."""

    process: subprocess.Popen[bytes]
    data_dir: Path
    url: str
    key: str

    def client(self, **settings: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=60, **settings)

    def status(self) -> dict[str, Any]:
        return dict(command(self.data_dir, "status", "--json"))


def command(data_dir: Path, *words: str) -> Any:
    """What a command of ours prints, as JSON."""
    line = [sys.executable, "-m", "softprompt", *words, "--data-dir", str(data_dir)]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    if done.returncode and not done.stdout.strip():
        raise SystemExit(f"{' '.join(words)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


@contextmanager
def studio(data_dir: Path, *options: str) -> Iterator[Studio]:
    """`softprompt up` on free ports until the block ends."""
    line = [sys.executable, "-m", "softprompt", "up", "--data-dir", str(data_dir), "--port", "0", "--tls-port", "0"]
    environment = {**os.environ, "SOFTPROMPT_MAX_REQUESTS_PER_MINUTE": "1000000", "SOFTPROMPT_MAX_CONCURRENT_RUNS": "8"}
    process = subprocess.Popen([*line, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
    try:
        state = wait(lambda: _ready(data_dir, process), "the studio does not start")
        key = command(data_dir, "keys", "create", "benchmark", "--role", "admin", "--json")["key"]
        yield Studio(process, data_dir, state, key)
    finally:
        process.terminate()
        process.wait(PATIENCE)


def _ready(data_dir: Path, process: subprocess.Popen[bytes]) -> str | None:
    if process.poll() is not None:
        raise SystemExit(f"softprompt up ended with {process.returncode}; its log is in {data_dir / 'logs'}")
    if not (data_dir / "studio.json").exists():
        return None
    found = command(data_dir, "status", "--json")
    whole = found.get("running") and (found.get("serving") or {}).get("state") == "running"
    return str(found["web"]["address"]) if whole else None


def wait(look: Any, otherwise: str, seconds: float = PATIENCE) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = look()
        if found:
            return found
        time.sleep(0.2)
    raise SystemExit(otherwise)


def descendants(pid: int) -> list[int]:
    """The processes that a process started, and those that these did."""
    found = []
    for thread in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that has ended meanwhile
            for child in map(int, thread.read_text(encoding="ascii").split()):
                found += [child, *descendants(child)]
    return found


def kind_of(pid: int) -> str | None:
    """What a process is by its command line; None: it ends, or only helps."""
    words = command_line(pid)
    if not any("multiprocessing.forkserver" in word for word in words):
        return next((KINDS[word] for word in words if word in KINDS), None)
    return CHILD if command_line(parent_of(pid)) == words else "process with a worker's libraries"


def command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


def parent_of(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    except OSError:
        return 0


def add_tiny_model(client: httpx.Client, folder: Path) -> str:
    """A random model of two layers, saved and made known; what it says means nothing, but always the same."""
    from softprompt.testing.tiny import tiny_model

    tiny_model("llama", folder)
    told(client.post("/api/models", json={"id": "tiny", "path": str(folder)}))
    return "tiny"


def upload(client: httpx.Client, name: str, rows: list[tuple[str, str]]) -> str:
    body = "\n".join(json.dumps({"input": question, "output": answer}) for question, answer in rows)
    return str(told(client.post("/api/datasets", params={"name": name}, content=body.encode()))["id"])


def tuned(client: httpx.Client, model: str, dataset: str, name: str, **config: Any) -> str:
    """The id of a run."""
    body = {"experiment": name, "model": model, "dataset": dataset, "config": config}
    return str(told(client.post("/api/runs", json=body))["id"])


def finished(client: httpx.Client, run_id: str, seconds: float = 600) -> dict[str, Any]:
    """The run, when it is over."""

    def look() -> dict[str, Any] | None:
        run = told(client.get(f"/api/runs/{run_id}"))
        return run if run["state"] in OVER else None

    return dict(wait(look, f"run {run_id} does not end", seconds))


def told(answer: httpx.Response) -> dict[str, Any]:
    if answer.status_code >= 400:
        raise SystemExit(f"{answer.request.method} {answer.request.url.path}: {answer.status_code} {answer.text[:400]}")
    return dict(answer.json())
