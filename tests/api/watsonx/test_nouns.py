"""Projects, spaces, data assets, models and deployments through IBM's client, in its three ways to sign in."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from api.watsonx.studio import LLAMA, T5, Behind


@pytest.fixture
def model_id(behind: Behind) -> str:
    """A tuned prompt in the sandbox, without files."""
    return behind.prompt(f"prompt {uuid.uuid4().hex[:6]}", T5)


def test_projects(behind: Behind, mode: str) -> None:
    client = behind.client(mode)
    names = client.projects.ConfigurationMetaNames
    name = f"Workshop {mode}"
    storage = {"type": "local" if mode != "cloud" else "bmcos_object_storage", "resource_crn": "none", "guid": "none"}
    made = client.projects.store(
        {names.NAME: name, names.DESCRIPTION: "one", names.GENERATOR: "tests", names.STORAGE: storage}
    )
    project_id = client.projects.get_id(made)
    assert client.projects.get_id_by_name(name) == project_id
    assert name in list(client.projects.list()["NAME"])
    changed = client.projects.update(project_id, {names.DESCRIPTION: "two"})
    assert changed["entity"]["description"] == "two"
    assert client.projects.get_details(project_id)["entity"]["name"] == name
    assert client.projects.delete(project_id) == "SUCCESS"
    assert name not in list(client.projects.list()["NAME"])


def test_spaces(behind: Behind, mode: str) -> None:
    client = behind.client(mode)
    names = client.spaces.ConfigurationMetaNames
    wanted = {names.NAME: f"Shop {mode}", names.DESCRIPTION: "one"}
    if mode == "cloud":
        wanted[names.STORAGE] = {"resource_crn": "none"}
    space_id = client.spaces.get_id(client.spaces.store(wanted, background_mode=False))
    assert client.spaces.get_id_by_name(f"Shop {mode}") == space_id
    assert f"Shop {mode}" in list(client.spaces.list()["NAME"])
    assert client.spaces.update(space_id, {names.DESCRIPTION: "two"})["entity"]["description"] == "two"
    assert client.set.default_space(space_id) == "SUCCESS"
    assert client.spaces.delete(space_id) == "SUCCESS"


def test_promotion_and_deployment_in_a_space(client: Any, behind: Behind, model_id: str, mode: str) -> None:
    names = client.spaces.ConfigurationMetaNames
    wanted = {names.NAME: f"Stage {mode}", names.DESCRIPTION: ""}
    if mode == "cloud":
        wanted[names.STORAGE] = {"resource_crn": "none"}
    space_id = client.spaces.get_id(client.spaces.store(wanted, background_mode=False))
    promoted = client.spaces.promote(model_id, behind.project_id, space_id)
    assert promoted != model_id
    client.set.default_space(space_id)
    assert client.repository.get_model_details(promoted)["metadata"]["space_id"] == space_id
    deployment_id = client.deployments.get_id(_deploy(client, promoted, f"stage-{mode}"))
    assert client.deployments.get_details(deployment_id)["entity"]["space_id"] == space_id


def test_data_assets(client: Any, behind: Behind, tmp_path: Path) -> None:
    path = behind.rows()
    made = client.data_assets.create(f"rows {uuid.uuid4().hex[:6]}.json", str(path))
    asset_id = client.data_assets.get_id(made)
    assert client.data_assets.get_details(asset_id)["metadata"]["size"] == path.stat().st_size
    assert client.data_assets.get_content(asset_id) == path.read_bytes()
    target = tmp_path / "again.json"
    client.data_assets.download(asset_id, str(target))
    assert target.read_bytes() == path.read_bytes()
    assert asset_id in list(client.data_assets.list()["ASSET_ID"])
    found = client.data_assets.get_details(get_all=True)["resources"]
    assert asset_id in [item["metadata"]["asset_id"] for item in found]
    assert client.data_assets.delete(asset_id) == "SUCCESS"
    assert asset_id not in list(client.data_assets.list()["ASSET_ID"])


def test_bad_data_is_taken_in(client: Any, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"input": "a"}\nnot json\n', encoding="utf-8")
    asset_id = client.data_assets.get_id(client.data_assets.create("bad.jsonl", str(path)))
    assert client.data_assets.get_content(asset_id) == path.read_bytes()


def test_models(client: Any, model_id: str) -> None:
    names = client.repository.ModelMetaNames
    assert client.repository.get_details(model_id)["metadata"]["id"] == model_id
    assert client.repository.get_model_details(model_id)["entity"]["type"] == "prompt_tune_1.0"
    assert model_id in list(client.repository.list_models()["ID"])
    assert client.repository.update_model(model_id, {names.NAME: "renamed"})["metadata"]["name"] == "renamed"
    assert client.repository.delete(model_id) == "SUCCESS"
    assert model_id not in list(client.repository.list_models()["ID"])


def test_deployments(client: Any, behind: Behind, model_id: str, mode: str) -> None:
    names = client.deployments.ConfigurationMetaNames
    serving = f"desk-{mode}"
    assert client.deployments.is_serving_name_available(serving)
    details = _deploy(client, model_id, serving)
    deployment_id = client.deployments.get_id(details)
    assert not client.deployments.is_serving_name_available(serving)
    assert details["entity"]["deployed_asset_type"] == "prompt_tune"
    assert deployment_id in list(client.deployments.list()["ID"])
    assert client.deployments.get_details(serving_name=serving)["resources"][0]["metadata"]["id"] == deployment_id
    assert client.deployments.update(deployment_id, {names.NAME: "other"})["entity"]["name"] == "other"
    moved = client.deployments.update(deployment_id, {names.SERVING_NAME: f"{serving}-2"})
    assert moved["entity"]["online"]["parameters"]["serving_name"] == f"{serving}-2"
    other = behind.prompt("other prompt", T5)
    swapped = client.deployments.update(deployment_id, {names.ASSET: {"id": other}})
    assert swapped["entity"]["asset"]["id"] == other
    assert client.deployments.delete(deployment_id) == "SUCCESS"


def test_a_deployed_model_is_not_deleted(client: Any, model_id: str) -> None:
    from ibm_watsonx_ai.wml_client_error import WMLClientError

    deployment_id = client.deployments.get_id(_deploy(client, model_id, f"kept-{uuid.uuid4().hex[:6]}"))
    with pytest.raises(WMLClientError, match="[Dd]eployment"):
        client.repository.delete(model_id)
    client.deployments.delete(deployment_id)


def test_a_serving_name_that_is_taken_is_refused(client: Any, model_id: str) -> None:
    from ibm_watsonx_ai.wml_client_error import WMLClientError

    name = f"taken-{uuid.uuid4().hex[:6]}"
    _deploy(client, model_id, name)
    with pytest.raises(WMLClientError, match=f"{name}.*in use by another deployment"):
        _deploy(client, model_id, name)


def test_foundation_models(client: Any, behind: Behind, mode: str) -> None:
    specs = client.foundation_models.get_model_specs()["resources"]
    named = {spec["model_id"]: spec for spec in specs}
    assert {LLAMA, T5} <= set(named)
    limits = named[T5]["training_parameters"]
    assert limits["num_epochs"] == {"default": 20, "min": 1, "max": 50}
    assert limits["learning_rate"] == {"default": 0.3, "min": 1e-05, "max": 0.5}
    assert named[LLAMA]["training_parameters"]["num_epochs"] == {"min": 1, "max": 50}
    assert client.foundation_models.get_model_specs("no/such") is None
    tunable = client.foundation_models.PromptTunableModels
    assert T5 in [item.value for item in tunable]
    assert T5 not in [item.value for item in client.foundation_models.ChatModels]
    assert client.foundation_models.get_model_lifecycle(T5)[0]["id"] == "available"


def _deploy(client: Any, model_id: str, serving_name: str) -> dict[str, Any]:
    names = client.deployments.ConfigurationMetaNames
    wanted = {names.NAME: "desk", names.ONLINE: {}, names.SERVING_NAME: serving_name}
    made: dict[str, Any] = client.deployments.create(model_id, wanted)
    return made
