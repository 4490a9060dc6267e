from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path

import pytest

from softprompt.engine.model_cache import MANIFEST, keep, kept
from softprompt.errors import ModelUnavailable


def make(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    (folder / "weights").write_text("w" * 1000)


def never(folder: Path) -> None:
    raise AssertionError("made again")


def slow_and_counted(folder: Path) -> None:
    with (folder.parent / "count").open("a") as count:
        count.write("made\n")
    time.sleep(0.5)
    make(folder)


def keep_in_process(folder: Path) -> None:
    keep(folder, "a/model", slow_and_counted)


def test_a_folder_is_made_once_and_then_found(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "model"
    assert not kept(folder)
    assert keep(folder, "a/model", make) == folder
    assert kept(folder, verify=True)
    assert keep(folder, "a/model", never) == folder
    assert json.loads((folder / MANIFEST).read_text())["model_id"] == "a/model"


def test_two_processes_make_it_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    folder = tmp_path / "model"
    workers = [context.Process(target=keep_in_process, args=(folder,)) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert (tmp_path / "count").read_text() == "made\n"
    assert kept(folder, verify=True)


def test_an_interrupted_making_leaves_nothing(tmp_path: Path) -> None:
    def break_off(folder: Path) -> None:
        make(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep(tmp_path / "model", "a/model", break_off)
    assert [path.name for path in tmp_path.iterdir()] == [".model.lock"]


def test_what_a_killed_process_left_is_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / ".model.x1.partial"
    left.mkdir()
    (left / "config.json").write_text("half")
    keep(tmp_path / "model", "a/model", make)
    assert not left.exists()


@pytest.mark.parametrize("harm", ["shorter", "gone", "manifest"])
def test_a_folder_that_does_not_fit_is_made_anew(tmp_path: Path, harm: str) -> None:
    folder = keep(tmp_path / "model", "a/model", make)
    if harm == "shorter":
        (folder / "weights").write_text("w")
    elif harm == "gone":
        (folder / "weights").unlink()
    else:
        (folder / MANIFEST).write_text("{ not json")
    assert not kept(folder)
    keep(folder, "a/model", make)
    assert kept(folder, verify=True)
    assert (folder / "weights").stat().st_size == 1000


def test_verifying_reads_every_byte(tmp_path: Path) -> None:
    folder = keep(tmp_path / "model", "a/model", make)
    (folder / "weights").write_text("v" * 1000)
    assert kept(folder)
    assert not kept(folder, verify=True)
    keep(folder, "a/model", make, verify=True)
    assert (folder / "weights").read_text() == "w" * 1000


def test_a_folder_put_there_by_a_person_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    make(folder)
    assert kept(folder, verify=True)
    assert keep(folder, "a/model", never) == folder


def test_a_half_folder_of_a_person_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("precious")
    with pytest.raises(ModelUnavailable, match="put there by hand and has no config.json"):
        keep(folder, "a/model", make)
    assert (folder / "weights").read_text() == "precious"
