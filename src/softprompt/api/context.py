"""What every request has at hand: the studio's office, limits, the way to whatever answers, and who asks."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from softprompt.api.limiter import Limiter
from softprompt.api.remembered import Remembered
from softprompt.config import StudioSettings
from softprompt.errors import Forbidden, Unauthenticated
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.studio import usage
from softprompt.studio.access import Actor, Office, Role, Unit

if TYPE_CHECKING:
    from softprompt.serving.backend import Backend
    from softprompt.studio.health import Finding

Mode = Literal["cpd", "cloud"]
"""How an IBM client logged in; addresses of files differ."""


@dataclass(slots=True)
class Caller:
    """Who makes this request, and what it needs.

    Attributes:
        csrf: token that forms must carry; None for API keys and tokens.
        checked: whether a request that may change something is known to come from our own pages.
        local: whether it is this machine's own command line, which has no credential that could end.
    """

    actor: Actor
    need: Role
    mode: Mode = "cpd"
    csrf: str | None = None
    checked: bool = True
    local: bool = False


@dataclass(slots=True)
class Studio:
    """One web process's studio.

    Attributes:
        examine: the checks of `softprompt doctor`, which knows more of the machine than this layer.
    """

    settings: StudioSettings
    office: Office
    backend: Backend
    secret: str
    limiter: Limiter = field(default_factory=Limiter)
    examine: Callable[[], Sequence[Finding]] = list
    usage: usage.Counter = field(init=False)
    """How often deployments are asked here."""
    remembered: Remembered = field(init=False)

    def __post_init__(self) -> None:
        self.usage = usage.Counter(self.office.database)
        self.remembered = Remembered(self.office.database)

    @property
    def uploads(self) -> Path:
        """Where files lie while they come in."""
        path = self.settings.data_dir / "uploads"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def close(self) -> None:
        self.usage.close()
        self.office.database.close()


def open_office(settings: StudioSettings, *, upgrade: bool = True) -> Office:
    """Database and file store of these settings."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    if upgrade:
        database.upgrade()
    return Office(database, ArtifactStore(settings.storage_url, settings.data_dir / "cache"), settings.limits)


def token_secret(data_dir: Path) -> str:
    """The key that signs tokens, made once; only its owner may read it."""
    path = data_dir / "token.key"
    data_dir.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="ascii") as file:
            path.chmod(0o600)
            file.write(secrets.token_urlsafe(48))
    except FileExistsError:
        pass
    return path.read_text(encoding="ascii").strip()


def studio_of(request: Request) -> Studio:
    found = request.app.state.studio
    assert isinstance(found, Studio)
    return found


def address_of(request: Request) -> str:
    """Of the client; behind a proxy that is trusted, the one that the proxy names."""
    return request.client.host if request.client else "nobody"


def caller_of(request: Request) -> Caller:
    """Who was found by `auth.authorize`."""
    caller = getattr(request.state, "caller", None)
    if not isinstance(caller, Caller):
        raise Unauthenticated
    return caller


@contextmanager
def unit_of(request: Request, *, write: bool = True, need: Role | None = None) -> Iterator[Unit]:
    """A unit of work for whoever makes the request, with the role that its route needs."""
    caller = caller_of(request)
    if write and not caller.checked:
        raise Forbidden("A request with a browser's cookie needs its x-csrf-token header. Load the page again.")
    with studio_of(request).office.unit(caller.actor, need or caller.need, write=write) as unit:
        yield unit


async def in_unit(request: Request, work: Callable[[Unit], Any], *, write: bool = True) -> Any:
    """`work(unit)` in a unit of work, away from the event loop."""

    def inside() -> Any:
        with unit_of(request, write=write) as unit:
            return work(unit)

    return await run_in_threadpool(inside)
