"""Uploads: what comes in well, and every way in which one can go wrong and leave nothing behind."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from softprompt.config import Limits
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio, wait_until

from .conftest import Clients, message, ok, rows, unique

SMALL = Limits(upload_bytes=60_000, rows=100)


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStudio]:
    """A studio that takes little."""
    with live_studio(tmp_path_factory.mktemp("narrow"), EchoBackend(), limits=SMALL) as running:
        yield running


@pytest.fixture
def tight(narrow: LiveStudio) -> Iterator[httpx.Client]:
    headers = {"authorization": f"Bearer {narrow.key}"}
    with httpx.Client(base_url=narrow.url, headers=headers, timeout=30) as client:
        yield client


def left(studio: LiveStudio) -> list[Path]:
    folder = studio.data_dir / "uploads"
    return list(folder.iterdir()) if folder.exists() else []


def datasets(client: httpx.Client) -> int:
    return int(ok(client.get("/api/datasets"))["total"])


def test_a_raw_body_and_a_form_are_the_same_file(admin: httpx.Client, studio: LiveStudio) -> None:
    body, name = rows(), unique()
    raw = ok(admin.post("/api/datasets", params={"name": name, "tag": ["a", "b"]}, content=body), 201)
    form = ok(admin.post("/api/datasets", params={"name": name}, files={"file": ("april.jsonl", body)}), 201)
    assert form["id"] == raw["id"], "the same bytes under the same name are one dataset"
    assert (raw["state"], raw["rows"], raw["version"], raw["tags"]) == ("ready", 60, 1, ["a", "b"])
    assert admin.get(f"/api/datasets/{raw['id']}/file").content == body
    assert left(studio) == []


def test_a_form_gives_its_file_name_and_a_field_beside_it_is_left_alone(admin: httpx.Client) -> None:
    files = {"file": (r"C:\data\april.csv", b"input,output\nlamp,Service\n", "text/csv")}
    sent = ok(admin.post("/api/datasets", files=files, data={"note": "x" * 100}), 201)
    assert (sent["name"], sent["file_name"], sent["media_type"]) == ("april", "april.csv", "text/csv")
    assert sent["rows"] == 1


def test_other_bytes_under_a_name_are_its_next_version(admin: httpx.Client) -> None:
    name = unique()
    first, second = (ok(admin.post("/api/datasets", params={"name": name}, content=rows()), 201) for _ in range(2))
    assert (first["version"], second["version"]) == (1, 2)
    found = ok(admin.get(f"/api/datasets/{first['id']}/versions"))["items"]
    assert [item["version"] for item in found] == [2, 1]


def test_rows_are_paged_and_searched(admin: httpx.Client) -> None:
    sent = ok(admin.post("/api/datasets", params={"name": unique()}, content=rows(70)), 201)
    page = ok(admin.get(f"/api/datasets/{sent['id']}/rows", params={"limit": 50}))
    rest = ok(admin.get(page["next"]))
    assert [row["number"] for row in page["items"] + rest["items"]] == list(range(70))
    assert rest["next"] is None
    found = ok(admin.get(f"/api/datasets/{sent['id']}/rows", params={"search": "SERVICE", "limit": 500}))
    assert {row["output"] for row in found["items"]} == {"Service"}


def test_broken_rows_are_kept_apart_and_a_repair_makes_a_version_without_them(admin: httpx.Client) -> None:
    broken = rows(3) + b'{"input": "no output"}\n' + b'{"input": "a", "output": "b",}\n'
    sent = ok(admin.post("/api/datasets", params={"name": unique()}, content=broken), 201)
    assert sent["state"] == "invalid"
    report = ok(admin.get(f"/api/datasets/{sent['id']}/report"))
    assert report["refused"] == 1
    assert str(admin.base_url.host) not in report["path"]
    assert "/" not in report["path"], "the place where the file lay is nobody's business"
    run = {"experiment": unique(), "model": "tiny/llama", "dataset": sent["id"]}
    assert "line 4" in message(admin.post("/api/runs", json=run), 422)
    fixed = ok(admin.post(f"/api/datasets/{sent['id']}/repair"), 201)
    assert (fixed["state"], fixed["version"], fixed["rows"]) == ("ready", 2, 4)


def test_nothing_is_left_of_an_empty_file(tight: httpx.Client, narrow: LiveStudio) -> None:
    before = datasets(tight)
    assert "The file is empty" in message(tight.post("/api/datasets", content=b""), 422)
    assert "The file is empty" in message(tight.post("/api/datasets", files={"file": ("a", b"")}), 422)
    assert (datasets(tight), left(narrow)) == (before, [])


def test_too_many_bytes_are_refused_by_their_announcement_and_by_their_count(
    tight: httpx.Client, narrow: LiveStudio
) -> None:
    before = datasets(tight)
    large = rows(2000)
    assert "at most 60,000 are allowed" in message(tight.post("/api/datasets", content=large), 413)
    assert "at most 60,000 are allowed" in message(tight.post("/api/datasets", content=_unannounced(large)), 413)
    assert (datasets(tight), left(narrow)) == (before, [])


def test_too_many_rows_are_refused(tight: httpx.Client, narrow: LiveStudio) -> None:
    before = datasets(tight)
    text = message(tight.post("/api/datasets", content=rows(101)), 413)
    assert text == "The file has 101 rows; at most 100 are allowed here."
    assert (datasets(tight), left(narrow)) == (before, [])


def test_a_client_that_hangs_up_in_the_middle_leaves_nothing(narrow: LiveStudio, tight: httpx.Client) -> None:
    before = datasets(tight)
    address = urlsplit(narrow.url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        head = (
            f"POST /api/datasets?name=half HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {narrow.key}\r\n"
            "Content-Length: 50000\r\n\r\n"
        )
        connection.sendall(head.encode() + rows(10))
        wait_until(lambda: left(narrow) != [], "the upload does not begin")
    wait_until(lambda: left(narrow) == [], "the half file is still there")
    assert datasets(tight) == before


@pytest.mark.parametrize(
    ("content_type", "body", "words"),
    [
        ("multipart/form-data", b"--x\r\n", "needs its boundary"),
        ("multipart/form-data; boundary=x", b"no form at all", "cannot be read"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\nb\r\n--x--\r\n",
            "0 files",
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name=a; filename="f"\r\n\r\nhalf',
            "it breaks off",
        ),
        ("multipart/form-data; boundary*=undefined''x", b"--x\r\n", "needs its boundary"),
        (
            "multipart/form-data; boundary=x",
            b"--x\r\nContent-Disposition: form-data; name=a; filename*=undefined''f\r\n\r\nb\r\n--x--\r\n",
            "cannot be read",
        ),
    ],
)
def test_forms_that_are_none_are_refused(admin: httpx.Client, content_type: str, body: bytes, words: str) -> None:
    answer = admin.post("/api/datasets", content=body, headers={"content-type": content_type})
    assert words in message(answer, 400)


def test_a_project_of_other_people_is_refused_before_the_file_is_read(clients: Clients, studio: LiveStudio) -> None:
    stranger = clients(studio.new_key(unique(), "admin"))
    answer = stranger.post("/api/datasets", params={"project": studio.project.id}, content=rows())
    assert "There is no project" in message(answer, 404)
    assert "There is no project" in message(stranger.post("/api/datasets?project=Sandbox", content=rows()), 404)
    reader = clients(studio.new_key(unique(), "admin", member="viewer"))
    assert "it needs the role editor" in message(reader.post("/api/datasets", content=rows()), 403)
    assert left(studio) == []


def test_an_upload_with_a_key_can_be_sent_again(admin: httpx.Client) -> None:
    body, headers = rows(), {"idempotency-key": unique()}
    sent = [admin.post("/api/datasets?name=twice", content=body, headers=headers) for _ in range(2)]
    assert sent[0].json() == sent[1].json()
    assert sent[1].headers["idempotent-replay"] == "true"
    assert "with another body" in message(admin.post("/api/datasets?name=twice", content=rows(), headers=headers), 409)


def test_a_full_disk_is_said(admin: httpx.Client, studio: LiveStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from softprompt.api import uploads

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uploads, "run_in_threadpool", full)
    assert "There is no room" in message(admin.post("/api/datasets", content=rows()), 507)
    assert left(studio) == []


def _unannounced(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), 8192):
        yield body[start : start + 8192]
