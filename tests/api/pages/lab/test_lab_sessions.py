"""Saved pages of the Prompt Lab: for everybody in the project, renamed, deleted, brought back, served as they stand."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import httpx

from softprompt.studio import deployments, prompt_sessions
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from ..lab_fixtures import MODEL, MODEL_ID, streamed, words

Save = Callable[..., httpx.Response]
SENT: dict[str, Any] = {
    "subject": MODEL,
    "instruction": "Route it for {whom}.",
    "example_input": "a",
    "example_output": "A",
    "try_input": ["it hums", "it sings"],
    "try_expected": ["Service", ""],
    "variable_name": "whom",
    "variable_value": "Ada",
    "max_new_tokens": "9",
}


def id_of(page: httpx.Response) -> str:
    return str(page.url).split("session=")[1]


def test_a_page_is_saved_and_opened_with_everything_on_it(browser: httpx.Client, post: Save) -> None:
    page = post("/lab/sessions", {**SENT, "name": "Routing by words"})
    assert "<h1>Routing by words</h1>" in page.text
    again = browser.get(f"/lab/sessions/{id_of(page)}").text
    for part in ("Route it for {whom}.", 'value="Ada"', ">it sings</textarea>", 'value="Service"', 'value="9"'):
        assert part in again
    listed = words(browser.get("/lab/sessions?search=by words").text)
    assert "Routing by words Route it for {whom}. structured, 2 tests, by admin, just now" in listed


def test_answers_come_along(browser: httpx.Client, post: Save) -> None:
    made = streamed(browser, SENT)[0]["generation"]
    page = post("/lab/sessions", {**SENT, "name": "With answers", "generation": made})
    assert words(page.text).count("Tokens: ") == 2


def test_a_session_is_saved_over_and_its_history_is_everybodys(browser: httpx.Client, post: Save) -> None:
    session = id_of(post("/lab/sessions", {**SENT, "name": "Mine"}))
    page = post(f"/lab/sessions/{session}", {**SENT, "name": "Ours", "instruction": "Anew."})
    assert id_of(page) == session
    assert "<h1>Ours</h1>" in page.text
    assert "Anew." in page.text
    streamed(browser, {**SENT, "session": session, "try_input": "only here"})
    assert "only here" in browser.get(f"/lab/history?session={session}").text
    assert "it sings" not in browser.get(f"/lab/history?session={session}").text


def test_names_are_never_taken_twice_and_given_where_there_is_none(post: Save) -> None:
    first = post("/lab/sessions", {**SENT, "name": "Twice"})
    second = post("/lab/sessions", {**SENT, "name": "Twice"})
    assert "<h1>Twice</h1>" in first.text
    assert "<h1>Twice 2</h1>" in second.text
    assert "<h1>Route it for {whom}.</h1>" in post("/lab/sessions", {**SENT, "name": " "}).text


def test_a_session_is_renamed_deleted_and_brought_back(browser: httpx.Client, post: Save) -> None:
    session = id_of(post("/lab/sessions", {**SENT, "name": "Old name"}))
    assert "New name" in post(f"/lab/sessions/{session}/rename", {"name": "New name"}).text
    gone = post(f"/lab/sessions/{session}/delete")
    assert "“New name” is deleted." in gone.text
    assert browser.get(f"/lab?session={session}").status_code == 404
    assert f'action="/lab/sessions/{session}/restore"' in gone.text
    assert f"/lab?session={session}" in post(f"/lab/sessions/{session}/restore").text
    assert browser.get(f"/lab?session={session}").status_code == 200


def test_one_that_is_locked_or_served_says_so(studio: LiveStudio, browser: httpx.Client, post: Save) -> None:
    session = id_of(post("/lab/sessions", {**SENT, "name": "Locked"}))
    with studio.office.unit(SYSTEM) as unit:
        prompt_sessions.lock(unit, session, True)
        project = unit.get(type(studio.project), prompt_sessions.get(unit, session).project_id or "")
        deployments.create(unit, project, "Served", serving="served", session_id=session, model_id=MODEL_ID)
    refused = post(f"/lab/sessions/{session}", {**SENT, "instruction": "Typed already."})
    assert refused.status_code == 409
    assert "locked by somebody else" in refused.text
    assert "Typed already." in refused.text, "nothing that was typed is lost"
    assert "Served" in post(f"/lab/sessions/{session}/delete").text


def test_what_is_served_is_what_the_lab_has_sent(studio: LiveStudio, browser: httpx.Client, post: Save) -> None:
    session = id_of(post("/lab/sessions", {**SENT, "name": "Same words"}))
    streamed(browser, {**SENT, "try_input": "it hums"})
    sent = studio.backend.works[-1].text
    with studio.office.unit(SYSTEM) as unit:
        project = unit.get(type(studio.project), prompt_sessions.get(unit, session).project_id or "")
        made = deployments.create(unit, project, "Template", serving="template", session_id=session, model_id=MODEL_ID)
        template = f"deployment:{made.id}"
    streamed(browser, {"subject": template, "try_input": "it hums", "variable_name": "whom", "variable_value": "Ada"})
    assert studio.backend.works[-1].text == sent
    assert "prompt template of its own" in browser.get(f"/lab?subject={template}").text


def test_a_reader_opens_and_asks_but_changes_nothing(studio: LiveStudio, browser: httpx.Client, post: Save) -> None:
    session = id_of(post("/lab/sessions", {**SENT, "name": "Readable"}))
    key = studio.new_key("reader", role="viewer", member="viewer")
    with httpx.Client(base_url=studio.url, headers={"authorization": f"Bearer {key}"}) as reader:
        page = reader.get(f"/lab?session={session}").text
        assert "Route it for" in page
        assert "Save as" not in page
        assert "Rename or delete" not in reader.get("/lab/sessions").text
        assert reader.post("/lab/stream", data=SENT).status_code == 200
        for path in ("/lab/sessions", f"/lab/sessions/{session}"):
            answer = reader.post(path, data={**SENT, "name": "Changed"})
            assert answer.status_code == 403, path
            assert "needs the role editor" in answer.text
        assert reader.post(f"/lab/sessions/{session}/delete").status_code == 403


def test_names_are_escaped(browser: httpx.Client, post: Save) -> None:
    post("/lab/sessions", {**SENT, "name": "<script>alert(1)</script>", "instruction": "<img src=x>"})
    listed = browser.get("/lab/sessions").text
    assert "<script>alert" not in listed
    assert not re.search(r"<img", listed)
