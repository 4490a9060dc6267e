"""What the service adds: HTTP, authorisation and queue over the bare engine call; the way from submit to first update,
and from a new deployment to its first answer; memory of a thousand deployments.

    python benchmarks/overhead.py [--requests 200] [--deployments 1000] [--quick]

One client asks one tuned prompt with a label readout over HTTP. What is added is the time that the client waits less
the time that the model worked on the same request, as the answer tells it (`seconds`). The first update's time comes
from the run's own events. Memory is that of the serving host before and after it answered once for each of many
deployments, each with a tuned prompt of its own.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from common import SHORT_ROWS, begin, parser, read_rows, record, table
from studio import CHILD, Studio, descendants, finished, kind_of, studio, told, tuned, upload, wait


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--requests", type=int, default=200)
    made.add_argument("--deployments", type=int, default=1000)
    made.add_argument("--only-added", action="store_true", help="measure nothing but what one request takes longer")
    options = made.parse_args()
    facts = begin(options)
    if options.quick:
        options.requests, options.deployments = 30, 50
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        with studio(data) as running, running.client() as client:
            result = measure(options, running, client)
    table(
        ["", ""], [[name, f"{value:.1f}" if isinstance(value, float) else str(value)] for name, value in result.items()]
    )
    record(options, "overhead", facts, result)


def measure(options: argparse.Namespace, running: Studio, client: httpx.Client) -> dict[str, Any]:
    rows = read_rows(SHORT_ROWS)
    dataset = upload(client, "rows", rows)
    model = options.model
    starts = {} if options.only_added else first_updates(running, client, model, dataset)
    labelled = finished(client, tuned(client, model, dataset, "labels", readout="only"))
    live = {"first deployment live, s": deployed(client, "labels", labelled["tuned_prompt_id"], rows[0][0])}
    added = overhead(options, client, [text for text, _ in rows])
    if options.only_added:
        return added
    short = {"readout": "off", "init": "text", "virtual_tokens": 20, "batch_size": 16, "epochs": 1}
    said = finished(client, tuned(client, model, dataset, "text", **short))
    live["next deployment live, s"] = deployed(client, "text", said["tuned_prompt_id"], rows[0][0])
    result = {**added, **starts, **live}
    return {**result, **memory(options, running, client, said["tuned_prompt_id"], rows[0][0])}


def deployed(client: httpx.Client, name: str, prompt_id: str, text: str) -> float:
    """Seconds from asking for a deployment to its first answer; the first one has the model loaded, too."""
    began = time.perf_counter()
    told(client.post("/api/deployments", json={"serving_name": name, "prompt": prompt_id}))
    told(client.post("/api/generate", json={"deployment": name, "input": text, "parameters": {"max_new_tokens": 1}}))
    return time.perf_counter() - began


def overhead(options: argparse.Namespace, client: httpx.Client, texts: list[str]) -> dict[str, float]:
    """Milliseconds over HTTP, of the model alone, and what lies between.

    The client is the standard library's, on one kept connection: what clients do around it is not the service's.
    """
    served, added = [], []
    address = client.base_url
    connection = http.client.HTTPConnection(address.host, address.port or 80, timeout=60)
    headers = {"authorization": client.headers["authorization"], "content-type": "application/json"}
    for turn in range(-5, options.requests):
        body = json.dumps({"deployment": "labels", "input": texts[turn % len(texts)]}).encode()
        began = time.perf_counter()
        connection.request("POST", "/api/generate", body, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        over = time.perf_counter() - began
        if response.status != 200:
            raise SystemExit(f"POST /api/generate: {response.status} {answer}")
        if turn >= 0:
            served.append(over * 1000)
            added.append((over - answer["results"][0]["seconds"]) * 1000)
    connection.close()
    return {
        "over HTTP, median ms": statistics.median(served),
        "added, median ms": statistics.median(added),
        "added, p95 ms": statistics.quantiles(added, n=20)[-1],
    }


def first_updates(running: Studio, client: httpx.Client, model: str, dataset: str) -> dict[str, float]:
    """Seconds from the submit to the first update, less those of loading the model."""
    short = {"readout": "off", "init": "text", "virtual_tokens": 5, "batch_size": 1, "epochs": 1}
    found = {}
    for name in ("cold", "warm"):
        run_id = tuned(client, model, dataset, name, **short)
        finished(client, run_id)
        found |= first_update(client, run_id, name)
    long = tuned(client, model, dataset, "killed", **{**short, "epochs": 50})
    wait(lambda: _events(client, long, "StepDone"), "the run does not start")
    tuning = [child for worker in running.status()["workers"] for child in descendants(worker["pid"])]
    os.kill(next(pid for pid in tuning if kind_of(pid) == CHILD), signal.SIGSTOP)  # it cannot end by itself
    told(client.post(f"/api/runs/{long}/cancel"))
    run_id = tuned(client, model, dataset, "behind", **short)
    finished(client, run_id)
    canceled = next(e["at"] for e in _events(client, long, "state") if e["data"]["state"] == "canceled")
    return found | first_update(client, run_id, "after a kill", since=canceled)


def first_update(client: httpx.Client, run_id: str, name: str, since: str = "") -> dict[str, float]:
    """Of one run.

    Args:
        since: when the worker was free, if that was after the submit.
    """
    run = told(client.get(f"/api/runs/{run_id}"))
    began = max(run["created_at"], since)
    claimed = next(e["at"] for e in _events(client, run_id, "state") if e["data"]["state"] == "running")
    notes = [e["data"]["text"] for e in _events(client, run_id, "Note")]
    load = sum(float(note.rsplit(" ", 2)[-2]) for note in notes if " is loaded after " in note)
    first = _events(client, run_id, "StepDone")[0]["at"]
    return {
        f"{name}: submit to claim, s": _seconds(began, claimed),
        f"{name}: model loaded in, s": load,
        f"{name}: submit to first update less load, s": _seconds(began, first) - load,
    }


def _events(client: httpx.Client, run_id: str, kind: str) -> list[dict[str, Any]]:
    found = told(client.get(f"/api/runs/{run_id}/events"))["items"]
    return [event for event in found if event["kind"] == kind]


def _seconds(earlier: str, later: str) -> float:
    from datetime import datetime

    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


def memory(
    options: argparse.Namespace, running: Studio, client: httpx.Client, prompt_id: str, text: str
) -> dict[str, float]:
    """MiB of the serving host before and after it answered for every deployment."""
    pid = running.status()["serving"]["pid"]
    names = copies(running, prompt_id, options.deployments)
    before = _resident(pid)
    for name in names:
        told(
            client.post("/api/generate", json={"deployment": name, "input": text, "parameters": {"max_new_tokens": 1}})
        )
    after = _resident(pid)
    return {"serving host before, MiB": before, f"after {len(names)} deployments, MiB": after}


def folder_of(running: Studio, prompt_id: str) -> Path:
    """Where the files of a tuned prompt lie."""
    from softprompt.api.context import open_office
    from softprompt.config import StudioSettings
    from softprompt.studio import tuned_prompts
    from softprompt.studio.access import SYSTEM

    office = open_office(StudioSettings.of(running.data_dir), upgrade=False)
    with office.unit(SYSTEM, write=False) as unit:
        found = office.store.folder(tuned_prompts.get(unit, prompt_id).key)
    office.database.close()
    return found


def copies(running: Studio, prompt_id: str, count: int) -> list[str]:
    """Serving names of deployments, each with a copy of the tuned prompt: other files, so nothing is shared."""
    from softprompt.api.context import open_office
    from softprompt.config import StudioSettings
    from softprompt.studio import deployments, projects, tuned_prompts
    from softprompt.studio.access import SYSTEM

    office = open_office(StudioSettings.of(running.data_dir))
    with office.unit(SYSTEM) as unit:
        first, project = tuned_prompts.get(unit, prompt_id), projects.sandbox(unit)
        folder = office.store.folder(first.key)
        for number in range(count):
            copy = tuned_prompts.add(unit, project, f"Copy {number}", folder, first.card)
            copy.model_id = first.model_id
            deployments.create(unit, project, copy.name, serving=f"copy-{number}", prompt_id=copy.id)
    office.database.close()
    return [f"copy-{number}" for number in range(count)]


def _resident(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS"))) / 1024


if __name__ == "__main__":
    main()
