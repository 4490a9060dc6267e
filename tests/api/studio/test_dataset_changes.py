"""New versions and parts made of the rows of a dataset: edits, repairs with their preview, splits, older versions."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from softprompt.testing.live import LiveStudio

from .conftest import Clients, message, ok, rows, unique

MESSY = [
    {"input": "The lamp broke", "output": "Service"},
    {"input": "The lamp broke", "output": "Service"},
    {"input": "The sofa is late", "output": "Warehouse"},
    {"input": "The desk is late", "output": "warehouse"},
    {"input": "The bowl is late", "output": "Warehouse"},
    {"input": "No answer"},
]


def upload(client: httpx.Client, content: bytes, **facts: str) -> dict[str, Any]:
    return dict(ok(client.post("/api/datasets", params={"name": unique(), **facts}, content=content), 201))


def lines(pairs: list[dict[str, str]]) -> bytes:
    return "".join(json.dumps(pair) + "\n" for pair in pairs).encode()


def pairs(client: httpx.Client, dataset_id: str) -> list[tuple[str, str]]:
    found = ok(client.get(f"/api/datasets/{dataset_id}/rows", params={"limit": 500}))["items"]
    return [(row["input"], row["output"]) for row in found]


def test_an_edit_makes_a_version_with_the_rows_that_were_sent(admin: httpx.Client) -> None:
    sent = upload(admin, rows(4), description="Of April.", tag="retail")
    before = pairs(admin, sent["id"])
    body = {
        "changed": [{"number": 1, "input": "The lamp hums.", "output": "Service"}],
        "deleted": [2],
        "added": [
            {"after": -1, "input": "In front", "output": "Warehouse"},
            {"after": 2, "input": "Behind it", "output": "Service"},
        ],
    }
    headers = {"idempotency-key": unique()}
    made = ok(admin.post(f"/api/datasets/{sent['id']}/edit", json=body, headers=headers), 201)
    assert (made["version"], made["state"], made["rows"]) == (2, "ready", 5)
    assert (made["description"], made["tags"]) == ("Of April.", ["retail"])
    expected = [
        ("In front", "Warehouse"),
        before[0],
        ("The lamp hums.", "Service"),
        ("Behind it", "Service"),
        before[3],
    ]
    assert pairs(admin, made["id"]) == expected
    assert pairs(admin, sent["id"]) == before, "what is there never changes"
    again = admin.post(f"/api/datasets/{sent['id']}/edit", json=body, headers=headers)
    assert (again.json(), again.headers["idempotent-replay"]) == (made, "true")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "nothing would be different from version 1"),
        ({"deleted": [4]}, 400, "there is no row 4; the dataset has 4"),
        ({"added": [{"after": 9, "input": "a", "output": "b"}]}, 400, "there is no row 9"),
        ({"changed": [{"number": 3, "input": " ", "output": ""}]}, 422, "row 3 has no input and no output"),
        ({"changed": [{"number": 0, "input": "a", "output": "b"}] * 2}, 400, "row 0 is there 2 times"),
        ({"deleted": [0, 1, 2, 3]}, 422, "every row would be gone"),
        ({"changed": [{"number": 0}]}, 400, "changed.0.input"),
        ({"removed": [1]}, 400, "removed"),
    ],
)
def test_an_edit_that_cannot_be_saved_saves_nothing(
    admin: httpx.Client, body: dict[str, Any], status: int, words: str
) -> None:
    sent = upload(admin, rows(4))
    assert words in message(admin.post(f"/api/datasets/{sent['id']}/edit", json=body), status)
    assert ok(admin.get(f"/api/datasets/{sent['id']}/versions"))["total"] == 1


def test_a_repair_is_shown_before_it_is_made(admin: httpx.Client) -> None:
    sent = upload(admin, lines(MESSY) + rows(20))
    address = f"/api/datasets/{sent['id']}/repair"
    plan = ok(admin.get(address))
    assert plan["counts"] == {
        "repaired": 0, "refused": 1, "spellings": 1, "wrapper": 0, "duplicates": 1, "contradictions": 0,
    }  # fmt: skip
    (spelled,) = plan["examples"]["spellings"]
    assert (spelled["before"]["output"], spelled["after"]["output"]) == ("warehouse", "Warehouse")
    (refused,) = plan["examples"]["refused"]
    assert (refused["line"], refused["after"]) == (6, None)
    assert '"output"' in refused["problems"][0]
    assert [change["after"] is None for change in plan["examples"]["duplicates"]] == [False, True]
    assert ok(admin.get(address, params={"limit": 0}))["examples"]["spellings"] == []
    plain = ok(admin.post(address), 201)
    assert (plain["version"], plain["rows"], plain["state"]) == (2, 25, "ready")
    made = ok(admin.post(address, json={"steps": ["spellings", "duplicates"]}), 201)
    assert (made["version"], made["rows"]) == (3, 24)
    assert {output for _, output in pairs(admin, made["id"])} == {"Service", "Warehouse"}
    assert "steps" in message(admin.post(address, json={"steps": ["moon"]}), 400)


def test_nothing_is_made_of_a_dataset_without_rows(admin: httpx.Client) -> None:
    sent = upload(admin, lines([{"input": "No answer"}]))
    address = f"/api/datasets/{sent['id']}"
    assert "a repaired version would be empty" in message(admin.post(f"{address}/repair"), 422)
    assert "cannot be used: line 1" in message(admin.post(f"{address}/split", json={}), 422)


def test_a_split_makes_three_datasets_that_share_no_row(admin: httpx.Client) -> None:
    sent = upload(admin, rows(60))
    address, headers = f"/api/datasets/{sent['id']}/split", {"idempotency-key": unique()}
    made = ok(admin.post(address, json={"seed": 7}, headers=headers), 201)
    found = {part: set(pairs(admin, made[part]["id"])) for part in ("train", "validation", "test")}
    assert {part: len(there) for part, there in found.items()} == {"train": 42, "validation": 6, "test": 12}
    assert set.union(*found.values()) == set(pairs(admin, sent["id"]))
    assert made["test"]["name"] == f"{sent['name']} test"
    assert made["test"]["description"].endswith("version 1, seed 7.")
    assert ok(admin.post(address, json={"seed": 7}, headers=headers), 201) == made
    assert ok(admin.post(address, json={"seed": 7}), 201) == made, "the same rows are the same datasets"
    without = ok(admin.post(address, json={"validation": 0, "test": 50}), 201)
    assert (without["validation"], without["test"]["rows"], without["test"]["version"]) == (None, 30, 2)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"validation": 0, "test": 0}, "hold out between 1 and 90 in all"),
        ({"validation": 50, "test": 50}, "leave 0 for training"),
        ({"test": 0.2}, "test"),
        ({"train": 70}, "train"),
    ],
)
def test_shares_that_do_not_fit_are_refused(admin: httpx.Client, body: dict[str, Any], words: str) -> None:
    sent = upload(admin, rows(20))
    assert words in message(admin.post(f"/api/datasets/{sent['id']}/split", json=body), 400)


def test_an_older_version_comes_forward_again(admin: httpx.Client) -> None:
    name = unique()
    first, second = (upload(admin, rows(3), name=name) for _ in range(2))
    made = ok(admin.post(f"/api/datasets/{first['id']}/restore"), 201)
    assert (made["version"], made["sha256"]) == (3, first["sha256"])
    assert ok(admin.post(f"/api/datasets/{made['id']}/restore"), 201)["id"] == made["id"]
    assert second["sha256"] != made["sha256"]


def test_whoever_only_reads_makes_nothing(clients: Clients, admin: httpx.Client, studio: LiveStudio) -> None:
    sent = upload(admin, rows(20))
    reader = clients(studio.new_key(unique(), "admin", member="viewer"))
    stranger = clients(studio.new_key(unique(), "admin"))
    for word, body in {"edit": {"deleted": [0]}, "repair": {}, "split": {}, "restore": None}.items():
        address = f"/api/datasets/{sent['id']}/{word}"
        assert "it needs the role editor" in message(reader.post(address, json=body), 403)
        assert "There is no dataset" in message(stranger.post(address, json=body), 404)
    message(reader.get(f"/api/datasets/{sent['id']}/repair"), 403)
    assert list((studio.data_dir / "uploads").glob("*.part")) == []
