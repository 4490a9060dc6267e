"""A backup taken while a worker tunes: rows, files and digests belong together, and the run is finished elsewhere."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from softprompt import TunedPrompt as Artefact
from softprompt import load_model
from softprompt.storage import backup, dump
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.backup import Manifest
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Dataset, TunedPrompt, TuningRun
from softprompt.storage.types import now
from softprompt.storage.work import Job
from studio_fixtures import Lab, complaints
from worker.conftest import LONG, Shop, until


@pytest.fixture
def elsewhere(shop: Shop, empty_database_url: str, tmp_path: Path) -> Iterator[Shop]:
    """Another machine: an empty database of the same kind, an empty store, a data folder of its own."""
    home = tmp_path / "elsewhere"
    store = ArtifactStore(str(home / "files"), home / "cache")
    studio = replace(shop.settings.studio, data_dir=home, database_url=empty_database_url, storage_url=store.url)
    with closing(Database(empty_database_url)) as database:
        lab = replace(shop.lab, database=database, store=store)
        yield Shop(lab, replace(shop.settings, studio=studio), shop.runner)


def test_what_is_saved_in_the_middle_of_a_run_is_finished_elsewhere(
    shop: Shop, elsewhere: Shop, undisturbed: bytes, tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    data = shop.lab.dataset(complaints(64))
    done = shop.lab.run(data)
    shop.once()
    at_work, waiting = shop.lab.run(data, LONG), shop.lab.run(data)
    saved = []
    with shop.working():
        for after in (3, 10):
            until(lambda after=after: shop.updates(at_work) > after)  # type: ignore[misc]
            saved.append(tmp_path / f"{after}.zip")
            backup.write(shop.lab.database, shop.lab.store, saved[-1])
        until(lambda: shop.state(waiting) == "completed")
    assert shop.vectors(at_work) == undisturbed, "a backup changes nothing"
    for path in saved:
        manifest = backup.restore(
            path, elsewhere.lab.database, elsewhere.lab.store, scratch=tmp_path / "scratch", replace=True
        )
        check_whole(elsewhere.lab, manifest)
        assert [elsewhere.state(run) for run in (done, at_work, waiting)] == ["completed", "running", "queued"]
        known = elsewhere.updates(at_work)
        assert [event.data["update"] for event in elsewhere.told(at_work, "StepDone")] == list(range(1, known + 1))
        assert elsewhere.vectors(done) == shop.vectors(done)
        with elsewhere.lab.database.write() as session:  # backups are older than leases
            Rows(session).change(Job, {"lease_until": now()}, state="running")
        with elsewhere.working():
            until(lambda: elsewhere.state(waiting) == elsewhere.state(at_work) == "completed")
        assert elsewhere.vectors(at_work) == undisturbed
        assert elsewhere.vectors(waiting) == shop.vectors(waiting)
        begins = [event.data["done"] for event in elsewhere.told(at_work, "Started")]
        assert begins == [0, max(checkpoints(manifest).values())]
        artefact = elsewhere.lab.store.folder(elsewhere.prompt(at_work).key)
        assert Artefact.load(artefact, backbone=load_model(tiny_folder())).name == "Routing (2)"
        assert not [key for key in elsewhere.stored() if key.startswith("checkpoints")]


def check_whole(lab: Lab, manifest: Manifest) -> None:
    """Every row that was written down, every file with its digest, and jobs in the states of their runs."""
    assert manifest.missing == []
    with lab.database.snapshot() as connection:
        assert {name: len(list(dump.lines(connection, table))) for name, table in dump.tables(connection).items()} == (
            manifest.rows
        )
    files = {name.removeprefix("files/"): digest for name, digest in manifest.digests.items() if "files/" in name}
    there = {key: hashlib.sha256(Path(lab.store.url, key).read_bytes()).hexdigest() for key in lab.store.keys("")}
    assert files.items() <= there.items()
    with lab.database.read() as session:
        rows = Rows(session)
        named = [row.key for row in (*rows.all(Dataset), *rows.all(TunedPrompt))]
        assert all(any(key == name or key.startswith(f"{name}/") for key in files) for name in named)
        states = {run.id: run.state for run in rows.all(TuningRun)}
        assert {job.subject_id: job.state for job in rows.all(Job)} == states
        at_work = {run for run, state in states.items() if state == "running"}
    assert set(checkpoints(manifest)) == at_work


def checkpoints(manifest: Manifest) -> dict[str, int]:
    """Updates that are in the newest checkpoint of each run."""
    keys = sorted(key for key in manifest.keys if key.startswith("checkpoints/"))
    return {key.split("/")[1]: int(Path(key).stem.split("-")[1]) for key in keys}
