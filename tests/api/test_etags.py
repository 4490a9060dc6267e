"""Changes that carry an ETag, on every route that knows them: they happen only to what was read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.storage.people import User
from softprompt.storage.tables import Dataset, TunedPrompt, TuningRun
from softprompt.storage.work import Job
from softprompt.studio import deployments, experiments, memberships, people, prompt_sessions, spaces
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

from .studio.conftest import message, ok, unique

PASSWORD = {"password": "correct horse battery"}


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[LiveStudio]:
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend()) as running:
        running.add_model("tiny/llama", tiny_folder())
        yield running


@pytest.fixture(scope="module")
def http(studio: LiveStudio) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {studio.key}"}
    with httpx.Client(base_url=studio.url, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def guarded(studio: LiveStudio) -> dict[str, list[str]]:
    """By path, the methods that take `If-Match`, as the document of the interface says."""
    paths = httpx.get(f"{studio.url}/api/openapi.json", timeout=120).json()["paths"]
    found: dict[str, list[str]] = {}
    for path, methods in paths.items():
        for method, operation in methods.items():
            named = [field["name"] for field in operation.get("parameters", ())]
            if "If-Match" in named or method == "patch":
                found.setdefault(path, []).append(method)
                assert "If-Match" in named, f"{method} {path} can be changed and takes no ETag"
    return found


@pytest.fixture
def places(studio: LiveStudio) -> dict[str, str]:
    """For each of these paths the address of a thing of its own."""
    with studio.office.unit(SYSTEM) as unit:
        project = studio.project
        space = spaces.create(unit, unique("space")).id
        experiment = experiments.create(unit, project, unique("experiment")).id
        dataset = unit.rows.add(Dataset(project_id=project.id, name=unique("rows"), state="ready")).id
        about: dict[str, Any] = {"project_id": project.id, "model_id": "tiny/llama"}
        run = TuningRun(
            experiment_id=experiment, number=1, name=unique("run"), dataset_id=dataset, state="completed", **about
        )
        prompt = TunedPrompt(name=unique("prompt"), key="prompts/none", **about)
        ids = {
            "space": space, "experiment": experiment, "dataset": dataset, "project": project.id,
            "run": unit.rows.add(run).id, "prompt": unit.rows.add(prompt).id,
            "session": prompt_sessions.create(unit, project, unique("session")).id,
            "deployment": deployments.create(unit, project, unique("live"), model_id="tiny/llama").id,
        }  # fmt: skip
        job = unit.rows.add(Job(kind="tune", subject_id=ids["run"], project_id=project.id)).id
    studio.new_key(user := unique("user"), member="viewer")
    with studio.office.unit(SYSTEM) as unit:
        person = unit.rows.first(User, name=user)
        assert person is not None
        memberships.set_member(unit, unit.get(type(project), project.id), user, "viewer")
        memberships.set_member(unit, spaces.get(unit, space), user, "viewer")
    return {
        "/api/projects/{project_id}": f"/api/projects/{ids['project']}",
        "/api/projects/{project_id}/members/{user}": f"/api/projects/{ids['project']}/members/{user}",
        "/api/spaces/{space_id}": f"/api/spaces/{space}",
        "/api/spaces/{space_id}/members/{user}": f"/api/spaces/{space}/members/{user}",
        "/api/datasets/{dataset_id}": f"/api/datasets/{dataset}",
        "/api/experiments/{experiment_id}": f"/api/experiments/{experiment}",
        "/api/runs/{run_id}": f"/api/runs/{ids['run']}",
        "/api/prompts/{prompt_id}": f"/api/prompts/{ids['prompt']}",
        "/api/deployments/{deployment_id}": f"/api/deployments/{ids['deployment']}",
        "/api/sessions/{session_id}": f"/api/sessions/{ids['session']}",
        "/api/models/{model_id}": "/api/models/tiny/llama",
        "/api/jobs/{job_id}": f"/api/jobs/{job}",
        "/api/users/{user_id}": f"/api/users/{person.id}",
        "/api/users/{user_id}/disable": f"/api/users/{person.id}/disable",
        "/api/users/{user_id}/enable": f"/api/users/{person.id}/enable",
        "/api/users/{user_id}/password": f"/api/users/{person.id}/password",
        "/v2/projects/{project_id}": f"/v2/projects/{ids['project']}",
        "/transactional/v2/projects/{project_id}": f"/transactional/v2/projects/{ids['project']}",
        "/v2/spaces/{space_id}": f"/v2/spaces/{space}",
        "/ml/v4/models/{model_id}": f"/ml/v4/models/{ids['prompt']}",
        "/ml/v4/deployments/{deployment_id}": f"/ml/v4/deployments/{ids['deployment']}",
        "/wx/v1/prompts/{prompt_id}": f"/wx/v1/prompts/{ids['session']}",
    }


def change(path: str, text: str) -> Any:
    """A body that changes what is there, in the words of the wire."""
    if path.startswith(("/ml/", "/v2/spaces")):
        return [{"op": "replace", "path": "/description", "value": text}]
    if path.endswith("/{user}"):
        return {"role": "editor"}
    if path.endswith("/password"):
        return PASSWORD
    if path.startswith(("/api/jobs", "/api/users")):
        return {"priority": 1} if path.startswith("/api/jobs") else {"name": text}
    return {"mode": "freeform", "name": text} if path.startswith("/api/sessions") else {"description": text}


def asked(http: httpx.Client, method: str, address: str, body: Any, tag: str | None) -> httpx.Response:
    headers = {} if tag is None else {"if-match": tag}
    return http.request(method, address, json=None if method == "delete" else body, headers=headers)


def told(answer: httpx.Response, path: str) -> str:
    """The words of a 412 in the shape of its wire."""
    if path.startswith("/api/"):
        return message(answer, 412)
    assert answer.status_code == 412, (path, answer.text)
    assert answer.json()["status_code"] == 412
    return str(answer.json()["errors"][0]["message"])


def test_every_route_that_takes_etags_is_here(guarded: dict[str, list[str]], places: dict[str, str]) -> None:
    shown = {path.replace(":path", "") for path in guarded}
    elsewhere = {"/api/evaluations/{evaluation_id}", "/api/me", "/api/deployments/{deployment_id}/swap"}
    assert shown - set(places) == elsewhere
    assert set(places) <= shown


@pytest.mark.parametrize("stale", ['"99"', '"gone"', 'W/"1"', '"98", W/"1"', "99"])
def test_a_change_of_what_was_not_read_is_refused(
    http: httpx.Client, guarded: dict[str, list[str]], places: dict[str, str], stale: str
) -> None:
    for path, address in places.items():
        methods = next(found for known, found in guarded.items() if known.replace(":path", "") == path)
        for method in methods:
            answer = asked(http, method, address, change(path, "late"), stale)
            assert "was changed since you read it" in told(answer, path), path


def test_a_change_of_what_was_read_happens_once(
    http: httpx.Client, guarded: dict[str, list[str]], places: dict[str, str]
) -> None:
    for path, address in places.items():
        if "patch" not in guarded.get(path, ()) or path == "/api/jobs/{job_id}":  # read in a list
            continue
        tag = http.get(address).headers["etag"]
        done = asked(http, "patch", address, change(path, unique()), f'"98", {tag} ,, W/"97",')
        assert done.status_code == 200, (path, done.text)
        assert done.headers["etag"] == http.get(address).headers["etag"] != tag, path
        assert "was changed since you read it" in told(asked(http, "patch", address, change(path, unique()), tag), path)
        for any_will_do in ("*", None):
            assert asked(http, "patch", address, change(path, unique()), any_will_do).status_code == 200, path


def test_users_are_changed_as_they_were_read(http: httpx.Client, places: dict[str, str]) -> None:
    password, disable = places["/api/users/{user_id}/password"], places["/api/users/{user_id}/disable"]
    read = http.get(disable.removesuffix("/disable")).headers["etag"]
    done = http.put(password, json=PASSWORD, headers={"if-match": read})
    ok(done)
    assert done.headers["etag"] != read, "the password is part of it"
    message(http.post(disable, headers={"if-match": read}), 412)
    assert ok(http.post(disable, headers={"if-match": done.headers["etag"]}))["disabled"]
    message(http.put(password, json=PASSWORD, headers={"if-match": done.headers["etag"]}), 412)


def test_ones_own_name_is_changed_as_it_was_read(studio: LiveStudio) -> None:
    with studio.office.unit(SYSTEM) as unit:
        user = people.create_user(unit, unique("user"), **PASSWORD)
    with httpx.Client(base_url=studio.url, timeout=60) as browser:
        csrf = ok(browser.post("/api/sign-in", json={"name": user.name, **PASSWORD}))["csrf"]
        headers = {"x-csrf-token": csrf, "if-match": browser.get("/api/me").headers["etag"]}
        done = browser.patch("/api/me", json={"name": unique("name")}, headers=headers)
        ok(done)
        assert done.headers["etag"] == browser.get("/api/me").headers["etag"]
        message(browser.patch("/api/me", json={"name": unique("name")}, headers=headers), 412)


def test_the_priority_of_a_job_is_its_etag(http: httpx.Client, places: dict[str, str]) -> None:
    path = places["/api/jobs/{job_id}"]
    done = http.patch(path, json={"priority": -5}, headers={"if-match": '"0"'})
    assert (ok(done)["priority"], done.headers["etag"]) == (-5, '"-5"')
    assert "its priority is -5 now" in message(http.patch(path, json={"priority": 1}, headers={"if-match": '"0"'}), 412)
    assert ok(http.patch(path, json={"priority": 1}, headers={"if-match": '"-5"'}))["priority"] == 1


def test_the_role_of_a_member_is_its_etag(http: httpx.Client, places: dict[str, str]) -> None:
    for path in ("/api/projects/{project_id}/members/{user}", "/api/spaces/{space_id}/members/{user}"):
        changed = http.put(places[path], json={"role": "editor"}, headers={"if-match": '"viewer"'})
        assert (ok(changed)["role"], changed.headers["etag"]) == ("editor", '"editor"')
        late = http.delete(places[path], headers={"if-match": '"viewer"'})
        assert "is editor now, you had viewer" in message(late, 412)
        ok(http.delete(places[path], headers={"if-match": '"admin", "editor"'}), 204)
        assert "is none now" in message(
            http.put(places[path], json={"role": "editor"}, headers={"if-match": '"x"'}), 412
        )


def test_a_model_is_forgotten_as_it_was_read(
    http: httpx.Client, studio: LiveStudio, tiny_folder: Callable[..., Path]
) -> None:
    studio.add_model("tiny/spare", tiny_folder())
    read = http.get("/api/models/tiny/spare").headers["etag"]
    message(http.delete("/api/models/tiny/spare", headers={"if-match": '"other"'}), 412)
    ok(http.delete("/api/models/tiny/spare", headers={"if-match": read}), 204)


@pytest.mark.parametrize("header", ["", "abc", '"1', '"1" "2"', '*, "1"', "w/1", "9" * 5000 + "x"])
def test_what_is_no_list_of_etags_is_refused(http: httpx.Client, places: dict[str, str], header: str) -> None:
    for path in ("/api/experiments/{experiment_id}", "/ml/v4/models/{model_id}", "/api/users/{user_id}/password"):
        method = "put" if path.endswith("password") else "patch"
        answer = asked(http, method, places[path], change(path, "x"), header)
        assert (answer.status_code, "no list of ETags" in answer.text) == (400, True), answer.text


def test_a_tag_of_five_thousand_digits_is_one_that_nobody_gave_out(http: httpx.Client, places: dict[str, str]) -> None:
    path = "/api/experiments/{experiment_id}"
    told(asked(http, "patch", places[path], change(path, "x"), '"' + "9" * 5000 + '"'), path)
