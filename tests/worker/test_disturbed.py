"""What becomes of a run when something breaks: child, worker, disk, database, lease. Results are compared by bits."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from softprompt.errors import StorageFull, Unavailable
from softprompt.jobs.queue import Claim, Queue, Timing
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Evaluation, TuningRun
from softprompt.storage.work import Job
from softprompt.worker import local
from softprompt.worker.local import LocalRunner
from softprompt.worker.prepare import Prepared, Preparer
from softprompt.worker.runner import Task
from studio_fixtures import complaints
from worker import stuck
from worker.conftest import ENDLESS, LONG, Shop, child_of, until

WORKER = """
import sys
from pathlib import Path
from softprompt.config import StudioSettings
from softprompt.jobs.queue import Timing
from softprompt.worker.process import WorkerSettings, work
home, url, files, lease = sys.argv[1:]
studio = StudioSettings(data_dir=Path(home), database_url=url, storage_url=files)
timing = Timing(lease=float(lease), backoff=0.0)
work(WorkerSettings(studio=studio, poll=0.02, timing=timing))
"""


@pytest.fixture
def spawned() -> Iterator[Any]:
    """`spawned(shop, home=None, lease=6)`: a worker process of its own."""
    made: list[subprocess.Popen[bytes]] = []

    def spawn(shop: Shop, home: Path | None = None, lease: float = 6.0) -> subprocess.Popen[bytes]:
        studio = shop.settings.studio
        where = [str(home or studio.data_dir), studio.database_url, studio.storage_url, str(lease)]
        made.append(subprocess.Popen([sys.executable, "-W", "error", "-c", WORKER, *where]))
        return made[-1]

    yield spawn
    for process in made:
        process.kill()
        process.wait()


def job_of(shop: Shop, run_id: str) -> Job:
    with shop.lab.database.read() as session:
        job = Rows(session).first(Job, subject_id=run_id)
    assert job is not None
    return job


def test_a_killed_child_is_replaced_and_the_run_goes_on(shop: Shop, undisturbed: bytes) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints(64)), LONG)
    with shop.working():
        until(lambda: shop.updates(run_id) > 3)
        os.kill(child_of(shop.runner), signal.SIGKILL)
        until(lambda: shop.state(run_id) == "completed")
    assert shop.vectors(run_id) == undisturbed
    assert shop.told(run_id, "Started")[1].data["done"] > 3
    back = [event.data for event in shop.told(run_id, "state") if event.data["state"] == "queued"]
    assert [data["problem"]["code"] for data in back] == ["worker_died"]
    assert "killed (signal 9)" in back[0]["problem"]["message"]
    assert shop.lab.get(TuningRun, run_id).problem is None


class Dying(LocalRunner):
    """A runner whose first child has a task, and is killed before it has heard of it."""

    killed = False

    def warm(self) -> None:
        pass

    def start(self, task: Task) -> None:
        if self.killed:
            super().start(task)
            return
        with patch.object(local, "serve", stuck.listens_never):
            super().start(task)
        self.killed = True
        os.kill(child_of(self), signal.SIGKILL)


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_child_that_is_killed_while_it_loads_is_no_attempt(shop: Shop, undisturbed: bytes) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints(64)), LONG)
    runner = Dying()
    with shop.working(runner=runner):
        until(lambda: shop.state(run_id) == "completed")
    runner.close()
    job = job_of(shop, run_id)
    assert (job.fence, job.attempts) == (2, 1)
    assert shop.vectors(run_id) == undisturbed


def test_a_run_whose_child_always_dies_fails_in_the_end(shop: Shop) -> None:
    config = {**ENDLESS, "checkpoint_seconds": 60}  # it dies before it has anything to show
    run_id = shop.lab.run(shop.lab.dataset(complaints(180)), config)
    with shop.lab.database.write() as session:
        Rows(session).change(Job, {"most_attempts": 2}, subject_id=run_id)
    with shop.working():
        for attempt in (1, 2):
            until(lambda attempt=attempt: len(shop.told(run_id, "Started")) == attempt)  # type: ignore[misc]
            os.kill(child_of(shop.runner), signal.SIGKILL)
        until(lambda: shop.state(run_id) == "failed")
    message = shop.lab.get(TuningRun, run_id).problem["message"]
    assert "It was tried 2 times and is given up." in message
    assert not any(key.startswith("checkpoints") for key in shop.stored())


def test_an_evaluation_goes_on_behind_what_was_answered(shop: Shop) -> None:
    test, known = shop.lab.dataset(complaints(200)), shop.lab.dataset(complaints())
    methods, settings = ["zero-shot", "1-shot", "2-shot"], {"examples_dataset_id": known, "max_new_tokens": 8}
    proof, calm = (shop.lab.evaluation(test, methods, **settings) for _ in range(2))
    with shop.working():
        until(lambda: len(shop.told(proof, "Kept")) > 2)  # somewhere behind the first piece of the second method
        os.kill(child_of(shop.runner), signal.SIGKILL)
        until(lambda: shop.state(calm, Evaluation) == "completed")
    job = job_of(shop, proof)
    assert (job.state, job.fence, job.attempts) == ("completed", 2, 1), "it came further, so the death does not count"
    assert [event.data["name"] for event in shop.told(proof, "Method")].count("zero-shot") == 1
    assert len(shop.told(proof, "Kept")) <= 2 * len(methods), "no rows were asked twice"
    found, wanted = ([m["answers"] for m in shop.lab.get(Evaluation, e).results["methods"]] for e in (proof, calm))
    assert found == wanted
    assert not any(key.startswith("checkpoints") for key in shop.stored())


def test_a_run_that_dies_in_its_own_test_is_not_trained_again(shop: Shop, undisturbed: bytes) -> None:
    test = shop.lab.dataset(complaints(400))
    run_id = shop.lab.run(shop.lab.dataset(complaints(64)), LONG, test_dataset_id=test)
    with shop.working():
        until(lambda: shop.told(run_id, "Kept"))
        os.kill(child_of(shop.runner), signal.SIGKILL)
        until(lambda: shop.state(run_id) == "completed")
    assert job_of(shop, run_id).fence == 2
    assert len(shop.told(run_id, "StepDone")) == shop.told(run_id, "Started")[1].data["done"] == 80
    assert shop.vectors(run_id) == undisturbed
    assert shop.lab.get(TuningRun, run_id).results["test"]["rows"] == 400


def test_a_killed_worker_is_followed_by_another_on_another_machine(
    shop: Shop, spawned: Any, undisturbed: bytes, tmp_path: Path
) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints(64)), LONG)
    worker = spawned(shop, home=tmp_path / "machine-1", lease=2.0)
    until(lambda: shop.updates(run_id) > 3)
    worker.kill()
    worker.wait()
    assert shop.state(run_id) == "running"
    spawned(shop, home=tmp_path / "machine-2", lease=2.0)
    until(lambda: shop.state(run_id) == "completed")
    assert shop.vectors(run_id) == undisturbed
    assert shop.told(run_id, "Started")[1].data["done"] > 0
    job = job_of(shop, run_id)
    assert (job.fence, job.attempts) == (2, 1), (
        "claimed twice; the second attempt came further, so the first does not count"
    )


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_sigterm_puts_the_run_back(shop: Shop, spawned: Any) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints(180)), ENDLESS)
    worker = spawned(shop)
    until(lambda: shop.updates(run_id) > 3)
    worker.terminate()
    assert worker.wait(10) == 0
    assert shop.state(run_id) == "queued"
    assert job_of(shop, run_id).attempts == 0


def test_two_workers_do_each_run_once(shop: Shop, spawned: Any) -> None:
    data = shop.lab.dataset(complaints())
    runs = [shop.lab.run(data) for _ in range(6)]
    for _ in range(2):
        spawned(shop)
    until(lambda: all(shop.state(run) == "completed" for run in runs))
    assert Counter(len(shop.told(run, "Started")) for run in runs) == {1: 6}
    assert [job_of(shop, run).attempts for run in runs] == [1] * 6
    assert len({shop.vectors(run) for run in runs}) == 1


def test_a_full_store_delays_a_run_and_loses_nothing(
    shop: Shop, undisturbed: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints(64)), LONG)
    put, full = ArtifactStore.put_folder, threading.Event()
    full.set()

    def refuse(store: ArtifactStore, key: str, source: Path) -> int:
        if full.is_set():
            raise StorageFull(f"There is no room left in {store.url}.")
        return put(store, key, source)

    monkeypatch.setattr(ArtifactStore, "put_folder", refuse)
    shop.once()
    run = shop.lab.get(TuningRun, run_id)
    assert (run.state, run.problem["code"]) == ("queued", "storage_full")
    assert "There is no room left" in run.problem["message"]
    full.clear()
    shop.once()
    assert shop.vectors(run_id) == undisturbed
    assert shop.told(run_id, "Started")[1].data["done"] > 0


def test_a_full_scratch_disk_is_told_and_given_up_after_the_last_attempt(shop: Shop) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints()))
    with shop.lab.database.write() as session:
        Rows(session).change(Job, {"most_attempts": 2}, subject_id=run_id)
    runner = LocalRunner()
    runner.warm()
    resource.prlimit(child_of(runner), resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
    try:
        shop.once(runner=runner)
        run = shop.lab.get(TuningRun, run_id)
        assert (run.state, run.problem["code"]) == ("queued", "storage_full")
        assert "could not be written" in run.problem["message"]
        shop.once(runner=runner)
        assert shop.state(run_id) == "failed"
    finally:
        runner.close()


def test_a_store_that_is_away_does_not_count_as_an_attempt(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints()))

    def away(store: ArtifactStore, key: str) -> Path:
        raise Unavailable(f"The file store {store.url} does not answer.")

    monkeypatch.setattr(ArtifactStore, "file", away)
    shop.once()
    run, job = shop.lab.get(TuningRun, run_id), job_of(shop, run_id)
    assert (run.state, run.problem["code"], job.attempts) == ("queued", "unavailable", 0)
    assert job.not_before > job.created_at


def test_a_mistake_of_ours_does_not_end_the_worker(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    bad, good = (shop.lab.run(shop.lab.dataset(complaints())) for _ in range(2))
    prepare = Preparer.prepare

    def mistaken(preparer: Preparer, claim: Claim) -> Prepared:
        if claim.subject_id == bad:
            raise KeyError("nobody thought of this")
        return prepare(preparer, claim)

    monkeypatch.setattr(Preparer, "prepare", mistaken)
    with shop.working():
        until(lambda: shop.state(good) == "completed" and shop.state(bad) == "failed")
    message = shop.lab.get(TuningRun, bad).problem["message"]
    assert "nobody thought of this" in message
    assert "mistake in Softprompt" in message
    assert "It was tried 5 times" in message


class Outage:
    """A database that can be switched off for the workers of this test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.away = threading.Event()
        for name in ("read", "write"):
            monkeypatch.setattr(Database, name, self._gated(getattr(Database, name)))

    def _gated(self, unit: Any) -> Any:
        @contextmanager
        def gated(database: Database) -> Iterator[Any]:
            if self.away.is_set() and threading.current_thread() is not threading.main_thread():
                raise Unavailable("The database does not answer.")
            with unit(database) as session:
                yield session

        return gated


def test_a_run_goes_on_without_the_database_and_tells_everything_later(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, undisturbed: bytes
) -> None:
    outage = Outage(monkeypatch)
    run_id = shop.lab.run(shop.lab.dataset(complaints(64)), LONG)
    with shop.working():
        until(lambda: shop.updates(run_id) > 3)
        outage.away.set()
        until(lambda: list(shop.settings.scratch.glob(f"{run_id}/*/tuned")))  # the child is done
        assert shop.state(run_id) == "running"
        outage.away.clear()
        until(lambda: shop.state(run_id) == "completed")
    assert [event.data["update"] for event in shop.told(run_id, "StepDone")] == list(range(1, 81))
    assert shop.vectors(run_id) == undisturbed
    assert job_of(shop, run_id).attempts == 1


@pytest.mark.parametrize("database_kind", ["postgresql"], indirect=True)
def test_connections_that_break_off_again_and_again(shop: Shop, undisturbed: bytes, database_kind: str) -> None:
    """The server ends everybody's connections a few times a second, in whatever they are doing."""
    import psycopg

    run_id = shop.lab.run(shop.lab.dataset(complaints(64)), LONG)
    others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
    with (
        psycopg.connect(shop.settings.studio.database_url, autocommit=True) as server,
        shop.working(),
    ):
        breaks = 0
        while server.execute("SELECT state FROM tuning_runs WHERE id = %s", [run_id]).fetchone() != ("completed",):
            server.execute(others + " AND datname = current_database()")  # type: ignore[arg-type]
            breaks += 1
            assert breaks < 300
            threading.Event().wait(0.1)
    assert breaks > 5
    assert shop.vectors(run_id) == undisturbed
    told = [event.data["update"] for event in shop.told(run_id, "StepDone")]
    assert sorted(set(told)) == list(range(1, 81))
    assert told == sorted(told)


def test_a_worker_that_lost_its_lease_stops_and_is_not_blamed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, undisturbed: bytes
) -> None:
    outage = Outage(monkeypatch)
    run_id = shop.lab.run(shop.lab.dataset(complaints(64)), {**LONG, "epochs": 50})
    sweeper = Queue(shop.lab.database, timing=Timing(backoff=0.0))
    with shop.working():
        until(lambda: shop.updates(run_id) > 3)
        outage.away.set()
        with shop.lab.database.write() as session:
            job = Rows(session).first(Job, subject_id=run_id)
            assert job is not None
            job.lease_until = job.created_at  # as if the outage had lasted for longer than the lease
        sweeper.sweep()
        other = sweeper.claim("other")
        assert other is not None
        said = len(shop.told(run_id))
        outage.away.clear()
        until(lambda: job_of(shop, run_id).attempts == 1)
        assert sweeper.beat(other) == "go on"
        assert len(shop.told(run_id)) == said, "nothing of the late worker was written"


def test_a_task_that_does_not_listen_is_killed(shop: Shop) -> None:
    """The child sleeps in the middle of a task, as one long operation would."""
    run_id = shop.lab.run(shop.lab.dataset(complaints(180)), ENDLESS)
    with shop.working():
        until(lambda: shop.updates(run_id) > 3)
        os.kill(child_of(shop.runner), signal.SIGSTOP)
        shop.cancel(run_id)
        until(lambda: shop.state(run_id) == "canceled", seconds=3.0)
