"""What a run tells: pages of JSON, and streams that go on where they broke off, from any web process."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from softprompt.api import followers
from softprompt.api.studio import run_events
from softprompt.jobs import events
from softprompt.jobs.queue import Queue
from softprompt.storage.tables import TuningRun
from softprompt.testing.live import LiveStudio

from .conftest import Clients, message, ok, rows, unique

SSE = {"accept": "text/event-stream"}


@pytest.fixture(scope="module")
def dataset(admin: httpx.Client) -> str:
    return str(ok(admin.post("/api/datasets", params={"name": "told"}, content=rows()), 201)["id"])


@pytest.fixture
def run(admin: httpx.Client, dataset: str) -> str:
    """The id of a run that waits."""
    body = {"experiment": unique(), "model": "tiny/llama", "dataset": dataset}
    return str(ok(admin.post("/api/runs", json=body), 201)["id"])


def tell(studio: LiveStudio, run: str, *losses: float) -> None:
    with studio.office.unit() as unit:
        for loss in losses:
            events.tell(unit.rows, run, "StepDone", {"loss": loss})


def heard(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """Events of a stream as the standard reads them."""
    event: dict[str, Any] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            event[name] = json.loads(value) if name == "data" else value
        elif event:
            yield event
            event = {}


def test_pages_of_json_go_on_behind_the_last_id(admin: httpx.Client, studio: LiveStudio, run: str) -> None:
    tell(studio, run, 3.0, 2.0, 1.0)
    first = ok(admin.get(f"/api/runs/{run}/events", params={"limit": 3}))
    assert first["items"][0]["data"] == {"state": "queued"}
    assert [item["data"]["loss"] for item in first["items"][1:]] == [3.0, 2.0]
    rest = ok(admin.get(f"/api/runs/{run}/events", params={"after": first["last"]}))
    assert [item["data"]["loss"] for item in rest["items"]] == [1.0]
    assert (rest["last"], rest["over"]) == (rest["items"][0]["id"], False)


def test_a_stream_tells_what_was_and_what_comes_and_ends_with_the_run(
    admin: httpx.Client, studio: LiveStudio, run: str
) -> None:
    tell(studio, run, 3.0)
    with admin.stream("GET", f"/api/runs/{run}/events", headers=SSE) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        told = heard(stream.iter_lines())
        assert next(told) == {"retry": "1000"}
        assert next(told)["data"]["state"] == "queued"
        assert next(told)["data"]["loss"] == 3.0
        tell(studio, run, 2.0)
        assert next(told)["data"]["loss"] == 2.0
        ok(admin.post(f"/api/runs/{run}/cancel"))
        last = list(told)
    assert [event["event"] for event in last] == ["state", "end"]
    assert last[0]["data"]["state"] == "canceled"


def test_a_stream_resumes_behind_last_event_id_and_a_reader_who_heard_all_is_sent_away(
    admin: httpx.Client, studio: LiveStudio, run: str
) -> None:
    tell(studio, run, 3.0, 2.0)
    ok(admin.post(f"/api/runs/{run}/cancel"))
    whole = list(heard(iter(admin.get(f"/api/runs/{run}/events", headers=SSE).text.splitlines() + [""])))
    ids = [event["id"] for event in whole if "id" in event]
    for number, seen in enumerate(ids[:-1]):
        again = admin.get(f"/api/runs/{run}/events", headers={**SSE, "last-event-id": seen}).text.splitlines() + [""]
        assert [event["id"] for event in heard(iter(again)) if "id" in event] == ids[number + 1 :]
    assert admin.get(f"/api/runs/{run}/events", headers={**SSE, "last-event-id": ids[-1]}).status_code == 204


@pytest.mark.parametrize("header", ["x", "-1", "9" * 30, "1.5"])
def test_an_id_that_nobody_gave_out_is_refused(admin: httpx.Client, run: str, header: str) -> None:
    answer = admin.get(f"/api/runs/{run}/events", headers={**SSE, "last-event-id": header})
    assert "Last-Event-ID" in message(answer, 400)


def test_silence_is_broken_by_comments(admin: httpx.Client, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_events, "PING_EVERY", 0.1)
    with admin.stream("GET", f"/api/runs/{run}/events", headers=SSE) as stream:
        lines = stream.iter_lines()
        assert next(line for line in lines if line.startswith(":")) == ": ping"


def test_a_stream_ends_when_the_key_is_revoked(
    clients: Clients, admin: httpx.Client, studio: LiveStudio, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_events, "PING_EVERY", 0.1)
    key = ok(admin.post("/api/keys", json={"name": unique()}), 201)
    with clients(key["key"]).stream("GET", f"/api/runs/{run}/events", headers=SSE) as stream:
        told = heard(line for line in stream.iter_lines() if not line.startswith(":"))
        assert [next(told), next(told)["event"]] == [{"retry": "1000"}, "state"]
        ok(admin.delete(f"/api/keys/{key['id']}"))
        last = list(told)
    assert [event["event"] for event in last] == ["error"]
    assert "was revoked" in last[0]["data"]["message"]


def test_a_worker_and_many_readers_agree(admin: httpx.Client, studio: LiveStudio, run: str) -> None:
    """Eight readers beside a worker that tells 200 things: each reads all of it, in order, once."""
    found: list[list[int]] = []

    def read() -> None:
        with httpx.stream("GET", f"{studio.url}/api/runs/{run}/events", headers=headers, timeout=60) as stream:
            found.append([int(event["id"]) for event in heard(stream.iter_lines()) if "id" in event])

    headers = {**SSE, "authorization": f"Bearer {studio.key}"}
    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    with studio.office.unit() as unit:  # the runs of the other tests are not wanted
        from softprompt.storage.work import Job

        unit.rows.change(Job, {"priority": 100}, subject_id=run)
    queue = Queue(studio.office.database)
    claim = queue.claim("worker")
    assert claim is not None
    assert claim.subject_id == run
    for step in range(100):
        with queue.unit(claim) as held:
            held.tell("StepDone", {"loss": step})
            held.tell("Note", {"text": "x"})
    queue.complete(claim)
    for reader in readers:
        reader.join(60)
    with studio.office.unit(write=False) as unit:
        written = [row.id for row in events.after(unit.rows, run)]
        row = unit.rows.get(TuningRun, run)
        assert row is not None
        assert row.state == "completed"
    assert found == [written] * 8
    assert len(written) == 203


def test_followers_of_a_run_share_one_reading(
    admin: httpx.Client, studio: LiveStudio, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are, and wherever each of them stands: behind what is held, the database is asked."""
    monkeypatch.setattr(followers, "MOST_HELD", 5)
    looks: list[int] = []
    look = followers.Feed._look
    monkeypatch.setattr(followers.Feed, "_look", lambda feed: (looks.append(id(feed)), look(feed))[1])
    headers = {**SSE, "authorization": f"Bearer {studio.key}"}
    with ExitStack() as stack:

        def follow() -> Iterator[dict[str, Any]]:
            stream = stack.enter_context(httpx.stream("GET", f"{studio.url}/api/runs/{run}/events", headers=headers))
            return (event for event in heard(stream.iter_lines()) if event.get("event") == "StepDone")

        early = [follow() for _ in range(6)]
        tell(studio, run, *range(20))
        assert [next(early[0])["data"]["loss"] for _ in range(20)] == list(range(20))
        early.append(follow())
        tell(studio, run, *range(20, 40))
        assert all([next(each)["data"]["loss"] for _ in range(40)] == list(range(40)) for each in early[1:])
    assert len(set(looks)) == 1
