"""Foundation models: cards with filters, the page of one, and a download that is followed, stopped and gone on with."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
import torch
from safetensors.torch import save

from softprompt import catalogue
from softprompt.config import Settings
from softprompt.engine import model_disk
from softprompt.storage.tables import Deployment, TunedPrompt
from softprompt.storage.types import now
from softprompt.studio import model_pulls
from softprompt.studio.access import SYSTEM
from softprompt.studio.model_pulls import Pull
from softprompt.testing.live import LiveStudio, wait_until

from .conftest import Forms

Post = Callable[..., httpx.Response]
SMOLLM2, FLAN, LLAMA = "HuggingFaceTB/SmolLM2-135M-Instruct", "google/flan-t5-small", "meta-llama/llama-2-13b-chat"
GRANITE = "ibm/granite-13b-instruct-v2"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """An empty disk, and no network for processes that are started."""
    monkeypatch.setenv("SOFTPROMPT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return Settings.from_environment()


def put(model_id: str, settings: Settings, *, manifest: bool = True) -> Path:
    """Files that look like a model's."""
    folder = model_disk.own_folder(catalogue.get(model_id), settings)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(save({"weights": torch.zeros(1240)}))
    if manifest:
        (folder / "softprompt-model.json").write_text('{"files": {"config.json": {"size": 2, "sha256": ""}}}')
    return folder


def shown(page: str) -> list[str]:
    """Labels of the cards that are not hidden."""
    cards = page.split("<article")[1:]
    return [
        card.split('<h2><a href="')[1].split(">")[1].split("<")[0]
        for card in cards
        if " hidden" not in card.split(">")[0]
    ]


def test_all_models_stand_as_cards_with_what_a_choice_needs(browser: httpx.Client) -> None:
    page = browser.get("/models").text
    assert len(shown(page)) == len(catalogue.cards())
    for words in ("135M", "apache-2.0", "classification, routing", "Not on this machine", "not tunable", "0 models"):
        assert words in page


@pytest.mark.parametrize(
    ("query", "there", "gone"),
    [
        ("search=smol", "SmolLM2-135M-Instruct", "flan-t5-small"),
        ("task=routing", "SmolLM2-135M-Instruct", "flan-t5-small"),
        ("size=large", "llama-2-13b-chat", "flan-t5-small"),
        ("licence=llama2", "llama-2-13b-chat", "flan-t5-small"),
        ("tunable=1", "flan-t5-small", "granite-13b-instruct-v2"),
        ("here=1", "flan-t5-small", "SmolLM2-135M-Instruct"),
    ],
)
def test_filters_work_as_a_form(browser: httpx.Client, cache: Settings, query: str, there: str, gone: str) -> None:
    put(FLAN, cache)
    found = shown(browser.get(f"/models?{query}").text)
    assert there in found
    assert gone not in found


def test_a_model_is_chosen_for_the_page_that_asked(browser: httpx.Client, cache: Settings) -> None:
    put(SMOLLM2, cache)
    page = browser.get("/models?for=lab&task=routing").text
    assert f"/lab?subject=model:{SMOLLM2}" in Forms.of(page).links
    assert 'name="for" value="lab"' in page, "narrowing keeps what it is for"
    assert f"/tuning/new?model={SMOLLM2}" in Forms.of(browser.get("/models?for=tuning").text).links


def test_filters_that_nothing_fits_say_so(browser: httpx.Client) -> None:
    page = browser.get("/models?search=<zebra>").text
    assert not shown(page)
    assert "No model fits all of that" in page
    assert 'value="&lt;zebra&gt;"' in page


def test_the_page_of_a_model_says_all_that_is_known(browser: httpx.Client, cache: Settings) -> None:
    folder = put(SMOLLM2, cache)
    page = browser.get(f"/models/{SMOLLM2}").text
    for words in (
        "135M", "8,192", "apache-2.0", "English", "classification, routing",
        "0.22 × scale of the embeddings", "solved training rows",
        "Softprompt's own folder for models".replace("'", "&#39;"), str(folder), "5.1 KB", "Nothing rests on it yet",
    ):  # fmt: skip
        assert words in page
    links = Forms.of(page).links
    assert f"/lab?subject=model:{SMOLLM2}" in links
    assert f"/tuning/new?model={SMOLLM2}" in links


def test_a_model_that_cannot_be_tuned_says_why(browser: httpx.Client) -> None:
    page = browser.get(f"/models/{GRANITE}").text
    assert "It cannot be tuned." in page
    assert "has not published its weights" in page
    assert "Default recipe" not in page


def test_other_names_lead_to_the_same_page_and_unknown_ones_suggest(browser: httpx.Client) -> None:
    assert SMOLLM2 in browser.get("/models/smollm2").text
    unknown = browser.get("/models/HuggingFaceTB/SmolLM3-135M-Instruct")
    assert unknown.status_code == 404
    assert "Did you mean" in unknown.text


def test_prompts_and_deployments_of_a_model_are_listed_and_keep_it(
    browser: httpx.Client, post: Post, studio: LiveStudio, cache: Settings
) -> None:
    folder = put(SMOLLM2, cache)
    with studio.office.unit(SYSTEM) as unit:
        where = {"project_id": studio.project.id, "model_id": SMOLLM2}
        prompt = unit.rows.add(TunedPrompt(name="Router <1>", key="prompts/x", **where))
        deployment = unit.rows.add(
            Deployment(name="Answers", serving_name="router", tuned_prompt_id=prompt.id, **where)
        )
    page = browser.get(f"/models/{SMOLLM2}").text
    assert "Router &lt;1&gt;" in page
    assert f"/deployments/{deployment.id}" in Forms.of(page).links
    assert "It stays on the disk: 1 deployment needs it." in page
    refused = post("/models/remove", {"model": SMOLLM2})
    assert refused.status_code == 409
    assert "1 deployment need" in refused.text
    assert folder.is_dir()
    with studio.office.unit(SYSTEM) as unit:
        unit.delete(unit.rows.get(Deployment, deployment.id))
    assert "1 tuned prompt cannot answer until it is fetched again" in browser.get(f"/models/{SMOLLM2}").text
    assert "5.1 KB of disk are free again" in post("/models/remove", {"model": SMOLLM2}).text
    assert not folder.exists()


def test_what_a_person_put_there_is_not_removed(browser: httpx.Client, post: Post, cache: Settings) -> None:
    folder = put(LLAMA, cache, manifest=False)
    assert "filled by hand" in browser.get(f"/models/{LLAMA}").text
    assert "filled by hand" in post("/models/remove", {"model": LLAMA}).text
    assert folder.is_dir()


def test_a_pull_that_cannot_succeed_says_clearly_why(browser: httpx.Client, post: Post, cache: Settings) -> None:
    started = post("/models/pull", {"model": FLAN})
    assert started.url.path == f"/models/{FLAN}"
    wait_until(lambda: _state(FLAN, cache) == "failed", "the pull does not end")
    page = browser.get(f"/models/{FLAN}").text
    assert "It could not be fetched" in page
    assert "not asked: SOFTPROMPT_OFFLINE or HF_HUB_OFFLINE is set" in page
    assert "Try again" in page
    assert _of(browser, FLAN)["state"] == "failed"


def test_a_pull_is_followed_over_reloads_and_stopped(
    browser: httpx.Client, post: Post, cache: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with model_pulls.sole(FLAN, cache):
        _tell(cache, done=40_000_000, total=160_000_000, rate=2e6, step="Downloading google/flan-t5-small")
        page = browser.get(f"/models/{FLAN}").text
        assert "40.0 MB of 160.0 MB · 2.0 MB/s · about 60 s left" in page
        assert 'aria-valuenow="25"' in page
        assert '<meta http-equiv="refresh"' in page, "without scripts the page comes again"
        assert "on its way" in browser.get("/models").text
        assert "A model is on its way" in browser.get("/").text
        assert _of(browser, FLAN)["share"] == 0.25
        assert post("/models/pull", {"model": FLAN}).status_code == 200, "twice is once"
        refused = post("/models/remove", {"model": FLAN})
        assert "Stop that first" in refused.text
        killed: list[int] = []
        monkeypatch.setattr("softprompt.studio.model_pulls.os.kill", lambda pid, _signal: killed.append(pid))
        stopped = post("/models/stop", {"model": FLAN}).text
        assert killed == [4711]
    assert "Somebody stopped the download." in stopped


def test_a_pull_whose_process_died_can_be_gone_on_with(browser: httpx.Client, cache: Settings, tmp_path: Path) -> None:
    _tell(cache, done=3000, total=9000)
    blobs = tmp_path / "hub" / "models--google--flan-t5-small" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / "abc.incomplete").write_bytes(b"x" * 3000)
    page = browser.get(f"/models/{FLAN}").text
    assert "The download broke off" in page
    assert "3.0 KB have arrived." in page
    assert "Go on" in page
    assert "This frees 3.0 KB of a download that is not whole." in page


def test_what_is_here_or_not_to_be_had_is_not_pulled(post: Post, browser: httpx.Client, cache: Settings) -> None:
    assert "no source of it is known" in post("/models/pull", {"model": GRANITE}).text
    put(SMOLLM2, cache)
    assert "lies on this machine already" in post("/models/pull", {"model": SMOLLM2}).text
    assert "No source is known" in browser.get(f"/models/{GRANITE}").text
    assert "accept the licence" in browser.get(f"/models/{LLAMA}").text


def test_a_folder_is_added_and_taken_off_the_list(
    browser: httpx.Client, post: Post, tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    wrong = post("/models/add", {"id": "acme/tiny", "path": str(tmp_path / "nowhere")}, page="/models")
    assert wrong.status_code == 400
    assert "is no folder of a model" in wrong.text
    folder = tiny_folder()
    added = post("/models/add", {"id": "acme/tiny", "path": str(folder)}, page="/models")
    assert added.url.path == "/models/acme/tiny"
    assert "a folder that an admin added" in added.text
    assert "tiny" in shown(browser.get("/models?search=acme").text)
    assert post("/models/forget", {"model": "acme/tiny"}).url.path == "/models"
    assert browser.get("/models/acme/tiny").status_code == 404
    assert folder.is_dir()


def test_others_see_the_models_and_none_of_the_orders(studio: LiveStudio, cache: Settings) -> None:
    put(SMOLLM2, cache)
    headers = {"authorization": f"Bearer {studio.new_key('ada')}", "accept": "text/html"}
    with httpx.Client(base_url=studio.url, headers=headers) as viewer:
        page = viewer.get(f"/models/{SMOLLM2}").text
        assert "Try in Prompt Lab" in page
        assert "Remove from disk" not in page
        assert str(cache.cache) not in page, "folders of the server are for its admins"
        assert "An admin of the studio can fetch it." in viewer.get(f"/models/{FLAN}").text
        assert viewer.post("/models/pull", data={"model": FLAN}).status_code == 403


def _tell(settings: Settings, **told: object) -> None:
    began = now() - timedelta(minutes=1)
    model_pulls.write(Pull(FLAN, "running", began, now(), pid=4711, **told), settings)  # type: ignore[arg-type]


def _state(model_id: str, settings: Settings) -> str:
    pull = model_pulls.get(model_id, settings)
    return pull.state if pull else ""


def _of(browser: httpx.Client, model_id: str) -> dict[str, object]:
    items = browser.get("/models/pulls").json()["items"]
    return next(item for item in items if item["id"] == model_id)
