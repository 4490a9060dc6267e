"""`softprompt doctor`: every line is ok or says what to do."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli.conftest import Call
from softprompt.config import StudioSettings
from softprompt.storage.database import Database
from softprompt.supervisor import doctor, first_start
from softprompt.supervisor.home import office_of


@pytest.fixture
def checks(call: Call, tmp_path: Path) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Exit code and findings by check."""

    def run(*words: Any) -> tuple[int, dict[str, Any]]:
        free = ("--port", "0", "--tls-port", "0") if "--port" not in words else ("--tls-port", "0")
        done = call("doctor", "--json", "--data-dir", tmp_path / "studio", *free, *words)
        return done.code, {each["check"]: each for each in json.loads(done.out)["checks"]}

    return run


def test_before_the_first_start_all_is_well_and_nothing_is_made(checks: Any, tmp_path: Path) -> None:
    code, found = checks()
    assert code == 0, found
    assert "torch 2" in found["packages"]["words"]
    assert found["database"]["words"] == "not there yet; the first start makes it."
    assert list(tmp_path.iterdir()) == []


def test_a_studio_that_was_started(checks: Any, call: Call, tmp_path: Path) -> None:
    office = office_of(StudioSettings.of(tmp_path / "studio"))
    first_start.prepare(office)
    office.database.close()
    code, found = checks()
    assert code == 0, found
    assert found["database"]["words"] == f"answers, revision {Database.newest_revision()}"
    assert found["clock"]["verdict"] == found["file store"]["verdict"] == "ok"
    assert "ok       data folder" in call("doctor", "--data-dir", tmp_path / "studio", "--port", "0").out


def test_a_port_that_is_taken_is_wrong(checks: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, found = checks("--port", taken.getsockname()[1])
    assert (code, found["port of web"]["verdict"]) == (1, "wrong")
    assert "is in use by process" in found["port of web"]["words"]


def test_a_database_that_does_not_answer_is_wrong(checks: Any) -> None:
    code, found = checks("--database-url", "postgresql://nobody@127.0.0.1:1/none")
    assert (code, found["database"]["verdict"]) == (1, "wrong")
    assert "Check --database-url" in found["database"]["words"]


def test_a_full_disk_and_old_packages_are_wrong(checks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor.metadata.version
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "0.1" if name == "uvicorn" else version(name))
    code, found = checks()
    assert code == 1
    assert "runs will fail. Make room." in found["disk of data"]["words"]
    assert "uvicorn is 0.1, at least 0.54 is needed" in found["packages"]["words"]


def test_a_folder_that_others_can_read_is_warned_of(checks: Any, tmp_path: Path) -> None:
    (tmp_path / "studio").mkdir(mode=0o755)
    code, found = checks()
    assert (code, found["data folder"]["verdict"]) == (0, "warning")
    assert "chmod 700" in found["data folder"]["words"]
