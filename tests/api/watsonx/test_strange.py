"""Whatever is sent, nothing breaks: every refusal is a refusal, in one shape."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.watsonx.studio import LLAMA, Behind

TEXT = st.text(max_size=6) | st.sampled_from(["", "\x00", "\ud800", "a" * 5000, "../..", LLAMA, "data_asset"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
ID = "00000000-0000-0000-0000-000000000000"
BODIES: dict[str, dict[str, Any]] = {
    "POST /icp4d-api/v1/authorize": {"username": "x", "password": "y"},
    "POST /transactional/v2/projects": {"name": "x", "description": "y", "tags": ["z"]},
    "POST /v2/spaces": {"name": "x", "description": "y", "stage": {"name": "testing"}, "storage": {}},
    f"PATCH /v2/projects/{ID}": {"name": "x"},
    "POST /v2/assets": {"metadata": {"name": "x"}, "entity": {"data_asset": {"mime_type": "y"}}},
    f"POST /v2/assets/{ID}/attachments": {"name": "x", "mime": "y"},
    "POST /v2/asset_types/data_asset/search": {"query": "*:*", "limit": 5, "bookmark": None},
    "POST /ml/v4/trainings": {
        "name": "x",
        "training_data_references": [{"type": "data_asset", "location": {"id": ID, "href": "y"}}],
        "prompt_tuning": {"base_model": {"model_id": LLAMA}, "init_text": "x", "verbalizer": "{{input}}"},
        "results_reference": {"type": "fs", "location": {"path": "x"}},
        "tags": ["y"],
    },
    "POST /ml/v4/models": {"name": "x", "training_id": ID},
    "POST /ml/v4/deployments": {
        "name": "x",
        "online": {"parameters": {"serving_name": "x"}},
        "asset": {"id": ID},
        "base_model_id": LLAMA,
    },
    "POST /wx/v1/prompts": {
        "name": "x",
        "input_mode": "structured",
        "prompt_variables": {"x": {}},
        "prompt": {"model_id": LLAMA, "input": [["{x}", ""]], "data": {"examples": [["a", "b"]]}},
    },
    "POST /ml/v1/text/tokenization": {"model_id": LLAMA, "input": "x", "parameters": {"return_tokens": True}},
    "POST /ml/v1/text/generation": {"model_id": LLAMA, "input": "x", "parameters": {"max_new_tokens": 1}},
    "POST /ml/v1/text/generation_stream": {"model_id": LLAMA, "input": "x", "parameters": {"max_new_tokens": 1}},
    "POST /ml/v1/text/chat": {"model_id": LLAMA, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1},
    "PATCH /ml/v4/deployments/x": {},
    "PUT /wx/v1/prompts/x/lock": {"locked": True},
}
SHOWN_AGAIN = {
    "POST /wx/v1/prompts": {"name": "x", "prompt": {"extra": "HERE"}},
    "PATCH /wx/v1/prompts/{}": {"prompt": {"extra": "HERE"}},
    "POST /wx/v1/prompts/{}/chat_items": [{"content": "HERE"}],
}
"""What of a body comes back in the answer."""


@st.composite
def changed(draw: st.DrawFn) -> tuple[str, Any]:
    """A body with something strange in one place."""
    name = draw(st.sampled_from(sorted(BODIES)))
    body = json.loads(json.dumps(BODIES[name]))
    place: Any = body
    while draw(st.booleans()):
        inner = place[draw(st.sampled_from(sorted(place)))] if isinstance(place, dict) and place else None
        inner = place[0] if isinstance(place, list) and place else inner
        if not isinstance(inner, dict | list) or not inner:
            break
        place = inner
    if isinstance(place, list):
        place[0] = draw(JSON)
    elif place:
        place[draw(st.sampled_from(sorted(place)))] = draw(JSON)
    else:
        body = draw(JSON)
    return name, body


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=changed())
def test_strange_bodies(idle: Behind, idle_http: httpx.Client, sent: tuple[str, Any]) -> None:
    method, path = sent[0].split()
    answered = idle_http.request(
        method,
        path,
        params={"project_id": idle.project_id},
        content=json.dumps(sent[1]).encode(),
        headers={"content-type": "application/json"},
    )
    assert answered.status_code < 500, (sent, answered.text)
    if answered.status_code >= 400:
        assert set(answered.json()) == {"trace", "status_code", "errors"}


@pytest.mark.parametrize("value", ["%00", "%F0%9F%98%80", "%ED%A0%80", "a" * 3000, "'--"])
@pytest.mark.parametrize(
    "path",
    [
        "/v2/projects/{}",
        "/v2/projects?name={}",
        "/v2/projects?cursor={}",
        "/v2/spaces/{}",
        "/v2/assets/{}",
        "/v2/asset_files/wx_prompt_tune/{}/training.log",
        "/ml/v4/trainings/{}",
        "/ml/v4/trainings?project_id={}",
        "/ml/v4/trainings?tag.value={}",
        "/ml/v4/trainings?state={}",
        "/ml/v4/models/{}",
        "/ml/v4/deployments/{}",
        "/ml/v4/deployments?serving_name={}&conflict=true",
        "/ml/v1/foundation_model_specs?filters={}",
        "/ml/v1/foundation_model_specs?start={}",
        "/wx/v1/prompts/{}",
        "/uploads/{}/x?signature={}",
    ],
)
def test_strange_addresses(idle_http: httpx.Client, path: str, value: str) -> None:
    assert idle_http.get(path.replace("{}", value)).status_code < 500


@pytest.mark.parametrize("value", ["NaN", "-Infinity", '"\\ud800"', "[" * 400 + "]" * 400])
@pytest.mark.parametrize("route", SHOWN_AGAIN)
def test_what_no_answer_can_show_is_refused(idle: Behind, idle_http: httpx.Client, route: str, value: str) -> None:
    params, headers = {"project_id": idle.project_id}, {"content-type": "application/json"}
    made = idle_http.post("/wx/v1/prompts", params=params, json={"name": "x"}).json()["id"]
    method, path = route.replace("{}", made).split()
    content = json.dumps(SHOWN_AGAIN[route]).replace('"HERE"', value)
    answered = idle_http.request(method, path, params=params, content=content, headers=headers)
    deep = value.startswith("[")
    assert answered.status_code in ((200, 201, 400) if deep else (400,)), answered.text
    assert idle_http.get(f"/wx/v1/prompts/{made}").status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/ml/v1/foundation_model_specs?start=-5", "/ml/v1/foundation_model_specs?start=x"),
        *("/ml/v1/foundation_model_specs?limit=0", "/ml/v4/trainings?limit=-1", "/ml/v4/models?limit=0"),
        *("/ml/v4/deployments?limit=x", "/v2/projects?limit=-1", "/v2/spaces?limit=0", "/v2/spaces?cursor=x"),
    ],
)
def test_pages_that_are_none_are_refused(idle_http: httpx.Client, path: str) -> None:
    answered = idle_http.get(path)
    assert answered.status_code == 400, answered.text
    assert any(word in answered.json()["errors"][0]["message"] for word in ("start", "limit", "cursor"))


@pytest.mark.parametrize("change", [{"limit": -5}, {"limit": 0}, {"bookmark": "x"}])
def test_searches_of_pages_that_are_none_are_refused(
    idle: Behind, idle_http: httpx.Client, change: dict[str, Any]
) -> None:
    path, params = "/v2/asset_types/data_asset/search", {"project_id": idle.project_id}
    assert idle_http.post(path, params=params, json={"query": "*:*", **change}).status_code == 400


def test_specifications_are_paged_from_any_start(idle_http: httpx.Client) -> None:
    whole = idle_http.get("/ml/v1/foundation_model_specs").json()
    rest = idle_http.get("/ml/v1/foundation_model_specs", params={"start": 1, "limit": 1}).json()
    assert rest["resources"] == whole["resources"][1:2]
    beyond = idle_http.get("/ml/v1/foundation_model_specs", params={"start": 10**30}).json()
    assert (beyond["resources"], "next" in beyond) == ([], False)
