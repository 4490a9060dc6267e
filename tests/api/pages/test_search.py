"""Search over everything by name: the page, and the lines of the command palette."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from softprompt.storage.tables import Dataset, Deployment, TuningExperiment, TuningRun
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import Forms

Post = Callable[..., httpx.Response]
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture
def named(studio: LiveStudio) -> str:
    """Things with "rout" in their names; the id of the run."""
    with studio.office.unit(SYSTEM) as unit:
        where = {"project_id": studio.project.id}
        unit.rows.add(Dataset(name="Complaint routes <b>", state="ready", rows=2, **where))
        experiment = unit.rows.add(TuningExperiment(name="Routing", **where))
        run = TuningRun(
            name="Routing (1)", number=1, experiment_id=experiment.id, model_id=MODEL, dataset_id="d", **where
        )  # fmt: skip
        unit.rows.add(run)
        unit.rows.add(Deployment(name="The router", model_id=MODEL, state="ready", **where))
    return run.id


def test_everything_with_the_text_in_its_name_is_found_by_kind(browser: httpx.Client, named: str) -> None:
    page = browser.get("/search?q=ROUT")
    assert "4 things with “ROUT” in the name." in page.text
    assert f"/tuning/runs/{named}" in Forms.of(page.text).links
    assert "Complaint routes &lt;b&gt;" in page.text
    for part in ("found-run", "found-dataset", "found-deployment", "found-experiment"):
        assert f'data-part="{part}"' in page.text


def test_models_are_found_by_name_and_by_their_other_names(browser: httpx.Client) -> None:
    assert f"/models/{MODEL}" in Forms.of(browser.get("/search?q=smollm2-135").text).links


def test_nothing_found_says_where_to_look(browser: httpx.Client) -> None:
    page = browser.get("/search?q=<zebra>")
    assert page.status_code == 200
    assert "Nothing has “&lt;zebra&gt;” in its name" in page.text
    assert "/data" in Forms.of(page.text).links


def test_without_a_text_all_pages_and_actions_are_listed(browser: httpx.Client) -> None:
    links = Forms.of(browser.get("/search").text).links
    assert {"/lab", "/tuning/new", "/deployments/new"} <= set(links)


def test_many_of_a_kind_can_all_be_shown(browser: httpx.Client, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        for number in range(12):
            unit.rows.add(Dataset(name=f"Batch {number}", version=1, state="ready", project_id=studio.project.id))
    assert "Show all 12" in browser.get("/search?q=batch").text
    assert browser.get("/search?q=batch&all=dataset").text.count("Batch ") >= 12


def test_the_palette_gets_lines_with_addresses_that_answer(browser: httpx.Client, named: str) -> None:
    first = browser.get("/search/lines").json()["items"]
    assert {"Recent", "Pages", "Actions"} <= {item["group"] for item in first}
    assert {"words": "Routing (1)", "href": f"/tuning/runs/{named}"}.items() <= next(
        item for item in first if item["group"] == "Recent" and item["words"].startswith("Routing (")
    ).items()
    for item in first:
        if item["group"] != "Recent":
            assert browser.get(item["href"].split("#")[0]).status_code == 200, item
    found = browser.get("/search/lines", params={"q": "routing"}).json()["items"]
    assert [item["group"] for item in found] == ["Tuning runs", "Tuning experiments"]


def test_names_that_begin_with_the_text_come_first(browser: httpx.Client, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        for name in ("mail", "old mail"):
            unit.rows.add(Dataset(name=name, state="ready", project_id=studio.project.id))
    found = browser.get("/search/lines", params={"q": "mail"}).json()["items"]
    assert [item["words"] for item in found] == ["mail", "old mail"]


def test_strangers_find_nothing_of_others(studio: LiveStudio, named: str) -> None:
    key = studio.new_key("stranger")
    with httpx.Client(base_url=studio.url, headers={"authorization": f"Bearer {key}"}) as stranger:
        assert stranger.get("/search/lines", params={"q": "rout"}).json()["items"] == []
        assert "Nothing has" in stranger.get("/search?q=rout").text


def test_the_button_of_the_palette_is_a_link_without_scripts(browser: httpx.Client) -> None:
    assert "/search" in Forms.of(browser.get("/").text).links
