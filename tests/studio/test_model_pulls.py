"""Fetching models: what the process tells, and what is seen of one that died."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from softprompt import catalogue
from softprompt.config import Settings
from softprompt.engine import model_disk
from softprompt.errors import Forbidden, ModelUnavailable, StorageFull, WrongState
from softprompt.storage.types import now
from softprompt.studio import model_pulls, pull_process
from softprompt.studio.access import Actor, Office
from softprompt.studio.model_pulls import Pull
from softprompt.testing.live import wait_until

FLAN, GRANITE = "google/flan-t5-small", "ibm/granite-13b-instruct-v2"


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_pull_tells_its_steps_and_that_it_is_here(settings: Settings, hub: Path) -> None:
    told = pull_process.Told(catalogue.get(FLAN), settings)
    seen: list[Pull | None] = []

    def locate(_id: str, *, settings: Settings, report: Any) -> None:
        report("Downloading google/flan-t5-small (80M parameters)")
        blobs = hub / "models--google--flan-t5-small" / "blobs"
        blobs.mkdir(parents=True)
        (blobs / "a.incomplete").write_bytes(b"x" * 1234)
        told.tick()
        seen.append(model_pulls.get(FLAN, settings))

    pull_process.fetch(told, locate)
    assert seen[0] is not None
    assert (seen[0].state, seen[0].done, seen[0].total) == ("running", 1234, None)
    assert seen[0].step.startswith("Downloading")
    found = model_pulls.get(FLAN, settings)
    assert found is not None
    assert found.state == "here"


def test_a_failed_pull_tells_every_source_that_was_tried(settings: Settings) -> None:
    pull_process.fetch(pull_process.Told(catalogue.get(FLAN), settings))
    found = model_pulls.get(FLAN, settings)
    assert found is not None
    assert found.state == "failed"
    assert "could not be had from any source" in found.problem
    assert "not asked" in found.problem


def test_nothing_is_written_over_the_last_word(settings: Settings) -> None:
    told = pull_process.Told(catalogue.get(FLAN), settings)
    told.end("stopped")
    told.tick()
    told.end("here")
    found = model_pulls.get(FLAN, settings)
    assert found is not None
    assert found.state == "stopped"


def test_a_pull_without_a_process_has_broken_off(settings: Settings) -> None:
    began = now() - timedelta(minutes=2)
    model_pulls.write(Pull(FLAN, "running", began, began), settings)
    found = model_pulls.get(FLAN, settings)
    assert found is not None
    assert found.state == "interrupted"
    assert set(model_pulls.all_pulls(settings)) == {FLAN}
    with model_pulls.sole(FLAN, settings):
        held = model_pulls.get(FLAN, settings)
        assert held is not None
        assert held.state == "running"


def test_a_damaged_file_tells_nothing(settings: Settings) -> None:
    model_pulls.write(Pull(FLAN, "running", now(), now()), settings)
    next((settings.cache / "pulls").glob("*.json")).write_text("{oops")
    assert model_pulls.get(FLAN, settings) is None


def test_the_process_ends_with_whoever_started_it(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = (
        "import sys, time; from softprompt.studio import pull_process as p; "
        "p.fetch.__defaults__ = (lambda *a, **k: time.sleep(60),); p.main(sys.argv[1])"
    )
    environment = {"SOFTPROMPT_CACHE": str(settings.cache), "PATH": "/usr/bin"}
    command = [sys.executable, "-c", slow, FLAN]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=True)
    try:
        wait_until(lambda: model_pulls.get(FLAN, settings) is not None, "it tells nothing")
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(20) != 0
        found = model_pulls.get(FLAN, settings)
        assert found is not None
        assert found.state == "interrupted"
    finally:
        process.kill()
        process.wait()


def test_starting_is_refused_with_the_reason(
    office: Office, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with office.unit() as unit:
        with pytest.raises(ModelUnavailable, match="no source of it is known"):
            model_pulls.start(unit, GRANITE, settings)
        monkeypatch.setattr(model_disk, "room", lambda _settings: 1_000_000)
        with pytest.raises(StorageFull, match=r"takes about 0\.2 GB; .* has 0\.0 GB left"):
            model_pulls.start(unit, FLAN, settings)
        with pytest.raises(WrongState, match="nothing to stop"):
            model_pulls.stop(unit, FLAN, settings)
        unit.actor = Actor(user_id="u", name="ada")
        with pytest.raises(Forbidden):
            model_pulls.start(unit, FLAN, settings)
