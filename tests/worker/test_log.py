"""What a worker and its child write down: every line about a run under the run's id, and how it ended."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from softprompt import logs
from softprompt.worker.local import LocalRunner
from softprompt.worker.runner import TuneTask
from studio_fixtures import SMALL, complaints
from worker.conftest import ENDLESS, Shop, until

on_sqlite = pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)


def lines_of(file: Path, run_id: str) -> list[dict[str, Any]]:
    """What `grep ID` finds."""
    lines = [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()]
    return [each for each in lines if run_id in each.values()]


@on_sqlite
def test_the_log_says_how_a_run_ended(shop: Shop, log_file: Path) -> None:
    logs.setup("worker 1", file=log_file, stderr=False)
    run_id = shop.lab.run(shop.lab.dataset(complaints()))
    shop.once()
    first, *_, last = lines_of(log_file, run_id)
    assert (first["message"], first["attempt"], first["process"]) == ("Claimed: tune, attempt 1.", 1, "worker 1")
    assert (last["state"], last["run_id"], last["attempt"], last["level"]) == ("completed", run_id, 1, "info")
    assert "cause" not in last
    assert 0 < last["seconds"] < 120


@on_sqlite
def test_the_log_says_why_a_run_failed(shop: Shop, log_file: Path) -> None:
    logs.setup(file=log_file, stderr=False)
    data = shop.lab.dataset('{"input": "a", "output": "b"}\n{"input": "c"}\n', "torn.jsonl")
    proof = shop.lab.evaluation(data, ["baseline"])
    shop.once()
    last = lines_of(log_file, proof)[-1]
    assert (last["state"], last["cause"], last["level"]) == ("failed", "dataset_invalid", "warning")
    assert last["evaluation_id"] == proof
    assert "'torn.jsonl': 1 problem" in last["message"]


@on_sqlite
def test_the_log_says_what_ended_a_run_before_its_time(shop: Shop, log_file: Path) -> None:
    logs.setup(file=log_file, stderr=False)
    run_id = shop.lab.run(shop.lab.dataset(complaints(180)), ENDLESS)
    with shop.working():
        until(lambda: shop.updates(run_id) > 3)
        shop.cancel(run_id)
        until(lambda: shop.state(run_id) == "canceled")
    last = lines_of(log_file, run_id)[-1]
    assert (last["state"], last["cause"], last["level"]) == ("canceled", "cancel", "info")


def test_what_breaks_in_the_child_stands_in_the_log_of_its_worker(
    runner: LocalRunner, log_file: Path, tiny_folder: Callable[..., Path]
) -> None:
    logs.setup("worker 1", file=log_file, stderr=False)
    mistake: Any = None
    broken = TuneTask(
        model_id="m", model=str(tiny_folder()), device="cpu", name="n", train=mistake, out="/none", config=SMALL
    )
    with logs.bound(run_id="r-17", attempt=2):
        runner.start(broken)
    (last,) = until(lambda: [message for message in runner.messages(0.1) if message["kind"] == "failed"])
    (told,) = lines_of(log_file, "r-17")
    assert (told["attempt"], told["logger"], told["process"]) == (2, "softprompt.worker.child", "worker 1")
    assert told["trace"].splitlines()[-1].startswith("TypeError: ")
    assert last["message"].startswith(told["trace"].splitlines()[-1])


@on_sqlite
def test_a_worker_of_its_own_process_writes_its_log_file(shop: Shop, tmp_path: Path) -> None:
    run_id = shop.lab.run(shop.lab.dataset("nonsense\n"))
    studio, log = shop.settings.studio, tmp_path / "logs" / "worker-1.log"
    words = [*("--data-dir", str(studio.data_dir)), *("--database-url", studio.database_url)]
    words += [*("--storage-url", studio.storage_url), *("--log-file", str(log)), "--once"]
    subprocess.run([sys.executable, "-m", "softprompt", "worker", *words], check=True, capture_output=True, timeout=120)
    assert [each.get("state") for each in lines_of(log, run_id)] == [None, "failed"]
