"""Every noun once through its life; then what holds for all of them: pages, ETags, repeats."""

from __future__ import annotations

import json
import uuid
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softprompt.storage.tables import Evaluation, TunedPrompt, TuningRun
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import message, ok, rows, unique

QUICK = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
NAMES = st.text(st.characters(blacklist_categories=("Cc", "Cs")), min_size=1, max_size=40).filter(str.strip)


@pytest.fixture(scope="module")
def dataset(admin: httpx.Client) -> str:
    return str(ok(admin.post("/api/datasets", params={"name": "complaints"}, content=rows()), 201)["id"])


@pytest.fixture
def space(admin: httpx.Client) -> dict[str, Any]:
    return dict(ok(admin.post("/api/spaces", json={"name": unique("space"), "stage": "testing"}), 201))


@pytest.fixture
def prompt(studio: LiveStudio) -> str:
    """The id of a tuned prompt of the sandbox, with a file in its folder."""
    folder = studio.data_dir / unique("folder")
    folder.mkdir()
    (folder / "softprompt.json").write_text("{}")
    with studio.office.unit(SYSTEM) as unit:
        row = TunedPrompt(project_id=studio.project.id, name=unique("prompt"), model_id="tiny/llama", key="")
        row.key = f"prompts/{uuid.uuid4()}"
        unit.store.put_folder(row.key, folder)
        return unit.rows.add(row).id


def new_run(admin: httpx.Client, dataset: str, **more: Any) -> dict[str, Any]:
    body = {"experiment": unique("experiment"), "model": "tiny/llama", "dataset": dataset, **more}
    return dict(ok(admin.post("/api/runs", json=body), 201))


# Each noun


def test_projects(admin: httpx.Client) -> None:
    made = ok(admin.post("/api/projects", json={"name": unique(), "tags": ["a"]}), 201)
    assert ok(admin.get(f"/api/projects/{made['name']}"))["id"] == made["id"]
    changed = ok(admin.patch(f"/api/projects/{made['id']}", json={"description": "Routing."}))
    assert (changed["description"], changed["tags"], changed["revision"]) == ("Routing.", ["a"], 2)
    assert "already" in message(admin.post("/api/projects", json={"name": made["name"]}), 409)
    assert [m["user"] for m in ok(admin.get(f"/api/projects/{made['id']}/members"))["items"]] == ["admin"]
    ok(admin.delete(f"/api/projects/{made['id']}"), 204)
    message(admin.get(f"/api/projects/{made['id']}"), 404)


def test_spaces(admin: httpx.Client, space: dict[str, Any]) -> None:
    found = ok(admin.get("/api/spaces", params={"stage": "testing", "search": space["name"].upper()}))
    assert [item["id"] for item in found["items"]] == [space["id"]]
    assert ok(admin.patch(f"/api/spaces/{space['id']}", json={"stage": "production"}))["stage"] == "production"
    assert "stage" in message(admin.patch(f"/api/spaces/{space['id']}", json={"stage": "moon"}), 400)
    ok(admin.delete(f"/api/spaces/{space['id']}"), 204)


def test_experiments_and_runs(admin: httpx.Client, dataset: str) -> None:
    experiment = ok(admin.post("/api/experiments", json={"name": unique("experiment")}), 201)
    body = {"experiment": experiment["name"], "model": "tiny/llama", "dataset": "complaints", "tags": ["x", "y"]}
    config = {"epochs": 3, "learning_rate": 0.01, "init_text": "route it", "decay": False}
    run = ok(admin.post("/api/runs", json={**body, "config": config, "validation": {"share": 0.2}}), 201)
    assert (run["name"], run["state"]) == (f"{experiment['name']} (1)", "queued")
    assert (run["config"], run["validation"], run["dataset_id"]) == (config, {"share": 0.2}, dataset)
    second = ok(admin.post(f"/api/runs/{run['id']}/again", json={"config": {"epochs": 5}}), 201)
    assert (second["number"], second["config"]) == (2, {**config, "epochs": 5})
    third = ok(admin.post("/api/runs", json={**body, "experiment": experiment["id"]}), 201)
    assert third["name"] == f"{experiment['name']} (3)"
    ok(admin.post(f"/api/runs/{third['id']}/cancel"))
    ok(admin.delete(f"/api/runs/{third['id']}"), 204)
    query = {"experiment": experiment["id"], "sort": "created_at"}
    assert [item["number"] for item in ok(admin.get("/api/runs", params=query))["items"]] == [1, 2]
    assert ok(admin.get("/api/runs", params={**query, "tag": ["x", "y"]}))["total"] == 2
    assert ok(admin.get("/api/runs", params={**query, "tag": ["x", "q"]}))["total"] == 0
    ok(admin.post(f"/api/runs/{run['id']}/cancel"))
    found = ok(admin.get("/api/runs", params={**query, "state": ["canceled", "failed"]}))
    assert [item["id"] for item in found["items"]] == [run["id"]]
    assert "already completed with state canceled" in message(admin.post(f"/api/runs/{run['id']}/cancel"), 409)
    assert "Cancel it first" in message(admin.delete(f"/api/runs/{second['id']}"), 409)
    assert ok(admin.patch(f"/api/runs/{run['id']}", json={"tags": ["z"]}))["tags"] == ["z"]
    assert ok(admin.get(f"/api/runs/{run['name']}"))["id"] == run["id"]
    ok(admin.delete(f"/api/runs/{run['id']}"), 204)


def test_all_that_is_wrong_with_a_run_is_told_at_once(admin: httpx.Client) -> None:
    body = {"experiment": "E", "model": "no/model", "dataset": str(uuid.uuid4()), "config": {"task": "auto"}}
    words = message(admin.post("/api/runs", json={**body, "validation": {"share": 0.1, "dataset": "x"}}), 404)
    assert "no foundation model 'no/model'" in words
    assert 'validation: use {"share": 0.2}' in words
    assert "There is no dataset" in words
    settings = {"epochs": 99, "batch_size": "8", "moon": 1}
    words = message(admin.post("/api/runs", json={**body, "config": settings}), 400)
    assert all(name in words for name in ("config.epochs", "config.batch_size", "config.moon"))


def test_a_run_whose_prompt_is_kept_by_hand(admin: httpx.Client, studio: LiveStudio, dataset: str) -> None:
    run = new_run(admin, dataset, keep_prompt=False)
    assert "has no tuned prompt" in message(admin.post(f"/api/runs/{run['id']}/prompt"), 404)
    with studio.office.unit(SYSTEM) as unit:
        row = unit.get(TuningRun, run["id"])
        row.state, row.results = "completed", {"prompt_key": "prompts/x", "card": {"task": "generation"}, "updates": 7}
    assert ok(admin.get(f"/api/runs/{run['id']}"))["results"] == {"updates": 7}
    prompts = [ok(admin.post(f"/api/runs/{run['id']}/prompt"), 201) for _ in range(2)]
    assert prompts[0]["id"] == prompts[1]["id"]


def test_tuned_prompts(admin: httpx.Client, prompt: str, space: dict[str, Any]) -> None:
    promoted = [ok(admin.post(f"/api/prompts/{prompt}/promote", json={"space": space["name"]}), 201) for _ in range(2)]
    assert promoted[0]["id"] == promoted[1]["id"] != prompt
    assert (promoted[0]["space_id"], promoted[0]["source_id"]) == (space["id"], prompt)
    found = ok(admin.get("/api/prompts", params={"space": space["id"]}))
    assert [item["id"] for item in found["items"]] == [promoted[0]["id"]]
    archive = admin.get(f"/api/prompts/{prompt}/file")
    assert archive.headers["content-type"] == "application/zip"
    assert archive.content.startswith(b"PK")
    assert ok(admin.patch(f"/api/prompts/{prompt}", json={"name": "Renamed"}))["name"] == "Renamed"
    assert "card" in ok(admin.get(f"/api/prompts/{prompt}"))
    ok(admin.delete(f"/api/prompts/{prompt}"), 204)


def test_deployments(admin: httpx.Client, prompt: str, space: dict[str, Any]) -> None:
    serving = unique("serving")
    body = {"prompt": prompt, "serving_name": serving, "space": space["id"]}
    made = ok(admin.post("/api/deployments", json=body), 201)
    assert (made["state"], made["space_id"], made["model_id"]) == ("ready", space["id"], "tiny/llama")
    assert "in use by another deployment" in message(admin.post("/api/deployments", json=body), 409)
    assert ok(admin.get(f"/api/deployments/{serving}"))["id"] == made["id"]
    assert ok(admin.get("/api/deployments", params={"serving_name": serving}))["total"] == 1
    assert "cannot be deleted" in message(admin.delete(f"/api/prompts/{made['tuned_prompt_id']}"), 409)
    assert "cannot be deleted" in message(admin.delete(f"/api/spaces/{space['id']}"), 409)
    assert ok(admin.patch(f"/api/deployments/{serving}", json={"online": False}))["state"] == "offline"
    assert "is offline" in message(admin.post("/api/generate", json={"deployment": serving, "input": "Hello"}), 503)
    assert ok(admin.patch(f"/api/deployments/{serving}", json={"online": True}))["state"] == "ready"
    ok(admin.post("/api/generate", json={"deployment": serving, "input": "Hello"}))
    ok(admin.delete(f"/api/deployments/{serving}"), 204)
    ok(admin.post("/api/deployments", json={"model": "tiny/llama", "serving_name": serving}), 201)


@pytest.mark.parametrize("body", [{}, {"serving_name": "x"}, {"prompt": "p", "session": "s"}, {"serving_name": "A b"}])
def test_deployments_of_nothing_or_of_two_things_are_refused(admin: httpx.Client, body: dict[str, Any]) -> None:
    answer = admin.post("/api/deployments", json=body)
    assert answer.status_code in (400, 404), answer.text


def test_prompt_sessions(admin: httpx.Client) -> None:
    body = {"name": unique("session"), "model": "tiny/llama", "content": {"text": "Hello {name}"}}
    made = ok(admin.post("/api/sessions", json=body), 201)
    changed = ok(admin.patch(f"/api/sessions/{made['id']}", json={"mode": "freeform"}))
    assert (changed["mode"], changed["content"]) == ("freeform", body["content"])
    assert ok(admin.post(f"/api/sessions/{made['id']}/lock"))["locked_by"] is not None
    assert ok(admin.post(f"/api/sessions/{made['id']}/unlock"))["locked_by"] is None
    ok(admin.delete(f"/api/sessions/{made['id']}"), 204)


def test_evaluations(admin: httpx.Client, studio: LiveStudio, dataset: str) -> None:
    body = {"name": unique("proof"), "model": "tiny/llama", "dataset": dataset, "methods": ["zero-shot", "baseline"]}
    assert "baseline need labelled rows" in message(admin.post("/api/evaluations", json=body), 400)
    settings = {"limit": 5, "examples_dataset": dataset}
    made = ok(admin.post("/api/evaluations", json={**body, "settings": settings}), 201)
    assert (made["state"], made["settings"]) == ("queued", {"limit": 5, "examples_dataset_id": dataset})
    assert "the report is there when it is completed" in message(
        admin.get(f"/api/evaluations/{made['id']}/report"), 409
    )
    assert "moon" in message(admin.post("/api/evaluations", json={**body, "methods": ["moon"]}), 400)
    assert ok(admin.post(f"/api/evaluations/{made['id']}/cancel"))["state"] == "canceled"
    assert ok(admin.get(f"/api/evaluations/{made['id']}/events"))["over"]
    with studio.office.unit(SYSTEM) as unit:
        unit.get(Evaluation, made["id"]).report = "# Proof"
    assert admin.get(f"/api/evaluations/{made['id']}/report").text == "# Proof"
    ok(admin.delete(f"/api/evaluations/{made['id']}"), 204)


def test_foundation_models(admin: httpx.Client, studio: LiveStudio) -> None:
    found = ok(admin.get("/api/models", params={"search": "flan-t5-xl"}))["items"]
    assert [model["id"] for model in found] == ["google/flan-t5-xl"]
    assert found[0]["limits"]["learning_rate"] == {"default": 0.3, "low": 1e-5, "high": 0.5}
    assert ok(admin.get("/api/models/google/flan-t5-xl")) == found[0]
    tiny = ok(admin.get("/api/models/tiny/llama"))
    assert tiny["added"]
    assert tiny["limits"]["max_input_tokens"]["high"] == tiny["context"]
    folder = studio.data_dir / "model"
    folder.mkdir()
    body = {"id": "acme/small", "path": str(folder)}
    assert "config.json cannot be read" in message(admin.post("/api/models", json=body), 400)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 64}))
    assert ok(admin.post("/api/models", json=body), 201)["context"] == 64
    ok(admin.delete("/api/models/acme/small"), 204)
    message(admin.get("/api/models/acme/small"), 404)


def test_search_finds_every_noun_by_its_name(admin: httpx.Client, dataset: str) -> None:
    word = unique("needle")
    ok(admin.post("/api/projects", json={"name": f"{word} project"}), 201)
    new_run(admin, dataset, experiment=f"{word} experiment")
    found = ok(admin.get("/api/search", params={"q": word.upper()}))["items"]
    assert [hit["noun"] for hit in found] == ["project", "experiment", "run"]


def test_the_log_says_who_did_what(admin: httpx.Client) -> None:
    made = ok(admin.post("/api/projects", json={"name": unique()}, headers={"x-request-id": "my-request"}), 201)
    ok(admin.delete(f"/api/projects/{made['id']}"), 204)
    found = ok(admin.get("/api/audit", params={"noun_id": made["id"], "user": "admin"}))["items"]
    assert [(entry["action"], entry["noun"]) for entry in found] == [("delete", "project"), ("create", "project")]
    assert found[1]["request_id"] == "my-request"
    since = found[1]["at"]
    assert ok(admin.get("/api/audit", params={"noun_id": made["id"], "until": since}))["items"] == []
    assert ok(admin.get("/api/audit", params={"noun_id": made["id"], "since": since}))["total"] >= 1


def test_status(admin: httpx.Client, studio: LiveStudio) -> None:
    status = ok(admin.get("/api/status"))
    assert status["database"] == ("sqlite" if studio.office.database.sqlite else "postgresql")
    assert status["serving"]["state"] == "ready"
    assert set(status["queue"]) == {"queued", "running"}


# What holds for all


@QUICK
@given(count=st.integers(1, 12), size=st.integers(1, 5), sort=st.sampled_from(["name", "-name", "created_at"]))
def test_pages_of_any_size_give_each_row_once_and_in_order(
    admin: httpx.Client, count: int, size: int, sort: str
) -> None:
    project = ok(admin.post("/api/projects", json={"name": unique()}), 201)["id"]
    names = [f"{i % 3} {uuid.uuid4().hex}" for i in range(count)]
    for name in names:
        ok(admin.post("/api/experiments", json={"project": project, "name": name}), 201)
    query = {"project": project, "limit": size, "sort": sort}
    page = ok(admin.get("/api/experiments", params=query))
    seen = [item["name"] for item in page["items"]]
    while page["next"]:
        assert len(page["items"]) == size
        page = ok(admin.get(page["next"]))
        seen += [item["name"] for item in page["items"]]
        assert page["total"] == count
    expected = names if sort == "created_at" else sorted(names, reverse=sort == "-name")
    assert seen == expected


@pytest.mark.parametrize(
    "cursor", ["x", "bm90IGpzb24", "W1sxXSwyXQ", "W3sidiI6ICJhIn0sIHt9XQ", "W3sidiI6ImEAIn0sImIiXQ"]
)
def test_cursors_that_nobody_gave_out_are_refused(admin: httpx.Client, cursor: str) -> None:
    for path in ("/api/projects?sort=name&", "/api/runs?", "/api/users?", "/api/audit?"):
        assert "cursor" in message(admin.get(f"{path}cursor={cursor}"), 400)


@QUICK
@given(name=NAMES, description=st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00")))
def test_what_is_written_is_read_again(admin: httpx.Client, name: str, description: str) -> None:
    body = {"name": name, "description": description[:4000]}
    made = ok(admin.post("/api/experiments", json=body), 201)
    found = ok(admin.get(f"/api/experiments/{made['id']}"))
    assert found == made
    assert found["description"] == body["description"]


@QUICK
@given(changes=st.lists(st.text("abc", min_size=1, max_size=5), min_size=1, max_size=5), stale=st.integers(1, 5))
def test_a_change_with_an_etag_lands_only_on_what_was_read(admin: httpx.Client, changes: list[str], stale: int) -> None:
    made = admin.post("/api/experiments", json={"name": unique()})
    path, tag = f"/api/experiments/{made.json()['id']}", made.headers["etag"]
    for text in changes:
        answer = admin.patch(path, json={"description": text}, headers={"if-match": tag})
        ok(answer)
        assert answer.headers["etag"] != tag
        tag = answer.headers["etag"]
        assert admin.get(path).headers["etag"] == tag
    before = admin.get(path)
    if f'"{stale}"' != tag:
        refused = admin.patch(path, json={"description": "late"}, headers={"if-match": f'"{stale}"'})
        assert "was changed since you read it" in message(refused, 412)
        message(admin.delete(path, headers={"if-match": f'"{stale}"'}), 412)
    assert admin.get(path).json() == before.json()
    ok(admin.delete(path, headers={"if-match": tag}), 204)


@QUICK
@given(key=st.text("abcXYZ0-9 _", min_size=1, max_size=30).filter(str.strip), repeats=st.integers(1, 3))
def test_a_repeat_makes_nothing_and_gets_the_first_answer(admin: httpx.Client, key: str, repeats: int) -> None:
    name, headers = unique(), {"idempotency-key": unique(key.strip())}
    first = admin.post("/api/experiments", json={"name": name}, headers=headers)
    for _ in range(repeats):
        again = admin.post("/api/experiments", json={"name": name}, headers=headers)
        assert (again.status_code, again.json()) == (201, first.json())
        assert again.headers["etag"] == first.headers["etag"]
    assert ok(admin.get("/api/experiments", params={"search": name}))["total"] == 1
    other = admin.post("/api/experiments", json={"name": name + "2"}, headers=headers)
    assert "with another body" in message(other, 409)


def test_a_refused_create_is_not_remembered(admin: httpx.Client) -> None:
    name, headers = unique(), {"idempotency-key": unique()}
    body = {"model": "tiny/llama", "serving_name": name}
    blocking = ok(admin.post("/api/deployments", json=body), 201)
    message(admin.post("/api/deployments", json=body, headers=headers), 409)
    ok(admin.delete(f"/api/deployments/{blocking['id']}"), 204)
    ok(admin.post("/api/deployments", json=body, headers=headers), 201)


def test_keys_of_idempotency_belong_to_one_caller(admin: httpx.Client, studio: LiveStudio) -> None:
    headers = {"idempotency-key": unique()}
    mine = ok(admin.post("/api/projects", json={"name": unique()}, headers=headers), 201)
    other = {**headers, "authorization": f"Bearer {studio.new_key(unique('user'), 'admin')}"}
    theirs = ok(httpx.post(f"{studio.url}/api/projects", json={"name": unique()}, headers=other), 201)
    assert mine["id"] != theirs["id"]


@pytest.mark.parametrize(
    "body",
    [b'{"name": "a\\u0000"}', b'{"name": "\\ud800"}', b'{"name": "a", "tags": ["\\ud800"]}', b'{"name": "a", "x": 1}'],
)
def test_text_that_no_database_holds_and_unknown_keys_are_refused(admin: httpx.Client, body: bytes) -> None:
    answer = admin.post("/api/projects", content=body, headers={"content-type": "application/json"})
    assert message(answer, 400)


@pytest.mark.parametrize("content", [b'{"x": NaN}', b'{"x": 1e999}', b'{"x": "\\udfff"}', b"[" * 60 + b"]" * 60])
def test_documents_inside_are_checked_too(admin: httpx.Client, content: bytes) -> None:
    body = b'{"name": "a", "content": {"data": ' + content + b"}}"
    answer = admin.post("/api/sessions", content=body, headers={"content-type": "application/json"})
    assert message(answer, 400)


def test_null_characters_in_addresses_are_refused(admin: httpx.Client) -> None:
    assert "null character" in message(admin.get("/api/runs/%00"), 400)
    assert "null character" in message(admin.get("/api/runs?search=%00"), 400)


def test_unknown_filters_are_refused(admin: httpx.Client) -> None:
    for path in ("projects", "spaces", "datasets", "experiments", "runs", "prompts", "deployments", "sessions"):
        assert "stat" in message(admin.get(f"/api/{path}", params={"stat": "failed"}), 400)


def test_a_body_that_is_too_large_is_refused_however_it_comes(admin: httpx.Client) -> None:
    body = b'{"name": "' + b"x" * 9_000_000 + b'"}'
    headers = {"content-type": "application/json"}
    assert "at most 8,388,608 are allowed" in message(admin.post("/api/projects", content=body, headers=headers), 413)
    pieces = (body[start : start + 2**16] for start in range(0, len(body), 2**16))
    assert "at most 8,388,608 are allowed" in message(admin.post("/api/projects", content=pieces, headers=headers), 413)
