"""A worker from claim to result: what it writes when all goes well, and when the person or the data want otherwise."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from softprompt import TunedPrompt as Artefact
from softprompt import load_model
from softprompt.jobs import workers
from softprompt.jobs.queue import Claim, Order, Queue
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Dataset, Evaluation, TunedPrompt, TuningRun
from softprompt.storage.types import now
from softprompt.storage.work import WorkerRow
from softprompt.worker.prepare import Prepared, Preparer
from studio_fixtures import SMALL, complaints
from worker.conftest import ENDLESS, LONG, Shop, until


def test_a_run_becomes_a_tuned_prompt(shop: Shop, tiny_folder: Callable[..., Path]) -> None:
    data, test = shop.lab.dataset(complaints(36)), shop.lab.dataset(complaints(6))
    run_id = shop.lab.run(data, validation={"share": 0.25}, test_dataset_id=test)
    shop.once()
    run, prompt = shop.lab.get(TuningRun, run_id), shop.prompt(run_id)
    assert (prompt.name, prompt.model_id, prompt.task, prompt.virtual_tokens) == (
        "Routing (1)",
        "tiny/llama",
        "classification",
        3,
    )
    assert (prompt.labels, prompt.run_id, prompt.project_id) == (
        ["Marketing", "Service", "Warehouse"],
        run_id,
        run.project_id,
    )
    assert prompt.size > 0
    artefact = Artefact.load(shop.lab.store.folder(prompt.key), backbone=load_model(tiny_folder()))
    assert (artefact.base.model_id, artefact.data["validation_rows"]) == ("tiny/llama", 9)
    assert run.results["epochs"] == artefact.metrics["epochs"]
    assert run.results["updates"] == run.progress["updates"] == run.progress["update"] == 8
    assert {"loss", "learning_rate", "tokens_per_second", "eta_seconds", "epoch", "at"} <= set(run.progress)
    assert [method["name"] for method in run.results["test"]["methods"]] == [
        "Routing (1) · text",
        "Routing (1) · scored",
    ]
    assert run.results["test"]["rows"] == 6
    assert all("answers" not in method for method in run.results["test"]["methods"])
    proof = shop.lab.get(Evaluation, run.results["test"]["evaluation_id"])
    assert (proof.state, proof.methods, proof.dataset_id) == ("completed", [prompt.id], test)
    assert len(proof.results["right"]) == len(proof.results["methods"][0]["answers"]) == 6
    assert proof.results["methods"][0]["answers"][0]["input"]
    assert run.started_at < run.finished_at


def test_what_a_question_costs_in_tokens_is_counted(shop: Shop) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints(36)))
    shop.once()
    ledger = shop.lab.get(TuningRun, run_id).results["ledger"]
    lines = {(line["way"], line["instruction"]): line for line in ledger["lines"]}
    assert set(lines) == {("zero-shot", True), ("3-shot", True), ("text", True), ("text", False)}
    assert "Marketing, Service, Warehouse" in ledger["instruction"]
    bare, shots, told = lines["zero-shot", True], lines["3-shot", True], lines["text", True]
    assert lines["text", False]["input_tokens"] < bare["input_tokens"] < shots["input_tokens"]
    assert told["input_tokens"] == bare["input_tokens"]
    assert [line["virtual_tokens"] for line in ledger["lines"]] == [0, 0, 3, 3]
    assert all(line["generated_tokens"] > 1 for line in ledger["lines"])


def test_its_story_is_told_in_order(shop: Shop) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints()))
    shop.once()
    kinds = [event.kind for event in shop.told(run_id)]
    assert (kinds[0], kinds[-1]) == ("state", "state")
    assert [event.data["update"] for event in shop.told(run_id, "StepDone")] == [1, 2, 3, 4, 5, 6]
    assert kinds.index("Started") < kinds.index("StepDone") < kinds.index("EpochDone") < kinds.index("Finished")
    assert [event.data["state"] for event in shop.told(run_id, "state")] == ["running", "completed"]


def test_nothing_is_left_over(shop: Shop) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints()))
    shop.once()
    assert not list(shop.settings.scratch.iterdir())
    assert {key.split("/")[0] for key in shop.stored()} == {"datasets", "prompts"}
    assert shop.vectors(run_id)


def test_the_row_of_a_prompt_can_be_left_for_later(shop: Shop) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints()), keep_prompt=False)
    shop.once()
    run = shop.lab.get(TuningRun, run_id)
    assert (run.state, run.tuned_prompt_id) == ("completed", None)
    assert (shop.lab.store.folder(run.results["prompt_key"]) / "prompt.safetensors").is_file()
    assert run.results["card"]["task"] == "classification"
    with shop.lab.database.read() as session:
        assert Rows(session).count(TunedPrompt) == 0


def test_validation_rows_may_be_a_dataset(shop: Shop) -> None:
    data, held = shop.lab.dataset(complaints()), shop.lab.dataset(complaints(9))
    run_id = shop.lab.run(data, validation={"dataset_id": held})
    shop.once()
    assert all(epoch["validation_loss"] > 0 for epoch in shop.lab.get(TuningRun, run_id).results["epochs"])


def test_an_evaluation_compares_methods(shop: Shop) -> None:
    data, test = shop.lab.dataset(complaints(36)), shop.lab.dataset(complaints(6))
    run_id = shop.lab.run(data)
    shop.once()
    methods = ["zero-shot", "1-shot", shop.prompt(run_id).id]
    proof = shop.lab.evaluation(test, methods, instruction="Route it.", examples_dataset_id=data, guard=True)
    shop.once()
    row = shop.lab.get(Evaluation, proof)
    assert (row.state, row.problem) == ("completed", None)
    names = [method["name"] for method in row.results["methods"]]
    assert names == [
        "zero-shot · guarded",
        "1-shot · guarded",
        "Routing (1) · guarded text",
        "Routing (1) · scored",
    ]
    assert all(len(method["answers"]) == 6 for method in row.results["methods"])
    assert row.report.startswith("# Proof")
    assert [event.data["name"] for event in shop.told(proof, "Method")] == names


def test_a_broken_dataset_fails_with_its_own_words(shop: Shop) -> None:
    data = shop.lab.dataset('{"input": "a", "output": "b"}\n{"input": "c"}\n', "torn.jsonl")
    run_id = shop.lab.run(data)
    shop.once()
    run = shop.lab.get(TuningRun, run_id)
    assert (run.state, run.problem["code"]) == ("failed", "dataset_invalid")
    assert run.problem["message"].startswith("'torn.jsonl': 1 problem beside 1 valid row.")
    assert str(shop.settings.studio.data_dir) not in run.problem["message"]
    assert shop.told(run_id, "state")[-1].data["problem"] == run.problem


def test_a_test_set_that_cannot_be_used_does_not_take_the_prompt_away(shop: Shop) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints()), test_dataset_id=shop.lab.dataset("nonsense\n"))
    shop.once()
    assert shop.prompt(run_id)
    assert "problem" in shop.lab.get(TuningRun, run_id).results["test"]


@pytest.mark.parametrize(
    ("fields", "code", "words"),
    [
        ({"model_id": "nobody/knows-it"}, "model_unknown", "nobody/knows-it"),
        ({"config": {"epochs": 1000}}, "invalid_parameter", "epochs: 1000 is not between 1 and 50"),
        ({"config": {"virtual": 3}}, "invalid_parameter", "unexpected keyword argument 'virtual'"),
        ({"dataset_id": "gone"}, "not_found", "The training dataset 'gone' was deleted"),
    ],
)
def test_what_cannot_be_done_fails_with_a_reason(shop: Shop, fields: dict[str, object], code: str, words: str) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints()), SMALL)
    with shop.lab.database.write() as session:
        Rows(session).change(TuningRun, fields, id=run_id)
    shop.once()
    run = shop.lab.get(TuningRun, run_id)
    assert (run.state, run.problem["code"]) == ("failed", code)
    assert words in run.problem["message"]


def test_the_next_run_begins_at_once(shop: Shop) -> None:
    data = shop.lab.dataset(complaints())
    shop.lab.run(data)
    with shop.working():
        until(lambda: shop.lab.get(WorkerRow, _worker(shop)).job_id is None and not _waiting(shop))
        began = now()
        run_id = shop.lab.run(data)
        until(lambda: shop.state(run_id) == "completed")
    first = shop.told(run_id, "StepDone")[0].at
    assert (first - began).total_seconds() < 1.0
    assert not any("loading" in event.data["text"] for event in shop.told(run_id, "Note"))


def test_new_work_wakes_a_worker_that_would_sleep_for_long(shop: Shop) -> None:
    data = shop.lab.dataset(complaints())
    with shop.working(poll=600.0 if shop.lab.database.sqlite else 0.02):
        shop.lab.run(data)
        until(lambda: not _waiting(shop) and shop.lab.get(WorkerRow, _worker(shop)).job_id is None)
        run_id = shop.lab.run(data)
        until(lambda: shop.state(run_id) == "completed")


def _worker(shop: Shop) -> str:
    def newest() -> str | None:
        with shop.lab.database.read() as session:
            found = Rows(session).all(WorkerRow, sort="-created_at")
            return found[0].id if found else None

    return str(until(newest))


def _waiting(shop: Shop) -> int:
    with shop.lab.database.read() as session:
        return Rows(session).count(TuningRun, state=["queued", "running"])


def test_a_cancel_is_quick(shop: Shop) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints(180)), ENDLESS)
    with shop.working():
        until(lambda: shop.updates(run_id) > 3)
        asked = time.monotonic()
        shop.cancel(run_id)
        until(lambda: shop.state(run_id) == "canceled")
        assert time.monotonic() - asked < 2.0
    assert not any(key.startswith(("prompts", "checkpoints")) for key in shop.stored())


def test_keep_ends_with_the_best_so_far(shop: Shop) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints(180)), ENDLESS)
    with shop.working():
        until(lambda: shop.updates(run_id) > 3)
        shop.cancel(run_id, "keep")
        until(lambda: shop.state(run_id) == "completed")
    run = shop.lab.get(TuningRun, run_id)
    assert 3 < run.results["updates"] < 9000
    assert shop.vectors(run_id)


def test_keep_that_comes_before_the_first_update_is_heard(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """While files are still being brought; the run makes one update and keeps that."""
    run_id = shop.lab.run(shop.lab.dataset(complaints(180)), ENDLESS)
    heard, beat, prepare = threading.Event(), Queue.beat, Preparer.prepare

    def listening(queue: Queue, claim: Claim) -> Order:
        order = beat(queue, claim)
        if order == "keep":
            heard.set()
        return order

    def slow(preparer: Preparer, claim: Claim) -> Prepared:
        shop.cancel(run_id, "keep")
        assert heard.wait(30)
        return prepare(preparer, claim)

    monkeypatch.setattr(Queue, "beat", listening)
    monkeypatch.setattr(Preparer, "prepare", slow)
    shop.once()
    assert shop.state(run_id) == "completed"
    assert shop.lab.get(TuningRun, run_id).results["updates"] < 100


def test_an_evaluation_can_be_canceled(shop: Shop) -> None:
    proof = shop.lab.evaluation(shop.lab.dataset(complaints(600)), ["zero-shot"] * 50, max_new_tokens=200)
    with shop.working():
        until(lambda: shop.told(proof, "Method"))
        asked = time.monotonic()
        shop.cancel(proof)
        until(lambda: shop.state(proof, Evaluation) == "canceled")
        assert time.monotonic() - asked < 2.0


def test_a_worker_that_stops_puts_its_run_back_and_the_next_goes_on(shop: Shop, undisturbed: bytes) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints(64)), LONG)
    with shop.working() as stopping:
        until(lambda: shop.updates(run_id) > 3)
        stopping.set()
        until(lambda: shop.state(run_id) == "queued")
    assert any(key.startswith(f"checkpoints/{run_id}/") for key in shop.stored())
    shop.once()
    assert shop.vectors(run_id) == undisturbed
    started = shop.told(run_id, "Started")
    assert started[0].data["done"] == 0
    assert started[1].data["done"] > 3


def test_workers_are_seen(shop: Shop) -> None:
    with shop.working(device="cpu"):
        name = _worker(shop)
        with shop.lab.database.read() as session:
            assert [row.id for row in workers.present(Rows(session))] == [name]
    with shop.lab.database.read() as session:
        assert not workers.present(Rows(session))


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_the_worker_itself_never_loads_torch(shop: Shop) -> None:
    run_id = shop.lab.run(shop.lab.dataset(complaints()))
    code = (
        "import sys; from pathlib import Path\n"
        "from softprompt.config import StudioSettings\n"
        "from softprompt.worker.process import WorkerSettings, work\n"
        "home, url, files = sys.argv[1:]\n"
        "studio = StudioSettings(data_dir=Path(home), database_url=url, storage_url=files)\n"
        "work(WorkerSettings(studio=studio, once=True))\n"
        "print([n for n in ('torch', 'transformers', 'sklearn', 'ray') if n in sys.modules])\n"
    )
    studio = shop.settings.studio
    where = [str(studio.data_dir), studio.database_url, studio.storage_url]
    done = subprocess.run(
        [sys.executable, "-c", code, *where], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert shop.state(run_id) == "completed"


def test_datasets_are_read_from_the_store(shop: Shop) -> None:
    data = shop.lab.dataset(complaints())
    key = shop.lab.get(Dataset, data).key
    run_id = shop.lab.run(data)
    shop.lab.store.remove(key)
    shop.once()
    problem = shop.lab.get(TuningRun, run_id).problem
    assert problem["code"] == "not_found"
    assert problem["message"] == "The file of dataset 'rows.jsonl' is gone from the store. Upload it again."
