"""Backup, restore and cleaning up with files in S3 (a server in this process): the same promises as with a folder."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from softprompt.errors import NameTaken, NotFound
from softprompt.storage import backup
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Dataset, TunedPrompt, TuningRun
from softprompt.storage.types import now
from softprompt.studio import maintenance
from softprompt.studio.access import Office

FOLDER = {"a.json": b"{}", "b.safetensors": bytes(range(256)), "c/d.txt": "ß".encode()}
RUN = {"project_id": "p", "experiment_id": "e", "name": "r (1)", "model_id": "m", "dataset_id": "d"}


@pytest.fixture
def far(s3_url: str, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(s3_url, tmp_path / "cache")


@pytest.fixture
def empty(tmp_path: Path) -> Database:
    return Database(f"sqlite:///{tmp_path / 'other.db'}")


def put(store: ArtifactStore, place: Path, key: str, content: bytes | dict[str, bytes]) -> None:
    if isinstance(content, bytes):
        (place / "source").write_bytes(content)
        store.put_file(key, place / "source")
        return
    folder = place / f"folder-{key.replace('/', '-')}"
    for name, part in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(part)
    store.put_folder(key, folder)


def fill(database: Database, store: ArtifactStore, place: Path) -> None:
    """Two datasets, two tuned prompts (one key begins like the other), a prompt without a row, a checkpoint."""
    put(store, place, "datasets/one", b"one")
    put(store, place, "datasets/two", b"two" * 9000)
    put(store, place, "prompts/p-1", FOLDER)
    put(store, place, "prompts/p-11", {"a.json": b"[]"})
    put(store, place, "prompts/left-1", {"card.json": b"{}"})
    put(store, place, "checkpoints/run/000001-00000020.safetensors", b"weights")
    with database.write() as session:
        rows = Rows(session)
        for name in ("one", "two"):
            rows.add(Dataset(project_id="p", name=name, key=f"datasets/{name}"))
        for name in ("p-1", "p-11"):
            rows.add(TunedPrompt(name=name, model_id="m", key=f"prompts/{name}"))
        rows.add(TuningRun(number=1, results={"prompt_key": "prompts/left-1"}, **RUN))


def content(store: ArtifactStore) -> dict[str, bytes | dict[str, bytes]]:
    """What can be read from a store."""
    found: dict[str, bytes | dict[str, bytes]] = {}
    for key in store.keys(""):
        whole = "/".join(key.split("/")[:2])
        if key.startswith("prompts/"):
            folder = store.folder(whole)
            found[whole] = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        else:
            found[key] = store.file(key).read_bytes()
    return found


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_what_lies_in_s3_comes_back_anywhere(
    database: Database, empty: Database, far: ArtifactStore, tmp_path: Path, kind: str
) -> None:
    fill(database, far, tmp_path)
    made = backup.write(database, far, tmp_path / "b.zip")
    assert made.missing == []
    assert set(made.folders) == {"prompts/p-1", "prompts/p-11", "prompts/left-1"}
    url = str(tmp_path / "there") if kind == "folder" else f"{far.url}-other"
    there = ArtifactStore(url, tmp_path / "cache-2")
    assert backup.restore(tmp_path / "b.zip", empty, there, scratch=tmp_path) == made
    assert content(there) == content(far)
    with empty.read() as session:
        assert sorted(row.name for row in Rows(session).all(Dataset)) == ["one", "two"]


def test_what_lies_in_a_folder_moves_to_s3(
    database: Database, empty: Database, far: ArtifactStore, store: ArtifactStore, tmp_path: Path
) -> None:
    fill(database, store, tmp_path)
    backup.write(database, store, tmp_path / "b.zip")
    backup.restore(tmp_path / "b.zip", empty, far, scratch=tmp_path)
    assert content(far) == content(store)


def test_a_backup_leaves_no_copies_behind(database: Database, far: ArtifactStore, tmp_path: Path) -> None:
    fill(database, far, tmp_path)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    backup.write(database, far, tmp_path / "b.zip")
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.name for path in after - before} == {"b.zip"}, "a store far away is large, this disk need not be"


def test_damaged_and_missing_files_are_made_good(database: Database, far: ArtifactStore, tmp_path: Path) -> None:
    fill(database, far, tmp_path)
    whole = content(far)
    backup.write(database, far, tmp_path / "b.zip")
    put(far, tmp_path, "datasets/one", b"damaged")
    put(far, tmp_path, "prompts/p-1", {"a.json": b"damaged"})
    far.remove("datasets/two")
    backup.restore(tmp_path / "b.zip", database, far, scratch=tmp_path, replace=True)
    fresh = ArtifactStore(far.url, tmp_path / "fresh")
    assert content(fresh) == whole
    assert content(far) == whole, "not even this process's copies are the damaged ones"


def test_files_that_are_gone_are_named(database: Database, far: ArtifactStore, tmp_path: Path) -> None:
    fill(database, far, tmp_path)
    far.remove("prompts/p-11")
    far.remove("datasets/one")
    made = backup.write(database, ArtifactStore(far.url, tmp_path / "fresh"), tmp_path / "b.zip")
    assert made.missing == ["datasets/one", "prompts/p-11"]
    assert "prompts/p-1" in made.folders, "its neighbour, whose key begins alike, is still there"


def test_if_the_rows_do_not_fit_the_bucket_is_as_before(
    database: Database, far: ArtifactStore, tmp_path: Path, change: Callable[[Path], Path]
) -> None:
    fill(database, far, tmp_path)
    backup.write(database, far, tmp_path / "b.zip")
    other = ArtifactStore(f"{far.url}-other", tmp_path / "cache-2")
    put(other, tmp_path, "datasets/one", b"one")
    with pytest.raises(NameTaken):
        backup.restore(change(tmp_path / "b.zip"), database, other, scratch=tmp_path, replace=True)
    assert list(other.keys("")) == ["datasets/one"]


@pytest.fixture
def change() -> Callable[[Path], Path]:
    """A copy of a backup in which every dataset stands twice."""
    import hashlib

    def twice(path: Path) -> Path:
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        name = "tables/datasets.jsonl"
        entries[name] += entries[name]
        manifest = json.loads(entries["manifest.json"])
        manifest["digests"][name] = hashlib.sha256(entries[name]).hexdigest()
        entries["manifest.json"] = json.dumps(manifest).encode()
        with zipfile.ZipFile(path.with_name("changed.zip"), "w") as archive:
            for each, part in entries.items():
                archive.writestr(each, part)
        return path.with_name("changed.zip")

    return twice


def test_cleaning_up_takes_what_no_row_needs_and_nothing_else(
    database: Database, far: ArtifactStore, tmp_path: Path
) -> None:
    fill(database, far, tmp_path)
    put(far, tmp_path, "datasets/orphan", b"nobody")
    put(far, tmp_path, "prompts/p-2", FOLDER)
    put(far, tmp_path, "prompts/p-111", {"a.json": b"[]"})
    office = Office(database, far)
    with database.write() as session:
        for row in Rows(session).all(TunedPrompt, name="p-11"):
            row.deleted_at = now() - timedelta(days=40)
    assert maintenance.purge(office).files == [], "what was put a moment ago may not have its row yet"
    later = datetime.now(UTC) + timedelta(days=3)
    gone = maintenance.purge(office, at=later)
    assert set(gone.files) == {"datasets/orphan", "prompts/p-2", "prompts/p-11", "prompts/p-111", "checkpoints/run"}
    assert set(content(far)) == {"datasets/one", "datasets/two", "prompts/p-1", "prompts/left-1"}
    assert maintenance.purge(office, at=later).files == []


def test_what_was_removed_is_not_answered_from_this_machine(far: ArtifactStore, tmp_path: Path) -> None:
    put(far, tmp_path, "datasets/one", b"one")
    put(far, tmp_path, "prompts/p-1", FOLDER)
    far.file("datasets/one")
    far.folder("prompts/p-1")
    far.remove("datasets/one")
    far.remove("prompts/p-1")
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    with pytest.raises(NotFound):
        far.folder("prompts/p-1")
