"""`softprompt backup` and `restore` as a person calls them; what is in the file is tested in tests/storage."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cli.conftest import Call
from softprompt.config import StudioSettings
from softprompt.jobs import workers
from softprompt.storage.rows import Rows
from softprompt.supervisor import first_start
from softprompt.supervisor.home import office_of, sole


@pytest.fixture
def data(tmp_path: Path) -> Path:
    office = office_of(StudioSettings.of(tmp_path / "studio"))
    first_start.prepare(office)
    first_start.sample_or_reason(office)
    office.database.close()
    return tmp_path / "studio"


def test_a_studio_moves_to_another_folder(call: Call, data: Path, tmp_path: Path) -> None:
    made = json.loads(call("backup", tmp_path / "b.zip", "--json", "--data-dir", data).out)
    assert (made["rows"]["datasets"], made["files"], made["missing"]) == (3, 3, [])
    done = call("restore", tmp_path / "b.zip", "--data-dir", tmp_path / "new")
    assert (done.code, "3 files and folders" in done.out) == (0, True)
    again = json.loads(call("backup", tmp_path / "c.zip", "--json", "--data-dir", tmp_path / "new").out)
    assert again["rows"] == made["rows"]


def test_it_asks_before_it_replaces(call: Call, data: Path, tmp_path: Path) -> None:
    assert "3 files and folders" in call("backup", tmp_path / "b.zip", "--data-dir", data).out
    done = call("restore", tmp_path / "b.zip", "--data-dir", data)
    assert (done.code, "say --replace" in done.err) == (1, True)
    assert call("restore", tmp_path / "b.zip", "--replace", "--data-dir", data).code == 0


def test_a_backup_that_is_refused_leaves_no_database(call: Call, tmp_path: Path) -> None:
    (tmp_path / "b.zip").write_bytes(b"no archive")
    done = call("restore", tmp_path / "b.zip", "--data-dir", tmp_path / "new")
    assert (done.code, "b.zip" in done.err) == (2, True)
    assert not (tmp_path / "new" / "studio.db").exists()


def test_a_running_studio_is_not_replaced(call: Call, data: Path, tmp_path: Path) -> None:
    with sole(data):
        assert call("backup", tmp_path / "b.zip", "--data-dir", data).code == 0
        done = call("restore", tmp_path / "b.zip", "--replace", "--data-dir", data)
    assert (done.code, "this one cannot be restored" in done.err) == (1, True)


def test_workers_elsewhere_are_not_cut_off(call: Call, data: Path, tmp_path: Path) -> None:
    call("backup", tmp_path / "b.zip", "--data-dir", data)
    office = office_of(StudioSettings.of(data))
    with office.database.write() as session:
        workers.arrive(Rows(session), "w", host="far", pid=7, device="cpu")
    office.database.close()
    done = call("restore", tmp_path / "b.zip", "--replace", "--data-dir", data)
    assert (done.code, "Workers are at work on this database: far (process 7)" in done.err) == (1, True)


def test_there_is_nothing_to_back_up_where_no_studio_is(call: Call, tmp_path: Path) -> None:
    done = call("backup", tmp_path / "b.zip", "--data-dir", tmp_path / "none")
    assert (done.code, "There is no studio in" in done.err) == (1, True)
