"""What a request need not read again, and that nothing is believed a moment longer than it is true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from softprompt.api import auth, remembered
from softprompt.api.context import token_secret
from softprompt.api.remembered import FOREVER, Remembered
from softprompt.config import StudioSettings
from softprompt.storage.database import Database
from softprompt.storage.people import ApiKey, User
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Project, TunedPrompt
from softprompt.storage.types import now
from softprompt.studio import deployments, memberships, people
from softprompt.studio.access import SYSTEM, Office, Unit
from softprompt.testing.live import EchoBackend, LiveStudio, live_studio

from .studio.conftest import message, ok, unique


class Reader:
    """Counts the projects, and how often it was asked to."""

    def __init__(self, database: Database, until: datetime = FOREVER) -> None:
        self.database, self.until, self.asked = database, until, 0

    def __call__(self) -> tuple[int, datetime]:
        self.asked += 1
        with self.database.read() as session:
            return Rows(session).count(Project), self.until


def add_project(database: Database) -> None:
    with database.write() as session:
        Rows(session).add(Project(name=unique("project")))


def test_it_is_read_again_after_a_commit_and_only_then(database: Database) -> None:
    memory, reader, other = Remembered(database), Reader(database), Database(database.url)

    async def ask() -> list[int]:
        found = [await memory.of("projects", reader) for _ in range(3)]
        for each in (database, other):
            add_project(each)
            found += [await memory.of("projects", reader) for _ in range(2)]
        return found

    assert asyncio.run(ask()) == [0, 0, 0, 1, 1, 2, 2]
    assert reader.asked == (3 if database.sqlite else 7)
    other.close()


def test_a_commit_while_it_is_read_counts(database: Database) -> None:
    memory, reader = Remembered(database), Reader(database)

    def slow() -> tuple[int, datetime]:
        found = reader()
        add_project(database)
        return found

    async def ask() -> list[int]:
        return [await memory.of("projects", slow), await memory.of("projects", reader)]

    assert asyncio.run(ask()) == [0, 1]


def test_a_slow_reader_does_not_bring_back_what_was_before(database: Database) -> None:
    memory, reader = Remembered(database), Reader(database)

    async def ask() -> int:
        began, go_on = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def slow() -> tuple[int, datetime]:
            found = reader()
            loop.call_soon_threadsafe(began.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(20)
            return found

        late = asyncio.create_task(memory.of("projects", slow))
        await began.wait()
        add_project(database)
        assert await memory.of("others", reader) == 1
        go_on.set()
        assert await late == 0
        return await memory.of("projects", reader)

    assert asyncio.run(ask()) == 1


def test_time_ends_it_too(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    memory, reader = Remembered(database), Reader(database, now() + timedelta(minutes=5))

    async def ask() -> None:
        for later, asked in ((0, 1), (4, 1), (5, 2)):
            monkeypatch.setattr(remembered, "now", lambda: now() + timedelta(minutes=later))  # noqa: B023
            await memory.of("projects", reader)
            assert reader.asked == asked or not database.sqlite

    asyncio.run(ask())


def test_errors_are_not_remembered_and_the_oldest_goes_first(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory, reader = Remembered(database), Reader(database)
    monkeypatch.setattr(remembered, "MOST", 2)

    def broken() -> tuple[int, datetime]:
        raise ZeroDivisionError

    async def ask() -> None:
        for _ in range(2):
            with pytest.raises(ZeroDivisionError):
                await memory.of("broken", broken)
        for key in ("one", "two", "three", "three", "two", "one"):
            await memory.of(key, reader)
        assert reader.asked == (4 if database.sqlite else 6)

    asyncio.run(ask())


# --- what it is for ---------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Callable[..., Path]) -> Iterator[LiveStudio]:
    with live_studio(tmp_path_factory.mktemp("studio"), EchoBackend()) as running:
        running.add_model("tiny", tiny_folder("llama"))
        yield running


@pytest.fixture
def elsewhere(studio: LiveStudio) -> Iterator[Callable[[], Any]]:
    """`with elsewhere() as unit:` a unit of work by connections that the web knows nothing of."""
    office = Office(Database(StudioSettings.of(studio.data_dir).database_url), studio.office.store)
    yield lambda: office.unit(SYSTEM)
    office.database.close()


def ask(studio: LiveStudio, deployment: str, key: str | None = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {key or studio.key}"}
    body = {"deployment": deployment, "input": "a b c"}
    return httpx.post(f"{studio.url}/api/generate", json=body, headers=headers, timeout=30)


@contextmanager
def without_reads(studio: LiveStudio, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A studio whose database nobody may read."""

    def refused() -> Any:
        raise AssertionError("the database was read")

    with monkeypatch.context() as patch:
        patch.setattr(studio.office.database, "read", refused)
        yield


@pytest.mark.sqlite  # PostgreSQL does not tell whether anything was committed: everything is read every time
def test_a_second_answer_reads_nothing(studio: LiveStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    name = unique("still")
    studio.deploy_model(name, "tiny", serving=name)
    ok(ask(studio, name))
    studio.office.database.attempt(lambda session: people.note_use(Rows(session), "nobody"))
    first = ok(ask(studio, name))
    with without_reads(studio, monkeypatch):
        assert ok(ask(studio, name))["results"] == first["results"]


def test_a_key_ends_at_once_whoever_ends_it(studio: LiveStudio, elsewhere: Any) -> None:
    name = unique("ends")
    studio.deploy_model(name, "tiny", serving=name)
    key = studio.new_key(unique("user"), member="viewer")
    with studio.office.unit(SYSTEM) as unit:
        row = people.actor_of_key(unit.rows, key)[1]
    token, _ = auth.make_token(token_secret(studio.data_dir), user_id=row.user_id, key_id=row.id, mode="cpd")
    changes: list[tuple[Callable[[Unit], Any], Callable[[Unit], Any], str]] = [
        (
            lambda unit: unit.rows.change(ApiKey, {"revoked_at": now()}, id=row.id),
            lambda unit: unit.rows.change(ApiKey, {"revoked_at": None}, id=row.id),
            "was revoked",
        ),
        (
            lambda unit: unit.rows.change(User, {"disabled_at": now()}, id=row.user_id),
            lambda unit: unit.rows.change(User, {"disabled_at": None}, id=row.user_id),
            "disabled",
        ),
    ]
    for end, undo, words in changes:
        for credential in (key, token):
            ok(ask(studio, name, credential))
            ok(ask(studio, name, credential))
            with elsewhere() as unit:
                end(unit)
            assert words in message(ask(studio, name, credential), 401)
            with elsewhere() as unit:
                undo(unit)
            ok(ask(studio, name, credential))


def test_a_key_expires_though_nothing_is_committed(studio: LiveStudio, monkeypatch: pytest.MonkeyPatch) -> None:
    with studio.office.unit(SYSTEM) as unit:
        admin = people.create_user(unit, unique("user"), admin=True)
        row, key = people.create_key(unit, "short", role="admin", user=admin)
        row.expires_at, row.last_used_at = now() + timedelta(minutes=1), now()
    token, _ = auth.make_token(token_secret(studio.data_dir), user_id=row.user_id, key_id=row.id, mode="cpd")
    name = unique("expires")
    studio.deploy_model(name, "tiny", serving=name)
    for credential in (key, token):
        ok(ask(studio, name, credential))
        with monkeypatch.context() as patch:
            for module in (remembered, people):
                patch.setattr(module, "now", lambda: now() + timedelta(minutes=2))
            assert "has expired" in message(ask(studio, name, credential), 401)


def test_a_role_that_is_taken_away_counts_at_once(studio: LiveStudio, elsewhere: Any) -> None:
    user, name = unique("user"), unique("role")
    studio.deploy_model(name, "tiny", serving=name)
    key = studio.new_key(user, member="viewer")
    ok(ask(studio, name, key))
    ok(ask(studio, name, key))
    with elsewhere() as unit:
        memberships.set_member(unit, unit.rows.get(Project, studio.project.id), user, None)
    message(ask(studio, name, key), 404)
    ok(ask(studio, name))


def test_nobody_gets_what_another_was_told(studio: LiveStudio) -> None:
    name = unique("mine")
    studio.deploy_model(name, "tiny", serving=name)
    ok(ask(studio, name))
    message(ask(studio, name, studio.new_key(unique("stranger"))), 404)


def test_a_deployment_changes_at_once(studio: LiveStudio, elsewhere: Any) -> None:
    name, backend = unique("swap"), studio.backend
    deployed = studio.deploy_prompt(name, "tiny", serving=name)
    with elsewhere() as unit:
        values = {"key": f"prompts/{name}-2", "virtual_tokens": 3, "model_id": "tiny"}
        second = unit.rows.add(TunedPrompt(project_id=studio.project.id, name=f"{name} 2", **values)).id
    for _ in range(2):
        ok(ask(studio, name))
    assert backend.works[-1].target.prompt == f"prompts/{name}"
    with elsewhere() as unit:
        deployments.update(unit, deployed, prompt_id=second)
    ok(ask(studio, name))
    assert backend.works[-1].target.prompt == f"prompts/{name}-2"
    with elsewhere() as unit:
        deployments.update(unit, deployed, online=False)
    assert "Bring it online first" in message(ask(studio, name), 503)
    with elsewhere() as unit:
        deployments.update(unit, deployed, online=True, serving=f"{name}-new")
    message(ask(studio, name), 404)
    ok(ask(studio, f"{name}-new"))
    with elsewhere() as unit:
        deployments.delete(unit, deployed)
    message(ask(studio, f"{name}-new"), 404)
