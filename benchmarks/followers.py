"""Two hundred browsers that follow one run: what they cost the web process, how late they hear, what they miss.

    python benchmarks/followers.py [--followers 200] [--seconds 30] [--rate 10] [--quick]

A studio with one web process. The run's updates are written into the database as a worker writes them: in the order of
its claim, as many at once as came in since its last write. Followers read server-sent events over plain HTTP; half of
them break off once and go on behind the last id they saw. An event is as late as the time between its write and the
moment a follower has read it; the followers run in one process beside the studio's, on the same cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from common import begin, parser, record, table
from studio import Studio, add_tiny_model, studio, told, tuned, upload

WRITE_EVERY = 0.15
"""Seconds between two writes of a worker."""
TICKS = 100
"""Of the kernel's clock in a second, in which it counts a process's time."""


@dataclass
class Follower:
    """One browser.

    Attributes:
        ids: of the events it heard, in their order.
        late: seconds from write to reading.
        breaks: whether it loses its connection once.
    """

    breaks: bool
    ids: list[int] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    over: bool = False


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--followers", type=int, default=200)
    made.add_argument("--seconds", type=float, default=30)
    made.add_argument("--rate", type=float, default=10, help="updates a second")
    options = made.parse_args()
    facts = begin(options)
    if options.quick:
        options.followers, options.seconds = 20, 5
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        data, tiny = Path(folder) / "data", Path(folder) / "tiny"
        result, whole = followed(options, data, tiny)
    result |= {"missed events": missed(result.pop("followers"), whole), "events": len(whole)}
    table(["", ""], [[name, f"{v:.3f}" if isinstance(v, float) else str(v)] for name, v in result.items()])
    record(options, "followers", facts, result)


def followed(options: argparse.Namespace, data: Path, tiny: Path) -> tuple[dict[str, Any], list[int]]:
    """What was measured, and the ids of all events."""
    with studio(data, "--workers", "0") as running, running.client() as client:
        dataset = upload(client, "rows", [(f"row {i}", f"answer {i % 3}") for i in range(60)])
        run = tuned(client, add_tiny_model(client, tiny), dataset, "followed")
        return measure(options, running, run), written(running, run)


def measure(options: argparse.Namespace, running: Studio, run: str) -> dict[str, Any]:
    """Follow the run while it is told."""
    pid = running.status()["web"]["pid"]
    followers = [Follower(breaks=n % 2 == 1) for n in range(options.followers)]
    ready = threading.Event()
    following = threading.Thread(target=lambda: asyncio.run(follow_all(running, run, followers, ready)))
    following.start()
    ready.wait(60)
    before, began = spent(pid), time.monotonic()
    tell(options, running, run)
    lasted = time.monotonic() - began
    cores = (spent(pid) - before) / lasted
    following.join(60)
    late = sorted(second for follower in followers for second in follower.late)
    return {
        "web process, cores": cores,
        "latency, median ms": 1000 * statistics.median(late),
        "latency, p95 ms": 1000 * late[int(0.95 * len(late))],
        "latency, most ms": 1000 * late[-1],
        "followers": followers,
    }


def tell(options: argparse.Namespace, running: Studio, run: str) -> None:
    """Be the worker: claim the run, write updates, complete it."""
    from softprompt.api.context import open_office
    from softprompt.config import StudioSettings
    from softprompt.jobs import events
    from softprompt.jobs.queue import Queue
    from softprompt.storage.types import now

    office = open_office(StudioSettings.of(running.data_dir), upgrade=False)
    queue = Queue(office.database)
    claim = queue.claim("benchmark")
    assert claim is not None
    assert claim.subject_id == run
    began, done = time.monotonic(), 0
    while (passed := time.monotonic() - began) < options.seconds:
        due = int(passed * options.rate)
        if due > done:
            steps = [(now(), "StepDone", {**step(n), "written": time.time()}) for n in range(done + 1, due + 1)]
            with queue.unit(claim) as held:
                events.tell_all(held.rows, run, steps)
            done = due
        queue.beat(claim)
        time.sleep(WRITE_EVERY)
    queue.complete(claim)
    office.database.close()


def step(update: int) -> dict[str, Any]:
    return {"update": update, "epoch": update // 50, "loss": 2 / update, "learning_rate": 0.01,
            "tokens_per_second": 900.0, "eta_seconds": 9.0}  # fmt: skip


async def follow_all(running: Studio, run: str, followers: list[Follower], ready: threading.Event) -> None:
    opened = [asyncio.Event() for _ in followers]
    tasks = [
        asyncio.ensure_future(follow(running, run, each, mark)) for each, mark in zip(followers, opened, strict=True)
    ]
    await asyncio.gather(*(mark.wait() for mark in opened))
    ready.set()
    await asyncio.gather(*tasks)


async def follow(running: Studio, run: str, follower: Follower, opened: asyncio.Event) -> None:
    """As a browser's EventSource does: on, behind the last id, until the end is told."""
    while not follower.over:
        await listen(running, run, follower, opened)


async def listen(running: Studio, run: str, follower: Follower, opened: asyncio.Event) -> None:
    """One connection."""
    place = urlsplit(running.url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    last = f"last-event-id: {follower.ids[-1]}\r\n" if follower.ids else ""
    writer.write(
        f"GET /api/runs/{run}/events HTTP/1.1\r\nhost: {place.netloc}\r\nauthorization: Bearer {running.key}\r\n"
        f"accept: text/event-stream\r\n{last}\r\n".encode()
    )
    try:
        while line := (await reader.readline()).decode().rstrip():
            if line.startswith("HTTP/1.1 204"):
                follower.over = True
                return
        opened.set()
        await heard(reader, follower)
    finally:
        writer.close()


async def heard(reader: asyncio.StreamReader, follower: Follower) -> None:
    kind = ""
    while raw := await reader.readline():
        name, _, value = raw.decode().rstrip().partition(": ")
        if name == "id":
            follower.ids.append(int(value))
        elif name == "event":
            kind = value
        elif name == "data" and kind == "end":
            follower.over = True
            return
        elif name == "data" and kind == "StepDone":
            follower.late.append(time.time() - json.loads(value)["written"])
            if follower.breaks and len(follower.late) == 20:
                follower.breaks = False
                return


def written(running: Studio, run: str) -> list[int]:
    """Ids of all events of the run, in their order."""
    found: list[int] = []
    with running.client() as client:
        while True:
            after = found[-1] if found else 0
            page = told(client.get(f"/api/runs/{run}/events", params={"after": after}))
            found += [item["id"] for item in page["items"]]
            if page["over"] or not page["items"]:
                return found


def missed(followers: list[Follower], whole: list[int]) -> int:
    """Events that a follower did not hear, heard twice, or out of their order."""
    wrong = 0
    for follower in followers:
        if follower.ids != whole:
            wrong += max(len(set(whole) - set(follower.ids)), 1)
    return wrong


def spent(pid: int) -> float:
    """Seconds of processor time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    main()
