"""Backups: what comes back is what was there, on any database; what is damaged or in the way is refused whole."""

from __future__ import annotations

import json
import stat
import threading
import uuid
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from softprompt.errors import Conflict, NameTaken, NotFound, UsageError
from softprompt.storage import backup, dump
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.storage.people import ApiKey, AuditEntry, User
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Dataset, Project, RunEvent, TunedPrompt, TuningRun

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
MOMENTS = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC))
FOLDER = st.dictionaries(st.sampled_from(["a.json", "b.safetensors", "c/d.txt"]), st.binary(max_size=50), min_size=1)
ROWS = st.fixed_dictionaries(
    {
        "names": st.lists(TEXT, max_size=3),
        "data": st.lists(st.dictionaries(TEXT, JSON, max_size=3), max_size=5),
        "moments": st.lists(MOMENTS, min_size=1, max_size=3),
        "files": st.lists(st.binary(max_size=200), max_size=3),
        "folders": st.lists(FOLDER, max_size=2),
        "flag": st.booleans(),
    }
)


def fill(database: Database, store: ArtifactStore, place: Path, content: dict[str, Any]) -> None:
    """Rows and files made of what hypothesis found."""
    with database.write() as session:
        rows = Rows(session)
        for number, name in enumerate(content["names"]):
            rows.add(User(name=f"{number} {name}", admin=content["flag"]))
            rows.add(Project(name=f"{number} {name}", description=name, tags=[name], sandbox=content["flag"]))
        for data in content["data"]:
            rows.add(RunEvent(run_id="r", at=content["moments"][0], kind="Note", data=data))
            rows.add(AuditEntry(action="create", noun="x", data=data, at=content["moments"][-1]))
        for number, put in enumerate(content["files"]):
            key = f"datasets/{number}"
            source = place / "source"
            source.write_bytes(put)
            store.put_file(key, source)
            rows.add(Dataset(project_id="p", name=str(number), key=key, size=len(put), report=None))
        for number, files in enumerate(content["folders"]):
            folder = place / f"folder-{uuid.uuid4()}"
            for name, put in files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(put)
            store.put_folder(f"prompts/{number}", folder)
            rows.add(
                TunedPrompt(name=str(number), model_id="m", key=f"prompts/{number}", deleted_at=content["moments"][0])
            )


def rows_of(database: Database) -> dict[str, list[bytes]]:
    with database.snapshot() as connection:
        return {name: list(dump.lines(connection, table)) for name, table in dump.tables(connection).items()}


def files_of(store: ArtifactStore) -> dict[str, bytes]:
    return {key: Path(store.url, key).read_bytes() for key in store.keys("")}


@pytest.fixture
def other(database_kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database of the other kind."""
    if database_kind == "postgresql":
        made = Database(f"sqlite:///{tmp_path / 'other.db'}")
    else:
        made = Database(str(request.getfixturevalue("postgres_url")()))
    yield made
    made.close()


@pytest.fixture
def filled(database: Database, store: ArtifactStore, tmp_path: Path) -> Database:
    content = {
        "names": ["Änne", "Bo"],
        "data": [{"a": [1, None, {"b": "ß"}]}, {}],
        "moments": [datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)],
        "files": [b"one", b"two"],
        "folders": [{"a.json": b"{}", "b.safetensors": b"\0\1"}],
        "flag": True,
    }
    fill(database, store, tmp_path, content)
    return database


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=ROWS)
def test_what_comes_back_into_the_other_kind_is_what_was_there(
    database: Database, other: Database, tmp_path: Path, content: dict[str, Any]
) -> None:
    place = tmp_path / str(uuid.uuid4())
    here, there = (ArtifactStore(str(place / name), place / "cache") for name in ("here", "there"))
    (place / "cache").mkdir(parents=True)
    with database.alone() as connection:
        for table in dump.tables(connection).values():
            connection.execute(table.delete())
    fill(database, here, place, content)
    made = backup.write(database, here, place / "studio.zip")
    assert backup.restore(place / "studio.zip", other, there, scratch=place, replace=True) == made
    assert rows_of(other) == rows_of(database)
    assert files_of(there) == files_of(here)
    assert other.revision() == Database.newest_revision()


def test_tables_of_others_in_the_same_database_are_left_alone(
    filled: Database, store: ArtifactStore, tmp_path: Path
) -> None:
    with filled.alone() as connection:
        connection.execute(text("CREATE TABLE customers (name TEXT)"))
        connection.execute(text("INSERT INTO customers VALUES ('Kim')"))
    made = backup.write(filled, store, tmp_path / "b.zip")
    assert "customers" not in made.rows
    backup.restore(tmp_path / "b.zip", filled, store, scratch=tmp_path, replace=True)
    with filled.alone() as connection:
        assert connection.execute(text("SELECT name FROM customers")).scalar_one() == "Kim"
        connection.execute(text("DROP TABLE customers"))


def test_numbers_go_on_behind_the_restored_ones(
    filled: Database, other: Database, store: ArtifactStore, tmp_path: Path
) -> None:
    backup.write(filled, store, tmp_path / "b.zip")
    backup.restore(tmp_path / "b.zip", other, store, scratch=tmp_path)
    with other.write() as session:
        rows = Rows(session)
        newest = max(event.id for event in rows.all(RunEvent, sort="id"))
        assert rows.add(RunEvent(run_id="r", at=datetime.now(UTC), kind="Note")).id == newest + 1


def test_nothing_and_null_stay_apart(database: Database, other: Database, store: ArtifactStore, tmp_path: Path) -> None:
    with database.write() as session:
        Rows(session).add(Dataset(project_id="p", name="null", report=None))
        Rows(session).add(Dataset(project_id="p", name="none"))
    backup.write(database, store, tmp_path / "b.zip")
    backup.restore(tmp_path / "b.zip", other, store, scratch=tmp_path)
    assert rows_of(other)["datasets"] == rows_of(database)["datasets"]


def test_a_backup_made_while_others_write_is_of_one_moment(
    filled: Database, store: ArtifactStore, tmp_path: Path
) -> None:
    stopping = threading.Event()
    written = 0

    def work() -> None:
        nonlocal written
        while not stopping.is_set():
            with filled.write() as session:  # always both or none
                Rows(session).add(User(name=f"user {written}"))
                Rows(session).add(ApiKey(user_id="u", name="k", prefix="p", digest=str(written), role="viewer"))
            written += 1

    writer = threading.Thread(target=work)
    writer.start()
    try:
        counts = [backup.write(filled, store, tmp_path / f"{turn}.zip").rows for turn in range(5)]
    finally:
        stopping.set()
        writer.join()
    assert written > 0
    assert {count["users"] - count["api_keys"] for count in counts} == {2}
    assert [count["users"] for count in counts] == sorted(count["users"] for count in counts)


def test_a_studio_that_is_there_is_not_overwritten_by_accident(
    filled: Database, store: ArtifactStore, tmp_path: Path
) -> None:
    backup.write(filled, store, tmp_path / "b.zip")
    with filled.write() as session:
        Rows(session).add(User(name="later"))
    with pytest.raises(Conflict, match="There is a studio in this database already.* say --replace"):
        backup.restore(tmp_path / "b.zip", filled, store, scratch=tmp_path)
    backup.restore(tmp_path / "b.zip", filled, store, scratch=tmp_path, replace=True)
    with filled.read() as session:
        assert sorted(user.name for user in Rows(session).all(User)) == ["0 Änne", "1 Bo"]


def change(path: Path, edit: Callable[[dict[str, bytes]], None]) -> Path:
    """A copy of a backup with other entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    edit(entries)
    changed = path.with_name("changed.zip")
    with zipfile.ZipFile(changed, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return changed


def manifest(**values: Any) -> Callable[[dict[str, bytes]], None]:
    def edit(entries: dict[str, bytes]) -> None:
        entries["manifest.json"] = json.dumps(json.loads(entries["manifest.json"]) | values).encode()

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda e: e.update({"files/datasets/0": b"oNe"}),
            "files/datasets/0 was changed or damaged. Nothing was restored",
        ),
        (lambda e: e.pop("tables/users.jsonl"), "tables/users.jsonl is missing"),
        (lambda e: e.update({"files/../../evil": b""}), "files/../../evil does not belong there"),
        (lambda e: e.pop("manifest.json"), "is no backup of Softprompt, or a broken one"),
        (
            manifest(revision="9999"),
            "whose tables \\(revision 9999\\) this version.* does not know. Install that version",
        ),
        (manifest(format=7), "is a backup of format 7; this version reads 1"),
        (manifest(surprise=1), "is no backup of Softprompt, or a broken one"),
    ],
)
def test_what_is_not_whole_is_refused(
    filled: Database, store: ArtifactStore, tmp_path: Path, edit: Callable[[dict[str, bytes]], None], message: str
) -> None:
    backup.write(filled, store, tmp_path / "b.zip")
    before = rows_of(filled)
    with pytest.raises(UsageError, match=message):
        backup.restore(change(tmp_path / "b.zip", edit), filled, store, scratch=tmp_path, replace=True)
    assert rows_of(filled) == before


def test_a_file_that_was_cut_off_is_refused(filled: Database, store: ArtifactStore, tmp_path: Path) -> None:
    path = tmp_path / "b.zip"
    backup.write(filled, store, path)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(UsageError, match="is no backup of Softprompt, or was cut off"):
        backup.check(path)
    with pytest.raises(UsageError, match="There is no file"):
        backup.check(tmp_path / "none.zip")


def test_if_the_rows_do_not_fit_nothing_has_changed(filled: Database, store: ArtifactStore, tmp_path: Path) -> None:
    import hashlib

    backup.write(filled, store, tmp_path / "b.zip")

    def twice(entries: dict[str, bytes]) -> None:
        entries["tables/users.jsonl"] += entries["tables/users.jsonl"]
        digests = json.loads(entries["manifest.json"])["digests"]
        digests["tables/users.jsonl"] = hashlib.sha256(entries["tables/users.jsonl"]).hexdigest()
        manifest(digests=digests)(entries)

    broken = change(tmp_path / "b.zip", twice)
    before, empty = rows_of(filled), ArtifactStore(str(tmp_path / "empty"), tmp_path / "cache")
    with pytest.raises(NameTaken):
        backup.restore(broken, filled, empty, scratch=tmp_path, replace=True)
    assert rows_of(filled) == before
    assert files_of(empty) == {}


def test_damaged_files_in_the_store_are_made_good(filled: Database, store: ArtifactStore, tmp_path: Path) -> None:
    backup.write(filled, store, tmp_path / "b.zip")
    before = files_of(store)
    Path(store.url, "prompts/0/a.json").write_bytes(b"damaged")
    Path(store.url, "datasets/1").unlink()
    backup.restore(tmp_path / "b.zip", filled, store, scratch=tmp_path, replace=True)
    assert files_of(store) == before


def test_files_that_are_gone_are_named_and_the_rest_is_kept(
    filled: Database, store: ArtifactStore, tmp_path: Path
) -> None:
    Path(store.url, "datasets/1").unlink()
    made = backup.write(filled, store, tmp_path / "b.zip")
    assert made.missing == ["datasets/1"]
    assert made.keys == ["datasets/0", "prompts/0"]
    assert backup.check(tmp_path / "b.zip") == made


def test_checkpoints_and_prompts_nobody_named_yet_come_along(
    filled: Database, store: ArtifactStore, tmp_path: Path
) -> None:
    source = tmp_path / "weights"
    source.write_bytes(b"w")
    store.put_file("checkpoints/run-1/000001-00000020.safetensors", source)
    folder = tmp_path / "left"
    folder.mkdir()
    (folder / "card.json").write_text("{}")
    store.put_folder("prompts/left-1", folder)
    with filled.write() as session:
        run = TuningRun(project_id="p", experiment_id="e", number=1, name="r (1)", model_id="m", dataset_id="d")
        run.results = {"prompt_key": "prompts/left-1"}
        Rows(session).add(run)
    keys = backup.write(filled, store, tmp_path / "b.zip").keys
    assert {"checkpoints/run-1/000001-00000020.safetensors", "prompts/left-1"} <= set(keys)


def test_a_checkpoint_that_is_replaced_meanwhile_comes_along_as_its_successor(
    filled: Database, store: ArtifactStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = (f"checkpoints/run-1/000001-{update:08d}.safetensors" for update in (20, 21))
    source = tmp_path / "weights"
    source.write_bytes(b"w")
    store.put_file(old, source)
    read = ArtifactStore.file

    def file(asked: ArtifactStore, key: str) -> Path:
        if key == old and store.exists(old):  # a worker comes between the list and the reading
            store.put_file(new, source)
            store.remove(old)
        return read(asked, key)

    monkeypatch.setattr(ArtifactStore, "file", file)
    keys = backup.write(filled, store, tmp_path / "b.zip").keys
    assert [key for key in keys if key.startswith("checkpoints")] == [new]


def test_the_file_is_private_and_only_a_backup_is_overwritten(
    filled: Database, store: ArtifactStore, tmp_path: Path
) -> None:
    path = tmp_path / "b.zip"
    for _ in range(2):
        backup.write(filled, store, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [p.name for p in tmp_path.glob(".*partial")] == []
    path.write_text("my thesis")
    with pytest.raises(Conflict, match="is there and is no backup; it is not overwritten"):
        backup.write(filled, store, path)


def test_where_there_is_no_studio_there_is_no_backup(other: Database, store: ArtifactStore, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="There is no studio in this database yet"):
        backup.write(other, store, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()
