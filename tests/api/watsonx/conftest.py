"""A studio behind TLS, with its worker and its serving host, and IBM's own client in its three ways to sign in."""

from __future__ import annotations

import datetime
import ssl
import sys
import threading
import time
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from api.watsonx.studio import LLAMA, MODES, T5, Behind, until
from softprompt.app import create_app
from softprompt.config import StudioSettings
from softprompt.serving.host import Host, HostSettings
from softprompt.storage.artifacts import ArtifactStore
from softprompt.studio import foundation_models, people, projects
from softprompt.studio.access import Actor, Office
from softprompt.worker.local import LocalRunner
from softprompt.worker.process import WorkerSettings, work


@pytest.fixture(scope="session")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    today = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(today - datetime.timedelta(days=1))
    builder = builder.not_valid_after(today + datetime.timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    folder = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return folder / "cert.pem", folder / "key.pem"


@pytest.fixture(scope="session")
def behind(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path], tls: tuple[Path, Path]
) -> Iterator[Behind]:
    """The studio, behind https://localhost, with two tiny models; its serving host answers in this process."""
    with _running(tmp_path_factory.mktemp("studio"), tiny_folder, tls) as made:
        yield made


@pytest.fixture(scope="session")
def idle(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path], tls: tuple[Path, Path]
) -> Iterator[Behind]:
    """Another one that never has a worker: runs wait until a test moves them."""
    with _running(tmp_path_factory.mktemp("idle"), tiny_folder, tls) as made:
        yield made


@contextmanager
def _running(folder: Path, tiny_folder: Callable[..., Path], tls: tuple[Path, Path]) -> Iterator[Behind]:
    settings = StudioSettings.of(folder, f"sqlite:///{folder / 'studio.db'}", str(folder / "files"))
    store = ArtifactStore(settings.storage_url, folder / "cache")
    app = create_app(settings, Host(HostSettings(fetch=store.folder, data_dir=folder, secret="")))
    office: Office = app.state.studio.office
    with office.unit() as unit:
        admin, _ = people.first_admin(unit)
        project_id = projects.sandbox(unit).id
        for model_id, kind in ((LLAMA, "llama"), (T5, "t5")):
            foundation_models.add(unit, model_id, str(tiny_folder(kind)))
    with office.unit(Actor(user_id=admin.id, name="admin", admin=True)) as unit:
        key, secret = people.create_key(unit, "tests", role="admin")
    config = uvicorn.Config(
        app,
        port=0,
        host="localhost",
        ssl_certfile=str(tls[0]),
        ssl_keyfile=str(tls[1]),
        log_level="error",
        timeout_keep_alive=75,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Behind(f"https://localhost:{port}", secret, key.id, project_id, office, settings, tls[0], folder)
    # The clients leave connections open, and TLS would wait half a minute for a goodbye on each.
    for connection in list(server.server_state.connections):
        server.servers[0].get_loop().call_soon_threadsafe(connection.transport.abort)
    server.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def worker(behind: Behind) -> Iterator[None]:
    """A worker that tunes what is queued."""
    stopping, runner = threading.Event(), LocalRunner()
    settings = WorkerSettings(studio=behind.settings, poll=0.02)
    thread = threading.Thread(target=work, args=(settings, runner, stopping))
    thread.start()
    yield
    stopping.set()
    thread.join(60)
    runner.close()
    assert not thread.is_alive()


@pytest.fixture(params=MODES)
def mode(request: pytest.FixtureRequest) -> str:
    """Runs the test once for each way to sign in."""
    return str(request.param)


@pytest.fixture
def client(behind: Behind, mode: str, impatient: None) -> Any:
    """IBM's client in the sandbox project."""
    made = behind.client(mode)
    made.set.default_project(behind.project_id)
    return made


@pytest.fixture
def idle_client(idle: Behind, mode: str, impatient: None) -> Any:
    """The same in the studio without a worker."""
    made = idle.client(mode)
    made.set.default_project(idle.project_id)
    return made


@pytest.fixture
def http(behind: Behind) -> Iterator[httpx.Client]:
    """Plain requests, with a key."""
    with _http(behind) as made:
        yield made


@pytest.fixture
def idle_http(idle: Behind) -> Iterator[httpx.Client]:
    with _http(idle) as made:
        yield made


def _http(behind: Behind) -> httpx.Client:
    trusted = ssl.create_default_context(cafile=str(behind.certificate))
    headers = {"Authorization": f"Bearer {behind.key}"}
    return httpx.Client(base_url=behind.url, verify=trusted, headers=headers, timeout=60)


@pytest.fixture(autouse=True)
def tidy(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """IBM's client never closes its connections; here they end with the test that opened them."""
    opened: list[httpx.HTTPTransport] = []
    begin = httpx.HTTPTransport.__init__

    def noted(self: httpx.HTTPTransport, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        opened.append(self)

    monkeypatch.setattr(httpx.HTTPTransport, "__init__", noted)
    yield
    for transport in opened:
        transport.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """IBM's client waits five seconds between two questions; here it asks again at once. Nothing else is hurried."""
    import ibm_watsonx_ai.deployment
    import ibm_watsonx_ai.experiment
    import ibm_watsonx_ai.foundation_models  # noqa: F401

    hurried = types.SimpleNamespace(**{name: getattr(time, name) for name in dir(time) if not name.startswith("__")})
    hurried.sleep = lambda seconds: time.sleep(min(seconds, 0.2))
    for name, module in sys.modules.copy().items():
        if name.startswith("ibm_watsonx_ai") and getattr(module, "time", None) is time:
            monkeypatch.setattr(module, "time", hurried)
