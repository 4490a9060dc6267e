"""The file store, in a local folder and in S3: whole or not at all, and errors in our words."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import fsspec
import pytest

from softprompt.errors import NotFound, StorageFull, Unavailable, UsageError
from softprompt.storage.artifacts import ArtifactStore


@pytest.fixture(params=["local", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty store of either kind."""
    return str(tmp_path / "files") if request.param == "local" else str(request.getfixturevalue("s3_url"))


@pytest.fixture
def files(place: str, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(place, tmp_path / "cache")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    home = tmp_path / "source"
    (home / "deep").mkdir(parents=True)
    (home / "card.json").write_text("{}")
    (home / "deep" / "numbers.bin").write_bytes(b"\x00\x01" * 500)
    return home


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_file_comes_back(files: ArtifactStore, folder: Path) -> None:
    assert files.put_file("datasets/1", folder / "deep" / "numbers.bin") == 1000
    assert files.file("datasets/1").read_bytes() == b"\x00\x01" * 500
    assert files.exists("datasets/1")
    assert not files.exists("datasets/2")
    files.put_file("datasets/1", folder / "card.json")
    assert files.file("datasets/1").read_bytes() == b"{}"


def test_a_folder_comes_back_whole(files: ArtifactStore, folder: Path) -> None:
    assert files.put_folder("prompts/1", folder) == 1002
    assert content(files.folder("prompts/1")) == content(folder)
    assert files.exists("prompts/1")


# Folders far away are brought once: their keys are never used again.
@pytest.mark.parametrize("place", ["local"], indirect=True)
def test_a_folder_is_replaced_whole(files: ArtifactStore, folder: Path, tmp_path: Path) -> None:
    files.put_folder("prompts/1", folder)
    other = tmp_path / "other"
    other.mkdir()
    (other / "new").write_text("new")
    files.put_folder("prompts/1", other)
    assert content(files.folder("prompts/1")) == {"new": b"new"}


def test_what_is_removed_is_gone(files: ArtifactStore, folder: Path) -> None:
    files.put_folder("prompts/1", folder)
    files.put_file("datasets/1", folder / "card.json")
    for key in ("prompts/1", "datasets/1"):
        files.remove(key)
        files.remove(key)
        assert not files.exists(key)
    with pytest.raises(NotFound, match="There is no folder|There is no file"):
        files.folder("prompts/1")
    with pytest.raises(NotFound, match="There is no file"):
        files.file("datasets/1")
    assert list(files.keys()) == []


def test_keys_of_a_folder(files: ArtifactStore, folder: Path) -> None:
    for key in ("checkpoints/a/1", "checkpoints/a/2", "checkpoints/ab/1", "datasets/a"):
        files.put_file(key, folder / "card.json")
    assert list(files.keys("checkpoints/a")) == ["checkpoints/a/1", "checkpoints/a/2"]
    assert list(files.keys("checkpoints/none")) == []
    assert len(list(files.keys())) == 4
    assert {key for key, _ in files.stored("checkpoints")} == set(files.keys("checkpoints"))


@pytest.mark.parametrize("key", ["", "one", "../up", "a/../../b", "/etc/passwd", "a//b", "a/.hidden", "a/b\n", "A/b"])
def test_a_key_stays_inside(files: ArtifactStore, folder: Path, key: str) -> None:
    for use in (files.file, files.folder, files.exists, files.remove):
        with pytest.raises(NotFound, match="is no key"):
            use(key)
    with pytest.raises(NotFound, match="is no key"):
        files.put_file(key, folder / "card.json")


def test_a_store_that_works_leaves_no_trace(files: ArtifactStore) -> None:
    files.probe()
    assert list(files.keys()) == []


WRITER = """
import sys
from pathlib import Path
from softprompt.storage.artifacts import ArtifactStore
url, cache, key, source = sys.argv[1:]
print("go", flush=True)
ArtifactStore(url, Path(cache)).put_file(key, Path(source))
"""


def test_a_writer_that_is_killed_leaves_no_half_file(files: ArtifactStore, place: str, tmp_path: Path) -> None:
    """Its source is a pipe that never ends, so it is always in the middle."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    command = [sys.executable, "-c", WRITER, place, str(tmp_path / "cache"), "datasets/1", str(pipe)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        with pipe.open("wb") as feed:
            feed.write(b"x" * 2**20)
            feed.flush()
            assert writer.stdout is not None
            writer.stdout.readline()
            deadline = time.monotonic() + 20
            while files.local and not list(Path(place).rglob("*.partial")) and time.monotonic() < deadline:
                time.sleep(0.01)
            writer.send_signal(signal.SIGKILL)
        writer.wait()
    assert not files.exists("datasets/1")
    assert list(files.keys()) == []


FOLDER_WRITER = """
import os, sys
from pathlib import Path
from softprompt.storage import artifacts
url, cache, key, source = sys.argv[1:]
store, done = artifacts.ArtifactStore(url, Path(cache)), []
if store.local:
    copy = artifacts._copy
    artifacts._copy = lambda *a: os._exit(9) if done else done.append(copy(*a))
else:
    put = store._fs.put_file
    store._fs.put_file = lambda *a: os._exit(9) if done else done.append(put(*a))
store.put_folder(key, Path(source))
"""


def test_a_writer_that_dies_between_two_files_leaves_no_folder(
    files: ArtifactStore, place: str, folder: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-c", FOLDER_WRITER, place, str(tmp_path / "cache"), "prompts/1", str(folder)]
    assert subprocess.run(command, check=False).returncode == 9
    assert not files.exists("prompts/1")
    with pytest.raises(NotFound):
        files.folder("prompts/1")
    files.put_folder("prompts/1", folder)
    assert content(files.folder("prompts/1")) == content(folder)


def test_writers_of_one_key_do_not_mix(files: ArtifactStore, tmp_path: Path) -> None:
    sources = []
    for letter in "abcd":
        sources.append(tmp_path / letter)
        sources[-1].write_bytes(letter.encode() * 300_000)
    threads = [threading.Thread(target=files.put_file, args=("datasets/1", source)) for source in sources]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = files.file("datasets/1").read_bytes()
    assert len(found) == 300_000
    assert len(set(found)) == 1
    assert list(files.keys()) == ["datasets/1"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_no_room(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    store = ArtifactStore(str(tmp_path / "files"), tmp_path / "cache")
    store.put_file("datasets/1", folder / "card.json")

    def full(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(StorageFull, match=r"no room left in .*files"):
        store.put_file("datasets/1", folder / "deep" / "numbers.bin")
    with pytest.raises(StorageFull):
        store.put_folder("prompts/1", folder)
    monkeypatch.undo()
    assert store.file("datasets/1").read_bytes() == b"{}"
    assert list(store.keys()) == ["datasets/1"]
    assert not list((tmp_path / "files").rglob("*.partial"))


def test_a_store_that_is_away(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    settings = {"endpoint_url": "http://127.0.0.1:1", "config_kwargs": {"retries": {"max_attempts": 0}}}
    monkeypatch.setitem(fsspec.config.conf, "s3", settings)
    store = ArtifactStore("s3://bucket", tmp_path / "cache")
    with pytest.raises(Unavailable, match="The file store s3://bucket does not answer"):
        store.put_file("datasets/1", folder / "card.json")
    with pytest.raises(Unavailable):
        store.file("datasets/1")


def test_an_address_of_no_known_kind(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--storage-url nothing://x"):
        ArtifactStore("nothing://x", tmp_path)
