"""A studio with pages, and a person who is signed in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from softprompt.studio import people
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

ROWS = "\n".join(
    f'{{"input": "Row {i} says <b>hello</b>", "output": "{("Service", "Warehouse")[i % 2]}"}}' for i in range(40)
)


@pytest.fixture(scope="session", autouse=True)
def model_is_here(smollm2: Path) -> None:
    """The Prompt Lab asks models that lie on this machine."""


@pytest.fixture
def data_dir(tmp_path: Path, sqlite_template: Path) -> Path:
    """The folder of a studio, its database in it."""
    folder = tmp_path / "studio"
    folder.mkdir()
    shutil.copy(sqlite_template, folder)
    return folder


@pytest.fixture
def backend() -> EchoBackend:
    """What answers; files with another one override this."""
    return EchoBackend()


@pytest.fixture
def studio(data_dir: Path, backend: EchoBackend) -> Iterator[LiveStudio]:
    with live_studio(data_dir, backend) as running:
        yield running


@pytest.fixture
def browser(studio: LiveStudio) -> Iterator[httpx.Client]:
    """Signed in by the one-time link; follows redirects as a browser does."""
    with studio.office.unit(SYSTEM) as unit:
        _, link = people.first_admin(unit)
    with httpx.Client(base_url=studio.url, follow_redirects=True, headers={"accept": "text/html"}) as client:
        assert client.get(f"/sign-in?link={link}").status_code == 200
        yield client


@pytest.fixture
def post(browser: httpx.Client) -> Callable[..., httpx.Response]:
    """Send the form of a page: its own token goes along, as a browser would have it."""

    def send(path: str, data: dict[str, object] | None = None, *, page: str = "/", **more: object) -> httpx.Response:
        token = Forms.of(browser.get(page).text).token
        return browser.post(path, data={"csrf": token, **(data or {})}, **more)  # type: ignore[arg-type]

    return send


class Forms(HTMLParser):
    """Reads what tests look for in a page."""

    def __init__(self) -> None:
        super().__init__()
        self.token = ""
        self.scripts: list[dict[str, str | None]] = []
        self.handlers: list[str] = []
        self.links: list[str] = []

    @classmethod
    def of(cls, text: str) -> Forms:
        parser = cls()
        parser.feed(text)
        return parser

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "input" and given.get("name") == "csrf":
            self.token = given.get("value") or ""
        if tag == "script":
            self.scripts.append(given)
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        self.handlers += [name for name in given if name.startswith("on")]
