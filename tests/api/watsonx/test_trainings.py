"""Tuning runs through IBM's client, moved by hand from state to state as a worker would."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import uuid
from typing import Any

import httpx
import pytest

from api.watsonx.studio import LLAMA, T5, Behind, until
from softprompt.jobs.queue import Claim, Queue
from softprompt.storage.tables import TuningRun
from softprompt.storage.work import Job
from studio_fixtures import complaints

LOSSES = (4.0, 2.0, 1.0)


class Hand:
    """Does by hand what a worker does with one run."""

    def __init__(self, idle: Behind, run_id: str) -> None:
        self.queue = Queue(idle.office.database)
        with idle.office.unit() as unit:  # this run before all that wait
            unit.rows.change(Job, {"priority": 1}, subject_id=run_id)
        claim = self.queue.claim("by hand", ("tune",))
        assert claim is not None
        assert claim.subject_id == run_id
        self.claim: Claim = claim

    def epoch(self, number: int) -> None:
        seconds = 2.0 * (number + 1)
        record = {"epoch": number, "loss": LOSSES[number], "validation_loss": None, "metric": None, "seconds": seconds}
        with self.queue.unit(self.claim) as held:
            held.tell("EpochDone", record)

    def complete(self, **results: Any) -> None:
        epochs = [{"epoch": n, "loss": loss, "seconds": 2.0 * (n + 1)} for n, loss in enumerate(LOSSES)]

        def change(held: Any) -> None:
            held.subject.results = {"epochs": epochs, **results}

        self.queue.complete(self.claim, change)

    def fail(self) -> None:
        self.queue.fail(self.claim, "loss_not_finite", "The loss is not a finite number any more.")


def tuner_of(idle: Behind, mode: str, name: str, model: str = T5, **more: Any) -> Any:
    from ibm_watsonx_ai.experiment import TuneExperiment

    experiment = TuneExperiment(idle.credentials(mode), project_id=idle.project_id)
    return experiment.prompt_tuner(name=name, task_id="classification", base_model=model, **more)


def started(idle: Behind, client: Any, mode: str, **more: Any) -> Any:
    """A run that waits."""
    from ibm_watsonx_ai.helpers import DataConnection

    asset = client.data_assets.create("rows.json", str(idle.rows()))
    tuner = tuner_of(idle, mode, f"run {uuid.uuid4().hex[:6]}", **more)
    tuner.run([DataConnection(data_asset_id=client.data_assets.get_id(asset))], background_mode=True)
    return tuner


def test_a_run_is_listed_watched_canceled_and_deleted(
    idle: Behind, idle_client: Any, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from ibm_watsonx_ai.experiment import TuneExperiment

    tuner = started(idle, idle_client, mode)
    assert tuner.get_run_status() == "pending"
    runs = TuneExperiment(idle.credentials(mode), project_id=idle.project_id).runs
    assert tuner.id in list(runs.list()["run_id"])
    assert list(runs(filter=tuner.name).list()["run_id"]) == [tuner.id]
    assert runs.get_run_details()["metadata"]["id"] == tuner.id
    again = runs.get_tuner(tuner.id)
    assert again.get_run_status() == "pending"
    assert again.num_epochs == 20 if hasattr(again, "num_epochs") else True
    assert tuner.id in list(idle_client.training.list()["ID (training)"])
    assert idle_client.training.get_status(tuner.id)["state"] == "pending"
    tuner.cancel_run()
    assert tuner.get_run_status() == "canceled"
    capsys.readouterr()
    tuner.cancel_run()
    assert "Job is not running currently" in capsys.readouterr().out
    tuner.cancel_run(hard_delete=True)
    assert tuner.id not in list(runs(filter=None).list()["run_id"])
    idle_client.training.delete(started(idle, idle_client, mode).id)


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS is deprecated:DeprecationWarning")
def test_a_run_that_works_shows_its_losses_as_they_come(
    idle: Behind, idle_client: Any, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tuner = started(idle, idle_client, mode)
    hand = Hand(idle, tuner.id)
    hand.epoch(0)
    assert tuner.get_run_status() == "running"
    metrics = tuner.get_run_details(include_metrics=True)["entity"]["status"]["metrics"]
    assert [m["ml_metrics"] for m in metrics] == [{"epoch": 0, "loss": 4.0}] * 2
    watches = (idle_client.training.monitor_metrics, idle_client.training.monitor_logs)
    watching = [threading.Thread(target=watch, args=(tuner.id,)) for watch in watches]
    for thread in watching:
        thread.start()
    told = ""

    def seen(*words: str) -> bool:
        nonlocal told
        told += capsys.readouterr().out
        return all(word in told for word in words)

    until(lambda: seen("'epoch': 0, 'loss': 4.0", "epoch 0: loss 4.00000"), 20)
    hand.epoch(1)
    hand.epoch(2)
    until(lambda: seen("'epoch': 2, 'loss': 1.0", "epoch 2: loss 1.00000"), 20)
    hand.complete()
    for thread in watching:
        thread.join(20)
        assert not thread.is_alive()
    assert seen("INFO: completed")
    metrics = idle_client.training.get_metrics(tuner.id)
    assert [m["ml_metrics"]["loss"] for m in metrics] == [4.0, 4.0, 2.0, 2.0, 1.0, 1.0]
    assert tuner.summary().iloc[0]["loss"] == 1.0


def test_a_watcher_needs_a_key_and_a_run(idle: Behind) -> None:
    from websockets.asyncio.client import connect  # the blocking one may wait for ever for an end that TLS told already
    from websockets.exceptions import InvalidStatus

    address = idle.url.replace("https", "wss") + "/ml/v4/trainings/00000000-0000-0000-0000-000000000000"
    trusted = ssl.create_default_context(cafile=str(idle.certificate))

    async def watch(headers: dict[str, str]) -> None:
        async with connect(address, ssl=trusted, additional_headers=headers):
            pass

    for headers in ({}, {"Authorization": f"Bearer {idle.key}"}, {"Authorization": "Bearer sp-wrong"}):
        with pytest.raises(InvalidStatus, match="403"):
            asyncio.run(watch(headers))


def test_a_failed_run_says_why(idle: Behind, idle_client: Any, mode: str) -> None:
    tuner = started(idle, idle_client, mode)
    Hand(idle, tuner.id).fail()
    status = tuner.get_run_details()["entity"]["status"]
    assert status["state"] == "failed"
    assert status["message"] == {"level": "error", "text": "The loss is not a finite number any more."}
    assert status["failure"]["errors"][0]["code"] == "loss_not_finite"


@pytest.mark.parametrize("mode", ["token", "user"])
def test_a_model_is_kept_when_somebody_says_so(
    idle: Behind, idle_client: Any, mode: str, capsys: pytest.CaptureFixture[str]
) -> None:
    tuner = started(idle, idle_client, mode, auto_update_model=False)
    Hand(idle, tuner.id).complete(prompt_key="prompts/none", card={"task": "classification", "virtual_tokens": 100})
    assert "model_id" not in tuner.get_run_details()["entity"]
    idle_client.training.monitor_logs(tuner.id)
    assert "completed" in capsys.readouterr().out
    names = idle_client.repository.ModelMetaNames
    stored = idle_client.repository.store_model(training_id=tuner.id, meta_props={names.NAME: "kept"})
    assert stored["metadata"]["name"] == "kept"
    assert tuner.get_run_details()["entity"]["model_id"] == stored["metadata"]["id"]


def test_everything_that_is_wrong_is_named_at_once(idle: Behind, idle_client: Any, mode: str) -> None:
    from ibm_watsonx_ai.helpers import DataConnection
    from ibm_watsonx_ai.wml_client_error import ApiRequestFailure

    path = idle.folder / "bad.jsonl"
    path.write_text('{"input": "a"}\nnot json\n{"input": "b", "output": "c"}\n', encoding="utf-8")
    asset_id = idle_client.data_assets.get_id(idle_client.data_assets.create("bad.jsonl", str(path)))
    tuner = tuner_of(idle, mode, "bad", num_epochs=99, learning_rate=7, batch_size=0, verbalizer="{{input}} {{output}}")
    with pytest.raises(ApiRequestFailure) as failed:
        tuner.run([DataConnection(data_asset_id=asset_id)], background_mode=True)
    message = str(failed.value)
    assert "Status code: 400" in message
    for words in (
        "num_epochs: 99 is not between 1 and 50",
        "learning_rate: 7 is not between 1e-05 and 0.5",
        "batch_size: 0 is not between 1 and 16",
        "verbalizer: The template",
        "line 1",
        "line 2",
    ):
        assert words in message


def test_what_is_left_out_is_ibms_for_t5_and_ours_for_decoders(idle: Behind, idle_client: Any) -> None:
    shown, config = _left_open(idle, idle_client, T5)
    wanted = {"num_epochs": 20, "batch_size": 16, "accumulate_steps": 16, "learning_rate": 0.3, "init_method": "random"}
    assert wanted.items() <= shown.items()
    assert config["epochs"] == 20
    assert config["init"] == "random"
    shown, config = _left_open(idle, idle_client, LLAMA)
    assert set(config) == {"task"}
    assert shown["num_epochs"] == 20
    assert shown["batch_size"] == 16
    assert "learning_rate" not in shown


def _left_open(idle: Behind, client: Any, model: str) -> tuple[dict[str, Any], dict[str, Any]]:
    tuner = started(idle, client, "token", model=model)
    with idle.office.unit() as unit:
        run = unit.rows.get(TuningRun, tuner.id)
        assert run is not None
        config = run.config
    return tuner.get_run_details()["entity"]["prompt_tuning"], config


@pytest.mark.parametrize("mode", ["token"])
def test_lists_are_filtered_and_paged(idle: Behind, idle_client: Any, idle_http: httpx.Client) -> None:
    ids = [started(idle, idle_client, "token").id for _ in range(3)]
    asked = {"project_id": idle.project_id, "limit": 2}
    page = idle_http.get("/ml/v4/trainings", params=asked).json()
    assert [run["metadata"]["id"] for run in page["resources"]] == [ids[2], ids[1]]
    assert page["next"]["href"].startswith("ml/v4/trainings?project_id=")
    rest = idle_http.get(f"/{page['next']['href']}").json()
    assert rest["resources"][0]["metadata"]["id"] == ids[0]
    for tags, count in ((["prompt_tuning", f"wx_prompt_tune.{ids[0]}"], 1), (["prompt_tuning", "no such"], 0)):
        found = idle_http.get("/ml/v4/trainings", params={"project_id": idle.project_id, "tag.value": tags}).json()
        assert found["total_count"] == count
    assert idle_http.get("/ml/v4/trainings", params={**asked, "type": "ilab"}).json()["total_count"] == 0
    pending = idle_http.get("/ml/v4/trainings", params={**asked, "state": "pending"}).json()
    assert {run["entity"]["status"]["state"] for run in pending["resources"]} == {"pending"}
    everything = idle_client.training.get_details(get_all=True)["resources"]
    assert len(everything) == len({run["metadata"]["id"] for run in everything}) >= 3
    assert "next" not in idle_http.get("/ml/v4/trainings", params={"limit": 500}).json()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"training_data_references": []}, "0 are given"),
        ({"training_data_references": [{"type": "container", "location": {}}]}, "names no data asset"),
        ({"prompt_tuning": {"task_id": "classification"}}, "base_model"),
        ({"prompt_tuning": {"base_model": {"model_id": "no/such"}, "num_epoch": 3}}, "num_epoch: not known"),
        ({"prompt_tuning": {"base_model": {"model_id": "no/such"}}}, "no foundation model 'no/such'"),
        ({"prompt_tuning": {"base_model": {"model_id": T5}, "init_method": "magic"}}, "random, text"),
        ({"prompt_tuning": {"base_model": {"model_id": T5}, "learning_rate": "fast"}}, "'fast' is not a number"),
        ({"prompt_tuning": {"base_model": {"model_id": T5}, "num_epochs": 1.5}}, "not a whole number"),
        ({"project_id": None}, "neither is given"),
        ({"name": ""}, "is no name"),
    ],
)
def test_what_does_not_start(idle: Behind, idle_http: httpx.Client, change: dict[str, Any], words: str) -> None:
    dataset_id = _dataset(idle_http, idle)
    body = {
        "name": "x",
        "project_id": idle.project_id,
        "training_data_references": [{"type": "data_asset", "location": {"id": dataset_id}}],
        "prompt_tuning": {"base_model": {"model_id": T5}},
        **change,
    }
    answered = idle_http.post("/ml/v4/trainings", json=body)
    assert answered.status_code == 400, answered.text
    assert words in answered.json()["errors"][0]["message"]


def test_uploads_are_permitted_by_their_address_alone(idle: Behind, idle_http: httpx.Client) -> None:
    made = idle_http.post(
        "/v2/assets", params={"project_id": idle.project_id}, json={"metadata": {"name": "x"}, "entity": {}}
    ).json()
    asset_id = made["metadata"]["asset_id"]
    attachment = idle_http.post(f"/v2/assets/{asset_id}/attachments", json={"name": "rows.json"}).json()
    early = idle_http.post(f"/v2/assets/{asset_id}/attachments/{attachment['attachment_id']}/complete")
    assert early.status_code == 404
    bare, _, _ = attachment["url1"].partition("?")
    with httpx.Client(base_url=idle.url, verify=False) as stranger:
        assert stranger.put(f"{bare}?signature=guess", content=b"[]").status_code == 403
        assert stranger.put(bare, content=b"[]").status_code == 403
        content = json.dumps([{"input": a, "output": b} for a, b in complaints(3)]).encode()
        assert stranger.put(attachment["url1"], content=content).json()["size"] == len(content)
        assert stranger.put(attachment["url1"], content=content).json()["size"] == len(content), "an answer got lost"
        other = stranger.put(attachment["url1"], content=b'[{"input": "a", "output": "b"}]')
        assert (other.status_code, "other content" in other.text) == (409, True)
        assert stranger.get(f"{bare}?signature={attachment['url1'].partition('=')[2]}").status_code == 403
        shown = idle_http.get(f"/v2/assets/{asset_id}/attachments/{attachment['attachment_id']}").json()
        assert stranger.get(shown["url"]).content == content


def _dataset(http: httpx.Client, idle: Behind) -> str:
    params = {"project_id": idle.project_id}
    made = http.post("/v2/assets", params=params, json={"metadata": {"name": "rows"}, "entity": {}}).json()
    asset_id = str(made["metadata"]["asset_id"])
    attachment = http.post(f"/v2/assets/{asset_id}/attachments", json={"name": "rows.json"}).json()
    rows = [{"input": a, "output": b} for a, b in complaints(12)]
    http.put(attachment["url1"], files={"file": ("rows.json", json.dumps(rows))})
    return asset_id
