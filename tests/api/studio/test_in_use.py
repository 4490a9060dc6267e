"""Nothing in use can be deleted: every noun, with every user of it, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from softprompt.storage.tables import TunedPrompt
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import message, ok, rows, unique

MODEL = "tiny/llama"

Make = Callable[[httpx.Client, LiveStudio, dict[str, Any]], tuple[str, str]]
"""Makes a user of something; the address of what is in use, and words about the user."""


@pytest.fixture
def things(admin: httpx.Client, studio: LiveStudio) -> dict[str, Any]:
    """A project with rows and a tuned prompt in it, another project and a space."""
    made: dict[str, Any] = {
        "project": ok(admin.post("/api/projects", json={"name": unique("project")}), 201)["id"],
        "other": ok(admin.post("/api/projects", json={"name": unique("other")}), 201)["id"],
        "space": ok(admin.post("/api/spaces", json={"name": unique("space")}), 201)["id"],
    }
    for name in ("dataset", "shots"):
        query = {"name": unique(name), "project": made["project"]}
        made[name] = ok(admin.post("/api/datasets", params=query, content=rows()), 201)["id"]
    with studio.office.unit(SYSTEM) as unit:
        prompt = TunedPrompt(project_id=made["project"], name=unique("prompt"), model_id=MODEL, key="prompts/none")
        prompt.virtual_tokens = 4
        made["prompt"] = unit.rows.add(prompt).id
        made["prompt_name"] = prompt.name
    return made


def run(admin: httpx.Client, things: dict[str, Any], **config: Any) -> str:
    body = {"experiment": unique("experiment"), "model": MODEL, "dataset": things["dataset"], "config": config}
    made = ok(admin.post("/api/runs", json={**body, "project": things["project"]}), 201)
    return f"tuning run {made['name']!r}"


def evaluation(admin: httpx.Client, things: dict[str, Any], project: str, *methods: str) -> str:
    body = {"name": unique("proof"), "model": MODEL, "dataset": things["dataset"], "methods": ["zero-shot", *methods]}
    settings = {"examples_dataset": things["shots"]}
    made = ok(admin.post("/api/evaluations", json={**body, "settings": settings, "project": project}), 201)
    return f"evaluation {made['name']!r}"


def deployment(admin: httpx.Client, prompt: str, **where: str) -> str:
    made = ok(admin.post("/api/deployments", json={"prompt": prompt, "serving_name": unique("s"), **where}), 201)
    return f"deployment {made['name']!r}"


def promoted(admin: httpx.Client, things: dict[str, Any]) -> str:
    """The id of the prompt's copy in the space."""
    answer = admin.post(f"/api/prompts/{things['prompt']}/promote", json={"space": things["space"]})
    return str(ok(answer, 201)["id"])


CASES: dict[str, Make] = {
    "prompt, run that starts from it": lambda a, s, t: (
        f"/api/prompts/{t['prompt']}",
        run(a, t, init="prompt", init_prompt=t["prompt"]),
    ),
    "prompt, evaluation that asks it": lambda a, s, t: (
        f"/api/prompts/{t['prompt']}",
        evaluation(a, t, t["other"], t["prompt"]),
    ),
    "prompt, deployment": lambda a, s, t: (
        f"/api/prompts/{t['prompt']}",
        deployment(a, t["prompt"], project=t["project"]),
    ),
    "dataset, run": lambda a, s, t: (f"/api/datasets/{t['dataset']}", run(a, t)),
    "dataset, evaluation of another project": lambda a, s, t: (
        f"/api/datasets/{t['dataset']}",
        evaluation(a, t, t["other"]),
    ),
    "dataset, examples of an evaluation": lambda a, s, t: (
        f"/api/datasets/{t['shots']}",
        evaluation(a, t, t["project"]),
    ),
    "project, run": lambda a, s, t: (f"/api/projects/{t['project']}", run(a, t)),
    "project, evaluation": lambda a, s, t: (f"/api/projects/{t['project']}", evaluation(a, t, t["project"])),
    "project, evaluation elsewhere": lambda a, s, t: (
        f"/api/projects/{t['project']}",
        evaluation(a, t, t["other"]),
    ),
    "project, deployment in it": lambda a, s, t: (
        f"/api/projects/{t['project']}",
        deployment(a, t["prompt"], project=t["project"]),
    ),
    "project, deployment in another": lambda a, s, t: (
        f"/api/projects/{t['project']}",
        deployment(a, t["prompt"], project=t["other"]),
    ),
    "space, deployment in it": lambda a, s, t: (
        f"/api/spaces/{t['space']}",
        deployment(a, t["prompt"], space=t["space"]),
    ),
    "space, deployment of its copy in a project": lambda a, s, t: (
        f"/api/spaces/{t['space']}",
        deployment(a, promoted(a, t), project=t["other"]),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_in_use_stays_and_its_user_is_named(
    admin: httpx.Client, studio: LiveStudio, things: dict[str, Any], case: str
) -> None:
    address, user = CASES[case](admin, studio, things)
    told = message(admin.delete(address), 409)
    assert "cannot be deleted" in told
    assert user in told
    ok(admin.get(address))


def test_a_user_that_one_may_not_know_of_is_not_named(
    admin: httpx.Client, clients: Any, studio: LiveStudio, things: dict[str, Any]
) -> None:
    user = deployment(admin, things["prompt"], project=things["other"])
    name = unique("editor")
    key = studio.new_key(name)
    ok(admin.put(f"/api/projects/{things['project']}/members/{name}", json={"role": "editor"}))
    told = message(clients(key).delete(f"/api/prompts/{things['prompt']}"), 409)
    assert "a deployment of another project or space serves it" in told
    assert user not in told


@pytest.mark.parametrize("user", ["run", "evaluation", "deployment", "prompt"])
def test_an_added_model_stays_while_something_rests_on_it(
    admin: httpx.Client, studio: LiveStudio, things: dict[str, Any], user: str
) -> None:
    folder = studio.data_dir / unique("model")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llama", "max_position_embeddings": 64}))
    model = ok(admin.post("/api/models", json={"id": f"acme/{folder.name}", "path": str(folder)}), 201)["id"]
    body = {"model": model, "dataset": things["dataset"], "project": things["project"]}
    if user == "run":
        ok(admin.post("/api/runs", json={**body, "experiment": unique("experiment")}), 201)
    elif user == "evaluation":
        ok(admin.post("/api/evaluations", json={**body, "name": unique("proof"), "methods": ["zero-shot"]}), 201)
    elif user == "deployment":
        ok(admin.post("/api/deployments", json={"model": model, "serving_name": unique("s")}), 201)
    else:
        with studio.office.unit(SYSTEM) as unit:
            unit.rows.add(TunedPrompt(project_id=things["project"], name="P", model_id=model, key="prompts/none"))
    assert "cannot be deleted" in message(admin.delete(f"/api/models/{model}"), 409)
    ok(admin.get(f"/api/models/{model}"))


def test_the_sandbox_stays(admin: httpx.Client, studio: LiveStudio) -> None:
    assert "names no project" in message(admin.delete(f"/api/projects/{studio.project.id}"), 409)


def test_a_name_means_the_project_s_prompt_and_not_its_copy_in_a_space(
    admin: httpx.Client, things: dict[str, Any]
) -> None:
    copy = promoted(admin, things)
    body = {"prompt": things["prompt_name"], "serving_name": unique("s")}
    for where in ({}, {"project": things["project"]}):
        made = ok(admin.post("/api/deployments", json={**body, "serving_name": unique("s"), **where}), 201)
        assert (made["tuned_prompt_id"], made["project_id"]) == (things["prompt"], things["project"])
    there = ok(admin.post("/api/deployments", json={**body, "space": things["space"]}), 201)
    assert (there["tuned_prompt_id"], there["space_id"]) == (copy, things["space"])
