"""Speaks to a studio for the commands: to a running one by `--url`, or to this machine's data folder.

Both ways go through the same interface, so that a command is written once: a running studio over HTTP, a data folder
through the same application inside this process, without a port. Errors of the studio are raised as what they are.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import typer

from softprompt.config import StudioSettings, api_key_from_environment, ca_file_from_environment
from softprompt.errors import NotFound, SoftpromptError, StudioError, Unauthenticated, Unavailable, UsageError

if TYPE_CHECKING:
    import httpx

TRIES = 4
"""Of a request that a studio could not take; creates carry a key, so that a repeat makes nothing twice."""
LONGEST_WAIT = 10.0
_TRIED_AGAIN = (429, 502, 503)
_SECONDS = 60.0
_SECRET = re.compile(r"^/api/(keys|backups|users/[^/]+/(link|reset))$")
"""Whose answers are not stored, so that they cannot be repeated."""

Send = Callable[..., "httpx.Response"]


class Desk:
    """Where a command asks.

    Attributes:
        where: for people: an address or a folder.
    """

    def __init__(self, send: Send, where: str) -> None:
        self._send, self.where = send, where

    def get(self, *path: str, **query: Any) -> Any:
        return self._ask("GET", path, params=_given(query)).json()

    def post(self, *path: str, body: Any = None, **query: Any) -> Any:
        return self._ask("POST", path, json={} if body is None else body, params=_given(query)).json()

    def delete(self, *path: str) -> None:
        self._ask("DELETE", path)

    def upload(self, *path: str, file: Path, **query: Any) -> Any:
        """Send a file; it is read while it is sent."""
        if not file.is_file():
            raise UsageError(f"{file} is no file. Name one with labelled rows.")
        return self._ask("POST", path, file=file, params=_given(query)).json()

    def download(self, *path: str) -> bytes:
        return self._ask("GET", path).content

    def call(self, method: str, path: str, headers: dict[str, str], **given: Any) -> httpx.Response:
        """Any request, with what it carries (`params`, `json` or `file`), and its whole answer."""
        return self._ask(method, (path,), headers, **given)

    def every(self, *path: str, most: int, **query: Any) -> list[dict[str, Any]]:
        """Items of a list over its pages, at most so many."""
        found: list[dict[str, Any]] = []
        page = self.get(*path, limit=min(most, 500), **query)
        while True:
            found += page["items"]
            if page["next"] is None or len(found) >= most:
                return found[:most]
            page = self._ask("GET", (page["next"],)).json()

    def _ask(
        self, method: str, path: tuple[str, ...], headers: dict[str, str] | None = None, **given: Any
    ) -> httpx.Response:
        address = path[0] if len(path) == 1 else "/".join([path[0], *(quote(part, safe="") for part in path[1:])])
        repeatable = method == "POST" and not _SECRET.search(address)
        headers = {**(headers or {}), **({"idempotency-key": uuid.uuid4().hex} if repeatable else {})}
        for turn in range(TRIES):
            try:
                answer = self._send(method, address, headers=headers, **given)
            except OSError as error:
                if turn == TRIES - 1:
                    raise Unavailable(f"The studio at {self.where} does not answer: {error}. Is it running?") from error
                time.sleep(0.2 * 2**turn)
                continue
            if answer.status_code not in _TRIED_AGAIN or turn == TRIES - 1:
                return _checked(answer)
            time.sleep(min(LONGEST_WAIT, _seconds(answer.headers.get("retry-after"), 0.5 * 2**turn)))
        raise AssertionError("unreachable")


@contextmanager
def desk(context: typer.Context, data_dir: Path | None) -> Iterator[Desk]:
    """Where the options of the command line lead."""
    chosen = context.find_root().obj or {}
    url = chosen.get("url")
    if url and data_dir:
        raise UsageError("--url and --data-dir: a studio that runs, or a folder of this machine; name one of them.")
    with _remote(url, insecure=chosen["insecure"]) if url else _local(StudioSettings.of(data_dir)) as found:
        yield found


@contextmanager
def _remote(url: str, *, insecure: bool) -> Iterator[Desk]:
    import httpx

    if not url.startswith(("http://", "https://")):
        raise UsageError(f"--url: {url!r} is no address. Use one such as http://localhost:8440.")
    key = api_key_from_environment()
    if key is None:
        raise Unauthenticated(
            "Set SOFTPROMPT_API_KEY; `softprompt keys create NAME` on the studio's machine makes one."
        )
    if not key.isascii() or not key.strip().isprintable():
        raise Unauthenticated("SOFTPROMPT_API_KEY holds characters that no key has. Copy it again.")
    with httpx.Client(
        base_url=url,
        headers={"authorization": f"Bearer {key.strip()}"},
        verify=_trust(insecure),
        timeout=httpx.Timeout(_SECONDS, connect=10.0, read=900.0),
    ) as client:

        def send(method: str, path: str, *, file: Path | None = None, **given: Any) -> httpx.Response:
            try:
                if file is None:
                    return client.request(method, path, **given)
                with file.open("rb") as content:
                    given["headers"] = given["headers"] | {"content-type": "application/octet-stream"}
                    return client.request(method, path, content=content, **given)
            except httpx.ConnectError as error:
                raise _unreachable(url, error) from error
            except httpx.InvalidURL as error:
                raise UsageError(f"--url: {url!r} is no address: {error}.") from error
            except httpx.TransportError as error:
                raise ConnectionError(str(error) or type(error).__name__) from error

        yield Desk(send, url)


def _trust(insecure: bool) -> Any:
    import ssl

    if insecure:
        return False
    ca_file = ca_file_from_environment()
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise UsageError(f"SOFTPROMPT_CA_FILE: {ca_file} cannot be read as certificates: {error}.") from error


def _unreachable(url: str, error: Exception) -> SoftpromptError:
    words = str(error)
    if "CERTIFICATE" in words.upper():
        return Unavailable(
            f"The certificate of {url} is not trusted ({words}). "
            "Name its file in SOFTPROMPT_CA_FILE, or use --insecure."
        )
    return Unavailable(f"No studio answers at {url} ({words}). Is it running? `softprompt up` starts one.")


@contextmanager
def _local(settings: StudioSettings) -> Iterator[Desk]:
    """The studio of a data folder, whether it runs or not."""
    own = f"sqlite:///{settings.data_dir / 'studio.db'}"
    if settings.database_url == own and not (settings.data_dir / "studio.db").exists():
        raise NotFound(
            f"There is no studio in {settings.data_dir}. `softprompt up` makes one; one that runs elsewhere is named "
            "by --url, another folder by --data-dir."
        )
    import httpx

    from softprompt.api.auth import admit_local, authorize
    from softprompt.app import create_app

    app = create_app(settings)
    app.dependency_overrides[authorize] = admit_local
    with asyncio.Runner() as runner:
        client = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://studio", timeout=None)

        def send(method: str, path: str, *, file: Path | None = None, **given: Any) -> httpx.Response:
            if file is not None:
                given["headers"] = given["headers"] | {"content-type": "application/octet-stream"}
                given["content"] = _pieces(file)
            return runner.run(client.request(method, path, **given))

        try:
            yield Desk(send, str(settings.data_dir))
        finally:
            runner.run(client.aclose())
            runner.run(app.state.studio.backend.close())
            app.state.studio.close()


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    with file.open("rb") as content:
        while piece := content.read(2**20):
            yield piece


def _checked(answer: httpx.Response) -> httpx.Response:
    """The answer, or its error as the class that it was in the studio."""
    if answer.is_success:
        return answer
    try:
        told = answer.json()["error"]
        code, message = str(told["code"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        code, message = "", f"The answer is {answer.status_code} and not from a studio. Check the address in --url."
    raise _errors().get(code, UsageError if answer.status_code == 400 else StudioError)(message)


def _errors() -> dict[str, type[SoftpromptError]]:
    found: dict[str, type[SoftpromptError]] = {}
    waiting: list[type[SoftpromptError]] = [SoftpromptError]
    while waiting:
        kind = waiting.pop()
        found.setdefault(kind.code, kind)
        waiting += kind.__subclasses__()
    return found


def _seconds(header: str | None, otherwise: float) -> float:
    try:
        return float(header) if header else otherwise
    except ValueError:
        return otherwise


def _given(query: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in query.items() if value not in (None, "", [])}
