"""Every route of the application, asked by nobody, by a stranger, by a reader and with a key that only reads.

What must never happen: data for those who may not see it, a change by those who may not make it, a route that the
policy does not know.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter
from fastapi.routing import APIRoute

from softprompt.api import policy
from softprompt.api.policy import POLICY
from softprompt.app import routers
from softprompt.storage import people as person_tables
from softprompt.storage import tables
from softprompt.storage.types import now
from softprompt.storage.work import Job
from softprompt.studio import deployments, experiments, memberships, people, prompt_sessions, spaces, tuned_prompts
from softprompt.studio.access import SYSTEM, Actor
from softprompt.studio.datasets import create as create_dataset
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

MARK = "zebra"
"""Stands in the name of everything that strangers must not see."""
OWN = {
    *("POST /api/projects", "POST /api/spaces", "POST /transactional/v2/projects", "POST /v2/spaces"),
    *("POST /api/keys", "POST /account/keys", "POST /api/sign-out", "POST /sign-out", "POST /home/checklist"),
}
"""What everybody may change who is signed in: things of one's own."""

QUERIES = {"search": "?q=a", "leaks": "?test=nothing", "diff": "?older=nothing"}
"""What routes want in their address, by its last word."""
WITH_ROWS = ("/file", "/rows", "/lengths", "/leaks", "/diff")
"""Routes that want files, which nothing here has."""


@dataclass(frozen=True)
class Route:
    method: str
    path: str

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def rule(self) -> str | None:
        return POLICY.get(self.name)

    @property
    def fields(self) -> list[str]:
        return re.findall(r"{(\w+)(?::\w+)?}", self.path)


def _flat(router: APIRouter) -> Iterator[APIRoute]:
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield route
        elif (inner := getattr(route, "original_router", None)) is not None:
            yield from _flat(inner)


ROUTES = [
    Route(method, route.path)
    for router in routers()
    for route in _flat(router)
    for method in sorted(route.methods - {"HEAD"})
]
GUARDED = [route for route in ROUTES if route.rule not in ("public", "signed_link", None)]


@dataclass
class Zoo:
    """One of each noun in a project and a space, and keys of people outside and inside."""

    studio: LiveStudio
    ids: dict[str, str]
    bodies: dict[str, Any]
    keys: dict[str, str]
    client: httpx.Client

    def ask(self, route: Route, key: str | None) -> httpx.Response:
        path = re.sub(r"{(\w+)(?::\w+)?}", lambda found: self.ids.get(found.group(1), "nothing"), route.path)
        path += QUERIES.get(path.rpartition("/")[2], "")
        headers = {"authorization": f"Bearer {self.keys[key]}"} if key else {}
        body = None if route.method == "GET" else self.bodies.get(route.name, {})
        return self.client.request(route.method, path, headers=headers, json=body)

    def everything(self) -> dict[str, Any]:
        """All rows of all nouns: what a request that is refused must not change."""
        nouns = [
            *(tables.Project, tables.Space, tables.FoundationModel, tables.Dataset, tables.TuningExperiment),
            *(tables.TuningRun, tables.TunedPrompt, tables.Deployment, tables.PromptSession, tables.Evaluation),
            *(person_tables.User, person_tables.ApiKey, person_tables.Membership, Job),
        ]
        with self.studio.office.unit(SYSTEM, write=False) as unit:
            return {
                f"{noun.__tablename__} {row.id}": {
                    column.key: getattr(row, column.key)
                    for column in noun.__table__.columns
                    if column.key != "last_used_at"
                }
                for noun in nouns
                for row in unit.rows.all(noun, deleted=True)
            }


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[Zoo]:
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend()) as studio:
        studio.add_model("tiny/llama", tiny_folder())
        ids = _fill(studio)
        keys = {
            "admin": studio.key,
            "stranger": studio.new_key("stranger", "admin"),
            "viewer": studio.new_key("reader", "admin", member="viewer"),
            "reading key": studio.new_key("chief", "viewer", member="admin"),
        }
        with studio.office.unit(SYSTEM) as unit:
            memberships.set_member(unit, unit.get(tables.Space, ids["space_id"]), "reader", "viewer")
            memberships.set_member(unit, unit.get(tables.Space, ids["space_id"]), "chief", "admin")
        with httpx.Client(base_url=studio.url, timeout=60) as client:
            yield Zoo(studio, ids, _bodies(studio, ids), keys, client)


def _fill(studio: LiveStudio) -> dict[str, str]:
    """One of each noun, and their ids by the names that parameters have."""
    with studio.office.unit(SYSTEM) as unit:
        admin = unit.rows.first(person_tables.User, admin=True)
        assert admin is not None
        unit.actor = Actor(user_id=admin.id, name=admin.name, admin=True)
        project = unit.get(tables.Project, studio.project.id)
        project.name = f"{MARK} project"
        space = spaces.create(unit, f"{MARK} space")
        dataset = create_dataset(unit, project, f"{MARK} rows")
        dataset.state, dataset.rows, dataset.key = "ready", 1, "datasets/none"
        dataset.report = {"labels": {MARK: 1}, "problems": []}
        experiment = experiments.create(unit, project, f"{MARK} experiment")
        run = unit.rows.add(
            tables.TuningRun(
                project_id=project.id, experiment_id=experiment.id, number=1, name=f"{MARK} (1)", state="completed",
                model_id="tiny/llama", dataset_id=dataset.id,
            )
        )  # fmt: skip
        prompt = tables.TunedPrompt(
            project_id=project.id, name=f"{MARK} prompt", key="prompts/none", model_id="tiny/llama"
        )
        unit.rows.add(prompt)
        promoted = tuned_prompts.promote(unit, prompt.id, space.id)
        deployment = deployments.create(unit, space, f"{MARK} live", serving=f"{MARK}-live", prompt_id=promoted.id)
        session = prompt_sessions.create(unit, project, f"{MARK} session", content={"text": MARK})
        evaluation = unit.rows.add(
            tables.Evaluation(
                project_id=project.id, name=f"{MARK} proof", state="completed", model_id="tiny/llama",
                dataset_id=dataset.id, report=f"# {MARK}",
            )
        )  # fmt: skip
        job = unit.rows.add(Job(kind="tune", subject_id=run.id, project_id=project.id, state="completed"))
        key = people.create_key(unit, f"{MARK} key")[0]
        return {
            "project_id": project.id, "space_id": space.id, "dataset_id": dataset.id, "asset_id": dataset.id,
            "deleted_id": dataset.id,
            "experiment_id": experiment.id, "run_id": run.id, "training_id": run.id, "prompt_id": prompt.id,
            "deployment_id": deployment.id, "deployment": deployment.id, "session_id": session.id,
            "container_id": project.id, "job_id": job.id, "name": "softprompt-20260102-030405.zip",
            "evaluation_id": evaluation.id, "key_id": key.id, "user_id": admin.id, "user": "reader",
            "model_id": f"{MARK}-live", "serving": f"{MARK}-live",
        }  # fmt: skip


def _bodies(studio: LiveStudio, ids: dict[str, str]) -> dict[str, Any]:
    """For each route that takes JSON the example of its documentation, and better ones where things are named."""
    schema = httpx.get(f"{studio.url}/api/openapi.json", timeout=120).json()
    found: dict[str, Any] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            model = content.get("schema", {}).get("$ref", "").split("/")[-1]
            shape = schema["components"]["schemas"].get(model, {})
            examples = (
                shape.get("examples") or [shape["example"]] if "example" in shape or shape.get("examples") else []
            )
            for example in examples[:1]:
                found[f"{method.upper()} {path}"] = example
    answered = {"deployment": ids["deployment"], "input": "Hello"}
    project, space = ids["project_id"], ids["space_id"]
    named = {"project": project, "model": "tiny/llama", "dataset": ids["dataset_id"]}
    found |= {
        "POST /api/generate": answered,
        "POST /api/generate/stream": answered,
        "POST /api/tokenize": answered,
        "POST /v1/completions": {"model": ids["serving"], "prompt": "Hello"},
        "POST /v1/chat/completions": {"model": ids["serving"], "messages": [{"role": "user", "content": "Hello"}]},
        "POST /api/runs": {**named, "experiment": "Mine"},
        "POST /api/runs/check": {**named, "experiment": "Mine"},
        "POST /api/runs/measure": {**named, "experiment": "Mine"},
        "POST /api/evaluations": {**named, "name": "Mine", "methods": ["baseline"]},
        "POST /api/deployments": {"prompt": ids["prompt_id"], "space": space, "serving_name": "mine"},
        "POST /api/sessions": {"project": project, "name": "Mine"},
        "POST /api/experiments": {"project": project, "name": "Mine"},
        "POST /api/prompts/{prompt_id}/promote": {"space": space},
        "POST /projects/api/rest/catalogs/assets/{asset_id}/promote": {"spaceId": space},
    }
    return found


def test_the_policy_knows_every_route_and_no_other() -> None:
    known = {route.name for route in ROUTES} | {"GET /api/openapi.json"}
    assert {route.name for route in ROUTES if route.rule is None} == set()
    assert set(POLICY) - known == set()


def test_no_rule_is_written_twice() -> None:
    source = Path(policy.__file__).read_text(encoding="utf-8")
    lines = re.findall(r"^(?:public|signed_\w+|viewer|editor|admin|studio_admin) +(\S+) +(/\S*)$", source, re.MULTILINE)
    rules = [f"{method} {path}" for methods, path in lines for method in methods.split(",")]
    assert sorted(rules) == sorted(set(rules))
    assert set(rules) == set(POLICY)


def test_every_parameter_of_a_route_has_a_value_here(zoo: Zoo) -> None:
    unknown = {field for route in GUARDED for field in route.fields} - set(zoo.ids)
    assert unknown <= {"attachment_id", "asset_type", "path", "token"}


def test_nobody_gets_nothing(zoo: Zoo) -> None:
    before = zoo.everything()
    wrong = {}
    for route in GUARDED:
        answer = zoo.ask(route, None)
        if answer.status_code != 401 or MARK in answer.text:
            wrong[route.name] = (answer.status_code, answer.text[:200])
    assert not wrong, json.dumps(wrong, indent=1)
    assert zoo.everything() == before


def test_public_routes_tell_nothing(zoo: Zoo) -> None:
    before = zoo.everything()
    for route in ROUTES:
        if route.rule in ("public", "signed_link"):
            answer = zoo.ask(route, None)
            assert answer.status_code < 500 or route.path == "/readyz", route.name
            assert MARK not in answer.text, route.name
    assert zoo.everything() == before


def test_a_stranger_sees_and_changes_nothing(zoo: Zoo) -> None:
    before = zoo.everything()
    wrong = {}
    for route in GUARDED:
        if route.name in OWN:
            continue
        answer = zoo.ask(route, "stranger")
        ours = route.path.startswith(("/api/", "/v1/"))
        found = (
            answer.status_code < 400 and any(field in zoo.ids for field in route.fields) and route.rule != "signed_in"
        )
        odd = ours and answer.status_code >= 400 and answer.status_code not in (403, 404)
        told = answer.text.replace(zoo.ids["serving"], "")  # messages repeat what was asked for
        if MARK in told or found or answer.status_code >= 500 or (odd and not _upload(route)):
            wrong[route.name] = (answer.status_code, answer.text[:200])
    assert not wrong, json.dumps(wrong, indent=1)
    assert zoo.everything() == before


def test_a_stranger_cannot_tell_what_is_there_from_what_is_not(zoo: Zoo) -> None:
    differ, places = {}, list(_there(zoo))
    for route in GUARDED:
        if route.rule in ("signed_in", "studio_admin") or not set(route.fields) & set(zoo.ids):
            continue
        told = [_told(zoo, route, ids) for ids in places]
        if len(set(told)) > 1:
            differ[route.name] = told
    assert not differ, json.dumps(differ, indent=1)


def _there(zoo: Zoo) -> Iterator[dict[str, str]]:
    """Nothing, then everything, then one kind after the other for what has no kind in its name."""
    nothing = dict.fromkeys(zoo.ids, str(uuid.uuid4()))
    yield nothing
    yield zoo.ids
    with zoo.studio.office.unit(SYSTEM) as unit:
        run = unit.get(tables.TuningRun, zoo.ids["run_id"])
        values = {"project_id": run.project_id, "experiment_id": run.experiment_id, "model_id": run.model_id}
        gone = tables.TuningRun(
            number=2, name=f"{MARK} (2)", state="canceled", dataset_id=run.dataset_id, deleted_at=now(), **values
        )
        deleted = unit.rows.add(gone).id
    for asset in (zoo.ids["prompt_id"], zoo.ids["session_id"], zoo.ids["run_id"], deleted):
        yield {**nothing, "asset_id": asset, "prompt_id": asset, "model_id": asset}


def _told(zoo: Zoo, route: Route, ids: dict[str, str]) -> str:
    answer = replace(zoo, ids=ids).ask(route, "stranger")
    text = answer.text.replace(answer.headers["x-request-id"], "")
    for word in sorted({*ids.values(), *zoo.ids.values()}, key=len, reverse=True):  # bodies name them as well
        text = text.replace(word, "ID")
    return f"{answer.status_code} {text}"


def test_a_reader_changes_nothing(zoo: Zoo) -> None:
    before = zoo.everything()
    wrong = {}
    for route in GUARDED:
        if route.name in OWN or route.rule not in ("editor", "admin", "studio_admin"):
            continue
        answer = zoo.ask(route, "viewer")
        refused = [403] if route.path.startswith("/api/") else range(400, 500)
        if answer.status_code not in refused:
            wrong[route.name] = (answer.status_code, answer.text[:200])
    assert not wrong, json.dumps(wrong, indent=1)
    assert zoo.everything() == before


def test_a_key_that_only_reads_changes_nothing_although_its_user_is_an_admin(zoo: Zoo) -> None:
    before = zoo.everything()
    wrong = {}
    for route in GUARDED:
        if route.rule in ("editor", "admin", "studio_admin"):
            answer = zoo.ask(route, "reading key")
            if answer.status_code != 403:
                wrong[route.name] = (answer.status_code, answer.text[:200])
    assert not wrong, json.dumps(wrong, indent=1)
    assert zoo.everything() == before


def test_a_reader_reads(zoo: Zoo) -> None:
    """The walks above would pass on a studio that answers nobody."""
    missing = []
    for route in GUARDED:
        if route.method == "GET" and route.rule == "viewer" and route.path.startswith("/api/"):
            answer = zoo.ask(route, "viewer")
            gone = answer.status_code in (404, 409) and route.path.endswith(WITH_ROWS)
            if answer.status_code != 200 and not gone:
                missing.append((route.name, answer.status_code, answer.text[:200]))
    assert missing == []


def test_documents_that_do_not_fit_are_not_read_for_strangers(zoo: Zoo) -> None:
    answer = httpx.post(f"{zoo.studio.url}/api/projects", json={"name": 1})
    assert answer.status_code == 401
    assert json.loads(answer.text)["error"]["code"] == "unauthenticated"


def _upload(route: Route) -> bool:
    """Routes that look at their query first."""
    return route.path in ("/api/datasets", "/api/prompts/import")


def test_nobody_hears_through_a_web_socket(zoo: Zoo) -> None:
    from starlette.routing import WebSocketRoute
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    paths = [route.path for router in routers() for route in router.routes if isinstance(route, WebSocketRoute)]
    for path in paths:
        address = zoo.studio.url.replace("http", "ws") + re.sub(r"{(\w+)}", lambda found: zoo.ids[found.group(1)], path)
        with pytest.raises(InvalidStatus, match="403"), connect(address):
            pass
