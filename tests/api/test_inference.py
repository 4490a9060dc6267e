"""Our own inference routes: every number, streams with ids, tokens; and who leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.studio import prompt_sessions
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio, wait_until

MODEL = "tiny/llama"


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[LiveStudio]:
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend()) as running:
        running.add_model(MODEL, tiny_folder())
        running.deploy_prompt("Routing", MODEL, "routing")
        yield running


@pytest.fixture
def ask(studio: LiveStudio) -> Iterator[Callable[..., httpx.Response]]:
    """`ask(path, **body)`: the answer to a POST."""
    with httpx.Client(base_url=studio.url, headers={"authorization": f"Bearer {studio.key}"}) as client:
        yield lambda path, **body: client.post(path, json=body)


Ask = Callable[..., httpx.Response]


def test_an_answer_with_every_number(ask: Ask) -> None:
    answer = ask("/api/generate", deployment="routing", input="it hums", details=1)
    document = answer.json()
    assert (answer.status_code, document["model_id"], document["deployment"]) == (200, MODEL, "routing")
    assert document["created_at"].endswith("Z")
    (result,) = document["results"]
    tokens = result.pop("tokens")
    assert result == {
        "output": "IT HUMS", "input_tokens": 2, "virtual_tokens": 3, "generated_tokens": 3, "stop_reason": "eos_token",
        "confidence": 0.5, "seed": None, "cut": False, "way": "text", "seconds": None, "labels": [],
    }  # fmt: skip
    assert tokens[0] == {"text": "IT", "logprob": -0.25, "rank": 1, "top": [["other", -3.0]]}
    assert "tokens" not in ask("/api/generate", deployment="routing", input="it hums").json()["results"][0]


def test_several_inputs_are_answered_together_in_order(studio: LiveStudio, ask: Ask) -> None:
    studio.backend.most_running, studio.backend.gate = 0, 12
    try:
        results = ask("/api/generate", model_id=MODEL, input=[f"word {n}" for n in range(12)]).json()["results"]
    finally:
        studio.backend.gate = 0
    assert [result["output"] for result in results] == [f"word {n}" for n in range(12)]


def test_labels_are_told_with_their_probabilities(ask: Ask) -> None:
    (result,) = ask("/api/generate", deployment="routing", input="!label").json()["results"]
    assert (result["output"], result["way"], result["confidence"]) == ("Service", "readout", 0.75)
    assert result["labels"] == [
        {"label": "Service", "probability": 0.75},
        {"label": "Warehouse", "probability": 0.25},
    ]


def test_labels_are_told_on_the_watsonx_wire_too(ask: Ask) -> None:
    sure = {
        "confidence": 0.75,
        "labels": [{"label": "Service", "probability": 0.75}, {"label": "Warehouse", "probability": 0.25}],
    }
    at = "/ml/v1/deployments/routing/text"
    (text,) = ask(f"{at}/generation?version=2025-01-01", input="!label").json()["results"]
    assert {name: text[name] for name in sure} == sure
    messages = [{"role": "user", "content": "!label"}]
    (choice,) = ask(f"{at}/chat?version=2025-01-01", messages=messages).json()["choices"]
    assert choice["message"]["content"] == "Service"
    assert {name: choice[name] for name in sure} == sure
    events = ask(f"{at}/chat_stream?version=2025-01-01", messages=messages).text.split("\n\n")
    told = [json.loads(event.split("data: ")[1]) for event in events if event]
    (last,) = [each["choices"][0] for each in told if each["choices"] and each["choices"][0]["finish_reason"]]
    assert {name: last[name] for name in sure} == sure
    (plain,) = ask(f"{at}/chat?version=2025-01-01", messages=[{"role": "user", "content": "x"}]).json()["choices"]
    assert not sure.keys() & plain.keys()


def test_parameters_arrive(studio: LiveStudio, ask: Ask) -> None:
    parameters = {"decoding": "sample", "temperature": 1, "top_k": 5, "seed": 3, "stop": ["x"], "max_new_tokens": 4}
    answer = ask(
        "/api/generate", model_id=MODEL, input="a b", parameters=parameters, way="text", details=2, time_limit=9
    )
    work = studio.backend.works[-1]
    assert (work.config.decoding, work.config.top_k, work.config.stop) == ("sample", 5, ("x",))
    assert (work.way, work.details, work.time_limit) == ("text", 2, 9.0)
    assert answer.json()["results"][0]["seed"] == 3


def test_a_tuned_prompt_answers_undeployed(studio: LiveStudio, ask: Ask) -> None:
    from softprompt.storage.tables import TunedPrompt

    with studio.office.unit(SYSTEM, write=False) as unit:
        prompt = unit.rows.all(TunedPrompt)[0]
    assert ask("/api/generate", prompt_id=prompt.id, input="it").json()["results"][0]["output"] == "IT"
    assert studio.backend.works[-1].target.prompt == prompt.key
    assert ask("/api/generate", prompt_id="nobody", input="it").status_code == 404


def test_a_chat(studio: LiveStudio, ask: Ask) -> None:
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hello"}]
    assert ask("/api/generate", model_id=MODEL, messages=turns).json()["results"][0]["output"] == "hello"
    assert len(studio.backend.works[-1].messages) == 2


def test_a_prompt_template_is_filled_in(studio: LiveStudio, ask: Ask) -> None:
    content: dict[str, Any] = {
        "input": [["{fault}", ""]],
        "data": {"instruction": "Route it.", "input_prefix": "Complaint:", "output_prefix": "Department:"},
    }
    with studio.office.unit(SYSTEM) as unit:
        session = prompt_sessions.create(unit, studio.project, "Template", model_id=MODEL, content=content)
        from softprompt.studio import deployments

        deployments.create(unit, studio.project, "Template", serving="template", session_id=session.id)
    expected = "Route it.\n\nComplaint: it hums\nDepartment:"
    ask("/api/generate", deployment="template", input="", variables={"fault": "it hums"})
    assert studio.backend.works[-1].text == expected
    ask("/api/generate", deployment="template", messages=[{"role": "user", "content": "it hums"}])
    assert studio.backend.works[-1].text == expected
    ask("/v1/completions", model="template", prompt="it hums")
    assert studio.backend.works[-1].text == expected


def test_a_stream_has_ids_and_ends_with_all_numbers(studio: LiveStudio, ask: Ask) -> None:
    answer = ask("/api/generate/stream", deployment="routing", input="one two")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in e.split("\n")) for e in answer.text.strip().split("\n\n")]
    assert [(event["id"], event["event"]) for event in events] == [("0", "piece"), ("1", "piece"), ("2", "done")]
    assert "".join(json.loads(event["data"])["text"] for event in events[:2]) == "ONE TWO"
    assert json.loads(events[2]["data"])["result"]["virtual_tokens"] == 3


def test_errors_before_and_inside_a_stream(ask: Ask) -> None:
    early = ask("/api/generate/stream", model_id=MODEL, input="!busy")
    assert (early.status_code, early.headers["retry-after"], early.json()["error"]["code"]) == (429, "3", "busy")
    late = ask("/api/generate/stream", model_id=MODEL, input="!late-busy").text.strip().split("\n\n")
    assert "event: piece" in late[0]
    assert "event: failed" in late[1]
    assert json.loads(late[1].split("data: ")[1])["error"]["message"] == "The queue is full. Try again."


def test_tokens(ask: Ask) -> None:
    answer = ask("/api/tokenize", deployment="routing", input=["it hums", "x"])
    assert answer.json() == {
        "model_id": MODEL,
        "results": [
            {"count": 2, "virtual_tokens": 3, "tokens": ["it", " hums"]},
            {"count": 1, "virtual_tokens": 3, "tokens": ["x"]},
        ],
    }


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"input": "x"}, ["name one of deployment, prompt_id and model_id"]),
        ({"deployment": "routing", "model_id": MODEL, "input": "x"}, ["name one of deployment"]),
        ({"deployment": "routing"}, ["give an input or the messages of a chat"]),
        ({"deployment": "routing", "input": []}, ["at least 1 item"]),
        ({"deployment": "routing", "input": ["x"] * 65}, ["at most 64 items"]),
        (
            {
                "deployment": "a\u0007b",
                "input": "x",
                "parameters": {"top_p": 0, "temperature": 3, "beams": 4},
                "way": "?",
            },
            ["deployment: ", "parameters.top_p: ", "parameters.temperature: ", "parameters.beams: ", "way: "],
        ),
        ({"deployment": "routing", "input": "x", "parameters": {"min_new_tokens": 50}}, ["is larger than"]),
        ({"deployment": "routing", "input": "x", "details": 21}, ["details: "]),
    ],
)
def test_what_does_not_fit_is_named(ask: Ask, body: dict[str, Any], told: list[str]) -> None:
    answer = ask("/api/generate", **body)
    assert answer.status_code == 400
    assert all(part in answer.json()["error"]["message"] for part in told), answer.text


def test_help_and_ranges_of_parameters_are_documented_once(studio: LiveStudio) -> None:
    schemas = httpx.get(f"{studio.url}/api/openapi.json").json()["components"]["schemas"]
    top_p = schemas["Parameters"]["properties"]["top_p"]
    assert (top_p["maximum"], top_p["default"]) == (1.0, 1.0)
    assert top_p["description"].startswith("Draw from the likeliest tokens")
    assert schemas["Generate"]["examples"][0]["deployment"] == "routing"


def test_nobody_and_strangers_get_nothing(studio: LiveStudio) -> None:
    body = {"deployment": "routing", "input": "x"}
    assert httpx.post(f"{studio.url}/api/generate", json=body).status_code == 401
    stranger = {"authorization": f"Bearer {studio.new_key('stranger')}"}
    for path in ("/api/generate", "/api/generate/stream", "/api/tokenize"):
        assert httpx.post(f"{studio.url}{path}", json=body, headers=stranger).status_code == 404
    assert httpx.get(f"{studio.url}/api/deployments/routing/snippets", headers=stranger).status_code == 404


@pytest.mark.parametrize("path", ["/api/generate", "/api/generate/stream"])
def test_who_leaves_takes_the_work_along(studio: LiveStudio, path: str) -> None:
    before = len(studio.backend.canceled)
    headers = {"authorization": f"Bearer {studio.key}"}
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{studio.url}{path}", json={"model_id": MODEL, "input": "!hang"}, headers=headers, timeout=0.3)
    wait_until(lambda: len(studio.backend.canceled) == before + 1, "the work goes on")
