"""Checkpoints between scratch and store: the newest is brought, broken ones are passed over, S3 included."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from softprompt.config import StudioSettings
from softprompt.errors import StorageFull
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.worker import checkpoints
from softprompt.worker.checkpoints import Courier, answers_of, bring, checkpoint_of, update_of
from softprompt.worker.local import LocalRunner
from softprompt.worker.process import WorkerSettings
from studio_fixtures import Lab, complaints
from worker.conftest import LONG, Shop, until


def saved(path: Path, update: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"progress": json.dumps({"key": "k", "update": update})}
    save_file({"current.prefix": np.full(3, update, np.float32)}, path, metadata=metadata)
    return path


def test_the_number_of_updates_is_read_from_the_header(tmp_path: Path) -> None:
    assert update_of(saved(tmp_path / "a", 41)) == 41
    assert update_of(tmp_path / "none") is None
    for content in (b"", b"\xff" * 8, b"\x02\x00\x00\x00\x00\x00\x00\x00{}", b"half"):
        (tmp_path / "b").write_bytes(content)
        assert update_of(tmp_path / "b") is None


@pytest.mark.parametrize(("stored", "local", "wanted"), [(7, 5, 7), (5, 7, 7), (7, None, 7), (None, 3, 3)])
def test_the_newest_is_brought(
    store: ArtifactStore, tmp_path: Path, stored: int | None, local: int | None, wanted: int
) -> None:
    scratch = tmp_path / "scratch" / "run"
    if stored is not None:
        store.put_file("checkpoints/run/000001-00000002.safetensors", saved(tmp_path / "x", 2))
        store.put_file(f"checkpoints/run/000002-{stored:08d}.safetensors", saved(tmp_path / "x", stored))
    if local is not None:
        saved(scratch / "000001" / "tuned.run" / checkpoints.NAME, local)
        (scratch / "000002" / "tuned.run").mkdir(parents=True)
        (scratch / "000002" / "tuned.run" / checkpoints.NAME).write_bytes(b"torn")
    out = scratch / "000003" / "tuned"
    assert bring(store, "run", scratch, out) == wanted
    assert update_of(checkpoint_of(out)) == wanted


def test_nothing_to_bring(store: ArtifactStore, tmp_path: Path) -> None:
    assert bring(store, "run", tmp_path / "scratch", tmp_path / "scratch" / "1" / "tuned") is None


def test_what_is_kept_beside_the_checkpoint_travels_with_it(store: ArtifactStore, tmp_path: Path) -> None:
    """From one machine to another by the store, each file by how far it is itself."""
    out = tmp_path / "machine-1" / "tuned"
    side = saved(checkpoint_of(out), 80).parent
    for name, update in (("passes-tried", 50), ("passes", 7), ("readout", 1)):
        saved(side / f"{name}.safetensors", update)
    courier = Courier(store, "run", 3, out, trouble=pytest.fail)
    for count in (128, 256):
        answers_of(out).write_text(json.dumps({"progress": {"key": "k", "update": count}, "methods": []}))
        courier.wake()
        key = f"checkpoints/run/000003-{count:08d}.answers.json"
        until(lambda key=key: key in store.keys("checkpoints/run"))  # type: ignore[misc]
    courier.end(10)
    assert len(list(store.keys("checkpoints/run"))) == len(checkpoints.NAMES)
    there = tmp_path / "machine-2" / "000004" / "tuned"
    assert bring(store, "run", tmp_path / "machine-2", there) == 80
    for name in checkpoints.NAMES:
        assert (checkpoint_of(there).with_name(name)).read_bytes() == (side / name).read_bytes()


def test_what_a_readout_has_read_moves_to_the_next_attempt(store: ArtifactStore, tmp_path: Path) -> None:
    """The attempt that read most; it stays on its machine."""
    scratch = tmp_path / "scratch"
    for attempt, count in (("000001", 2), ("000002", 3), ("000003", 1)):
        folder = scratch / attempt / "tuned.run"
        folder.mkdir(parents=True)
        for number in range(count):
            (folder / f"states-a-{number:08d}.safetensors").write_text(attempt)
    out = scratch / "000004" / "tuned"
    bring(store, "run", scratch, out)
    found = sorted(checkpoint_of(out).parent.glob(checkpoints.STATES))
    assert [path.read_text() for path in found] == ["000002"] * 3
    bring(store, "run", scratch, out)
    assert sorted(checkpoint_of(out).parent.glob(checkpoints.STATES)) == found
    assert list(store.keys("checkpoints/run")) == []


def test_a_courier_keeps_one_checkpoint_in_the_store(store: ArtifactStore, tmp_path: Path) -> None:
    out = tmp_path / "desk" / "tuned"
    courier = Courier(store, "run", 3, out, trouble=pytest.fail)
    for update in (1, 2, 9):
        saved(checkpoint_of(out), update)
        courier.wake()
        key = f"checkpoints/run/000003-{update:08d}.safetensors"
        until(lambda key=key: list(store.keys("checkpoints/run")) == [key])  # type: ignore[misc]
    saved(checkpoint_of(out), 10)
    courier.end(10)
    assert list(store.keys("checkpoints/run")) == ["checkpoints/run/000003-00000010.safetensors"]


def test_trouble_on_the_way_is_told_and_does_not_stop_it(
    store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> int:
        raise StorageFull("There is no room left.")

    said: list[str] = []
    out = tmp_path / "desk" / "tuned"
    courier = Courier(store, "run", 1, out, trouble=said.append)
    saved(checkpoint_of(out), 1)
    with monkeypatch.context() as patch:
        patch.setattr(store, "put_file", full)
        courier.wake()
        until(lambda: said)
    assert "no room left" in said[0]
    courier.end(10)
    assert list(store.keys("checkpoints/run")) == ["checkpoints/run/000001-00000001.safetensors"]


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_a_run_moves_to_another_machine_through_s3(
    database: Database,
    studio_settings: StudioSettings,
    s3_url: str,
    tmp_path: Path,
    tiny_folder: object,
    runner: LocalRunner,
    undisturbed: bytes,
) -> None:
    lab = Lab(database, ArtifactStore(s3_url, tmp_path / "cache"))
    lab.begin(tiny_folder())  # type: ignore[operator]
    shop = Shop(lab, WorkerSettings(studio=studio_settings, poll=0.02), runner)
    run_id = lab.run(lab.dataset(complaints(64)), LONG)

    def machine(name: str) -> StudioSettings:
        return dataclasses.replace(studio_settings, data_dir=tmp_path / name, storage_url=s3_url)

    with shop.working(studio=machine("one")) as stopping:
        until(lambda: shop.updates(run_id) > 3)
        stopping.set()
        until(lambda: shop.state(run_id) == "queued")
    with shop.working(studio=machine("two")):
        until(lambda: shop.state(run_id) == "completed")
    assert shop.vectors(run_id) == undisturbed
    assert shop.told(run_id, "Started")[1].data["done"] > 3
    assert {key.split("/")[0] for key in shop.stored()} == {"datasets", "prompts"}
