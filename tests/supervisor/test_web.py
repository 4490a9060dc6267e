"""`softprompt web` as a process of its own: what it believes of a proxy, and what it warns of."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.api.studio.sign_in import TRIES
from softprompt.config import StudioSettings
from softprompt.studio import people
from softprompt.studio.access import SYSTEM
from softprompt.supervisor.home import make_home, office_of

PASSWORD = "correct horse battery"


@dataclass(frozen=True)
class Web:
    url: str
    log: Path

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **given: Any) -> httpx.Response:
        with httpx.Client(base_url=self.url, trust_env=False, timeout=90) as client:
            return client.request(method, path, headers=headers, **given)

    @property
    def warnings(self) -> list[str]:
        lines = [json.loads(line) for line in self.log.read_text(encoding="utf-8").splitlines()]
        return [line["message"] for line in lines if line["level"] == "warning"]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Callable[..., Web]]:
    """`web("--trust-proxy")`: a web process that others could reach, if its socket were another one."""
    made: list[subprocess.Popen[bytes]] = []
    studio = StudioSettings.of(tmp_path)
    make_home(studio.data_dir)
    office = office_of(studio)
    office.database.upgrade()
    with office.unit(SYSTEM) as unit:
        people.create_user(unit, "bob", password=PASSWORD)
    office.database.close()

    def start(*options: str) -> Web:
        log = tmp_path / "logs" / "web.log"
        with socket.create_server(("127.0.0.1", 0)) as listening:
            words = ["web", "--host", "0.0.0.0", "--data-dir", str(tmp_path), "--quiet", "--log-file", str(log)]
            words += ["--fd", str(listening.fileno()), *options]
            made.append(subprocess.Popen([sys.executable, "-m", "softprompt", *words], pass_fds=[listening.fileno()]))
            return Web(f"http://127.0.0.1:{listening.getsockname()[1]}", log)

    yield start
    for process in made:
        process.terminate()
        process.wait(30)


def test_behind_a_proxy_it_believes_scheme_and_address(web: Callable[..., Web]) -> None:
    running = web("--trust-proxy")
    sign_in: dict[str, Any] = {"json": {"name": "bob", "password": PASSWORD}}
    cookie = running.ask("POST", "/api/sign-in", {"x-forwarded-proto": "https"}, **sign_in).headers["set-cookie"]
    assert "Secure" in cookie
    assert "Secure" not in running.ask("POST", "/api/sign-in", **sign_in).headers["set-cookie"]
    assert tried(running, lambda number: "203.0.113.1") == [401] * TRIES + [429]
    assert tried(running, lambda number: f"203.0.113.{number + 2}") == [401] * (TRIES + 1)
    assert running.warnings == []


def test_without_a_proxy_it_believes_nothing_of_the_kind_and_warns(web: Callable[..., Web]) -> None:
    running = web()
    sign_in: dict[str, Any] = {"json": {"name": "bob", "password": PASSWORD}}
    answer = running.ask("POST", "/api/sign-in", {"x-forwarded-proto": "https"}, **sign_in)
    assert "Secure" not in answer.headers["set-cookie"]
    assert tried(running, lambda number: f"203.0.113.{number}")[-1] == 429, "all of them came from one address"
    (warning,) = running.warnings
    port = running.url.rpartition(":")[2]
    assert warning.startswith(f"on 0.0.0.0 others can reach port {port}, where keys and passwords travel unencrypted.")


def tried(running: Web, address: Callable[[int], str]) -> list[int]:
    """Status after status of one try more than an address has in a minute."""
    with httpx.Client(base_url=running.url, trust_env=False, timeout=90) as client:
        return [
            client.post("/api/sign-in/link", json={"link": "x"}, headers={"x-forwarded-for": address(n)}).status_code
            for n in range(TRIES + 1)
        ]
