"""A browser for each test process, studios to look at, people who are signed in."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from filelock import FileLock
from playwright.sync_api import Browser

from browser.person import Person, chromium
from browser.seed import Say, Seeded, plain, seed
from softprompt.studio import people
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio
from softprompt.worker.local import LocalRunner

ROOT = Path(__file__).parents[2]
PAYLOAD = (
    "\"'>{{7*7}}<script>window.ran=1</script><img src=/ran onerror=window.ran=1></textarea><svg onload=window.ran=1>"
)
LONG = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft" * 2


@pytest.fixture(scope="session", autouse=True)
def model_is_here(smollm2: Path) -> None:
    """The Prompt Lab asks models that lie on this machine."""


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests of this process."""
    spec = importlib.util.spec_from_file_location("softprompt_browser", ROOT / "scripts" / "browser.py")
    assert spec is not None
    assert spec.loader is not None
    finder = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(finder)
    try:
        path = finder.find()
    except finder.NoBrowser as error:
        pytest.fail(str(error), pytrace=False)
    with chromium(path) as opened:
        yield opened


@pytest.fixture
def studio(tmp_path: Path) -> Iterator[LiveStudio]:
    """An empty studio of one test."""
    with live_studio(tmp_path / "studio", EchoBackend()) as running:
        yield running


@pytest.fixture(scope="package")
def runner() -> Iterator[LocalRunner]:
    """The process that tunes for the studios of this test process."""
    made = LocalRunner()
    made.warm()
    yield made
    made.close()


@pytest.fixture(scope="package")
def filled(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path], request: pytest.FixtureRequest
) -> Iterator[Callable[..., Seeded]]:
    """`filled("hostile", say, label)`: a studio with something of everything, for all tests that only look.

    It is filled once for all test processes, which then have a copy each.
    """
    made: dict[str, Seeded] = {}
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own

    def full(name: str, say: Say, label: str) -> Path:
        folder, ready = shared / f"full-{name}", shared / f"full-{name}" / "seeded.json"
        with FileLock(shared / f"full-{name}.lock"):
            if not ready.exists():
                with live_studio(folder / "studio", EchoBackend()) as running:
                    runner = request.getfixturevalue("runner")
                    done = seed(running, session_of(running), tiny_folder(), runner, say, label)
                ready.write_text(json.dumps([done.session, done.ids]), encoding="utf-8")
        return folder

    with ExitStack() as stack:

        def fill(name: str, say: Say = plain, label: str = "Service") -> Seeded:
            if name not in made:
                folder = full(name, say, label)
                copy = tmp_path_factory.mktemp(name) / "studio"
                shutil.copytree(folder / "studio", copy)
                session, ids = json.loads((folder / "seeded.json").read_text(encoding="utf-8"))
                running = stack.enter_context(live_studio(copy, EchoBackend()))
                made[name] = Seeded(running, session, ids)
            return made[name]

        yield fill


@pytest.fixture
def seeded(filled: Callable[..., Seeded]) -> Seeded:
    """The one with plain words."""
    return filled("plain")


@pytest.fixture
def hostile(filled: Callable[..., Seeded]) -> Seeded:
    """The one in which every name and text is as long as may be, and tries to run something."""
    return filled("hostile", lambda text: (f"{text}{PAYLOAD}{LONG}")[:196], "A<img src=/ran onerror=window.ran=1>")


@pytest.fixture
def person(browser: Browser) -> Iterator[Callable[..., Person]]:
    """`person(studio)`: somebody signed in; `person(studio, signed_in=False, size=PHONE …)`."""
    made: list[Person] = []

    def arrive(studio: Any, *, signed_in: bool = True, session: dict[str, str] | None = None, **how: Any) -> Person:
        if signed_in and session is None:
            session = studio.session if isinstance(studio, Seeded) else session_of(studio)
        made.append(Person(browser, studio.url, session=session, **how))
        return made[-1]

    yield arrive
    faults = [fault for each in made for fault in each.close()]
    assert not faults, "in the browser:\n  " + "\n  ".join(faults)


def link_of(studio: LiveStudio) -> str:
    """The one-time link of the admin, as `softprompt up` prints it."""
    with studio.office.unit(SYSTEM) as unit:
        return f"/sign-in?link={people.first_admin(unit)[1]}"


def session_of(studio: LiveStudio) -> dict[str, str]:
    """Cookies of a session of the admin."""
    with httpx.Client(base_url=studio.url, follow_redirects=True, headers={"accept": "text/html"}) as client:
        client.get(link_of(studio)).raise_for_status()
        return dict(client.cookies)
