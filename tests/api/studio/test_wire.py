"""How our interface takes requests as such: bodies that are no JSON, HEAD and OPTIONS."""

from __future__ import annotations

import httpx
import pytest

from softprompt.testing.live import LiveStudio

from .conftest import message, ok


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"name": "a",}', "The body is no JSON: line 1, column 14: Expecting property name"),
        (b'{"name":\n  kim}', "The body is no JSON: line 2, column 3: Expecting value"),
        (b'{"name": "a"} x', "The body is no JSON: line 1, column 15: Extra data"),
        (b"name=a", "The body is no JSON: line 1, column 1: Expecting value"),
        (b'{"name": "\xe4"}', "The body is no JSON: it is not UTF-8"),
    ],
)
def test_a_body_that_is_no_json_is_refused_with_the_place(admin: httpx.Client, body: bytes, words: str) -> None:
    answer = admin.post("/api/projects", content=body, headers={"content-type": "application/json"})
    assert words in message(answer, 400)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "name: is missing."),
        ({"name": "a", "nmae": "b"}, "nmae: is not known here; check the spelling, or leave it out (given: 'b')."),
        ([], "body: must be an object, in braces."),
        ({"name": 5}, "name: Input should be a valid string (given: '5')."),
    ],
)
def test_a_field_that_does_not_fit_is_named_with_what_to_do(admin: httpx.Client, body: object, words: str) -> None:
    assert message(admin.post("/api/projects", json=body), 400) == words


def test_head_answers_as_get_without_a_body(admin: httpx.Client, studio: LiveStudio) -> None:
    for path in ("/api/projects", f"/api/projects/{studio.project.id}", "/api/models/tiny/llama", "/api/openapi.json"):
        got, head = admin.get(path), admin.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == got.headers["content-type"]
        assert head.headers.get("etag") == got.headers.get("etag")
        assert head.headers["content-length"] == str(len(got.content))
    assert admin.head("/api/projects/nope").status_code == 404
    assert admin.head("/api/projects?limit=0").status_code == 400
    assert httpx.head(f"{studio.url}/api/projects").status_code == 401
    assert admin.head("/api/generate").status_code == 405


def test_a_stream_ends_at_once_for_head(admin: httpx.Client) -> None:
    dataset = ok(admin.post("/api/datasets?name=d", content=b'{"input": "a", "output": "b"}\n' * 9), 201)["id"]
    body = {"experiment": "E", "model": "tiny/llama", "dataset": dataset}
    run = ok(admin.post("/api/runs", json=body), 201)["id"]
    head = admin.head(f"/api/runs/{run}/events", headers={"accept": "text/event-stream"})
    assert (head.status_code, head.headers["content-type"].split(";")[0]) == (200, "text/event-stream")


def test_options_stay_as_they_are(admin: httpx.Client) -> None:
    assert "OPTIONS is not known here" in message(admin.options("/api/projects"), 405)
