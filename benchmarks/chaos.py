"""What is lost when processes die: kill -9 of a random one every few seconds while runs and clients work.

    python benchmarks/chaos.py [--minutes 10] [--every 5] [--runs-count 20] [--clients 16] [--quick]

A studio with two web processes, two workers and a serving host, on a tiny random model (what dies is the same). Clients
ask deployments and compare each answer with the one from before the storm; a request that breaks is tried again, as
clients do. At the end every run has to be completed, and the vectors of one are compared with those of the same run
undisturbed.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from common import begin, parser, record, table
from studio import Studio, add_tiny_model, descendants, finished, kind_of, studio, told, tuned, upload

QUESTIONS = [f"Question number {i}: where is my parcel?" for i in range(12)]
TRIES = 12
PAUSE = 0.5
"""Seconds before a request is tried again; a serving host that died needs some to come back."""


@dataclass
class Count:
    """What the clients saw."""

    asked: int = 0
    failed: int = 0
    repeated: int = 0
    wrong: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, **more: int) -> None:
        with self.lock:
            for name, value in more.items():
                setattr(self, name, getattr(self, name) + value)


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--minutes", type=float, default=10)
    made.add_argument("--every", type=float, default=5, help="seconds between two kills")
    made.add_argument("--runs-count", type=int, default=20)
    made.add_argument("--clients", type=int, default=16)
    options = made.parse_args()
    facts = begin(options)
    if options.quick:
        options.minutes, options.runs_count, options.clients = 1, 4, 4
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        result = storm(options, Path(folder))
    table(["", ""], [[name, str(value)] for name, value in result.items()])
    record(options, "chaos", facts, result)


def storm(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    with studio(folder / "data", "--workers", "2", "--web-processes", "2") as running, running.client() as client:
        model = add_tiny_model(client, folder / "tiny")
        dataset = upload(client, "rows", [(f"row {i} {'abc'[i % 3]}", f"answer {i % 3}") for i in range(60)])
        names, calm = deploy(client, model, dataset)
        expected = {(name, text): ask(client, name, text) for name in names for text in QUESTIONS}
        count, stop, kills = Count(), threading.Event(), []
        threads = [
            threading.Thread(target=clients_work, args=(running, names, expected, count, stop, n))
            for n in range(options.clients)
        ]
        runs = [tuned(client, model, dataset, "storm", **config(i)) for i in range(options.runs_count)]
        for thread in threads:
            thread.start()
        began, chance = time.monotonic(), random.Random(73)
        for turn in range(1, round(options.minutes * 60 / options.every) + 1):
            time.sleep(max(0.0, began + turn * options.every - time.monotonic()))
            kills.append(kill_one(running, chance))
        stop.set()
        for thread in threads:
            thread.join()
        over = [finished_again(running, run) for run in runs]
        same = over[0]["state"] == "completed" and vectors(client, over[0]) == vectors(client, calm)
    return {
        "minutes": options.minutes,
        "processes killed": {kind: kills.count(kind) for kind in sorted(set(kills))},
        "runs": len(over),
        "runs not completed": sum(run["state"] != "completed" for run in over),
        "why": "; ".join(run["problem"]["message"] for run in over if run.get("problem")) or "-",
        "vectors as undisturbed": same,
        "requests": count.asked,
        "repeated": count.repeated,
        "failed after repeats": count.failed,
        "wrong answers": count.wrong,
    }


def config(number: int) -> dict[str, Any]:
    """Long enough to be hit; the first one is the run that was also made undisturbed."""
    return {"readout": "off", "init": "text", "virtual_tokens": 8, "epochs": 20, "batch_size": 2, "seed": number + 1,
            "checkpoint_seconds": 1}  # fmt: skip


def deploy(client: httpx.Client, model: str, dataset: str) -> tuple[list[str], dict[str, Any]]:
    """Two tuned prompts that answer, the first one's run, and the bare model."""
    first = finished(client, tuned(client, model, dataset, "calm", **config(0)))
    second = finished(client, tuned(client, model, dataset, "calm", readout="only"))
    for name, run in (("text", first), ("labels", second)):
        told(client.post("/api/deployments", json={"serving_name": name, "prompt": run["tuned_prompt_id"]}))
    told(client.post("/api/deployments", json={"serving_name": "bare", "model": model, "name": "bare"}))
    return ["text", "labels", "bare"], first


def ask(client: httpx.Client, name: str, text: str) -> str:
    answer = told(client.post("/api/generate", json={"deployment": name, "input": text}))
    return str(answer["results"][0]["output"])


def clients_work(
    running: Studio, names: list[str], expected: dict[tuple[str, str], str], count: Count, stop: threading.Event, n: int
) -> None:
    chance = random.Random(n)
    with running.client() as client:
        while not stop.is_set():
            name, text = chance.choice(names), chance.choice(QUESTIONS)
            count.add(asked=1)
            got = patient(client, name, text, count)
            if got is None:
                count.add(failed=1)
            elif got != expected[name, text]:
                count.add(wrong=1)


def patient(client: httpx.Client, name: str, text: str, count: Count) -> str | None:
    for _ in range(TRIES):
        try:
            answer = client.post("/api/generate", json={"deployment": name, "input": text})
            if answer.status_code == 200:
                return str(answer.json()["results"][0]["output"])
        except httpx.HTTPError:
            pass
        count.add(repeated=1)
        time.sleep(PAUSE)
    return None


def kill_one(running: Studio, chance: random.Random) -> str:
    """kill -9 of a process that the studio started, or one of these did; its kind."""
    found = {pid: kind for pid in descendants(running.process.pid) if (kind := kind_of(pid))}
    pid = chance.choice(sorted(found))
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return "gone already"
    return found[pid]


def finished_again(running: Studio, run_id: str) -> dict[str, Any]:
    with running.client() as client:
        return finished(client, run_id, 1200)


def vectors(client: httpx.Client, run: dict[str, Any]) -> bytes:
    """The file of the vectors, out of the downloaded artefact."""
    import io
    import zipfile

    packed = client.get(f"/api/prompts/{run['tuned_prompt_id']}/file")
    packed.raise_for_status()
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        return archive.read("prompt.safetensors")


if __name__ == "__main__":
    main()
