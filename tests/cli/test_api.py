"""`softprompt api`: any request, against a running studio and against a data folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

from .conftest import Call


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStudio]:
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend()) as running:
        yield running


@pytest.fixture(params=["url", "data-dir"])
def ask(
    request: pytest.FixtureRequest, studio: LiveStudio, call: Call, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """`ask("/api/projects")`, over HTTP and on the data folder."""
    monkeypatch.setenv("SOFTPROMPT_API_KEY", studio.key)

    def ask(*arguments: Any) -> Any:
        if request.param == "url":
            return call("--url", studio.url, "api", *arguments)
        return call("api", *arguments, "--data-dir", studio.data_dir)

    return ask


def document(done: Any) -> Any:
    assert done.code == 0, done.err + done.out
    return json.loads(done.out)


def test_a_project_is_made_changed_listed_and_deleted(ask: Callable[..., Any], tmp_path: Path) -> None:
    made = document(ask("/api/projects", "--field", f"name={tmp_path.name}", "--field", 'tags=["mail", "2026"]'))
    assert made["tags"] == ["mail", "2026"]
    change = tmp_path / "change.json"
    change.write_text('{"description": "Who acts on what"}')
    address = f"/api/projects/{made['id']}"
    assert document(ask(address, "-X", "PATCH", "--body", change))["description"] == "Who acts on what"
    stale = ask(address, "--method", "PATCH", "--field", "description=no", "--if-match", f'"{made["revision"]}"')
    assert stale.code == 1
    assert "changed" in stale.err
    found = document(ask("/api/projects", "-X", "GET", "--field", f"search={tmp_path.name}", "--field", "limit=1"))
    assert [item["id"] for item in found["items"]] == [made["id"]]
    gone = ask(address, "-X", "DELETE")
    assert gone.code == 0, gone.err
    assert ask(address).code == 1


def test_files_go_up_and_come_down(ask: Callable[..., Any], rows: Path, tmp_path: Path) -> None:
    made = document(ask("/api/datasets?name=carried", "--upload", rows))
    address = f"/api/datasets/{made['id']}/file"
    out = tmp_path / "back.jsonl"
    assert ask(address, "--out", out).code == 0
    assert [json.loads(line) for line in out.read_text().splitlines()] == [
        json.loads(line) for line in rows.read_text().splitlines()
    ]
    again = ask(address, "--out", out)
    assert again.code == 2
    assert "is there already" in again.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["/v1/models"], 2, "begin with /api/"),
        (["/api/projects", "-X", "FETCH"], 2, "none of GET, POST"),
        (["/api/projects", "--field", "name"], 2, "NAME=VALUE"),
        (["/api/projects", "--field", "name=a", "--body", "b.json"], 2, "a request has one body"),
        (["/api/projects", "-X", "GET", "--body", "b.json"], 2, "GET has none"),
        (["/api/projects", "--body", "missing.json"], 2, "cannot be read"),
        (["/api/datasets", "--upload", "missing.jsonl"], 2, "is no file"),
        (["/api/nothing"], 1, "nothing"),
        (["/api/projects", "--field", "nam=a"], 2, "nam"),
    ],
)
def test_mistakes_are_named(ask: Callable[..., Any], arguments: list[str], code: int, words: str) -> None:
    done = ask(*arguments)
    assert done.code == code, done.err
    assert words in done.err
    assert "Traceback" not in done.err


def test_a_body_that_is_no_json_is_named(ask: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text("{name: Routing}")
    done = ask("/api/projects", "--body", tmp_path / "broken.json")
    assert done.code == 2
    assert "broken.json is not JSON" in done.err


def test_a_key_is_made_though_no_repeat_could_tell_it_again(call: Call, studio: LiveStudio) -> None:
    made = call("api", "/api/users", "-X", "GET", "--data-dir", studio.data_dir)
    name = document(made)["items"][0]["name"]
    key = call("api", "/api/keys", "--field", "name=mine", "--field", f"user={name}", "--data-dir", studio.data_dir)
    assert document(key)["key"]
