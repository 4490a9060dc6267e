"""What is found out about rows: how long they are, which of them a test set has, what differs between versions."""

from __future__ import annotations

import json
from typing import Any

import httpx

from softprompt.testing.live import LiveStudio

from .conftest import MODEL, Clients, message, ok, unique


def upload(client: httpx.Client, pairs: list[tuple[str, str]], name: str = "") -> dict[str, Any]:
    content = "\n".join(json.dumps({"input": given, "output": wanted}) for given, wanted in pairs)
    return dict(ok(client.post("/api/datasets", params={"name": name or unique()}, content=content), 201))


def test_lengths_are_told_in_words_and_in_tokens_of_a_model(admin: httpx.Client) -> None:
    sent = upload(admin, [("one two three", "a"), ("one two", "b"), ("one " * 40, "a")])
    address = f"/api/datasets/{sent['id']}/lengths"
    words = ok(admin.get(address, params={"limit": 10}))
    assert (words["unit"], words["model_id"], words["longest"], words["over"]) == ("words", None, 40, 1)
    assert sum(bar["rows"] for bar in words["bars"]) == 3
    tokens = ok(admin.get(address, params={"model": MODEL}))
    assert (tokens["unit"], tokens["model_id"], tokens["longest"] > 40) == ("tokens", MODEL, True)
    assert tokens["p50"] <= tokens["p95"] <= tokens["longest"]
    unfetched = message(admin.get(address, params={"model": "google/flan-t5-xl"}), 404)
    assert "tokenizer of" in unfetched
    assert "no foundation model" in message(admin.get(address, params={"model": "no/model"}), 404)


def test_rows_that_a_test_set_has_too_are_found(admin: httpx.Client) -> None:
    both = ("The lamp that I bought in May hums all night", "Service")
    train = upload(admin, [both, ("The sofa is late", "Warehouse")])
    test = upload(admin, [("Nothing of the kind here", "Service"), both])
    address = f"/api/datasets/{train['id']}/leaks"
    found = ok(admin.get(address, params={"test": test["id"]}))
    assert (found["count"], len(found["items"])) == (1, 1)
    assert (found["items"][0]["row"]["number"], found["items"][0]["test_row"]["number"]) == (0, 1)
    assert ok(admin.get(address, params={"test": test["id"], "limit": 0})) == {"count": 1, "items": []}
    assert "test" in message(admin.get(address), 400)
    assert "There is no dataset" in message(admin.get(address, params={"test": "nope"}), 404)


def test_versions_are_compared(admin: httpx.Client) -> None:
    older = upload(admin, [("a b", "x"), ("c d", "x"), ("e f", "x")], name := unique())
    newer = upload(admin, [("a b", "x"), ("c d", "y"), ("g h", "x")], name)
    found = ok(admin.get(f"/api/datasets/{newer['id']}/diff", params={"older": older["id"]}))
    assert (found["same"], found["removed_count"], found["added_count"], found["changed_count"]) == (1, 1, 1, 1)
    assert (found["removed"][0]["input"], found["added"][0]["input"]) == ("e f", "g h")
    assert (found["changed"][0]["before"]["output"], found["changed"][0]["after"]["output"]) == ("x", "y")


def test_strangers_find_nothing_out(admin: httpx.Client, clients: Clients, studio: LiveStudio) -> None:
    sent, test = upload(admin, [("a b", "x")]), upload(admin, [("c d", "x")])
    reader = clients(studio.new_key(unique(), "admin", member="viewer"))
    stranger = clients(studio.new_key(unique(), "admin"))
    for question in ("lengths", f"leaks?test={test['id']}", f"diff?older={test['id']}"):
        ok(reader.get(f"/api/datasets/{sent['id']}/{question}"))
        assert "There is no dataset" in message(stranger.get(f"/api/datasets/{sent['id']}/{question}"), 404)
