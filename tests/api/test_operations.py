"""Whether a web process says that it is ready, and why it is not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import text

from softprompt.storage.database import Database
from softprompt.testing.live import EchoBackend, live_studio


def ready(url: str) -> tuple[int, dict[str, object]]:
    answer = httpx.get(f"{url}/readyz", timeout=60)
    return answer.status_code, answer.json()


def test_it_is_not_ready_while_the_file_store_is_away(tmp_path: Path) -> None:
    with live_studio(tmp_path, EchoBackend()) as studio:
        assert ready(studio.url) == (200, {"ready": True, "database": "ok", "storage": "ok"})
        shutil.rmtree(tmp_path / "files")
        (tmp_path / "files").write_text("no folder", encoding="utf-8")
        status, told = ready(studio.url)
        assert (status, told["ready"], told["database"]) == (503, False, "ok")
        assert str(tmp_path / "files") in str(told["storage"])
        (tmp_path / "files").unlink()
        assert ready(studio.url)[0] == 200
        shutil.rmtree(tmp_path / "cache")
        (tmp_path / "cache").write_text("no folder", encoding="utf-8")
        assert ready(studio.url)[0] == 503, "what the store needs on this machine counts as well"
        assert httpx.get(f"{studio.url}/healthz").status_code == 200


def test_it_is_not_ready_while_the_database_is_away(
    postgres_url: Callable[..., str], postgres_template: str, postgres_server: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    url = postgres_url(postgres_template)
    monkeypatch.setenv("SOFTPROMPT_DATABASE_URL", url)
    with live_studio(tmp_path, EchoBackend()) as studio:
        assert ready(studio.url)[0] == 200
        with away(postgres_server, url.partition("?")[0].rpartition("/")[2]):
            status, told = ready(studio.url)
            assert (status, told["ready"], told["storage"]) == (503, False, "ok")
            assert "not currently accepting connections" in str(told["database"])
        assert ready(studio.url)[0] == 200


@contextmanager
def away(server: str, name: str) -> Iterator[None]:
    """Nobody reaches this database, and who was there is sent off."""
    with psycopg.connect(server, autocommit=True) as admin:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false".encode())
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        yield
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true".encode())


def test_it_is_not_ready_with_the_tables_of_another_version(tmp_path: Path) -> None:
    with live_studio(tmp_path, EchoBackend()) as studio:
        with studio.office.database.write() as session:
            session.execute(text("UPDATE alembic_version SET version_num = 'older'"))
        status, told = ready(studio.url)
    assert (status, told["database"]) == (503, f"tables at older, this version needs {Database.newest_revision()}")
