"""What was deleted: listed for admins, brought back by whoever may delete it, purged."""

from __future__ import annotations

import uuid

import httpx

from softprompt.testing.live import LiveStudio

from .conftest import MODEL, Clients, message, ok, rows, unique


def test_a_deleted_dataset_comes_back(admin: httpx.Client) -> None:
    sent = ok(admin.post("/api/datasets", params={"name": unique()}, content=rows()), 201)
    ok(admin.delete(f"/api/datasets/{sent['id']}"), 204)
    (found,) = [item for item in ok(admin.get("/api/trash"))["items"] if item["id"] == sent["id"]]
    assert (found["noun"], found["name"]) == ("dataset", sent["name"])
    assert found["deleted_at"] < found["goes_at"]
    for _ in range(2):
        back = ok(admin.post(f"/api/trash/{sent['id']}/restore"))
        assert back == {"id": sent["id"], "noun": "dataset", "name": sent["name"]}
    assert ok(admin.get(f"/api/datasets/{sent['id']}"))["revision"] == sent["revision"] + 2
    assert sent["id"] not in [item["id"] for item in ok(admin.get("/api/trash"))["items"]]


def test_a_project_comes_back_with_what_is_in_it(admin: httpx.Client) -> None:
    project = ok(admin.post("/api/projects", json={"name": unique()}), 201)
    inside = ok(admin.post("/api/experiments", json={"project": project["id"], "name": unique()}), 201)
    ok(admin.delete(f"/api/projects/{project['id']}"), 204)
    assert "Bring that back first" in message(admin.post(f"/api/trash/{inside['id']}/restore"), 409)
    ok(admin.post(f"/api/trash/{project['id']}/restore"))
    assert ok(admin.get(f"/api/experiments/{inside['id']}"))["name"] == inside["name"]


def test_a_deployment_whose_name_is_taken_comes_back_without_it(admin: httpx.Client) -> None:
    body = {"model": MODEL, "serving_name": unique("serving")}
    gone = ok(admin.post("/api/deployments", json=body), 201)
    ok(admin.delete(f"/api/deployments/{gone['id']}"), 204)
    ok(admin.post("/api/deployments", json=body), 201)
    address = f"/api/trash/{gone['id']}/restore"
    assert "another deployment has its name by now" in message(admin.post(address), 409)
    ok(admin.post(address, json={"nameless": True}))
    assert ok(admin.get(f"/api/deployments/{gone['id']}"))["serving_name"] is None


def test_what_is_purged_is_gone(admin: httpx.Client) -> None:
    made = [ok(admin.post("/api/projects", json={"name": unique()}), 201)["id"] for _ in range(3)]
    assert "among what was deleted" in message(admin.delete(f"/api/trash/{made[0]}"), 404)
    for project in made:
        ok(admin.delete(f"/api/projects/{project}"), 204)
    ok(admin.delete(f"/api/trash/{made[0]}"), 204)
    message(admin.post(f"/api/trash/{made[0]}/restore"), 404)
    assert ok(admin.delete("/api/trash"))["purged"]["project"] >= 2
    assert ok(admin.get("/api/trash")) == {"items": [], "total": 0, "next": None, "counts": {}}
    message(admin.post(f"/api/trash/{made[1]}/restore"), 404)


def test_bringing_back_needs_the_role_that_deleting_needs(
    admin: httpx.Client, clients: Clients, studio: LiveStudio
) -> None:
    sent = ok(admin.post("/api/datasets", params={"name": unique()}, content=rows()), 201)
    ok(admin.delete(f"/api/datasets/{sent['id']}"), 204)
    reader, editor = (clients(studio.new_key(unique(), "admin", member=role)) for role in ("viewer", "editor"))
    stranger = clients(studio.new_key(unique(), "admin"))
    address = f"/api/trash/{sent['id']}"
    assert "it needs the role editor" in message(reader.post(f"{address}/restore"), 403)
    assert "nothing with the id" in message(stranger.post(f"{address}/restore"), 404)
    for forbidden in (editor.get("/api/trash"), editor.delete("/api/trash"), editor.delete(address)):
        assert "an admin of the whole studio" in message(forbidden, 403)
    ok(editor.post(f"{address}/restore"))
    assert "only a deployment" in message(admin.post(f"{address}/restore", json={"nameless": True}), 400)
    message(admin.post(f"/api/trash/{uuid.uuid4()}/restore"), 404)
