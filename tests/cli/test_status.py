"""`softprompt status` of a studio that does not run; one that runs is in tests/supervisor."""

from __future__ import annotations

import json
from pathlib import Path

from cli.conftest import Call
from softprompt.config import StudioSettings
from softprompt.jobs import workers
from softprompt.jobs.queue import enqueue
from softprompt.storage.rows import Rows
from softprompt.supervisor import first_start
from softprompt.supervisor.home import office_of


def test_nothing_runs(call: Call, tmp_path: Path) -> None:
    done = call("status", "--json", "--data-dir", tmp_path / "none")
    found = json.loads(done.out)
    assert done.code == 1
    assert (found["running"], found["web"]["state"], found["serving"]["state"]) == (False, "stopped", "stopped")
    assert found["workers"] == []
    assert not (tmp_path / "none").exists()
    assert "No studio runs on" in call("status", "--data-dir", tmp_path / "none").out


def test_a_database_that_does_not_answer_is_said(call: Call, tmp_path: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/none"
    found = json.loads(call("status", "--json", "--data-dir", tmp_path, "--database-url", url).out)
    assert "The database does not answer" in found["problem"]


def test_jobs_that_nobody_does_are_said_until_a_worker_comes(call: Call, tmp_path: Path) -> None:
    office = office_of(StudioSettings.of(tmp_path))
    first_start.prepare(office)
    with office.database.write() as session:
        enqueue(Rows(session), kind="tune", subject_id="r", project_id="p")
    words = "1 job waits and no worker runs. Start one: softprompt worker"
    assert words in json.loads(call("status", "--json", "--data-dir", tmp_path).out)["warning"]
    assert words in call("status", "--data-dir", tmp_path).out
    free = ("--port", "0", "--tls-port", "0", "--data-dir", tmp_path)
    assert words in call("doctor", *free).out
    with office.database.write() as session:
        workers.arrive(Rows(session), "w", host="h", pid=1, device="cpu")
    office.database.close()
    assert "warning" not in json.loads(call("status", "--json", "--data-dir", tmp_path).out)
    assert "1 waiting, 0 at work, workers that live: 1" in call("doctor", *free).out
