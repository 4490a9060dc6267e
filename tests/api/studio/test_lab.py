"""The Prompt Lab without its page: answers of every column, code for other clients, the history."""

from __future__ import annotations

import json
import re
from typing import Any

import httpx

from softprompt.storage.tables import TunedPrompt
from softprompt.studio.access import SYSTEM
from softprompt.studio.prompt_content import LAB
from softprompt.testing.live import LiveStudio

from .conftest import MODEL, Clients, message, ok, unique

SOLVED = [{"input": "The sofa is late.", "output": "Warehouse"}]


def page(*subjects: str, tries: tuple[str, ...] = ("A screw is missing.",), **more: Any) -> dict[str, Any]:
    columns = [{"subject": subject} for subject in subjects or (f"model:{MODEL}",)]
    return {
        "instruction": "Sort it.",
        "examples": SOLVED,
        "tries": [{"input": t} for t in tries],
        "columns": columns,
        **more,
    }


def test_every_column_answers_every_test_and_it_is_remembered(admin: httpx.Client, studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        row = TunedPrompt(project_id=studio.project.id, name=unique(), model_id=MODEL, key="prompts/none")
        tuned = unit.rows.add(row).id
    made = ok(admin.post("/api/lab/generate", json=page(f"model:{MODEL}", f"prompt:{tuned}", tries=("One", "", "Two"))))
    said = {(each["row"], each["column"]): each["output"] for each in made["answers"]}
    assert set(said) == {(0, 0), (0, 1), (2, 0), (2, 1)}, "an empty test is not asked"
    assert said[0, 1] == "ONE", "a tuned prompt reads the bare input"
    assert said[2, 0].split()[:2] == ["Sort", "it."], "a foundation model reads the whole prompt"
    assert made["answers"][0]["tokens"][0]["top"]
    assert made["page"]["kind"] == "softprompt-lab"
    listed = ok(admin.get("/api/lab/history", params={"limit": 1}))
    assert listed["items"][0] | {"tests": 2, "answers": 4, "mode": "structured"} == listed["items"][0]
    assert listed["items"][0]["subjects"] == [f"model:{MODEL}", f"prompt:{tuned}"]
    assert ok(admin.get(f"/api/lab/history/{made['id']}")) == made
    again = ok(admin.post("/api/lab/generate", json=made["page"]))
    assert [each["output"] for each in again["answers"]] == [each["output"] for each in made["answers"]]
    oldest = ok(admin.get("/api/lab/history", params={"sort": "created_at"}))["items"]
    assert [each["id"] for each in oldest][-2:] == [made["id"], again["id"]]


def test_what_one_column_cannot_answer_is_told_beside_the_others(admin: httpx.Client) -> None:
    made = ok(admin.post("/api/lab/generate", json=page(tries=("Hello",), mode="freeform", text="!busy {input}")))
    assert [each["problem"] for each in made["answers"]] == [""]
    busy = ok(admin.post("/api/lab/generate", json=page(tries=("!busy", "Hello"), mode="freeform")))
    assert [bool(each["problem"]) for each in sorted(busy["answers"], key=lambda each: each["row"])] == [True, False]


def test_a_page_that_cannot_be_asked_is_refused_in_words(admin: httpx.Client) -> None:
    assert "Nothing is asked yet" in message(admin.post("/api/lab/generate", json=page(tries=())), 400)
    told = message(admin.post("/api/lab/generate", json=page(f"model:{MODEL}", "model:no/such")), 400)
    assert told.startswith("Column B: ")
    assert "no/such" in told
    body = page() | {"columns": [{"subject": f"model:{MODEL}", "parameters": {"temperature": 9, "decoding": "sample"}}]}
    assert "temperature" in message(admin.post("/api/lab/generate", json=body), 400)
    assert "columns.0.subjekt" in message(
        admin.post("/api/lab/code", json=page() | {"columns": [{"subjekt": ""}]}), 400
    )


def test_a_page_becomes_code(admin: httpx.Client, studio: LiveStudio) -> None:
    (column,) = ok(admin.post("/api/lab/code", json=page()))["columns"]
    assert (column["subject"], column["name"]) == (f"model:{MODEL}", "llama")
    code = {each["client"]: each["code"] for each in column["snippets"]}
    assert set(code) == {"curl", "ibm-watsonx-ai", "openai", "softprompt"}
    body = json.loads(re.search(r"'(\{.*\})'", code["curl"], re.DOTALL)[1])  # type: ignore[index]
    assert body["input"].startswith("Sort it.")
    assert ok(admin.post("/api/generate", json=body))["results"][0]["output"]
    assert f"project_id='{studio.project.id}'" in code["ibm-watsonx-ai"]


def test_a_prompt_session_becomes_code_where_it_is(admin: httpx.Client) -> None:
    space = ok(admin.post("/api/spaces", json={"name": unique("space")}), 201)
    content = {"text": "Sort {input}", LAB: {"tries": [{"input": "this"}], "columns": [{"subject": f"model:{MODEL}"}]}}
    body = {"name": unique(), "mode": "freeform", "model": MODEL, "content": content, "space": space["name"]}
    session = ok(admin.post("/api/sessions", json=body), 201)["id"]
    (column,) = ok(admin.get(f"/api/sessions/{session}/snippets"))["columns"]
    code = {each["client"]: each["code"] for each in column["snippets"]}
    assert '"input": "Sort this"' in code["curl"]
    assert f"space_id='{space['id']}'" in code["ibm-watsonx-ai"]


def test_histories_are_ones_own_and_those_of_sessions_one_may_see(
    admin: httpx.Client, clients: Clients, studio: LiveStudio
) -> None:
    reader = clients(studio.new_key(unique("reader"), "viewer", member="viewer"))
    session = ok(admin.post("/api/sessions", json={"name": unique(), "model": MODEL}), 201)["id"]
    alone = ok(admin.post("/api/lab/generate", json=page()))["id"]
    shared = ok(admin.post("/api/lab/generate", json=page(session=session)))["id"]
    own = ok(reader.post("/api/lab/generate", json=page()))["id"]
    assert [each["id"] for each in ok(reader.get("/api/lab/history"))["items"]] == [own]
    assert [each["id"] for each in ok(reader.get("/api/lab/history", params={"session": session}))["items"]] == [shared]
    assert ok(reader.get(f"/api/lab/history/{shared}"))["session_id"] == session
    message(reader.get(f"/api/lab/history/{alone}"), 404)
    message(admin.get("/api/lab/history", params={"session": "no-such"}), 404)
