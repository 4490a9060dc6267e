"""Creates of the watsonx wire that are sent again: with an `Idempotency-Key` they make one thing, not two."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.api.policy import POLICY
from softprompt.storage.tables import Deployment, PromptSession, TunedPrompt, TuningRun
from softprompt.studio import prompt_sessions, runs, spaces
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

MODEL = "tiny/llama"
ROWS = b"".join(b'{"input": "lamp %d", "output": "%s"}\n' % (i, (b"Service", b"Warehouse")[i % 2]) for i in range(40))
NO_CREATES = {
    *("/icp4d-api/v1/authorize", "/identity/token", "/v2/asset_types/{asset_type}/search"),
    *("/v2/assets/{asset_id}/attachments/{attachment_id}/complete", "/wx/v1/prompts/{prompt_id}/input"),
}
"""What is posted and makes nothing, besides asking models."""
SECRET = "/v2/assets/{asset_id}/attachments"
"""Answers with an address that opens by itself."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[LiveStudio]:
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend()) as running:
        running.add_model(MODEL, tiny_folder())
        yield running


@pytest.fixture(scope="module")
def http(studio: LiveStudio) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {studio.key}"}
    with httpx.Client(base_url=studio.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def creates(studio: LiveStudio, http: httpx.Client) -> dict[str, tuple[str, Any]]:
    """For each create its address and a body that makes something."""
    project = studio.project.id
    dataset = http.post("/api/datasets?name=rows", content=ROWS).json()["id"]
    tuning = {"base_model": {"model_id": MODEL}, "task_id": "classification"}
    training = {
        "name": "train",
        "project_id": project,
        "training_data_references": [{"type": "data_asset", "location": {"id": dataset}}],
        "prompt_tuning": tuning,
    }
    run = http.post("/ml/v4/trainings", json=training).json()["metadata"]["id"]
    with studio.office.unit(SYSTEM) as unit:
        row = runs.get(unit, run)
        row.state, row.results = "completed", {"prompt_key": "prompts/x", "card": {"task": "generation"}, "updates": 7}
        space = spaces.create(unit, "Live").id
        session = prompt_sessions.create(unit, studio.project, "Greeting", content={"text": "Hello"}).id
    online: dict[str, Any] = {"name": "Plain", "project_id": project, "online": {}, "base_model_id": MODEL}
    return {
        "/transactional/v2/projects": ("/transactional/v2/projects", {"name": "Spring"}),
        "/v2/spaces": ("/v2/spaces", {"name": "Spring"}),
        "/v2/assets": (f"/v2/assets?project_id={project}", {"metadata": {"name": "rows of April"}}),
        "/ml/v4/trainings": ("/ml/v4/trainings", training),
        "/ml/v4/models": ("/ml/v4/models", {"training_id": run, "name": "Kept"}),
        "/ml/v4/deployments": ("/ml/v4/deployments", online),
        "/wx/v1/prompts": (f"/wx/v1/prompts?project_id={project}", {"name": "Kind words"}),
        "/wx/v1/prompts/{prompt_id}/chat_items": (
            f"/wx/v1/prompts/{session}/chat_items",
            [{"type": "question", "content": "Where is my lamp?"}],
        ),
        "/projects/api/rest/catalogs/assets/{asset_id}/promote": (
            f"/projects/api/rest/catalogs/assets/{session}/promote",
            {"spaceId": space},
        ),
    }


@pytest.fixture(scope="module")
def document(studio: LiveStudio) -> dict[str, Any]:
    return dict(httpx.get(f"{studio.url}/api/openapi.json", timeout=120).json())


def posts(document: dict[str, Any]) -> set[str]:
    """Whatever makes something on the watsonx wire."""
    ours = {path for path in document["paths"] if path.startswith(("/ml/v4/", "/v2/", "/wx/", "/transactional/"))}
    ours |= {path for path in document["paths"] if path.startswith("/projects/api")}
    return {path for path in ours if f"POST {path}" in POLICY} - NO_CREATES


def everything(studio: LiveStudio) -> dict[str, Any]:
    with studio.office.unit(SYSTEM, write=False) as unit:
        counts: dict[str, Any] = {
            noun.__name__: unit.rows.count(noun) for noun in (TuningRun, Deployment, TunedPrompt, PromptSession)
        }
        counts["content"] = {row.id: row.content for row in unit.rows.all(PromptSession)}
        return counts


def test_every_create_of_the_wire_is_here_and_documents_the_header(
    creates: dict[str, tuple[str, Any]], document: dict[str, Any]
) -> None:
    assert posts(document) == {*creates, SECRET}
    for path in creates:
        named = [field["name"] for field in document["paths"][path]["post"]["parameters"]]
        assert "Idempotency-Key" in named, path


def test_a_repeat_makes_nothing_and_gets_the_first_answer(
    studio: LiveStudio, http: httpx.Client, creates: dict[str, tuple[str, Any]]
) -> None:
    for path, body in creates.values():
        headers = {"idempotency-key": uuid.uuid4().hex}
        first = http.post(path, json=body, headers=headers)
        assert first.is_success, (path, first.text)
        after = everything(studio)
        again = http.post(path, json=body, headers=headers)
        assert (again.status_code, again.json()) == (first.status_code, first.json()), path
        assert again.headers["idempotent-replay"] == "true", path
        assert everything(studio) == after, path


def test_a_key_with_another_body_or_another_place_is_refused(
    http: httpx.Client, creates: dict[str, tuple[str, Any]]
) -> None:
    path, body = creates["/v2/assets"]
    headers = {"idempotency-key": uuid.uuid4().hex}
    assert http.post(path, json=body, headers=headers).status_code == 201
    others = [(path, {"metadata": {"name": "rows of May"}}), (f"{path.partition('?')[0]}?project_id=other", body)]
    for other, sent in others:
        refused = http.post(other, json=sent, headers=headers)
        assert refused.status_code == 409
        assert "with another body" in refused.json()["errors"][0]["message"]


def test_a_refused_create_is_not_remembered(http: httpx.Client, creates: dict[str, tuple[str, Any]]) -> None:
    path, body = creates["/ml/v4/trainings"]
    headers = {"idempotency-key": uuid.uuid4().hex}
    assert http.post(path, json={**body, "prompt_tuning": {}}, headers=headers).status_code == 400
    assert http.post(path, json=body, headers=headers).status_code == 201
    assert http.post(path, json=body, headers={"idempotency-key": "x" * 201}).status_code == 400


def test_an_address_that_opens_by_itself_is_not_kept_for_a_repeat(
    http: httpx.Client, creates: dict[str, tuple[str, Any]]
) -> None:
    path, body = creates["/v2/assets"]
    asset = http.post(path, json=body).json()["metadata"]["asset_id"]
    refused = http.post(f"/v2/assets/{asset}/attachments", json={"name": "a"}, headers={"idempotency-key": "a"})
    assert refused.status_code == 400
    assert "the answer holds a secret" in refused.json()["errors"][0]["message"]
