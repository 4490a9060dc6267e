"""What all tests share: tiny models, the small real one, and no network by accident."""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"  # read once, when the hub's client is imported

import functools
import gc
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, settings

from softprompt.config import Settings
from studio_fixtures import (  # noqa: F401  (fixtures for all folders)
    database,
    database_kind,
    database_url,
    empty_database_url,
    lab,
    name_database,
    office,
    postgres_server,
    postgres_template,
    postgres_url,
    s3_server,
    s3_url,
    sqlite_template,
    store,
    studio_settings,
)

# Torch and all that is imported stays; to look through it again and again takes a tenth of the tests' time.
gc.set_threshold(20_000, 20, 50)

# Nothing fails because the machine is busy.
settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")

SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--postgresql", action="store_true", help="studios that answer keep their rows in PostgreSQL")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--postgresql"):
        items[:] = [item for item in items if item.get_closest_marker("sqlite") is None]


@pytest.fixture(scope="session", autouse=True)
def database_of_studios(request: pytest.FixtureRequest) -> Iterator[None]:
    """With `--postgresql`, studios of `live_studio` and what is started on their folders use PostgreSQL."""
    if not request.config.getoption("--postgresql"):
        yield
        return
    from softprompt.testing import live

    server, template = (request.getfixturevalue(f"postgres_{name}") for name in ("server", "template"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(live, "PREPARE", lambda data_dir: name_database(data_dir, server, template))
        yield


@pytest.fixture(scope="session", autouse=True)
def authorities() -> Iterator[None]:
    """Clients of httpx read the certificates of all authorities, 50 ms for each client; here they share one list."""
    shared = functools.cache(httpx.create_ssl_context)

    def sharing(begin: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(begin)
        def init(self: Any, *given: Any, **named: Any) -> None:
            of_its_own = given or named.get("cert") or {"SSL_CERT_FILE", "SSL_CERT_DIR"} & set(os.environ)
            if named.get("verify", True) is True and not of_its_own:
                named["verify"] = shared()
            begin(self, *given, **named)

        return init

    with pytest.MonkeyPatch.context() as patch:
        for transport in (httpx.HTTPTransport, httpx.AsyncHTTPTransport):
            patch.setattr(transport, "__init__", sharing(transport.__init__))
        yield


@pytest.fixture(scope="session", autouse=True)
def lighter_processes() -> Iterator[None]:
    """See `start/sitecustomize.py`. Not for the processes of pytest itself: those begin before this."""
    paths = [str(Path(__file__).parent / "start"), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))
        yield


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """A file that gets what is logged in this process once `logs.setup` was told so; afterwards all is as before."""
    root, ours = logging.getLogger(), logging.getLogger("softprompt")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    for handler in handlers:
        root.removeHandler(handler)
    yield tmp_path / "logs" / "here.log"
    for handler in list(root.handlers):
        root.removeHandler(handler)
        handler.close()
    for handler in handlers:
        root.addHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The folder of SmolLM2-135M-Instruct in this user's cache; fetched once if it is not there."""
    from softprompt.engine.sources import resolve

    return resolve(SMOLLM2, settings=Settings(cache=Settings.from_environment().cache, offline=False))


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`tiny_folder(kind, seed=0)`: a folder with a tiny model, made once a session."""
    from softprompt.testing.tiny import tiny_model

    made: dict[tuple[str, int], Path] = {}

    def folder(kind: Any = "llama", seed: int = 0) -> Path:
        if (kind, seed) not in made:
            made[kind, seed] = tmp_path_factory.mktemp(f"{kind}-{seed}")
            tiny_model(kind, made[kind, seed], seed)
        return made[kind, seed]

    return folder


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A cache of one's own and no network."""
    return Settings(cache=tmp_path / "cache", offline=True)
