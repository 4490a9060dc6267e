"""Files that IBM's client puts: every way in which one can go wrong is refused, not failed, and leaves nothing behind.

The client sends again what was answered with 5xx, and shows its person nothing of it.
"""

from __future__ import annotations

import errno
import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from softprompt.storage.tables import Dataset
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio, wait_until

FORM = "multipart/form-data; boundary=x"
ROWS = b'{"input": "The lamp broke", "output": "Service"}\n'


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStudio]:
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend()) as running:
        yield running


@pytest.fixture
def address(studio: LiveStudio) -> str:
    """Where the file of a new asset may be put."""
    headers = {"authorization": f"Bearer {studio.key}"}
    with httpx.Client(base_url=studio.url, headers=headers, timeout=30) as http:
        made = http.post(f"/v2/assets?project_id={studio.project.id}", json={"metadata": {"name": "rows"}}).json()
        attachment = http.post(f"/v2/assets/{made['metadata']['asset_id']}/attachments", json={"name": "rows.jsonl"})
    return f"{studio.url}{attachment.json()['url1']}"


def part(headers: bytes = b'Content-Disposition: form-data; name="file"; filename="rows.jsonl"') -> bytes:
    return b"--x\r\n" + headers + b"\r\n\r\n" + ROWS


def refused(studio: LiveStudio, address: str, answer: httpx.Response, status: int) -> str:
    """The words of a refusal after which nothing is there."""
    assert answer.status_code == status, answer.text
    assert answer.json()["status_code"] == status
    assert nothing_came(studio, address)
    return str(answer.json()["errors"][0]["message"])


def nothing_came(studio: LiveStudio, address: str) -> bool:
    with studio.office.unit(SYSTEM, write=False) as unit:
        dataset = unit.get(Dataset, urlsplit(address).path.split("/")[2])
        return dataset.state == "uploading" and list((studio.data_dir / "uploads").iterdir()) == []


def counted(studio: LiveStudio, status: str) -> int:
    """Uploads that the metrics say were answered so."""
    route = re.escape('{method="PUT",route="/uploads/{dataset_id}/{attachment_id}",status="')
    found = re.findall(route + status + r'"} (\S+)', httpx.get(f"{studio.url}/metrics").text)
    return round(sum(map(float, found)))


@pytest.mark.parametrize("closing", [b"\r\n--x--\r\n", b"\r\n--x--"])
def test_a_form_is_taken_with_its_one_file(address: str, closing: bytes) -> None:
    field = b"--x\r\nContent-Disposition: form-data; name=note\r\n\r\nApril\r\n"
    answer = httpx.put(address, content=field + part() + closing, headers={"content-type": FORM})
    assert (answer.status_code, answer.json()["size"]) == (201, len(ROWS))
    assert httpx.put(address, content=ROWS).status_code == 201, "the same bytes, bare"


@pytest.mark.parametrize(
    ("content_type", "body", "words"),
    [
        ("multipart/form-data", part(), "needs its boundary"),
        (f"multipart/form-data; boundary={'x' * 5000}", part(), "needs its boundary"),
        ("multipart/form-data; boundary*=undefined''x", part(), "needs its boundary"),
        (FORM, b"no form at all", "cannot be read"),
        (FORM, b"", "it breaks off"),
        (
            FORM,
            part(b"Content-Disposition: form-data; name=a; filename*=undefined''f") + b"\r\n--x--",
            "cannot be read",
        ),
        (FORM, part(b"Content-Disposition: form-data; name=a") + b"\r\n--x--", "0 files"),
        (FORM, part() + b"\r\n" + part() + b"\r\n--x--", "2 files"),
        (FORM, part(), "it breaks off"),
        (FORM, part() + b"\r\n--x", "it breaks off"),
    ],
)
def test_a_form_that_is_none_or_not_whole_is_refused(
    studio: LiveStudio, address: str, content_type: str, body: bytes, words: str
) -> None:
    answer = httpx.put(address, content=body, headers={"content-type": content_type})
    assert words in refused(studio, address, answer, 400)


@pytest.mark.parametrize("content_type", [FORM, "application/octet-stream"])
def test_a_client_that_hangs_up_in_the_middle_leaves_nothing(
    studio: LiveStudio, address: str, content_type: str, caplog: pytest.LogCaptureFixture
) -> None:
    before, failed = counted(studio, "400"), counted(studio, "5..")
    place = urlsplit(address)
    with socket.create_connection((place.hostname or "", place.port or 0)) as connection:
        head = f"PUT {place.path}?{place.query} HTTP/1.1\r\nHost: {place.netloc}\r\nContent-Type: {content_type}\r\n"
        connection.sendall(head.encode() + b"Content-Length: 50000\r\n\r\n" + part())
        uploads = studio.data_dir / "uploads"
        wait_until(lambda: uploads.is_dir() and list(uploads.iterdir()), "the upload does not begin")
    wait_until(lambda: counted(studio, "400") == before + 1, "the upload does not end")
    assert counted(studio, "5..") == failed
    assert nothing_came(studio, address)
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


def test_a_full_disk_is_said(studio: LiveStudio, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from softprompt.api import uploads

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uploads, "run_in_threadpool", full)
    assert "There is no room" in refused(studio, address, httpx.put(address, content=ROWS), 507)


def test_a_full_disk_is_said_when_the_rows_are_laid_out(
    studio: LiveStudio, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: Path, *__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("softprompt.studio.datasets.build", full)
    assert "There is no room" in refused(studio, address, httpx.put(address, content=ROWS), 507)
