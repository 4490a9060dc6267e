"""The page of a run: live, over, failed; what it says of the curve, the test rows, the tokens; its files."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from softprompt.jobs import events
from softprompt.storage.tables import TuningRun
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import Forms
from .run_seed import Seed

Post = Callable[..., httpx.Response]


@pytest.fixture
def seed(studio: LiveStudio) -> Seed:
    return Seed(studio)


def test_a_run_that_waits_says_how_many_are_before_it(browser: httpx.Client, seed: Seed) -> None:
    seed.run("Routing")
    second = seed.run("Routing")
    page = browser.get(f"/tuning/runs/{second}").text
    assert "Waiting for a worker" in page
    assert "1 job is before it." in page
    assert "Stop here" not in page
    assert "Waiting for a worker." in page.split('data-part="log"')[1], "the log says it, too"


def test_a_run_at_work_shows_numbers_and_a_curve_without_scripts(browser: httpx.Client, seed: Seed) -> None:
    run = seed.run("Routing")
    seed.work(run, 40, of=80, validation=True)
    page = browser.get(f"/tuning/runs/{run}").text
    assert "40 of 80" in page
    assert "2 min 00 s" in page
    assert page.count("<polyline") >= 3
    assert "validation 1." in page
    assert "Best so far" in page
    assert "Stop here and keep the best" in page
    assert '<meta http-equiv="refresh" content="5">' in page
    curve = browser.get(f"/tuning/runs/{run}/curve").json()
    assert (curve["update"][-1], curve["updates"], len(curve["epochs"])) == (40, 80, 4)
    assert f'data-last="{curve["last"]}"' in page


def test_a_run_that_fits_a_readout_alone_shows_no_empty_numbers(
    browser: httpx.Client, studio: LiveStudio, seed: Seed
) -> None:
    run = seed.run("Routing", config={"readout": "only"})
    with studio.office.unit(SYSTEM) as unit:
        row = unit.rows.get(TuningRun, run)
        assert row is not None
        row.state = "running"
    page = browser.get(f"/tuning/runs/{run}").text
    assert "A label readout alone" in page
    assert "tokens a second" not in page
    assert "Stop here" not in page, "there is no best one yet"
    assert "Cancel" in page


def test_updates_told_twice_count_once(browser: httpx.Client, seed: Seed) -> None:
    """As after a restart, which goes on from a checkpoint."""
    run = seed.run("Routing")
    seed.work(run, 10, of=20)
    seed.work(run, 12, of=20, begin=6)
    curve = browser.get(f"/tuning/runs/{run}/curve").json()
    assert curve["update"] == list(range(1, 13))


def test_passes_through_the_readout_stand_in_the_log_and_not_in_the_curve(
    browser: httpx.Client, studio: LiveStudio, seed: Seed
) -> None:
    run = seed.run("Routing")
    seed.work(run, 20, of=20)
    before = browser.get(f"/tuning/runs/{run}/curve").json()["epochs"]
    with studio.office.unit(SYSTEM) as unit:
        told = {"epoch": 0, "loss": 9.5, "metric": 0.75, "best": True, "seconds": 1.0}
        events.tell(unit.rows, run, "ReadoutEpochDone", told)
    assert browser.get(f"/tuning/runs/{run}/curve").json()["epochs"] == before
    assert "Pass 1 through the readout: loss 9.500, 75% right." in browser.get(f"/tuning/runs/{run}").text


def test_keep_and_cancel_are_heard(browser: httpx.Client, post: Post, seed: Seed) -> None:
    run = seed.run("Routing")
    assert "Canceled." in post(f"/tuning/runs/{run}/cancel", page=f"/tuning/runs/{run}").text


def test_what_a_run_found_stands_on_its_page(browser: httpx.Client, seed: Seed) -> None:
    run = seed.done("Routing", still_falling=True)
    page = browser.get(f"/tuning/runs/{run}").text
    assert "The loss was still falling." in page
    assert f"/tuning/new?again={run}&amp;epochs=40" in page
    assert f"/tuning/new?again={run}&amp;learning_rate=0.04" in page
    assert "On the test rows" in page
    assert "75.0\xa0%" in page, "the readout is right in three of four rows"
    assert "best" in page
    assert "Measure the baseline" in page
    for heading in ("By label", "The answers", "Token ledger", "What happened", "Files", "Recipe"):
        assert heading in page, heading


def test_answers_are_filtered_and_searched(browser: httpx.Client, seed: Seed) -> None:
    run = seed.done("Routing")
    path = f"/tuning/runs/{run}"
    wrong = browser.get(f"{path}?show=wrong&method=1").text.split('data-part="answers"')[1]
    assert "Row 4 says" in wrong
    assert "Row 1 says" not in wrong
    found = browser.get(f"{path}?search=row 2 says").text.split('data-part="answers"')[1]
    assert "Row 2 says &lt;b&gt;" in found, "what people wrote is escaped"
    assert "Row 1 says" not in found
    assert "No answer fits" in browser.get(f"{path}?search=zebra").text
    assert browser.get(f"{path}?show=nonsense&method=99&start=-5").status_code == 200


def test_rates_are_typed_once_and_remembered(browser: httpx.Client, post: Post, seed: Seed) -> None:
    run = seed.done("Routing")
    path = f"/tuning/runs/{run}"
    rates = {"input": "2", "virtual": "1", "generated": "10", "currency": "€", "questions": "1000"}
    page = post(f"{path}/rates", rates, page=path).text
    ledger = page.split('data-part="ledger"')[1]
    assert "€ for 1,000" in ledger
    assert "0.36" in ledger, "3-shot: 150 × 2 + 6 × 10 = 360 per thousand thousand"
    again = browser.get(path).text.split('data-part="ledger"')[1]
    assert "€ for 1,000" in again
    assert "77% fewer" in again
    refused = post(f"{path}/rates", {"input": "much"}, page=path)
    assert refused.status_code == 400
    assert "much" in refused.text


def test_files_can_be_carried_away(browser: httpx.Client, seed: Seed, tmp_path: Path) -> None:
    run = seed.done("Routing", folder=tmp_path)
    path = f"/tuning/runs/{run}"
    for link in re.findall(r'href="([^"]+)" download', browser.get(path).text):
        assert browser.get(link).status_code == 200, link
    curve = list(csv.DictReader(io.StringIO(browser.get(f"{path}/curve.csv").text)))
    assert (len(curve), curve[0]["update"], bool(curve[-1]["validation_loss"])) == (80, "1", True)
    answers = list(csv.DictReader(io.StringIO(browser.get(f"{path}/answers.csv").text)))
    assert (answers[0]["right answer"], answers[0]["Routing (1) · readout: right"]) == ("Service", "1")
    recipe = json.loads(browser.get(f"{path}/recipe.json").text)
    assert (recipe["set"], recipe["data"]["train"]["name"]) == ({"epochs": 20}, "Rows")
    adapter = zipfile.ZipFile(io.BytesIO(browser.get(f"{path}/peft.zip").content))
    assert sorted(adapter.namelist()) == ["README.md", "adapter_config.json"]
    assert browser.get(f"{path}/nothing.csv").status_code == 404


def test_the_recipe_is_a_command_and_a_program(browser: httpx.Client, seed: Seed) -> None:
    page = browser.get(f"/tuning/runs/{seed.done('Routing')}").text
    for words in (
        "--epochs 20",
        "--learning-rate 0.02",
        "epochs=20,",
        "learning_rate=0.02,",
        "from softprompt import tune",
    ):
        assert words in page, words


def test_a_failed_run_offers_what_to_try(browser: httpx.Client, studio: LiveStudio, seed: Seed) -> None:
    run = seed.run("Routing")
    with studio.office.unit(SYSTEM) as unit:
        row = unit.rows.get(TuningRun, run)
        assert row is not None
        row.state, row.config = "failed", {"learning_rate": 0.3}
        row.problem = {"code": "loss_not_finite", "message": "The loss became nan at update 3."}
    page = browser.get(f"/tuning/runs/{run}").text
    assert "The loss became nan" in page
    assert f"/tuning/new?again={run}&amp;learning_rate=0.1" in page


def test_a_viewer_sees_everything_and_changes_nothing(studio: LiveStudio, seed: Seed) -> None:
    run = seed.run("Routing")
    seed.work(run, 5, of=9)
    headers = {"authorization": f"Bearer {studio.new_key('vera', 'viewer', member='viewer')}", "accept": "text/html"}
    with httpx.Client(base_url=studio.url, headers=headers) as viewer:
        page = viewer.get(f"/tuning/runs/{run}")
        assert page.status_code == 200
        assert "5 of 9" in page.text
        assert "Cancel" not in page.text
        assert viewer.post(f"/tuning/runs/{run}/cancel").status_code == 403


def test_a_stranger_finds_no_run(studio: LiveStudio, seed: Seed) -> None:
    run = seed.run("Routing")
    headers = {"authorization": f"Bearer {studio.new_key('sam')}", "accept": "text/html"}
    with httpx.Client(base_url=studio.url, headers=headers) as stranger:
        for path in ("", "/curve", "/curve.csv", "/answers.csv", "/recipe.json", "/peft.zip"):
            assert stranger.get(f"/tuning/runs/{run}{path}").status_code == 404, path


def test_thousands_of_updates_are_thinned_for_the_picture_alone(
    browser: httpx.Client, studio: LiveStudio, seed: Seed
) -> None:
    run = seed.run("Routing")
    with studio.office.unit(SYSTEM) as unit:
        step = {"epoch": 0, "loss": 1.0, "learning_rate": 0.1, "tokens_per_second": 9.0, "eta_seconds": 1.0}
        told = [(events.now(), "StepDone", {"update": n, **step}) for n in range(1, 9001)]
        events.tell_all(unit.rows, run, told)
        row = unit.rows.get(TuningRun, run)
        assert row is not None
        row.state, row.progress = "running", {"update": 9000, "updates": 10_000}
    assert 2500 < len(browser.get(f"/tuning/runs/{run}/curve").json()["update"]) < 3500
    page = browser.get(f"/tuning/runs/{run}")
    assert len(page.content) < 120_000
    assert len(browser.get(f"/tuning/runs/{run}/curve.csv").text.splitlines()) == 9001


def test_no_script_stands_in_the_page(browser: httpx.Client, seed: Seed) -> None:
    seen = Forms.of(browser.get(f"/tuning/runs/{seed.done('Routing')}").text)
    assert not seen.handlers
    assert all((script.get("src") or "").startswith("/static/") for script in seen.scripts)
