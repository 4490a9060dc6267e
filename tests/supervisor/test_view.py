"""What a person at a terminal sees."""

from __future__ import annotations

import io
import os
from pathlib import Path

from rich.console import Console

from softprompt.supervisor.figures import Figures, Worker
from softprompt.supervisor.plan import Part
from softprompt.supervisor.process import Kept, State
from softprompt.supervisor.view import Addresses, Screen, Snapshot, greeting

ADDRESSES = Addresses(web="http://a:1", tls="https://a:2", link="http://a:1/sign-in?link=x", logs="L", data="D")


def kept(tmp_path: Path, kind: str, number: int, state: State, **told: int) -> Kept:
    made = Kept(Part(kind, number, ()), dict(os.environ), tmp_path, quiet=True, say=lambda line: None)  # type: ignore[arg-type]
    made.state, made.told = state, dict(told)
    return made


def picture(snapshot: Snapshot) -> str:
    console = Console(file=io.StringIO(), width=120)
    screen = Screen(console, ADDRESSES)
    screen.say("worker 1 was killed (signal 9); it starts again")
    console.print(screen._picture(snapshot))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_processes_and_numbers_stand_in_one_table(tmp_path: Path) -> None:
    worker = kept(tmp_path, "worker", 1, State.FAILING)
    worker.restarts, worker.problem = 4, "ended by itself with exit code 3"
    parts = [
        kept(tmp_path, "web", 1, State.RUNNING, requests=1200, errors=1),
        kept(tmp_path, "web", 2, State.RUNNING, requests=34),
        worker,
    ]
    shown = picture(
        Snapshot(parts, Figures(queued=2, running=1, runs={"queued": 2, "failed": 0}, deployments=7), "no database")
    )
    assert "web 1" in shown
    assert "1,200 requests" in shown
    assert "ended by itself with exit code 3" in shown
    assert "queue 2 waiting, 1 at work   runs 2 queued   deployments 7   requests 1,234 (1 failed)" in shown
    assert "no database" in shown
    assert "worker 1 was killed (signal 9); it starts again" in shown


def test_a_worker_shows_what_it_does(tmp_path: Path) -> None:
    worker = kept(tmp_path, "worker", 1, State.RUNNING)
    worker._process = type("Process", (), {"pid": 77})()
    found = Figures(working=(Worker("h", 77, "cpu", "Routing (3)"), Worker("h", 78, "cpu", "Other (1)")))
    assert "Routing (3)" in picture(Snapshot([worker], found))
    assert "Other (1)" not in picture(Snapshot([worker], found))


def test_the_greeting_begins_with_the_link() -> None:
    lines = greeting(ADDRESSES, 24)
    assert lines[0] == "Sign in (once, within 24 hours):  http://a:1/sign-in?link=x"
    assert any("ibm-watsonx-ai" in line and "https://a:2" in line for line in lines)
