"""Every route of the application, a studio with one of each noun, and for each route what a valid request holds.

What the walks of `test_policy` send, and where the search of `studio/test_openapi` has its ids from.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from fastapi import APIRouter
from fastapi.routing import APIRoute

from softprompt.api.errors import is_page
from softprompt.api.policy import POLICY
from softprompt.app import routers
from softprompt.jobs import events
from softprompt.storage import people as person_tables
from softprompt.storage import tables
from softprompt.storage.types import new_id, now
from softprompt.storage.work import Job
from softprompt.studio import (
    datasets,
    deployments,
    experiments,
    lab_history,
    memberships,
    people,
    prompt_sessions,
    spaces,
)
from softprompt.studio import tuned_prompts as prompts
from softprompt.studio.access import SYSTEM, Actor
from softprompt.studio.lab import LabPage
from softprompt.testing.live import LiveStudio

MARK = "zebra"
"""Stands in the name of everything that strangers must not see."""
MODEL = "tiny/llama"
BACKUP = "softprompt-20260102-030405.zip"
ROWS = b'{"input": "a", "output": "b"}\n' * 12
WRITES = ("editor", "admin", "studio_admin")
NOUNS = [
    *(tables.Project, tables.Space, tables.FoundationModel, tables.Dataset, tables.TuningExperiment),
    *(tables.TuningRun, tables.TunedPrompt, tables.Deployment, tables.PromptSession, tables.Evaluation),
    *(person_tables.User, person_tables.ApiKey, person_tables.Membership, Job),
]


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

    @property
    def page(self) -> bool:
        return is_page(self.path)


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


@dataclass(frozen=True)
class Sent:
    """What a valid request of a route holds, beside the ids in its address.

    Attributes:
        kind: content type of `content`.
        ids: for a parameter of the address the name under which the zoo has its id, where the two differ.
    """

    json: Any = None
    form: Mapping[str, str] | None = None
    content: bytes | None = None
    kind: str = ""
    query: Mapping[str, str] = field(default_factory=dict)
    ids: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Zoo:
    """One of each noun in a project and a space, and keys of people outside and inside."""

    studio: LiveStudio
    ids: dict[str, str]
    sent: dict[str, Sent]
    keys: dict[str, str]
    client: httpx.Client

    def ask(self, route: Route, key: str | None, sent: Sent | None = None) -> httpx.Response:
        """A request with what is valid, or with something else."""
        sent = sent or self.sent.get(route.name, Sent(json={}))
        ids = {**self.ids, **{name: self.ids[known] for name, known in sent.ids.items()}}
        path = re.sub(r"{(\w+)(?::\w+)?}", lambda found: ids[found.group(1)], route.path)
        headers = {"authorization": f"Bearer {self.keys[key]}"} if key else {}
        headers |= {"content-type": sent.kind} if sent.kind else {}
        given: dict[str, Any] = {}
        if route.method != "GET":
            given = {"json": sent.json, "data": sent.form, "content": sent.content}
        return self.client.request(route.method, path, headers=headers, params=sent.query, **given)

    def everything(self) -> dict[str, Any]:
        """All rows of all nouns: what a request that is refused must not change."""
        with self.studio.office.unit(SYSTEM, write=False) as unit:
            return {
                f"{noun.__tablename__} {row.id}": {
                    column.key: getattr(row, column.key)
                    for column in noun.__table__.columns
                    if column.key != "last_used_at"
                }
                for noun in NOUNS
                for row in unit.rows.all(noun, deleted=True)
            }

    def revive(self) -> None:
        """Bring back what was deleted, and delete what was brought back, so that the next route meets it."""
        with self.studio.office.unit(SYSTEM) as unit:
            for noun in NOUNS:
                for row in unit.rows.all(noun, deleted=True):
                    if row.id == self.ids["deleted_id"]:
                        row.deleted_at = row.deleted_at or now()
                    elif getattr(row, "deleted_at", None) is not None:
                        row.deleted_at = None


def zoo_of(studio: LiveStudio, client: httpx.Client, model: Path) -> Zoo:
    """Fill a studio; `model` is the folder of a tiny one."""
    studio.add_model(MODEL, model)
    ids = _fill(studio)
    keys = {"admin": studio.key, "stranger": studio.new_key("stranger", "admin")}
    people_inside = (("viewer", "reader"), ("editor", "writer"), ("owner", "owner"), ("reading key", "chief"))
    for key, user in people_inside:
        keys[key] = studio.new_key(user, "viewer" if key == "reading key" else "admin", member="editor")
    ids["token"] = _upload(client, keys["viewer"])
    with studio.office.unit(SYSTEM) as unit:
        inside = [unit.get(tables.Space, ids[name]) for name in ("space_id", "other_space")]
        for container in (unit.get(tables.Project, ids["project_id"]), *inside):
            memberships.set_member(unit, container, "owner", "admin")
            memberships.set_member(unit, container, "chief", "admin")
            memberships.set_member(unit, container, "writer", "editor")
            memberships.set_member(unit, container, "reader", "viewer")
    return Zoo(studio, ids, _sent(studio, ids, model), keys, client)


def _upload(client: httpx.Client, key: str) -> str:
    """A file that its sender began to send, before they lost the role to do so."""
    headers = {"authorization": f"Bearer {key}"}
    token = client.post("/data/uploads", params={"size": len(ROWS)}, headers=headers).raise_for_status().json()["token"]
    client.put(f"/data/uploads/{token}", params={"at": "0"}, content=ROWS, headers=headers).raise_for_status()
    return str(token)


def _fill(studio: LiveStudio) -> dict[str, str]:
    """One of each noun, and their ids by the names that parameters have."""
    folder = studio.data_dir / "given"
    folder.mkdir()
    file = folder / "rows.jsonl"
    rows = [{"input": f"{MARK} {number}", "output": MARK} for number in range(12)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = datasets.examine(file, most_rows=1000)
    datasets.keep(studio.office.store, found)
    with studio.office.unit(SYSTEM) as unit:
        admin = unit.rows.first(person_tables.User, admin=True)
        assert admin is not None
        unit.actor = Actor(user_id=admin.id, name=admin.name, admin=True)
        project = unit.get(tables.Project, studio.project.id)
        project.name = f"{MARK} project"
        space, other = (spaces.create(unit, f"{MARK} {word}") for word in ("space", "other space"))
        dataset = datasets.create(unit, project, f"{MARK} rows", found)
        dataset.attachment_id = new_id()
        experiment = experiments.create(unit, project, f"{MARK} experiment")
        experiment.runs_made = 1
        run = unit.rows.add(
            tables.TuningRun(
                project_id=project.id, experiment_id=experiment.id, number=1, name=f"{MARK} (1)", state="completed",
                model_id=MODEL, dataset_id=dataset.id,
            )
        )  # fmt: skip
        events.tell(unit.rows, run.id, "Note", {"text": MARK})
        prompt = tables.TunedPrompt(project_id=project.id, name=f"{MARK} prompt", key="prompts/none", model_id=MODEL)
        unit.rows.add(prompt)
        unit.store.put_folder(prompt.key, folder)
        run.tuned_prompt_id = prompt.id
        promoted = prompts.promote(unit, prompt.id, space.id)
        deployment = deployments.create(unit, space, f"{MARK} live", serving=f"{MARK}-live", prompt_id=promoted.id)
        session = prompt_sessions.create(unit, project, f"{MARK} session", model_id=MODEL, content={"text": MARK})
        gone = prompt_sessions.create(unit, project, f"{MARK} of yesterday")
        prompt_sessions.delete(unit, gone.id)
        said = [{"name": "zero-shot", "exact": 1.0, "answers": [{"input": MARK, "output": MARK}]}]
        results = {"task": "classification", "rows": 1, "right": [MARK], "methods": said}
        evaluation = unit.rows.add(
            tables.Evaluation(
                project_id=project.id, name=f"{MARK} proof", state="completed", model_id=MODEL,
                dataset_id=dataset.id, report=f"# {MARK}", results=results,
            )
        )  # fmt: skip
        counted = {"way": "text", "instruction": False, "input_tokens": 1, "virtual_tokens": 1, "generated_tokens": 1}
        run.test_dataset_id = dataset.id
        run.results = {
            "ledger": {"rows": 1, "context": 9, "instruction": MARK, "lines": [counted]},
            "test": {**results, "evaluation_id": evaluation.id},
        }
        unit.rows.add(Job(kind="evaluate", subject_id=evaluation.id, project_id=project.id, state="completed"))
        job = unit.rows.add(Job(kind="tune", subject_id=run.id, project_id=project.id, state="completed"))
        asked = lab_history.begin(unit, project, LabPage(text=MARK), session.id)
        _backup(studio)
        key = people.create_key(unit, f"{MARK} key")[0]
        guest = people.create_user(unit, f"{MARK} guest")
        return {
            "project_id": project.id, "space_id": space.id, "dataset_id": dataset.id, "asset_id": dataset.id,
            "experiment_id": experiment.id, "run_id": run.id, "training_id": run.id, "prompt_id": prompt.id,
            "deployment_id": deployment.id, "deployment": deployment.id, "session_id": session.id,
            "container_id": project.id, "job_id": job.id, "name": BACKUP,
            "evaluation_id": evaluation.id, "key_id": key.id, "user_id": guest.id, "user": "reader",
            "model_id": f"{MARK}-live", "serving": f"{MARK}-live", "attachment_id": dataset.attachment_id,
            "asset_type": "data_asset", "path": f"wx_prompt_tune/{run.id}/training.log",
            "deleted_id": gone.id, "generation_id": asked.id, "own_model": "mine/llama", "other_space": other.id,
        }  # fmt: skip


def _backup(studio: LiveStudio) -> None:
    folder = studio.data_dir / "backups"
    folder.mkdir()
    (folder / BACKUP).write_text(MARK, encoding="utf-8")


def _sent(studio: LiveStudio, ids: dict[str, str], folder: Path) -> dict[str, Sent]:
    """For each route that takes JSON the example of its documentation, and better ones where things are named."""
    found = {name: Sent(json=example) for name, example in _examples(studio).items()}
    drawn = {"stop": ["x"], "seed": 1, "temperature": 0.5, "logprobs": 1, "softprompt": {"variables": {"x": "y"}}}
    answered = {"deployment": ids["deployment"], "input": "Hello"}
    asked = {"tries": [{"input": "Hello"}], "columns": [{"subject": f"deployment:{ids['deployment']}"}]}
    project, space = ids["project_id"], ids["space_id"]
    named = {"project": project, "model": MODEL, "dataset": ids["dataset_id"]}
    bodies = {
        "POST /api/generate": answered,
        "POST /api/generate/stream": answered,
        "POST /api/tokenize": answered,
        "POST /v1/completions": {"model": ids["serving"], "prompt": "Hello", **drawn},
        "POST /v1/chat/completions": {
            "model": ids["serving"],
            "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
            **drawn,
            "logprobs": True,
            "top_logprobs": 1,
        },
        **{f"POST /api/runs{end}": {**named, "experiment": "Mine"} for end in ("", "/check", "/measure")},
        "POST /api/evaluations": {**named, "name": "Mine", "methods": ["zero-shot"]},
        "POST /api/deployments": {"prompt": ids["prompt_id"], "space": space, "serving_name": "mine"},
        "PATCH /api/deployments/{deployment_id}": {"name": "Mine"},
        "POST /api/deployments/{deployment_id}/promote": {"space": ids["other_space"], "serving_name": "too"},
        "POST /api/deployments/{deployment_id}/swap": {"prompt": ids["prompt_id"]},
        "POST /api/sessions": {"project": project, "name": "Mine"},
        "POST /api/lab/generate": {"project": project, **asked},
        "POST /api/lab/code": {"project": project, **asked},
        "POST /api/experiments": {"project": project, "name": "Mine"},
        "POST /api/prompts/{prompt_id}/promote": {"space": space},
        "POST /api/pulls": {"model": "no/such"},
        "POST /api/models": {"id": "mine/llama", "path": str(folder)},
    }
    found |= {name: Sent(json=body) for name, body in bodies.items()}
    here = {"project": project, "name": "Mine"}
    found["GET /api/datasets/{dataset_id}/leaks"] = Sent(query={"test": ids["dataset_id"]})
    found["GET /api/datasets/{dataset_id}/diff"] = Sent(query={"older": ids["dataset_id"]})
    found["GET /api/search"] = Sent(query={"q": "a"})
    found["GET /api/serving-names"] = Sent(query={"name": "mine"})
    found |= {f"GET /api/comparisons{end}": Sent(query={"run": ids["run_id"]}) for end in ("", "/answers")}
    found["DELETE /api/models/{model_id:path}"] = Sent(ids={"model_id": "own_model"})
    found["POST /api/datasets"] = Sent(content=ROWS, query=here)
    found["POST /api/prompts/import"] = Sent(content=b"PK", query={**here, "model": MODEL, "template": "{{input}}"})
    return found | _watsonx(ids) | _pages(ids)


def _examples(studio: LiveStudio) -> dict[str, Any]:
    schema = httpx.get(f"{studio.url}/api/openapi.json", timeout=120).json()
    found: dict[str, Any] = {}
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            model = content.get("schema", {}).get("$ref", "").split("/")[-1]
            shape = schema["components"]["schemas"].get(model, {})
            examples = shape.get("examples") or ([shape["example"]] if "example" in shape else [])
            if examples:
                found[f"{method.upper()} {path}"] = examples[0]
    return found


def _watsonx(ids: dict[str, str]) -> dict[str, Sent]:
    """Bodies in the words of IBM's client; what they name is in the project."""
    project, where = ids["project_id"], {"project_id": ids["project_id"]}
    renamed = [{"op": "replace", "path": "/name", "value": "Mine"}]
    prompt, session = {"model_id": "prompt_id"}, {"prompt_id": "session_id"}
    chat: dict[str, Any] = {"model_id": MODEL, "messages": [{"role": "user", "content": "Hello"}], **where}
    options = {"generated_tokens": True, "top_n_tokens": 1}
    parameters = {"max_new_tokens": 2, "stop_sequences": ["x"], "return_options": options}
    text = {"model_id": MODEL, "input": "Hello", "parameters": parameters, **where}
    online, asset = {"parameters": {"serving_name": "wire"}}, {"id": ids["prompt_id"]}
    about = {"data_asset": {"mime_type": "application/json"}}
    words = {"instruction": "Sort {x}.", "examples": [["a", "b"]]}
    template = {"name": "Mine", "prompt_variables": {"x": {"default_value": "y"}}}
    template["prompt"] = {"model_id": MODEL, "input": [["Hello {x}", ""]], "data": words}
    data = [{"type": "data_asset", "location": {"id": ids["dataset_id"]}}]
    tuning = {"base_model": {"model_id": MODEL}, "task_id": "classification", "num_epochs": 1}
    found = {
        "PATCH /v2/projects/{project_id}": Sent(json={"description": "Mine"}),
        "PATCH /v2/spaces/{space_id}": Sent(json=[{"op": "replace", "path": "/description", "value": "Mine"}]),
        "POST /projects/api/rest/catalogs/assets/{asset_id}/promote": Sent(
            json={"spaceId": ids["space_id"], "projectId": project}, ids={"asset_id": "prompt_id"}
        ),
        "POST /v2/assets": Sent(json={"metadata": {"name": "Mine"}, "entity": about}, query=where),
        "POST /v2/assets/{asset_id}/attachments": Sent(json={"name": "mine.json"}),
        "POST /v2/asset_types/{asset_type}/search": Sent(json={"query": "*:*"}, query=where),
        "POST /ml/v4/trainings": Sent(
            json={"name": "Mine", **where, "training_data_references": data, "prompt_tuning": tuning}
        ),
        "DELETE /ml/v4/trainings/{training_id}": Sent(query={"hard_delete": "true"}),
        "POST /ml/v4/models": Sent(json={"name": "Mine", **where, "training_id": ids["run_id"]}),
        "GET /ml/v4/models/{model_id}": Sent(ids=prompt),
        "PATCH /ml/v4/models/{model_id}": Sent(json=renamed, ids=prompt),
        "POST /ml/v4/deployments": Sent(json={"name": "M", "online": online, "asset": asset, **where}),
        "PATCH /ml/v4/deployments/{deployment_id}": Sent(json=renamed),
        "POST /wx/v1/prompts": Sent(json=template, query=where),
        "GET /wx/v1/prompts/{prompt_id}": Sent(ids=session),
        "PATCH /wx/v1/prompts/{prompt_id}": Sent(json={**template, "name": "Changed"}, ids=session),
        "DELETE /wx/v1/prompts/{prompt_id}": Sent(ids=session),
        "GET /wx/v1/prompts/{prompt_id}/lock": Sent(ids=session),
        "PUT /wx/v1/prompts/{prompt_id}/lock": Sent(json={"locked": False}, ids=session),
        "POST /wx/v1/prompts/{prompt_id}/input": Sent(json={}, ids=session),
        "POST /wx/v1/prompts/{prompt_id}/chat_items": Sent(
            json=[{"type": "question", "content": "Hello"}], ids=session
        ),
        "POST /ml/v1/text/tokenization": Sent(json=text),
    }
    for way in ("", "_stream"):
        found[f"POST /ml/v1/text/generation{way}"] = Sent(json=text)
        found[f"POST /ml/v1/text/chat{way}"] = Sent(json=chat)
        found[f"POST /ml/v1/deployments/{{deployment}}/text/generation{way}"] = Sent(
            json={"input": "Hello", "parameters": parameters}
        )
        found[f"POST /ml/v1/deployments/{{deployment}}/text/chat{way}"] = Sent(json={"messages": chat["messages"]})
    return found


def _pages(ids: dict[str, str]) -> dict[str, Sent]:
    """Forms without which a page looks at nothing else; all others are refused before they are read."""
    whole = str(len(ROWS))
    return {
        "POST /data/{dataset_id}/leaks": Sent(form={"test": ids["dataset_id"]}),
        "POST /data": Sent(form={"name": "Mine", "pasted": ROWS.decode()}),
        "POST /data/new": Sent(form={"name": "Mine", "new_input": "a", "new_output": "b"}),
        "POST /data/uploads": Sent(query={"size": whole}),
        "PUT /data/uploads/{token}": Sent(query={"at": whole}, content=b""),
        "POST /data/uploads/{token}": Sent(query={"size": whole, "name": "Mine"}),
        "POST /spaces/new": Sent(form={"name": "Another of mine"}),
    }
