"""The first page: where to begin, recent work, the checklist; and the frame and the error pages around it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from softprompt.storage.tables import Dataset, Project, TuningRun
from softprompt.studio import memberships, people
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

from .conftest import Forms

Post = Callable[..., httpx.Response]
MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


@contextmanager
def member(studio: LiveStudio, name: str, role: str | None = None) -> Iterator[httpx.Client]:
    """Somebody else, signed in with a browser."""
    with studio.office.unit(SYSTEM) as unit:
        user = people.create_user(unit, name)
        if role:
            memberships.set_member(unit, studio.project, name, role)  # type: ignore[arg-type]
        link = people.sign_in_link(unit, user)
    with httpx.Client(base_url=studio.url, follow_redirects=True, headers={"accept": "text/html"}) as client:
        assert client.get(f"/sign-in?link={link}").status_code == 200
        yield client


def test_an_empty_studio_says_what_to_do_first(browser: httpx.Client) -> None:
    page = browser.get("/").text
    for words in (
        "Experiment with foundation models and build prompts",
        "Tune a foundation model with labelled data",
        "Put a tuned prompt to work",
        "Nothing has been made here yet",
        "0 of 7 done",
    ):
        assert words in page


def test_recent_work_and_steps_follow_what_was_done(browser: httpx.Client, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        where = {"project_id": studio.project.id}
        data = unit.rows.add(Dataset(name="Complaints <i>", state="ready", rows=2, **where))
        run = TuningRun(name="Routing (1)", number=1, experiment_id="e", model_id=MODEL, dataset_id=data.id, **where)
        run.state = "running"
        run.progress = {"update": 30, "updates": 120}
        unit.rows.add(run)
    page = browser.get("/").text
    assert "Complaints &lt;i&gt;" in page
    assert f"/tuning/runs/{run.id}" in Forms.of(page).links
    assert "running, 25%" in page
    assert "2 of 7 done" in page
    assert re.search(r'class="done" data-step="tune"', page)
    assert re.search(r'class="next" data-step="prompt"', page)


def test_the_checklist_is_put_away_and_brought_back_for_one_person(
    browser: httpx.Client, post: Post, studio: LiveStudio
) -> None:
    hidden = post("/home/checklist", {"show": "no"}).text
    assert 'data-part="checklist"' not in hidden
    assert "0 of 7 done" in hidden, "one line stays, with a button that brings it back"
    with member(studio, "mira", "editor") as other:
        other.cookies.update({k: v for k, v in browser.cookies.items() if "checklist" in k})
        assert 'data-part="checklist"' in other.get("/").text, "it was put away by another person in this browser"
    assert 'data-part="checklist"' in post("/home/checklist", {"show": "yes"}).text


def test_a_sandbox_project_is_made_where_there_is_none(browser: httpx.Client, post: Post, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        unit.delete(unit.rows.get(Project, studio.project.id))
    assert "Create a sandbox project" in browser.get("/").text
    made = post("/home/sandbox")
    assert made.status_code == 200
    assert "Create a sandbox project" not in made.text
    assert "Sandbox" in made.text
    assert browser.get("/data").status_code == 200


def test_who_is_in_no_project_hears_whom_to_ask(studio: LiveStudio) -> None:
    with member(studio, "lena") as lena:
        page = lena.get("/").text
        assert "You are in no project yet" in page
        token = Forms.of(page).token
        assert lena.post("/home/sandbox", data={"csrf": token}).status_code == 404


def test_only_admins_see_their_group_in_the_navigation(browser: httpx.Client, studio: LiveStudio) -> None:
    assert "/admin/people" in Forms.of(browser.get("/").text).links
    with member(studio, "mira", "editor") as mira:
        links = Forms.of(mira.get("/").text).links
        assert "/lab" in links
        assert not [link for link in links if link.startswith("/admin")]


def test_the_page_that_one_is_on_is_marked(browser: httpx.Client) -> None:
    assert re.search(r'<a href="/models" aria-current="page">', browser.get(f"/models/{MODEL}").text)


def test_the_first_page_is_small(browser: httpx.Client) -> None:
    """HTML, style sheet, modules and logo, packed as a browser gets them."""
    page = browser.get("/").text
    files = {name.replace("&amp;", "&") for name in re.findall(r'(?:src|href)="(/static/[^"]+)"', page)}
    sizes = {name: len(gzip.compress(browser.get(name).content, 6)) for name in files}
    total = len(gzip.compress(page.encode(), 5)) + sum(sizes.values())
    assert total <= 30_000, sizes


@pytest.mark.parametrize("path", ["/data/nope", "/nothing", "/tuning/runs/nope"])
def test_what_is_not_there_is_said_on_a_page_with_ways_on(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path)
    assert answer.status_code == 404
    assert "There is nothing here" in answer.text
    assert answer.headers["x-request-id"] in answer.text
    assert "script-src 'self';" in answer.headers["content-security-policy"]
    assert "/" in Forms.of(answer.text).links


def test_programs_get_json_for_what_is_not_there(browser: httpx.Client) -> None:
    for path, accept in (("/nothing", "*/*"), ("/api/nothing", "text/html"), ("/v1/models/nope", "text/html")):
        answer = browser.get(path, headers={"accept": accept})
        assert answer.status_code == 404
        assert "message" in answer.text
        assert answer.headers["content-type"].startswith("application/json")


def test_what_is_not_allowed_says_who_can_help(studio: LiveStudio) -> None:
    with member(studio, "ada", "viewer") as viewer:
        token = Forms.of(viewer.get("/").text).token
        refused = viewer.post("/models/pull", data={"csrf": token, "model": MODEL})
        assert refused.status_code == 403
        assert "You may not do this" in refused.text
        assert "ada" in refused.text, "the navigation is still around it"


def test_a_form_of_an_older_page_leads_back_to_it(browser: httpx.Client, studio: LiveStudio) -> None:
    headers = {"referer": f"{studio.url}/models?task=routing"}
    old = browser.post("/models/pull", data={"csrf": "old", "model": MODEL}, headers=headers)
    assert old.status_code == 403
    assert "The page is too old" in old.text
    assert "/models?task=routing" in Forms.of(old.text).links
    elsewhere = browser.post("/models/pull", data={"csrf": "old"}, headers={"referer": "https://evil.example/x"})
    assert "evil" not in elsewhere.text


def test_signing_in_leads_to_the_whole_address(studio: LiveStudio) -> None:
    with httpx.Client(base_url=studio.url, headers={"accept": "text/html"}) as nobody:
        answer = nobody.get("/models?task=routing")
        assert answer.headers["location"] == "/sign-in?after=/models%3Ftask%3Drouting"
        assert 'value="/models?task=routing"' in nobody.get(answer.headers["location"]).text


def test_an_error_inside_tells_its_request_id_and_nothing_else(
    browser: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_given: object) -> None:
        raise ValueError("secret innards")

    monkeypatch.setattr("softprompt.studio.home.recent", breaks)
    answer = browser.get("/", headers={"x-request-id": "abc-123"})
    assert answer.status_code == 500
    assert "Something went wrong inside" in answer.text
    assert "abc-123" in answer.text
    assert "secret innards" not in answer.text
    assert "Try again" in answer.text


def test_a_wrong_password_keeps_the_name(tmp_path: object) -> None:
    with live_studio(tmp_path / "s", EchoBackend()) as studio:  # type: ignore[operator]
        answer = httpx.post(f"{studio.url}/sign-in", data={"name": "mira", "password": "no"})
        assert answer.status_code == 401
        assert 'value="mira"' in answer.text
