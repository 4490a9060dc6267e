"""A deployment is ready only while its model and its files are there; what is missing is said with what brings it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.storage.tables import TunedPrompt
from softprompt.studio import deployments, standing
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

ABSENT = "google/flan-t5-xl"


@pytest.fixture
def served(tmp_path: Path, tiny_folder: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveStudio]:
    monkeypatch.setenv("SOFTPROMPT_CACHE", str(tmp_path / "cache"))
    model = Path(shutil.copytree(tiny_folder(), tmp_path / "model"))
    with live_studio(tmp_path / "studio", EchoBackend()) as running:
        running.add_model("tiny/llama", model)
        running.deploy_model("Away", ABSENT, "away")
        running.deploy_model("Here", "tiny/llama", "here")
        yield running


def asked(studio: LiveStudio, path: str) -> Any:
    answer = httpx.get(f"{studio.url}{path}", headers={"authorization": f"Bearer {studio.key}"}, timeout=60)
    return answer.json() if "json" in answer.headers["content-type"] else answer.text


def test_a_model_that_is_not_here_is_said_on_every_wire(served: LiveStudio) -> None:
    words = f"{ABSENT} is not on this machine. `softprompt models pull {ABSENT}` brings it."
    away = asked(served, "/api/deployments/away")
    assert (away["state"], away["online"], away["problem"]["message"]) == ("failed", True, words)
    listed = {each["name"]: each for each in asked(served, "/api/deployments")["items"]}
    assert listed["Away"] == away
    assert (listed["Here"]["state"], listed["Here"]["problem"]) == ("ready", None)
    theirs = asked(served, f"/ml/v4/deployments/{away['id']}?version=2025-01-01")["entity"]["status"]
    assert (theirs["state"], theirs["failure"]["errors"][0]["message"]) == ("failed", words)
    names = [model["id"] for model in asked(served, "/v1/models")["data"]]
    assert "here" in names
    assert "away" not in names
    assert asked(served, "/api/status")["deployments"] == 1


def test_what_goes_away_and_comes_back_is_seen(served: LiveStudio, tmp_path: Path) -> None:
    shutil.move(tmp_path / "model", tmp_path / "moved")
    gone = asked(served, "/api/deployments/here")
    assert gone["state"] == "failed"
    assert gone["problem"]["message"].startswith(f"The folder {tmp_path / 'model'} of tiny/llama is gone. Put it back")
    shutil.move(tmp_path / "moved", tmp_path / "model")
    assert asked(served, "/api/deployments/here")["state"] == "ready"


def test_files_of_a_tuned_prompt_that_are_gone_are_said(served: LiveStudio) -> None:
    with served.office.unit(SYSTEM) as unit:
        where = {"project_id": served.project.id, "model_id": "tiny/llama"}
        prompt = unit.rows.add(TunedPrompt(name="Lost", key="prompts/lost", task="generation", **where))
        made = deployments.create(unit, served.project, "Lost", prompt_id=prompt.id)
        found = standing.one(unit.rows, unit.store, made)
        assert (found.state, (found.problem or {})["code"]) == ("failed", "not_found")
        assert "The files of tuned prompt 'Lost' are gone from the store." in (found.problem or {})["message"]
        deployments.update(unit, made.id, online=False)
        assert standing.one(unit.rows, unit.store, made).state == "offline"
