"""IBM's own way from rows to answers, with its own client, in its three ways to sign in: the notebooks' order."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from api.watsonx.studio import T5, Behind

pytestmark = pytest.mark.usefixtures("worker", "impatient")


def test_the_notebook(behind: Behind, mode: str) -> None:
    from ibm_watsonx_ai.experiment import TuneExperiment
    from ibm_watsonx_ai.helpers import DataConnection

    client = behind.client(mode)
    assert client.set.default_project(behind.project_id) == "SUCCESS"
    asset = client.data_assets.create("complaints.json", str(behind.rows()))
    experiment = TuneExperiment(behind.credentials(mode), project_id=behind.project_id)
    tuner = experiment.prompt_tuner(
        name=f"route complaints {mode}",
        task_id=experiment.Tasks.CLASSIFICATION,
        base_model=T5,
        accumulate_steps=2,
        batch_size=8,
        learning_rate=0.2,
        max_input_tokens=64,
        max_output_tokens=20,
        num_epochs=3,
        init_method="text",
        init_text="Which department?",
        verbalizer="Complaint: {{input}} Department: ",
        tuning_type=experiment.PromptTuningTypes.PT,
        auto_update_model=True,
    )
    assert tuner.get_params()["num_epochs"] == 3

    asset_id = client.data_assets.get_id(asset)
    details = tuner.run([DataConnection(data_asset_id=asset_id)], background_mode=False)
    assert details["entity"]["status"]["state"] == "completed", details
    assert tuner.get_run_status() == "completed"
    assert "metrics" not in tuner.get_run_details()["entity"]["status"]
    _the_learning_curve(tuner)
    shown = tuner.get_run_details(include_metrics=True)["entity"]
    assert shown["prompt_tuning"]["num_virtual_tokens"] == 100
    assert shown["prompt_tuning"]["verbalizer"] == "Complaint: {{input}} Department: "
    assert tuner.get_model_id() == shown["model_id"]
    assert tuner.get_data_connections()[0].location.id == asset_id

    _deployed(client, shown["model_id"], f"routing_{mode}")
    client.training.delete(tuner.id)
    assert tuner.id not in [run["metadata"]["id"] for run in client.training.get_details(get_all=True)["resources"]]


def _the_learning_curve(tuner: Any) -> None:
    """`plot_learning_curve` draws in Jupyter only; this is what it draws."""
    details = tuner.get_run_details(include_metrics=True)
    scores = tuner._get_average_loss_score_for_each_epoch(details, 0)
    pairs = tuner._get_first_and_last_iteration_metrics_for_each_epoch(details)
    moments = [datetime.datetime.strptime(pair["timestamp"], "%Y-%m-%dT%H:%M:%S.%f%z") for pair in pairs]
    seconds = [(moments[i] - moments[i - 1]).total_seconds() for i in range(1, len(moments), 2)]
    assert len(scores) == len(seconds) == 3
    assert all(spent >= 0 for spent in seconds)
    table = tuner.summary()
    assert list(table.columns) == ["Enhancements", "Base model", "Auto store", "Epochs", "loss"]
    assert table.iloc[0]["loss"] == pytest.approx(scores[-1])
    assert table.iloc[0]["Epochs"] == 3


def _deployed(client: Any, model_id: str, serving_name: str) -> None:
    from ibm_watsonx_ai.foundation_models import ModelInference

    names = client.deployments.ConfigurationMetaNames
    wanted = {names.NAME: "routing", names.ONLINE: {}, names.SERVING_NAME: serving_name}
    deployment_id = client.deployments.get_id(client.deployments.create(model_id, wanted))
    few = {"max_new_tokens": 5}
    tuned = ModelInference(deployment_id=deployment_id, params=few, api_client=client)
    assert tuned.get_details()["entity"]["base_model_id"] == T5
    one = tuned.generate_text("The lamp broke")
    assert tuned.generate_text(["The lamp broke", "The desk is late"])[0] == one
    assert "".join(tuned.generate_text_stream("The lamp broke")) == one
    by_name = ModelInference(deployment_id=serving_name, params=few, api_client=client, validate=False)
    assert by_name.generate_text("The lamp broke") == one
    base = ModelInference(model_id=T5, params=few, api_client=client)
    assert len(base.generate_text(["The lamp broke", "The desk is late", "x"])) == 3
    client.deployments.delete(deployment_id)
