"""Foundation models on the disk: fetched, followed, stopped, taken off."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from softprompt import catalogue
from softprompt.config import Settings
from softprompt.engine import model_disk
from softprompt.storage.types import now
from softprompt.studio import model_pulls
from softprompt.studio.model_pulls import Pull
from softprompt.testing.live import LiveStudio, wait_until

from .conftest import Clients, message, ok, unique

SMOLLM2, FLAN = "HuggingFaceTB/SmolLM2-135M-Instruct", "google/flan-t5-small"
GRANITE = "ibm/granite-13b-instruct-v2"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty disk, and no network for processes that are started."""
    monkeypatch.setenv("SOFTPROMPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return Settings.from_environment()


def put(model_id: str, settings: Settings) -> Path:
    """Files that look like a model's."""
    folder = model_disk.own_folder(catalogue.get(model_id), settings)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"x" * 5000)
    (folder / "softprompt-model.json").write_text('{"files": {"config.json": {"size": 2, "sha256": ""}}}')
    return folder


def test_a_fetch_is_begun_and_followed_to_its_end(admin: httpx.Client) -> None:
    assert "was never fetched" in message(admin.get(f"/api/pulls/{FLAN}"), 404)
    headers = {"idempotency-key": unique()}
    begun = ok(admin.post("/api/pulls", json={"model": "flan-t5-small"}, headers=headers), 202)
    assert (begun["model_id"], begun["state"]) == (FLAN, "running")
    wait_until(lambda: ok(admin.get(f"/api/pulls/{FLAN}"))["state"] == "failed", "the fetch does not end")
    assert "could not be had from any source" in ok(admin.get(f"/api/pulls/{FLAN}"))["problem"]
    assert [pull["model_id"] for pull in ok(admin.get("/api/pulls"))["items"]] == [FLAN]
    assert ok(admin.post("/api/pulls", json={"model": "flan-t5-small"}, headers=headers), 202) == begun


def test_a_fetch_at_work_is_stopped(admin: httpx.Client, cache: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    began = now() - timedelta(minutes=1)
    model_pulls.write(Pull(FLAN, "running", began, now(), done=40, total=160, rate=2e6, pid=4711), cache)
    with model_pulls.sole(FLAN, cache):
        shown = ok(admin.get(f"/api/pulls/{FLAN}"))
        assert (shown["state"], shown["done"], shown["total"], shown["rate"]) == ("running", 40, 160, 2e6)
        assert ok(admin.post("/api/pulls", json={"model": FLAN}), 202) == shown, "twice is once"
        assert "Stop that first" in message(admin.delete(f"/api/model-files/{FLAN}"), 409)
        killed: list[int] = []
        monkeypatch.setattr("softprompt.studio.model_pulls.os.kill", lambda pid, _signal: killed.append(pid))
        assert ok(admin.delete(f"/api/pulls/{FLAN}"))["state"] == "stopped"
    assert killed == [4711]
    assert "nothing to stop" in message(admin.delete(f"/api/pulls/{FLAN}"), 409)


def test_what_cannot_be_fetched_says_why(admin: httpx.Client, cache: Settings) -> None:
    assert "no source of it is known" in message(admin.post("/api/pulls", json={"model": GRANITE}), 503)
    assert "no foundation model" in message(admin.post("/api/pulls", json={"model": "no/model"}), 404)
    put(SMOLLM2, cache)
    assert "lies on this machine already" in message(admin.post("/api/pulls", json={"model": SMOLLM2}), 409)


def test_the_disk_is_shown_and_freed(admin: httpx.Client, studio: LiveStudio, cache: Settings) -> None:
    folder = put(SMOLLM2, cache)
    disk = ok(admin.get("/api/model-files"))
    own = next(item for item in disk["items"] if item["model_id"] == SMOLLM2)
    assert (own["bytes"] > 5000, own["whole"], disk["free"] > 0) == (True, True, True)
    assert disk["used"] >= own["bytes"]
    deployment = studio.deploy_model("Plain", SMOLLM2, unique("serving"))
    assert "1 deployment need it" in message(admin.delete(f"/api/model-files/{SMOLLM2}"), 409)
    ok(admin.delete(f"/api/deployments/{deployment}"), 204)
    assert ok(admin.delete(f"/api/model-files/{SMOLLM2}"))["freed"] == own["bytes"]
    assert not folder.exists()
    assert "not Softprompt's to remove" in message(admin.delete("/api/model-files/tiny/llama"), 400)


def test_fetching_is_for_admins_and_following_for_all(clients: Clients, studio: LiveStudio, cache: Settings) -> None:
    member = clients(studio.new_key(unique(), "admin", member="admin"))
    refused = [member.post("/api/pulls", json={"model": FLAN}), member.delete(f"/api/pulls/{FLAN}")]
    for answer in (*refused, member.delete(f"/api/model-files/{FLAN}")):
        assert "an admin of the whole studio" in message(answer, 403)
    model_pulls.write(Pull(FLAN, "failed", now(), now(), problem="Tried /srv/models."), cache)
    assert [(pull["state"], pull["problem"]) for pull in ok(member.get("/api/pulls"))["items"]] == [("failed", "")]
    assert ok(member.get("/api/model-files"))["total"] == 1
