"""Commands against a running studio, and the same ones against a data folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from softprompt.cli import remote
from softprompt.jobs.queue import Queue
from softprompt.storage.tables import TunedPrompt
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

from .conftest import Call

MODEL = "tiny/llama"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[LiveStudio]:
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend(), tls=True) as running:
        running.add_model(MODEL, tiny_folder())
        yield running


@pytest.fixture
def ask(
    request: pytest.FixtureRequest, studio: LiveStudio, call: Call, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """`ask("runs", "list")`, over HTTP; with `both` a second time on the data folder."""
    monkeypatch.setenv("SOFTPROMPT_API_KEY", studio.key)

    def ask(*arguments: Any) -> Any:
        if getattr(request, "param", "url") == "url":
            return call("--url", studio.url, *arguments)
        return call(*arguments, "--data-dir", studio.data_dir)

    return ask


@pytest.fixture
def key(studio: LiveStudio, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("SOFTPROMPT_API_KEY", studio.key)
    return studio.key


both = pytest.mark.parametrize("ask", ["url", "data-dir"], indirect=True)


def document(done: Any) -> Any:
    assert done.code == 0, done.err + done.out
    return json.loads(done.out)


@both
def test_a_run_is_started_shown_listed_and_canceled(ask: Callable[..., Any], rows: Path) -> None:
    started = document(ask("runs", "start", rows, "--model", MODEL, "--epochs", 2, "--tag", "a", "--json"))
    assert (started["state"], started["config"], started["tags"]) == ("queued", {"epochs": 2}, ["a"])
    assert started["name"].startswith("rows (")
    assert document(ask("runs", "show", started["name"], "--json"))["id"] == started["id"]
    listed = document(ask("runs", "list", "--state", "queued", "--state", "running", "--json"))["runs"]
    assert started["id"] in [run["id"] for run in listed]
    assert started["id"] in ask("runs", "list").out
    canceled = document(ask("runs", "cancel", started["id"], "--json"))
    assert canceled["state"] == "canceled"
    again = ask("runs", "cancel", started["id"])
    assert again.code == 1
    assert "error: Job already completed with state canceled" in again.err


def test_watching_ends_with_the_run_and_its_code_says_how(
    ask: Callable[..., Any], studio: LiveStudio, rows: Path
) -> None:
    run = document(ask("runs", "start", rows, "--model", MODEL, "--experiment", "Watched", "--json"))
    queue = Queue(studio.office.database)
    claim = queue.claim("worker")
    assert claim is not None
    assert claim.subject_id == run["id"]
    with queue.unit(claim) as held:
        held.tell("EpochDone", {"epoch": 0, "loss": 1.25, "validation_loss": None, "metric": 0.5})
    queue.complete(claim)
    watched = ask("runs", "watch", run["id"])
    assert watched.code == 0
    assert "epoch 1, loss 1.2500, metric 0.500" in watched.out
    assert watched.out.rstrip().endswith("completed")
    other = document(ask("runs", "start", rows, "--model", MODEL, "--json"))
    ask("runs", "cancel", other["id"])
    assert ask("runs", "watch", other["id"]).code == 1


def test_held_out_and_test_rows_go_along(ask: Callable[..., Any], rows: Path, tmp_path: Path) -> None:
    other = tmp_path / "held.jsonl"
    other.write_text(rows.read_text() + '{"input": "a cup broke", "output": "Service"}\n')
    run = document(
        ask(
            "runs",
            "start",
            rows,
            "--model",
            MODEL,
            "--validation",
            other,
            "--test",
            other,
            "--project",
            "Sandbox",
            "--json",
        )
    )
    assert run["validation"] == {"dataset_id": run["test_dataset_id"]}
    share = document(ask("runs", "start", "rows", "--model", MODEL, "--validation", "0.2", "--json"))
    assert (share["validation"], share["dataset_id"]) == ({"share": 0.2}, run["dataset_id"])
    for started in (run, share):
        ask("runs", "cancel", started["id"])


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--epochs", "99"], 2, "epochs: 99 is not between 1 and 50"),
        (["--model", "no/model"], 1, "no foundation model 'no/model'"),
        (["--project", "nowhere"], 1, "There is no project 'nowhere'"),
        (["--validation", "2.5"], 2, "validation.share"),
    ],
)
def test_errors_are_words_and_codes(
    ask: Callable[..., Any], rows: Path, options: list[str], code: int, words: str
) -> None:
    done = ask("runs", "start", rows, "--model", MODEL, *options)
    assert (done.code, done.out) == (code, "")
    assert f"error: {words}" in done.err or words in done.err
    told = ask("runs", "start", rows, "--model", MODEL, *options, "--json")
    assert words in json.loads(told.out)["error"]["message"]


@both
def test_datasets(ask: Callable[..., Any], rows: Path, tmp_path: Path) -> None:
    sent = document(ask("datasets", "upload", rows, "--name", "complaints", "--json"))
    assert (sent["state"], sent["rows"]) == ("ready", 18)
    shown = document(ask("datasets", "show", sent["id"], "--json"))
    assert shown["report"]["labels"] == {"Marketing": 6, "Service": 6, "Warehouse": 6}
    assert "complaints" in ask("datasets", "list").out
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"input": "no output"}\n')
    refused = ask("datasets", "upload", broken)
    assert refused.code == 1
    assert "line 1" in refused.err
    assert "is no file" in ask("datasets", "upload", tmp_path / "missing.jsonl").err


@both
def test_deployments_and_prompts(ask: Callable[..., Any], studio: LiveStudio, tuned: Path, tmp_path: Path) -> None:
    with studio.office.unit(SYSTEM) as unit:
        prompt = TunedPrompt(project_id=studio.project.id, name="Routing", model_id=MODEL, key="prompts/routing")
        unit.store.put_folder(prompt.key, tuned)
        unit.rows.add(prompt)
    made = document(ask("deployments", "create", "Routing", "--serving-name", "routing", "--json"))
    assert (made["serving_name"], made["state"], made["tuned_prompt_id"]) == ("routing", "ready", prompt.id)
    assert "in use by another deployment" in ask("deployments", "create", "Routing", "--serving-name", "routing").err
    assert document(ask("deployments", "show", "routing", "--json"))["id"] == made["id"]
    assert "routing" in ask("deployments", "list").out
    assert document(ask("deployments", "delete", "routing", "--json"))["state"] == "deleted"
    assert "There is no deployment 'routing'" in ask("deployments", "show", "routing").err
    assert "Routing" in ask("prompts", "list").out
    assert ask("prompts", "download", "Routing", "--out", tmp_path / "mine").code == 0
    names = {path.name: path.read_bytes() for path in (tmp_path / "mine").iterdir()}
    assert names == {path.name: path.read_bytes() for path in tuned.iterdir()}
    assert "not empty" in ask("prompts", "download", "Routing", "--out", tmp_path / "mine").err
    space = document(ask("spaces", "create", f"For {prompt.id}", "--json"))
    promoted = document(ask("prompts", "promote", prompt.id, "--space", space["name"], "--json"))
    assert (promoted["name"], promoted["space_id"]) == ("Routing", space["id"])
    assert "is deleted" in ask("prompts", "delete", promoted["id"]).out
    assert "is deleted" in ask("prompts", "delete", prompt.id).out


def test_lists_go_over_pages(call: Call, studio: LiveStudio, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        studio.deploy_model(f"Paged {number}", MODEL, f"paged-{number}")
    asked: list[str] = []
    send = remote.Desk._ask

    def small(desk: Any, method: str, path: tuple[str, ...], **given: Any) -> Any:
        asked.append(path[0])
        if "params" in given:
            given["params"]["limit"] = 2
        return send(desk, method, path, **given)

    monkeypatch.setattr(remote.Desk, "_ask", small)
    found = document(call("--url", studio.url, "deployments", "list", "--search", "paged", "--json"))["deployments"]
    assert [item["serving_name"] for item in found] == [f"paged-{number}" for number in reversed(range(5))]
    assert len(asked) == 3


def test_certificates_are_checked_unless_told_otherwise(
    call: Call, studio: LiveStudio, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert studio.tls is not None
    refused = call("--url", studio.tls, "runs", "list")
    assert refused.code == 1
    assert "Name its file in SOFTPROMPT_CA_FILE, or use --insecure" in refused.err
    assert call("--url", studio.tls, "--insecure", "runs", "list").code == 0
    monkeypatch.setenv("SOFTPROMPT_CA_FILE", str(studio.cert))
    assert call("--url", studio.tls, "runs", "list").code == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--url", "http://127.0.0.1:9", "runs", "list"], "No studio answers at http://127.0.0.1:9"),
        (["--url", "localhost:8440", "runs", "list"], "is no address"),
        (["--url", "http://localhost", "models", "list"], "works on this machine"),
        (["--url", "http://localhost", "runs", "list", "--data-dir", "x"], "name one of them"),
    ],
)
def test_addresses_that_lead_nowhere_are_explained(call: Call, key: str, arguments: list[str], words: str) -> None:
    done = call(*arguments)
    assert done.code in (1, 2)
    assert words in done.err


def test_without_a_key_it_says_how_to_get_one(call: Call, studio: LiveStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOFTPROMPT_API_KEY", raising=False)
    assert "`softprompt keys create NAME`" in call("--url", studio.url, "runs", "list").err
    monkeypatch.setenv("SOFTPROMPT_API_KEY", "sp-wrong")
    assert "This API key is not known" in call("--url", studio.url, "runs", "list").err


def test_without_a_studio_it_says_how_to_make_one(call: Call, tmp_path: Path) -> None:
    done = call("runs", "list", "--data-dir", tmp_path / "nothing")
    assert done.code == 1
    assert "`softprompt up` makes one" in done.err
    assert not (tmp_path / "nothing").exists()


def test_a_busy_studio_is_asked_again(
    call: Call, studio: LiveStudio, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    answers = iter([httpx.Response(429, headers={"retry-after": "0.01"}), httpx.ReadError("gone")])
    real, keys = httpx.Client.request, []

    def sometimes(client: httpx.Client, *arguments: Any, **given: Any) -> httpx.Response:
        keys.append(given["headers"].get("idempotency-key"))
        answer = next(answers, None)
        if isinstance(answer, Exception):
            raise answer
        return answer or real(client, *arguments, **given)

    monkeypatch.setattr(httpx.Client, "request", sometimes)
    monkeypatch.setattr(remote.time, "sleep", lambda _: None)
    done = document(call("--url", studio.url, "deployments", "create", "--model", MODEL, "--json"))
    assert done["state"] == "ready"
    assert len(keys) == 3
    assert len(set(keys)) == 1, "a repeat carries the key of the first try"


@both
def test_projects_and_spaces_are_made_listed_shown_and_deleted(
    ask: Callable[..., Any], request: pytest.FixtureRequest
) -> None:
    name = request.node.name
    for noun, extra in (("projects", ["--tag", "mail"]), ("spaces", ["--stage", "testing"])):
        made = document(ask(noun, "create", name, "--description", "Who acts", *extra, "--json"))
        assert (made["name"], made["description"]) == (name, "Who acts")
        assert made["id"] in ask(noun, "list", "--search", name).out
        assert [item["id"] for item in document(ask(noun, "list", "--search", name, "--json"))[noun]] == [made["id"]]
        assert document(ask(noun, "show", name, "--json"))["id"] == made["id"]
        assert "is deleted" in ask(noun, "delete", name).out
        gone = ask(noun, "show", made["id"])
        assert gone.code == 1
        assert "error: " in gone.err
    wrong = ask("spaces", "create", name, "--stage", "live")
    assert wrong.code == 2
    assert "stage" in wrong.err


@both
def test_an_evaluation_is_started_shown_canceled_and_deleted(ask: Callable[..., Any], rows: Path) -> None:
    dataset = document(ask("datasets", "upload", rows, "--name", "held-out", "--json"))
    given = ["--model", MODEL, "--with", "zero-shot", "--with", "baseline", "--examples", dataset["id"]]
    made = document(ask("evaluations", "start", dataset["id"], *given, "--instruction", "Who acts?", "--json"))
    assert (made["state"], made["methods"]) == ("queued", ["zero-shot", "baseline"])
    assert made["id"] in ask("evaluations", "list").out
    assert document(ask("evaluations", "cancel", made["id"], "--json"))["state"] == "canceled"
    assert document(ask("evaluations", "delete", made["id"], "--json"))["state"] == "deleted"
    assert ask("evaluations", "show", made["id"]).code == 1


@both
def test_runs_and_datasets_are_deleted(ask: Callable[..., Any], rows: Path) -> None:
    run = document(ask("runs", "start", rows, "--model", MODEL, "--json"))
    in_use = ask("datasets", "delete", run["dataset_id"])
    assert in_use.code == 1
    assert run["name"] in in_use.err
    ask("runs", "cancel", run["id"])
    assert document(ask("runs", "delete", run["id"], "--json"))["id"] == run["id"]
