"""A database that cannot be used: every command says which, why, and what to do; doctor beside its other checks."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Call
from softprompt.config import StudioSettings
from softprompt.errors import DatabaseUnusable
from softprompt.storage import database
from softprompt.supervisor.plan import Plan
from softprompt.supervisor.run import up

NOBODY = 65534
NOWHERE = ("--database-url", "postgresql://nobody@127.0.0.1:1/none")
OTHERS = {"packages", "disk of data", "file store", "models", "port of web", "port of tls", "processes"}
"""Checks of doctor that have nothing to do with the database."""


def random_bytes(file: Path) -> None:
    file.write_bytes(os.urandom(40_960))


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def cut_off_in_the_header(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:300])


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def of_a_newer_version(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("UPDATE alembic_version SET version_num = '0999'")
    connection.commit()
    connection.close()


SPOILT = [
    (random_bytes, "studio.db is broken: file is not a database. Stop the studio, move this file"),
    (cut_off, "studio.db is broken: database disk image is malformed. Stop the studio, move this file"),
    (cut_off_in_the_header, "studio.db is broken: database disk image is malformed. Stop the studio"),
    (a_folder, "studio.db is a folder and no database. Move it away"),
    (of_a_newer_version, "written by a newer version of Softprompt: its tables are at revision 0999"),
]


@pytest.fixture
def studio(sqlite_template: Path) -> Iterator[Path]:
    """The data folder of a studio, in a place that other users of the machine reach."""
    place = Path(tempfile.mkdtemp(prefix="softprompt-"))
    place.chmod(0o777)
    folder = place / "studio"
    folder.mkdir(mode=0o700)
    shutil.copy(sqlite_template, folder / "studio.db")
    yield folder
    shutil.rmtree(place)


@pytest.fixture
def told(call: Call, studio: Path) -> Callable[..., dict[str, str]]:
    """What `keys`, `status` and `backup` say, each of which must not work."""

    def ask(*options: str) -> dict[str, str]:
        said = {}
        for words in (("keys", "list"), ("status",), ("backup", studio.parent / "b.zip")):
            done = call(*words, "--data-dir", studio, *options)
            assert done.code == 1, done
            assert "internal error" not in done.err
            said[words[0]] = done.err + done.out
        assert [each.name for each in studio.parent.iterdir()] == ["studio"]
        return said

    return ask


def doctor(call: Call, studio: Path, *options: str) -> dict[str, Any]:
    """Findings by check; one of them is wrong."""
    done = call("doctor", "--json", "--data-dir", studio, "--port", "0", "--tls-port", "0", *options)
    assert done.code == 1, done
    return {each["check"]: each for each in json.loads(done.out)["checks"]}


@pytest.mark.parametrize(("spoil", "words"), SPOILT)
def test_what_is_wrong_with_the_file_is_said(
    call: Call, told: Callable[..., dict[str, str]], studio: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(studio / "studio.db")
    found = doctor(call, studio)
    assert found["database"]["verdict"] == "wrong"
    assert words in found["database"]["words"]
    assert set(found) >= OTHERS
    assert {found[name]["verdict"] for name in OTHERS} <= {"ok", "warning"}
    for command, said in told().items():
        assert words in said, command


def test_damage_inside_the_file_is_found_by_doctor_and_told_by_backup(call: Call, studio: Path, tmp_path: Path) -> None:
    file = studio / "studio.db"
    content = bytearray(file.read_bytes())
    content[4096 * 5 : 4096 * 9] = os.urandom(4096 * 4)
    file.write_bytes(content)
    assert f"{file} is broken: " in doctor(call, studio)["database"]["words"]
    done = call("backup", tmp_path / "b.zip", "--data-dir", studio)
    assert done.code == 1
    assert f"error: The database {file} is broken: " in done.err


def test_an_empty_file_is_a_studio_that_has_not_begun(
    call: Call, told: Callable[..., dict[str, str]], studio: Path
) -> None:
    (studio / "studio.db").write_bytes(b"")
    done = call("doctor", "--data-dir", studio, "--port", "0", "--tls-port", "0")
    assert "empty; the first start makes its tables." in done.out
    assert all("There is no studio in" in said for said in told().values())


def test_a_file_that_another_program_holds(
    call: Call, told: Callable[..., dict[str, str]], studio: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_BUSY_MS", 100)
    hold = (
        "import sqlite3, sys; held = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for each in ('PRAGMA locking_mode = EXCLUSIVE', 'BEGIN EXCLUSIVE', 'CREATE TABLE t(a)'): held.execute(each)\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    file = str(studio / "studio.db")
    with subprocess.Popen([sys.executable, "-c", hold, file], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        words = f"database is locked. Another program holds {file}"
        found = doctor(call, studio)
        assert words in found["database"]["words"]
        assert set(found) >= OTHERS
        assert all(words in said for said in told().values())
        other.kill()


@contextmanager
def _another_user() -> Iterator[None]:
    """Whoever runs the tests, if that is not root, whom no file is closed to."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize("mode", [0o000, 0o444])
def test_a_file_that_is_closed_to_this_user(
    call: Call, told: Callable[..., dict[str, str]], studio: Path, mode: int
) -> None:
    call("doctor", "--data-dir", studio)  # what is imported on the way may be closed to the other user, too
    file = studio / "studio.db"
    studio.chmod(0o755)
    file.chmod(mode)
    with _another_user():
        found = doctor(call, studio)
        said = told()
    words = f"The database {file} cannot be read and written by this user"
    assert words in found["database"]["words"]
    assert {"packages", "data folder", "port of web", "processes"} <= set(found)
    assert all(words in each and "chown -R USER" in each for each in said.values()), said


def test_a_folder_that_is_closed_to_this_user_ends_no_check(call: Call, studio: Path) -> None:
    call("doctor", "--data-dir", studio)
    studio.parent.chmod(0o000)
    try:
        with _another_user():
            found = doctor(call, studio)
    finally:
        studio.parent.chmod(0o777)
    assert "cannot be looked at (Permission denied)" in found["data folder"]["words"]
    assert found["database"]["verdict"] == "wrong"
    assert {"packages", "port of web", "processes"} <= set(found)


def test_a_server_that_is_not_there(call: Call, told: Callable[..., dict[str, str]], studio: Path) -> None:
    assert set(doctor(call, studio, *NOWHERE)) >= OTHERS
    for command, said in told(*NOWHERE).items():
        assert "The database does not answer: connection failed" in said, command
        assert "Check --database-url, the server and the network between." in said, command


def test_an_address_that_cannot_be_read_is_not_repeated(call: Call, studio: Path) -> None:
    found = doctor(call, studio, "--database-url", "postgresql:/me:secret@host")["database"]
    assert "--database-url cannot be read. Use sqlite:///FILE" in found["words"]
    assert "secret" not in found["words"]


def test_tables_of_an_older_version_wait_for_the_next_start(call: Call, tmp_path: Path) -> None:
    old = database.Database(f"sqlite:///{tmp_path / 'studio.db'}")
    old.upgrade("0001")
    old.close()
    done = call("keys", "list", "--data-dir", tmp_path)
    assert done.code == 1
    assert "older version (revision 0001" in done.err
    assert "`softprompt up` brings them up to date" in done.err


def test_the_processes_of_a_studio_end_with_the_same_words(studio: Path) -> None:
    random_bytes(studio / "studio.db")
    asked = [("up", "--port", "0", "--tls-port", "0"), ("web", "--port", "0"), ("worker",)]
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "softprompt", *words, "--data-dir", str(studio)], stderr=subprocess.PIPE, text=True
        )
        for words in asked
    ]
    for process, (command, *_) in zip(started, asked, strict=True):
        err = process.communicate(timeout=120)[1]
        assert (process.returncode, err.count("\n")) == (1, 1), err
        assert err.startswith("error: "), command
        assert SPOILT[0][1] in err, command


def test_a_start_leaves_data_of_a_newer_version_alone(studio: Path) -> None:
    of_a_newer_version(studio / "studio.db")
    before = (studio / "studio.db").read_bytes()
    with pytest.raises(DatabaseUnusable, match="Install that version or a newer one"):
        up(Plan(settings=StudioSettings.of(studio), port=0, tls_port=0))
    assert (studio / "studio.db").read_bytes() == before
