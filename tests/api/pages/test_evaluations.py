"""Evaluations: started from a form, followed, read."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from softprompt.jobs import events
from softprompt.storage.tables import Evaluation
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .run_seed import MODEL, Seed, evaluation_results

Post = Callable[..., httpx.Response]
NEW = "/tuning/evaluations/new"


@pytest.fixture
def seed(studio: LiveStudio) -> Seed:
    return Seed(studio)


def form(seed: Seed, **changes: object) -> dict[str, object]:
    given = {"name": "Does it pay?", "dataset": seed.data, "examples": seed.data, "model": MODEL, "zero_shot": "yes",
             "shots": "1, 3", "baseline": "yes", "instruction": "Route it."}  # fmt: skip
    return {**given, **changes}


def test_without_any_the_page_says_what_to_do_first(browser: httpx.Client) -> None:
    assert "No evaluation yet" in browser.get("/tuning/evaluations").text
    assert "First, rows with right answers" in browser.get(NEW).text


def test_an_evaluation_is_started_and_waits(browser: httpx.Client, post: Post, seed: Seed, studio: LiveStudio) -> None:
    prompt = seed.prompt_of(seed.done("Routing"))
    page = post(NEW, form(seed, prompts=[prompt], limit="3"), page=NEW)
    assert page.status_code == 200
    assert "Does it pay?" in page.text
    assert "waiting for a worker" in page.text
    key = page.url.path.rsplit("/", 1)[-1]
    with studio.office.unit(SYSTEM, write=False) as unit:
        row = unit.rows.get(Evaluation, key)
        assert row is not None
        assert row.methods == ["zero-shot", "1-shot", "3-shot", "baseline", prompt]
        assert row.settings == {"instruction": "Route it.", "examples_dataset_id": seed.data, "limit": 3}
        assert [event.data for event in events.after(unit.rows, key)] == [{"state": "queued"}]
    assert "Does it pay?" in browser.get("/tuning/evaluations").text
    assert "canceled" in post(f"/tuning/evaluations/{key}/cancel", page=page.url.path).text


def test_the_form_is_prefilled_for_a_tuned_prompt(browser: httpx.Client, seed: Seed) -> None:
    prompt = seed.prompt_of(seed.done("Routing"))
    page = browser.get(f"{NEW}?prompt={prompt}").text
    assert f'value="{prompt}" checked' in page
    assert "Classify it." in page, "the instruction that was counted"
    assert "Routing (1) against prompting" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"shots": "many"}, "many is no number of examples"),
        ({"examples": ""}, "need labelled rows to learn"),
        ({"zero_shot": "", "shots": "", "baseline": ""}, "name at least one"),
        ({"name": " "}, "is no name"),
        ({"limit": "x"}, "is no number"),
    ],
)
def test_what_is_wrong_stands_above_the_form(post: Post, seed: Seed, changes: dict[str, object], words: str) -> None:
    refused = post(NEW, form(seed, **changes), page=NEW)
    assert refused.status_code == 400
    assert words in refused.text
    assert "Route it." in refused.text, "what was typed is still there"


def test_progress_is_told_by_method(browser: httpx.Client, post: Post, seed: Seed, studio: LiveStudio) -> None:
    page = post(NEW, form(seed), page=NEW)
    key = page.url.path.rsplit("/", 1)[-1]
    with studio.office.unit(SYSTEM) as unit:
        row = unit.rows.get(Evaluation, key)
        assert row is not None
        row.state = "running"
        for name in ("zero-shot", "1-shot"):
            events.tell(unit.rows, key, "Method", {"name": name})
    shown = browser.get(page.url.path).text
    assert "1 of 4" in shown
    assert "Asking: 1-shot." in shown
    assert 'data-kind="evaluations"' in shown


def test_results_labels_and_answers(browser: httpx.Client, post: Post, seed: Seed, studio: LiveStudio) -> None:
    page = post(NEW, form(seed), page=NEW)
    key = page.url.path.rsplit("/", 1)[-1]
    results = evaluation_results(
        [("zero-shot", "Service"), ("TF-IDF + logistic regression", "Warehouse"), ("Routing (1) · readout", None)]
    )
    with studio.office.unit(SYSTEM) as unit:
        row = unit.rows.get(Evaluation, key)
        assert row is not None
        row.state, row.results, row.report = "completed", results, "# Report"
    shown = browser.get(page.url.path).text
    methods = shown.split('data-part="methods"')[1].split("</table>")[0]
    assert "50.0\xa0%" in methods
    assert "75.0\xa0%" in methods
    assert "12.5" in methods
    assert "F1 by label" in shown
    different = browser.get(f"{page.url.path}?show=wrong&method=2").text.split('data-part="answers"')[1]
    assert "Row 4 says" in different
    assert "Row 2 says" not in different
    assert "softprompt evaluate" in shown
    table = browser.get(f"{page.url.path}/answers.csv").text
    assert table.splitlines()[0].startswith("row,input,right answer,zero-shot,")
    again = browser.get(f"{NEW}?again={key}").text
    assert 'value="1, 3"' in again
    gone = post(f"{page.url.path}/delete", page=page.url.path)
    assert gone.url.path == "/tuning/evaluations"
    assert "No evaluation yet" in gone.text


def test_figures_of_an_evaluation_stand_on_the_page_of_the_run(
    browser: httpx.Client, seed: Seed, studio: LiveStudio
) -> None:
    run = seed.done("Routing")
    with studio.office.unit(SYSTEM) as unit:
        results = evaluation_results([("TF-IDF + logistic regression", "Service"), ("Routing (1) · readout", None)])
        methods = ["baseline", seed.prompt_of(run)]
        proof = Evaluation(project_id=seed.studio.project.id, name="Does it pay?", state="completed", model_id=MODEL,
                           dataset_id=seed.data, methods=methods, results=results)  # fmt: skip
        unit.rows.add(proof)
    page = browser.get(f"/tuning/runs/{run}").text
    outcome = page.split('data-part="outcome"')[1].split("</section>")[0]
    assert "25.0 points ahead of" in outcome
    assert "The intervals overlap" in outcome
    assert "Does it pay?" in outcome
    assert "Measure the baseline" not in outcome


def test_a_tuned_prompt_of_another_model_is_refused(post: Post, seed: Seed) -> None:
    prompt = seed.prompt_of(seed.done("Routing"))
    refused = post(NEW, form(seed, prompts=[prompt], model="google/flan-t5-base"), page=NEW)
    assert refused.status_code == 400
    assert "belongs to HuggingFaceTB/SmolLM2-135M-Instruct" in refused.text
