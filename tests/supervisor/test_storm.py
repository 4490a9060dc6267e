"""A short form of `benchmarks/chaos.py`: processes of a studio are killed while runs and clients work.

Nothing may be lost: each run ends with the vectors of the same run undisturbed, each client gets the answer of before.
"""

from __future__ import annotations

import io
import json
import os
import random
import signal
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx

from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import RunEvent
from supervisor.conftest import DEADLINE, Up, descendants, wait_for
from supervisor.test_up import cli

QUESTIONS = [f"Question {number}: where is my parcel?" for number in range(6)]
ROWS = "".join(json.dumps({"input": f"row {i}", "output": f"answer {i % 3}"}) + "\n" for i in range(60))
CONFIG = {"readout": "off", "init": "text", "virtual_tokens": 4, "epochs": 10, "batch_size": 2, "seed": 1,
          "checkpoint_seconds": 0.2}  # fmt: skip
CLIENTS = 3
TUNING = ("child of a worker", "worker")
ANSWERING = ("serving", "web")
Expected = dict[tuple[str, str], str]


def test_a_storm_loses_no_run_and_spoils_no_answer(up: Callable[..., Up], tiny_folder: Callable[..., Path]) -> None:
    studio = up("--workers", "2").until_running()
    made = cli("keys", "create", "storm", "--role", "admin", "--json", "--data-dir", str(studio.data))
    with opened(studio, json.loads(made.stdout)["key"]) as client:
        calm, expected = prepared(client, tiny_folder())
        runs = [begun(client) for _ in range(3)]
        with asking(client, expected) as (right, wrong):
            storm(studio, lambda: any(seen(client, run)["progress"] for run in runs), right)
            over = [completed(client, run) for run in runs]
        assert wrong == []
        assert [vectors(client, run) == vectors(client, calm) for run in over] == [True] * 3
    assert begins(studio, runs) > 3, "runs were hit and went on"
    assert studio.text.count("was killed (signal 9); it starts again") >= 3


def prepared(client: httpx.Client, model: Path) -> tuple[dict[str, Any], Expected]:
    """A run that nothing disturbs, and what it and the bare model answer."""
    posted(client, "/api/models", json={"id": "tiny", "path": str(model)})
    posted(client, "/api/datasets", params={"name": "rows"}, content=ROWS.encode())
    calm = completed(client, begun(client))
    posted(client, "/api/deployments", json={"serving_name": "tuned", "prompt": calm["tuned_prompt_id"]})
    posted(client, "/api/deployments", json={"serving_name": "bare", "name": "bare", "model": "tiny"})
    return calm, {(name, text): ask(client, name, text) for name in ("tuned", "bare") for text in QUESTIONS}


def storm(studio: Up, runs_work: Callable[[], bool], right: list[str]) -> None:
    """kill -9 of one of each kind and of one more that tunes; after each of them clients get answers again."""
    chance = random.Random(73)
    wait_for("a run is at work", runs_work)
    for kind in (*chance.sample(TUNING, 2), *chance.sample(ANSWERING, 2), chance.choice(TUNING)):
        wait_for(f"a {kind} to kill", lambda kind=kind: killed(studio, kind, chance))  # type: ignore[misc]
        enough = len(right) + 2 * CLIENTS
        wait_for(f"answers after a {kind} died", lambda enough=enough: len(right) > enough)  # type: ignore[misc]


def killed(studio: Up, kind: str, chance: random.Random) -> bool:
    """Whether there was one to kill."""
    worker = kind == "child of a worker"
    parts = [each for each in studio.state["processes"] if each["kind"] == ("worker" if worker else kind)]
    pids = [each["pid"] for each in parts if each["pid"] and each["state"] == "running"]
    if worker:
        pids = sorted(child for pid in pids for child in descendants(pid))
    if not pids:
        return False
    os.kill(chance.choice(pids), signal.SIGKILL)
    return True


@contextmanager
def asking(client: httpx.Client, expected: Expected) -> Iterator[tuple[list[str], list[str]]]:
    """Clients that ask on and on; right and wrong answers, a request that never worked among them."""
    right: list[str] = []
    wrong: list[str] = []
    stop = threading.Event()

    def work(chance: random.Random) -> None:
        with httpx.Client(base_url=client.base_url, headers=client.headers, timeout=30, trust_env=False) as own:
            while not stop.is_set():
                pair = chance.choice(list(expected))
                try:
                    answer = ask(own, *pair)
                except AssertionError as error:
                    answer = str(error)
                (right if answer == expected[pair] else wrong).append(answer)

    threads = [threading.Thread(target=work, args=(random.Random(number),)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield right, wrong
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@contextmanager
def opened(studio: Up, key: str) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {key}"}
    with httpx.Client(base_url=studio.state["web"], headers=headers, timeout=30, trust_env=False) as client:
        yield client


def posted(client: httpx.Client, path: str, **given: Any) -> dict[str, Any]:
    answer = client.post(path, **given)
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def patient(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Sent again as long as a process is on its way back, as clients do."""

    def tried() -> httpx.Response | None:
        try:
            answer = send()
        except httpx.HTTPError:
            return None
        assert answer.status_code in (200, 502, 503, 504), answer.text
        return answer if answer.status_code == 200 else None

    found = wait_for("an answer", tried)
    assert isinstance(found, httpx.Response)
    return found


def ask(client: httpx.Client, name: str, text: str) -> str:
    answer = patient(lambda: client.post("/api/generate", json={"deployment": name, "input": text}))
    return str(answer.json()["results"][0]["output"])


def begun(client: httpx.Client) -> str:
    body = {"experiment": "Storm", "model": "tiny", "dataset": "rows", "config": CONFIG}
    return str(posted(client, "/api/runs", json=body)["id"])


def seen(client: httpx.Client, run_id: str) -> dict[str, Any]:
    return dict(patient(lambda: client.get(f"/api/runs/{run_id}")).json())


def completed(client: httpx.Client, run_id: str) -> dict[str, Any]:
    def over() -> dict[str, Any] | None:
        run = seen(client, run_id)
        assert run["state"] in ("queued", "running", "completed"), run["problem"]
        return run if run["state"] == "completed" else None

    return dict(wait_for("the run is completed", over, 2 * DEADLINE))


def vectors(client: httpx.Client, run: dict[str, Any]) -> bytes:
    packed = patient(lambda: client.get(f"/api/prompts/{run['tuned_prompt_id']}/file"))
    with zipfile.ZipFile(io.BytesIO(packed.content)) as archive:
        return archive.read("prompt.safetensors")


def begins(studio: Up, runs: list[str]) -> int:
    """How often workers began or went on with these runs."""
    with closing(Database(f"sqlite:///{studio.data / 'studio.db'}")) as database, database.read() as session:
        return Rows(session).count(RunEvent, run_id=runs, kind="Started")
