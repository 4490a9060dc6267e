"""Two web processes on one studio, on SQLite and on PostgreSQL: they answer as one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from softprompt.config import StudioSettings
from softprompt.storage.tables import TuningRun
from softprompt.studio import people, projects
from softprompt.studio.access import SYSTEM, Actor, Office
from softprompt.testing.live import wait_until

from .conftest import message, ok, rows, unique

SERVE = """
import socket, sys
import uvicorn
from pathlib import Path
from softprompt.app import create_app
from softprompt.config import StudioSettings
from softprompt.testing.live import EchoBackend

data_dir, database, port_file = sys.argv[1:]
settings = StudioSettings(data_dir=Path(data_dir), database_url=database, storage_url=data_dir + "/files")
listening = socket.socket()
listening.bind(("127.0.0.1", 0))
server = uvicorn.Server(uvicorn.Config(create_app(settings, EchoBackend()), log_level="warning"))
listening.listen()
Path(port_file + ".new").write_text(str(listening.getsockname()[1]))
Path(port_file + ".new").rename(port_file)
server.run(sockets=[listening])
"""


@pytest.fixture
def webs(studio_settings: StudioSettings, office: Office, tmp_path: Path) -> Iterator[list[httpx.Client]]:
    """A client for each of two processes."""
    with office.unit(SYSTEM) as unit:
        admin, _ = people.first_admin(unit)
        projects.sandbox(unit)
        unit.actor = Actor(user_id=admin.id, name=admin.name, admin=True)
        key = people.create_key(unit, "tests", role="admin")[1]
    files = [tmp_path / f"port-{number}" for number in range(2)]
    given = [str(studio_settings.data_dir), studio_settings.database_url]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with ExitStack() as stack:
        for file in files:
            process = subprocess.Popen([sys.executable, "-c", SERVE, *given, str(file)], env=environment)
            stack.callback(process.wait, 20)
            stack.callback(process.terminate)
        wait_until(lambda: all(file.exists() for file in files), "the web processes do not start", 120)
        headers = {"authorization": f"Bearer {key}"}
        yield [
            stack.enter_context(
                httpx.Client(base_url=f"http://127.0.0.1:{file.read_text()}", headers=headers, timeout=60)
            )
            for file in files
        ]


def test_two_web_processes_answer_as_one(webs: list[httpx.Client], office: Office) -> None:
    with ThreadPoolExecutor(8) as pool:

        def both(method: str, path: str, times: int = 8, **given: object) -> list[httpx.Response]:
            return list(pool.map(lambda n: webs[n % 2].request(method, path, **given), range(times)))  # type: ignore[arg-type]

        # One create, sent to both many times: made once.
        made = both("POST", "/api/projects", json={"name": unique()}, headers={"idempotency-key": unique()})
        assert {answer.status_code for answer in made} <= {201, 409}
        done = [answer.json()["id"] for answer in made if answer.status_code == 201]
        assert len(set(done)) == 1
        assert ok(webs[0].get("/api/projects"))["total"] == ok(webs[1].get("/api/projects"))["total"] == 2

        # One change of many who read the same wins.
        path, tag = f"/api/projects/{done[0]}", '"1"'
        changes = both("PATCH", path, json={"description": "mine"}, headers={"if-match": tag})
        assert sorted(answer.status_code for answer in changes) == [200] + [412] * 7
        assert ok(webs[1].get(path))["revision"] == 2

        # One serving name goes to one deployment.
        body = {"model": "smollm2", "serving_name": unique("name")}
        names = both("POST", "/api/deployments", json=body)
        assert sorted(answer.status_code for answer in names) == [201] + [409] * 7

        # Uploads of one name at once are versions 1 to 8, and runs of one experiment are numbered without a gap.
        uploads = list(pool.map(lambda n: webs[n % 2].post("/api/datasets?name=rows", content=rows(5)), range(8)))
        assert sorted(ok(answer, 201)["version"] for answer in uploads) == list(range(1, 9))
        dataset = uploads[0].json()["id"]
        ok(webs[0].post("/api/experiments", json={"name": "Crowd"}), 201)
        started = both("POST", "/api/runs", json={"experiment": "Crowd", "model": "smollm2", "dataset": dataset})
        assert sorted(ok(answer, 201)["number"] for answer in started) == list(range(1, 9))
        run = started[0].json()["id"]

    # What is told to one is heard at the other.
    headers = {"accept": "text/event-stream"}
    with webs[1].stream("GET", f"/api/runs/{run}/events", headers=headers) as stream:
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        ok(webs[0].post(f"/api/runs/{run}/cancel"))
        assert [line for line in lines if line.startswith("event")] == ["event: state", "event: state", "event: end"]
    with office.unit(SYSTEM, write=False) as unit:
        row = unit.rows.get(TuningRun, run)
        assert row is not None
        assert row.state == "canceled"

    # A key that is revoked at one is refused at the other.
    key = ok(webs[0].post("/api/keys", json={"name": "short"}), 201)
    other = {"authorization": f"Bearer {key['key']}"}
    ok(webs[1].get("/api/me", headers=other))
    ok(webs[0].delete(f"/api/keys/{key['id']}"))
    assert "was revoked" in message(webs[1].get("/api/me", headers=other), 401)
