"""`softprompt status` of a studio that does not run; one that runs is in tests/supervisor."""

from __future__ import annotations

import json
from pathlib import Path

from cli.conftest import Call


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
