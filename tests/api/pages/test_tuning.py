"""Tuning Studio before the start: experiments, the form of a run, and what is told about it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import fields
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.jobs.queue import Queue
from softprompt.params import TuneConfig
from softprompt.storage.tables import TunedPrompt, TuningExperiment, TuningRun
from softprompt.storage.types import now
from softprompt.storage.work import Measurement
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

Post = Callable[..., httpx.Response]
MODEL = "tiny/llama"


def words(answer: httpx.Response) -> str:
    """What a person reads, in one line."""
    text = re.sub(r"<(script|style).*?</\1>", " ", answer.text, flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", text)).split())


def told(answer: httpx.Response) -> str:
    """What stands before "Start tuning"."""
    return words(answer).split("Before you start")[1].split("Start tuning")[0]


THINGS = ("lamp", "chair", "desk", "phone", "sofa", "bowl", "spade", "tent")
PAIRS = [
    (f"{'My' if i % 3 else 'Our'} {THINGS[i % 8]} {('broke', 'is late', 'never came', 'hums')[i % 4]} {i}",
     ("Service", "Warehouse")[i % 2])
    for i in range(40)
]  # fmt: skip
ROWS = "\n".join(json.dumps({"input": text, "output": answer}) for text, answer in PAIRS)


def load(post: Post, rows: str, name: str) -> str:
    return post("/data", {"pasted": rows, "name": name}).url.path.rsplit("/", 1)[-1]


@pytest.fixture
def filled(studio: LiveStudio, post: Post, tiny_folder: Callable[..., Path]) -> dict[str, Any]:
    """A studio with a model and data; the fields of a form."""
    studio.add_model(MODEL, tiny_folder())
    return {"experiment": "Routing", "model": MODEL, "dataset": load(post, ROWS, "Complaints")}


def measured(studio: LiveStudio, post: Post, asked: dict[str, Any], **found: Any) -> Measurement:
    """Let a worker, which this test plays, measure what the form asks for."""
    assert "measurement waits for a worker" in told(post("/tuning/measure", asked))
    queue = Queue(studio.office.database)
    claim = queue.claim("w-1")
    assert claim is not None
    assert claim.kind == "measure"
    facts = {
        "method": "prompt_tuning", "updates": 3, "seconds": 3.0, "tokens": 600.0, "pass_tokens": 200.0,
        "held_seconds": 0.5, "after_seconds": 0.1, "readout": "auto", "readout_epochs": 0, "test_seconds": None,
        "load_seconds": 4.0, **found,
    }  # fmt: skip
    with queue.unit(claim) as held:
        assert isinstance(held.subject, Measurement)
        config = dict(held.subject.config)
    queue.complete(claim, lambda held: _fill(held.subject, facts))
    with studio.office.unit(SYSTEM, write=False) as unit:
        (row,) = unit.rows.all(Measurement)
        assert row.config == config
        return row


def _fill(row: Any, facts: dict[str, Any]) -> None:
    row.found, row.host, row.device = facts, "north", "cpu"


def test_without_data_the_form_says_what_comes_first(browser: httpx.Client) -> None:
    assert "First, data" in browser.get("/tuning/new").text


def test_the_form_begins_with_what_is_there(browser: httpx.Client, filled: dict[str, Any]) -> None:
    page = browser.get("/tuning/new").text
    assert re.search(r'name="experiment"[^>]*value="Complaints"', page)
    assert re.search(rf'value="{MODEL}"[^>]* checked', page)
    assert f'<option value="{filled["dataset"]}" selected' in page
    assert "Cannot be tuned" in page
    assert 'value="share" selected' in page, "held-out rows are the good habit"


def test_rows_to_measure_on_are_not_offered_to_train_on(
    browser: httpx.Client, filled: dict[str, Any], post: Post
) -> None:
    other = load(post, ROWS.replace("broke", "burst"), "Parcels_test")
    test = load(post, ROWS.replace("broke", "fell"), "Complaints test")
    page = browser.get("/tuning/new").text
    assert f'<option value="{filled["dataset"]}" selected' in page
    assert f'<option value="{test}" selected' in page, "named after the training rows"
    assert f'<option value="{other}" selected' not in page
    asked = browser.get("/tuning/new", params={"dataset": test}).text
    assert asked.count(f'<option value="{test}" selected') == 1, "never both"


def test_every_parameter_is_there_with_its_range_and_a_label(browser: httpx.Client, filled: dict[str, Any]) -> None:
    page = browser.get("/tuning/new").text
    for name in (item.name for item in fields(TuneConfig) if item.name != "init_prompt"):
        assert re.search(rf'name="{name}"', page), name
    assert re.search(r'name="epochs"[^>]*min="1"[^>]*max="50"', page)
    assert "0.00001 – 0.5" in page
    assert page.count('type="range"') >= 7


def test_check_tells_what_the_run_will_do(post: Post, filled: dict[str, Any]) -> None:
    asked = {**filled, "epochs": "3", "batch_size": "4", "validation": "share", "share": "25", "init": "text",
             "max_input_tokens": "30", "init_text": "Sort it."}  # fmt: skip
    answer = post("/tuning/check", asked)
    assert answer.status_code == 200
    said = told(answer)
    assert "Routing (1) will be its name" in said
    assert "24 updates" in said, "30 of 40 rows in batches of 4, three times"
    assert "28 virtual tokens" in said
    assert "30 to train on" in said
    assert "10 to validate" in said
    assert re.search(r"\d+ of 30 rows are longer than 30 tokens", said)
    assert "24 updates are few" in said
    assert "No worker is running" in said
    assert 'href="#field-max_input_tokens"' in answer.text
    assert "8 tokens for 20 vectors in front: the text is repeated." in words(answer)


def test_what_stays_open_is_told_with_its_reason(post: Post, filled: dict[str, Any]) -> None:
    page = words(post("/tuning/check", {**filled, "init": "text"}))
    assert "Left open: 4, small batches make many updates." in page
    assert "Left open: 20, to reach about 250 updates with 40 rows." in page
    assert re.search(r"Left open: 0\.03\d*, 0\.22 × the scale of the model’s embeddings, 0\.15", page)


def test_vectors_start_from_solved_rows_where_answers_are_known(post: Post, filled: dict[str, Any]) -> None:
    answer = post("/tuning/check", filled)
    said = told(answer)
    count = re.search(r"(\d+) virtual tokens", said)
    assert count is not None
    assert f"{count[1]} tokens for {count[1]} vectors in front: one each." in words(answer)
    assert "O u t p u t" in words(answer), "the tokenizer of the tiny model has one token a byte"


@pytest.mark.parametrize(
    ("field", "value", "words_told"),
    [
        ("epochs", "99", "99 is not between 1 and 50"),
        ("batch_size", "many", "'many' is no number"),
        ("pattern", "[a", "'[a' is no regular expression"),
        ("template", "no place", "0 places for {{input}}"),
        ("model", "nobody/knows", "nobody/knows"),
        ("share", "0", "not between 0 and 1"),
        ("readout", "only", "needs known answers"),
    ],
)
def test_what_cannot_start_is_said_at_the_field(
    post: Post, filled: dict[str, Any], field: str, value: str, words_told: str
) -> None:
    asked = {**filled, "validation": "share", "share": "20", field: value}
    if field == "readout":
        asked["task"] = "generation"
    answer = post("/tuning/check", asked)
    assert answer.status_code == 200
    assert words_told in told(answer)
    refused = post("/tuning/new", asked)
    if field != "readout":
        assert 400 <= refused.status_code < 500
        assert "The run was not started." in refused.text
    assert 'value="Routing"' in answer.text, "nothing that was written is lost"


def test_several_problems_stand_at_their_own_fields(post: Post, filled: dict[str, Any]) -> None:
    answer = post("/tuning/check", {**filled, "epochs": "99", "accumulate": "0", "noise": "x"})
    for name in ("epochs", "accumulate", "noise"):
        assert re.search(rf'id="told-{name}"[^>]*><strong class="wrong">', answer.text), name


def test_test_rows_that_stand_in_the_training_rows_are_told(post: Post, filled: dict[str, Any]) -> None:
    same = told(post("/tuning/check", {**filled, "test": filled["dataset"]}))
    assert "Test and training rows are the same file" in same
    other = load(post, "\n".join([*ROWS.splitlines()[:5], '{"input": "A new one", "output": "Service"}']), "Test")
    assert "5 training rows stand in the test rows too" in told(post("/tuning/check", {**filled, "test": other}))


def test_a_run_starts_with_what_was_chosen_and_nothing_else(
    studio: LiveStudio, post: Post, filled: dict[str, Any]
) -> None:
    given = {**filled, "description": "Who answers?", "epochs": "3", "learning_rate": "0,03", "optimizer": "adamw",
             "readout": "auto", "task": "", "decay": "no", "validation": "share", "share": "25"}  # fmt: skip
    answer = post("/tuning/new", given)
    assert answer.status_code == 200
    with studio.office.unit(SYSTEM, write=False) as unit:
        (run,) = unit.rows.all(TuningRun)
        assert run.config == {"epochs": 3, "learning_rate": 0.03, "decay": False}
        assert (run.name, run.validation) == ("Routing (1)", {"share": 0.25})
        (experiment,) = unit.rows.all(TuningExperiment)
        assert experiment.description == "Who answers?"
    assert answer.url.path == f"/tuning/runs/{run.id}"


def test_tuned_again_everything_is_kept_and_what_differs_is_marked(
    studio: LiveStudio, browser: httpx.Client, post: Post, filled: dict[str, Any]
) -> None:
    first = post("/tuning/new", {**filled, "epochs": "3", "learning_rate": "0.030", "validation": "share"})
    run_id = first.url.path.rsplit("/", 1)[-1]
    same = browser.get(f"/tuning/new?again={run_id}")
    assert "Tune again: Routing (1)" in same.text
    assert "The same as Routing (1) so far." in words(same)
    assert "data-differs" not in same.text
    changed = browser.get(f"/tuning/new?again={run_id}&epochs=5&noise=0.1")
    assert "Differs from Routing (1): Epochs : 3 → 5 Noise : left open → 0.1" in words(changed)
    assert re.search(r'id="field-epochs" data-differs', changed.text)
    assert "Routing (1): 3" in words(changed)
    again = {**filled, "again": run_id, "epochs": "5", "learning_rate": "0.03", "validation": "share", "share": "20"}
    assert "Epochs : 3 → 5" in told(post("/tuning/check", again))
    post("/tuning/new", again)
    with studio.office.unit(SYSTEM, write=False) as unit:
        newest = unit.rows.first(TuningRun, name="Routing (2)")
        assert newest is not None
        assert newest.config == {"epochs": 5, "learning_rate": 0.03}


def test_time_is_told_once_it_was_measured_and_says_where_it_comes_from(
    studio: LiveStudio, post: Post, filled: dict[str, Any]
) -> None:
    asked = {**filled, "init": "text", "validation": "share", "share": "25"}
    before = told(post("/tuning/check", asked))
    assert "Nobody has tuned this model here yet, so its time is not known." in before
    row = measured(studio, post, asked)
    assert {name: row.config[name] for name in ("task", "batch_size", "accumulate", "validation")} == {
        "task": "classification", "batch_size": 4, "accumulate": 1, "validation": True
    }  # fmt: skip
    after = told(post("/tuning/check", asked))
    assert re.search(r"≈ \d+ min \d+ s|≈ \d+ s", after)
    assert "200 tokens a second over 3 updates. From a measurement on north, cpu, just now" in after
    assert "Measure again" in after


def test_a_measurement_under_way_and_one_that_failed_say_so(
    studio: LiveStudio, post: Post, filled: dict[str, Any]
) -> None:
    asked = {**filled, "init": "text"}
    waiting = post("/tuning/measure", asked)
    assert "The measurement waits for a worker" in told(waiting)
    assert "data-waiting" in waiting.text
    queue = Queue(studio.office.database)
    claim = queue.claim("w-1")
    assert claim is not None
    assert "A worker is measuring a few updates" in told(post("/tuning/check", asked))
    queue.fail(claim, "out_of_memory", "A batch of 4 rows does not fit.")
    failed = told(post("/tuning/check", asked))
    assert "It could not be measured: A batch of 4 rows does not fit." in failed
    assert "Measure now" in failed


def test_experiments_are_listed_with_their_runs_and_last_result(
    studio: LiveStudio, browser: httpx.Client, post: Post, filled: dict[str, Any]
) -> None:
    for name in ("Routing", "Routing", "Titles"):
        post("/tuning/new", {**filled, "experiment": name})
    with studio.office.unit(SYSTEM) as unit:
        run = unit.rows.first(TuningRun, name="Routing (1)")
        assert run is not None
        run.state, run.started_at, run.finished_at = "completed", now(), now()
        run.results = {"epochs": [{"epoch": 0, "loss": 1.25, "metric": 0.5}, {"epoch": 1, "loss": 0.9, "metric": 0.75}]}
        found = run.experiment_id
    page = words(browser.get("/tuning"))
    assert "2 experiments" in page
    assert page.index("Titles") < page.index("Routing"), "what was used last stands first"
    assert "1 queued 1 completed" in page
    assert "0.75 on validation rows, run 1" in page
    assert "Titles" not in words(browser.get("/tuning?search=rout")).split("experiment", 2)[2]
    assert "1 experiment" in words(browser.get("/tuning?state=completed"))
    assert "No experiment fits" in words(browser.get("/tuning?state=failed"))
    assert browser.get("/tuning?state=odd").status_code == 400
    assert browser.get(f"/tuning?experiment={found}").url.path == f"/tuning/experiments/{found}"


def test_an_experiment_shows_its_runs_is_renamed_and_deleted(
    studio: LiveStudio, browser: httpx.Client, post: Post, filled: dict[str, Any]
) -> None:
    for epochs in ("3", "5"):
        post("/tuning/new", {**filled, "epochs": epochs})
    with studio.office.unit(SYSTEM) as unit:
        (experiment,) = unit.rows.all(TuningExperiment)
    here = f"/tuning/experiments/{experiment.id}"
    page = browser.get(here)
    assert "2 runs" in page.text
    assert "epochs 5" in words(page)
    assert page.text.count('name="runs"') == 2
    assert "can be deleted when none of its runs" in page.text
    saved = post(
        here, {"name": "Complaints", "description": "<b>Who</b>", "revision": str(experiment.revision)}, page=here
    )
    assert "&lt;b&gt;Who" in saved.text
    stale = post(here, {"name": "Other", "revision": "1"}, page=here)
    assert stale.status_code == 409 or "changed since you read it" in stale.text
    with studio.office.unit(SYSTEM) as unit:
        for run in unit.rows.all(TuningRun):
            run.state = "canceled"
    gone = post(f"{here}/delete", page=here)
    assert "Complaints was deleted." in gone.text
    assert "No experiment yet" in gone.text
    back = post(f"{here}/undelete")
    assert back.url.path == here
    assert "2 runs" in back.text, "its runs come back with it"


def test_who_may_only_look_starts_nothing(studio: LiveStudio, filled: dict[str, Any]) -> None:
    key = studio.new_key("reader", "viewer", member="viewer")
    headers = {"authorization": f"Bearer {key}", "accept": "text/html"}
    with httpx.Client(base_url=studio.url, headers=headers) as reader:
        assert "New experiment" not in reader.get("/tuning").text
        assert reader.post("/tuning/check", data=filled).status_code == 200
        assert reader.post("/tuning/new", data=filled).status_code == 403
        assert reader.post("/tuning/measure", data=filled).status_code == 403


def test_names_of_people_are_plain_text(browser: httpx.Client, post: Post, filled: dict[str, Any]) -> None:
    evil = "<img src=x onerror=alert(1)>"
    post("/tuning/new", {**filled, "experiment": evil, "description": evil})
    for path in ("/tuning", "/tuning/new"):
        assert "<img" not in browser.get(path).text
    assert "<img" not in post("/tuning/check", {**filled, "experiment": evil, "init_text": evil, "init": "text"}).text


def test_vectors_may_start_from_a_tuned_prompt_of_the_same_model(
    studio: LiveStudio, browser: httpx.Client, post: Post, filled: dict[str, Any]
) -> None:
    assert "There is no tuned prompt with vectors in this project yet." in words(browser.get("/tuning/new"))
    with studio.office.unit(SYSTEM) as unit:
        kept = {"key": "prompts/a", "virtual_tokens": 7, "card": {"tensors": {"prefix": [5, 32], "suffix": [2, 32]}}}
        own = TunedPrompt(project_id=studio.project.id, name="Routing (1)", model_id=MODEL, **kept)
        other = TunedPrompt(project_id=studio.project.id, name="Titles (1)", model_id="google/flan-t5-xl", **kept)
        bare = TunedPrompt(project_id=studio.project.id, name="Read (1)", model_id=MODEL, key="prompts/b")
        for row in (own, other, bare):
            unit.rows.add(row)
        ids = {row.name: row.id for row in (own, other, bare)}
    page = browser.get("/tuning/new").text
    assert "Routing (1) · 7 vectors" in page
    assert "Read (1)" not in page
    asked = {**filled, "init": "prompt", "init_prompt": ids["Routing (1)"]}
    answer = post("/tuning/check", asked)
    assert "7 virtual tokens" in told(answer)
    assert "7 vectors of Routing (1)." in words(answer)
    assert "was tuned for google/flan-t5-xl" in told(post("/tuning/check", {**asked, "init_prompt": ids["Titles (1)"]}))
    assert "only a label readout" in told(post("/tuning/check", {**asked, "init_prompt": ids["Read (1)"]}))
    assert "Choose the tuned prompt to start from." in told(post("/tuning/check", {**filled, "init": "prompt"}))
    assert "is no tuned prompt of this project" in told(post("/tuning/check", {**asked, "init_prompt": "gone"}))
    assert post("/tuning/new", asked).url.path.startswith("/tuning/runs/")
