"""The pages as a browser without scripts sees them, from the first link to a deployed prompt that answers."""

from __future__ import annotations

import re
from collections.abc import Callable

import httpx
import pytest

from softprompt.jobs import events
from softprompt.storage.tables import Dataset, TunedPrompt, TuningRun
from softprompt.studio import people
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import ROWS, Forms

Post = Callable[..., httpx.Response]
PAGES = ("/", "/lab", "/data", "/tuning", "/tuning/new", "/deployments", "/deployments/new", "/models", "/account")


def test_a_stranger_is_led_to_the_sign_in_page_and_back(studio: LiveStudio) -> None:
    with httpx.Client(base_url=studio.url, headers={"accept": "text/html"}) as nobody:
        answer = nobody.get("/tuning")
        assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?after=/tuning")
        page = nobody.get(answer.headers["location"])
        assert 'value="/tuning"' in page.text
        assert nobody.get("/tuning", headers={"accept": "*/*"}).status_code == 401


def test_a_link_signs_in_once(studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        _, link = people.first_admin(unit)
    with httpx.Client(base_url=studio.url) as first, httpx.Client(base_url=studio.url) as second:
        assert first.get(f"/sign-in?link={link}").headers["location"] == "/"
        assert "What would you like to do?" in first.get("/").text
        again = second.get(f"/sign-in?link={link}")
        assert again.status_code == 401
        assert "used already" in again.text


def test_a_password_signs_in_and_a_wrong_one_says_so(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    assert post("/account/password", {"password": "correct horse"}, page="/account").status_code == 200
    with httpx.Client(base_url=studio.url) as other:
        wrong = other.post("/sign-in", data={"name": "admin", "password": "no"})
        assert wrong.status_code == 401
        assert "do not fit" in wrong.text
        right = other.post("/sign-in", data={"name": "admin", "password": "correct horse", "after": "/data"})
        assert (right.status_code, right.headers["location"]) == (303, "/data")
        evil = other.post("/sign-in", data={"name": "admin", "password": "correct horse", "after": "//evil.example"})
        assert evil.headers["location"] == "/"


@pytest.mark.parametrize("path", PAGES)
def test_every_page_keeps_the_house_rules(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 200
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    seen = Forms.of(answer.text)
    assert seen.scripts, "the modules are loaded"
    assert all(script.get("src", "").startswith("/static/") for script in seen.scripts), "no script stands in the page"  # type: ignore[union-attr]
    assert not seen.handlers
    for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', answer.text):
        assert browser.get(name).status_code == 200


def test_links_of_the_pages_lead_somewhere(browser: httpx.Client) -> None:
    found = {link.split("?")[0] for path in PAGES for link in Forms.of(browser.get(path).text).links}
    broken = {link for link in found if link.startswith("/") and browser.get(link).status_code != 200}
    assert not broken


def test_a_form_without_its_token_changes_nothing(browser: httpx.Client, studio: LiveStudio) -> None:
    refused = browser.post("/data", data={"pasted": ROWS, "name": "x"})
    assert refused.status_code == 403
    assert "older page" in refused.text
    with studio.office.unit(SYSTEM, write=False) as unit:
        assert not unit.rows.all(Dataset)


def test_data_is_loaded_looked_at_and_repaired(browser: httpx.Client, post: Post) -> None:
    page = post("/data", {"name": "Routing"}, page="/data", files={"file": ("r.jsonl", (ROWS + "\n{oops\n").encode())})
    assert page.status_code == 200
    assert "Line" in page.text
    assert "Fix these" in page.text
    assert "&lt;b&gt;hello&lt;/b&gt;" in page.text, "what people wrote is escaped"
    assert "<b>hello" not in page.text
    path = page.url.path
    assert "<mark>Row 7</mark> says" in browser.get(f"{path}?search=row 7 ").text
    assert "No row holds this text" in browser.get(f"{path}?search=zebra").text
    repaired = post(f"{path}/repair", page=path)
    assert "version 2" in repaired.text
    assert "Tune with it" in repaired.text


def test_loading_nothing_says_what_to_do(post: Post) -> None:
    answer = post("/data", {"name": "x"}, page="/data")
    assert answer.status_code == 400
    assert "Choose a file, or paste rows." in answer.text


def test_from_data_to_an_answer(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    data = post("/data", {"pasted": ROWS, "name": "Routing"}, page="/data").url.path.rsplit("/", 1)[-1]
    model = "HuggingFaceTB/SmolLM2-135M-Instruct"
    started = post("/tuning/new", {"experiment": "Routing", "model": model, "dataset": data, "epochs": "3"})
    assert "Routing (1)" in started.text
    assert "Waiting for a worker" in started.text
    run_id = started.url.path.rsplit("/", 1)[-1]
    with studio.office.unit(SYSTEM) as unit:
        run = unit.rows.get(TuningRun, run_id)
        assert run is not None
        assert run.config == {"epochs": 3}
        for update in range(1, 7):
            step = {"update": update, "epoch": (update - 1) // 2, "loss": 2 / update, "learning_rate": 0.01,
                    "tokens_per_second": 900.0, "eta_seconds": 3.0}  # fmt: skip
            events.tell(unit.rows, run_id, "StepDone", step)
        run.state, run.results = (
            "completed",
            {"updates": 6, "epochs": [{"epoch": e, "loss": 2 / (e + 1)} for e in range(3)]},
        )
        prompt = TunedPrompt(project_id=run.project_id, run_id=run_id, name=run.name, model_id=model, key="prompts/a")
        unit.rows.add(prompt)
        run.tuned_prompt_id = prompt.id
    done = browser.get(f"/tuning/runs/{run_id}").text
    assert "6 of 6" in done
    assert "<polyline" in done
    assert "still falling" in done
    assert 'value="3"' in browser.get(f"/tuning/new?again={run_id}").text
    deployed = post("/deployments/new", {"prompt": prompt.id, "name": "Router", "serving_name": "router"})
    assert "Try it" in deployed.text
    answered = post(f"{deployed.url.path}/test", {"input": "where is my parcel"}, page=deployed.url.path)
    assert "WHERE IS MY PARCEL" in answered.text
    assert 'data-number="virtual">3<' in answered.text
    assert "router" in browser.get("/deployments").text


def test_what_is_wrong_with_a_run_stands_above_the_form(browser: httpx.Client, post: Post) -> None:
    data = post("/data", {"pasted": ROWS, "name": "Routing"}, page="/data").url.path.rsplit("/", 1)[-1]
    refused = post("/tuning/new", {"experiment": "R", "model": "no/such", "dataset": data, "epochs": "99"})
    assert refused.status_code in (400, 404)
    assert "no/such" in refused.text
    assert "epochs: 99 is not between 1 and 50" in refused.text
    assert 'value="99"' in refused.text, "what was typed is still there"


def test_a_run_can_be_canceled(browser: httpx.Client, post: Post) -> None:
    data = post("/data", {"pasted": ROWS, "name": "Routing"}, page="/data").url.path.rsplit("/", 1)[-1]
    model = "HuggingFaceTB/SmolLM2-135M-Instruct"
    run = post("/tuning/new", {"experiment": "R", "model": model, "dataset": data}).url.path
    assert "canceled" in post(f"{run}/cancel", page=run).text


def test_the_lab_answers_every_try_and_keeps_what_was_typed(post: Post) -> None:
    sent = {
        "subject": "model:HuggingFaceTB/SmolLM2-135M-Instruct",
        "instruction": "Route it.",
        "example_input": ["a", "b"],
        "example_output": ["A", "B"],
        "try_input": ["first words", "second words"],
        "max_new_tokens": "20",
    }
    page = post("/lab", sent, page="/lab")
    assert page.status_code == 200
    assert page.text.count("Tokens: ") == 2
    assert "Route it." in page.text


def test_the_lab_streams(browser: httpx.Client) -> None:
    token = re.search(r'name="csrf" content="([^"]+)"', browser.get("/lab").text)
    assert token
    sent = {"subject": "model:HuggingFaceTB/SmolLM2-135M-Instruct", "try_input": "one two three"}
    answer = browser.post("/lab/stream", data=sent, headers={"x-csrf-token": token[1]})
    assert answer.text.count('data: {"piece"') >= 3
    assert '"told": "Tokens: ' in answer.text


def test_a_new_key_is_shown_once_and_works(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    made = post("/account/keys", {"name": "Notebook", "role": "viewer"}, page="/account")
    secret = re.search(r"sp-[\w-]{30,}", made.text)
    assert secret
    assert secret[0] not in browser.get("/account").text
    assert httpx.get(f"{studio.url}/api/me", headers={"authorization": f"Bearer {secret[0]}"}).status_code == 200


def test_nothing_that_is_missing_shows_a_trace(browser: httpx.Client) -> None:
    for path in ("/data/nope", "/tuning/runs/nope", "/deployments/nope", "/static/../app.py", "/nothing"):
        answer = browser.get(path)
        assert answer.status_code == 404, path
        assert "Traceback" not in answer.text
    assert "There is nothing here" in browser.get("/data/nope").text
