"""IBM's client and OpenAI's against a real `softprompt up`: processes of its own, real ports, its own certificate.

The clients stand in this process, everything else in the studio's: web, worker with its child, serving host. The same
clients meet single routes in `api/watsonx` and `api/openai`.
"""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.watsonx.conftest import impatient, tidy  # noqa: F401  (fixtures)
from studio_fixtures import complaints
from supervisor.conftest import Up

MODEL = "tiny/llama"
TEXTS = ["The lamp broke", "The desk is late"]
FEW = {"max_new_tokens": 5}


@dataclass(frozen=True)
class Studio:
    """Addresses, the certificate that was made at the start, and a key of the admin."""

    web: str
    tls: str
    certificate: str
    key: str


@pytest.fixture
def studio(tmp_path: Path, tiny_folder: Callable[..., Path], empty_database_url: str) -> Iterator[Studio]:
    """The admin signs in by the printed link, makes a key and adds a tiny model. Once on each kind of database."""
    running = Up(tmp_path / "studio", "--database-url", empty_database_url)
    try:
        state = running.until_running().state
        link = re.search(r"/sign-in\?link=([\w-]+)", running.text)
        assert link
        with httpx.Client(base_url=state["web"], trust_env=False, timeout=60) as browser:
            csrf = browser.post("/api/sign-in/link", json={"link": link[1]}).raise_for_status().json()["csrf"]
            browser.headers["x-csrf-token"] = csrf
            made = browser.post("/api/keys", json={"name": "clients", "role": "admin"}).raise_for_status()
            browser.post("/api/models", json={"id": MODEL, "path": str(tiny_folder())}).raise_for_status()
        yield Studio(state["web"], state["tls"], state["certificate"], made.json()["key"])
    finally:
        assert running.stop(signal.SIGTERM) == 0, running.text


@pytest.mark.filterwarnings("ignore:.verify=<str>. is deprecated:DeprecationWarning")  # IBM's client gives a path
@pytest.mark.usefixtures("impatient")
def test_from_rows_to_answers(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """IBM's way to a deployment, which OpenAI's client asks too."""
    answers = _by_ibm(studio, tmp_path, monkeypatch)
    assert _by_openai(studio) == answers


def _by_ibm(studio: Studio, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    from ibm_watsonx_ai import APIClient, Credentials
    from ibm_watsonx_ai._wrappers.httpx.global_httpx_settings import GlobalHttpxSettings
    from ibm_watsonx_ai.foundation_models import ModelInference

    # The client keeps what it has to verify for the whole process, here until the end of the test.
    monkeypatch.setenv("WX_CLIENT_VERIFY_REQUESTS", studio.certificate)
    monkeypatch.setattr(GlobalHttpxSettings, "verify", GlobalHttpxSettings.verify)
    credentials = Credentials(url=studio.tls, token=studio.key, verify=studio.certificate)
    client = APIClient(credentials)
    project_id = client.projects.get_id_by_name("Sandbox")
    assert client.set.default_project(project_id) == "SUCCESS"
    prompt_id = _tuned(client, credentials, project_id, tmp_path)
    names = client.deployments.ConfigurationMetaNames
    wanted = {names.NAME: "Routing", names.ONLINE: {}, names.SERVING_NAME: "routing"}
    made = client.deployments.create(prompt_id, wanted)
    assert made["entity"]["status"]["state"] == "ready"
    model = ModelInference(deployment_id=client.deployments.get_id(made), params=FEW, api_client=client)
    answers = model.generate_text(TEXTS)
    assert [model.generate_text(text) for text in TEXTS] == answers
    assert ["".join(model.generate_text_stream(text)) for text in TEXTS] == answers
    told = model.generate(TEXTS[0])["results"][0]
    assert (told["generated_text"], told["generated_token_count"]) == (answers[0], 5)
    assert told["virtual_token_count"] > 0
    return list(answers)


def _tuned(client: Any, credentials: Any, project_id: str, tmp_path: Path) -> str:
    """The id of a prompt that the studio's worker tuned."""
    from ibm_watsonx_ai.experiment import TuneExperiment
    from ibm_watsonx_ai.helpers import DataConnection

    rows = [{"input": text, "output": answer} for text, answer in complaints(24)]
    (tmp_path / "complaints.json").write_text(json.dumps(rows), encoding="utf-8")
    asset = client.data_assets.create("complaints.json", str(tmp_path / "complaints.json"))
    experiment = TuneExperiment(credentials, project_id=project_id)
    tuner = experiment.prompt_tuner(
        name="answer complaints",
        task_id=experiment.Tasks.GENERATION,
        base_model=MODEL,
        num_epochs=2,
        batch_size=8,
        tuning_type=experiment.PromptTuningTypes.PT,
        verbalizer="Complaint: {{input}} Department: ",
    )
    references = [DataConnection(data_asset_id=client.data_assets.get_id(asset))]
    details = tuner.run(references, background_mode=False)
    assert details["entity"]["status"]["state"] == "completed", details
    assert tuner.get_run_status() == "completed"
    shown = tuner.get_run_details(include_metrics=True)["entity"]
    assert {told["ml_metrics"]["epoch"] for told in shown["status"]["metrics"]} == {0, 1}
    assert tuner.get_model_id() == shown["model_id"]
    return str(shown["model_id"])


def _by_openai(studio: Studio) -> list[str]:
    """What the deployment answers, asked over plain HTTP in four ways."""
    from openai import OpenAI

    with OpenAI(base_url=f"{studio.web}/v1", api_key=studio.key) as client:
        assert {"routing", MODEL} <= {model.id for model in client.models.list()}
        own: dict[str, Any] = {"model": "routing", "temperature": 0, "max_tokens": 5}
        choices = client.completions.create(prompt=TEXTS, **own).choices
        answers = [choice.text for choice in choices]
        for text, answer in zip(TEXTS, answers, strict=True):
            messages: Any = [{"role": "user", "content": text}]
            assert client.chat.completions.create(messages=messages, **own).choices[0].message.content == answer
            pieces = client.completions.create(prompt=text, stream=True, **own)
            assert "".join(piece.choices[0].text for piece in pieces) == answer
            said = client.chat.completions.create(messages=messages, stream=True, **own)
            assert "".join(piece.choices[0].delta.content or "" for piece in said) == answer
        return answers
