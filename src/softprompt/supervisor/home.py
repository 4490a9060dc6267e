"""The data folder as its operators see it: one `up` at a time by a lock, and a file that says what runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from softprompt.config import STATE_FILE, StudioSettings
from softprompt.errors import Conflict, NotFound, StorageFull, UsageError, WrongState
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.studio.access import Office
from softprompt.supervisor.certificate import write_private

LOCK = "studio.lock"


def office_of(settings: StudioSettings, *, existing: bool = False) -> Office:
    """Database and file store of a studio, for the command line and the parent.

    Args:
        existing: refuse a studio that is not there, instead of beginning one by looking.
    """
    if existing and not is_there(settings):
        raise NotFound(f"There is no studio in {settings.data_dir} yet. `softprompt up` makes it.")
    make_home(settings.data_dir)
    database = Database(settings.database_url)
    return Office(database, ArtifactStore(settings.storage_url, settings.data_dir / "cache"), settings.limits)


def is_there(settings: StudioSettings) -> bool:
    """Whether there may be a studio: SQLite's file is there, or the database is a server."""
    file = settings.database_url.removeprefix("sqlite:///")
    try:
        return file == settings.database_url or Path(file).exists()
    except OSError:  # it lies where this user may not look; who opens it is told so
        return True


def need_tables(office: Office, data_dir: Path) -> None:
    """Refuse a database whose tables are not those of this version."""
    here, newest = office.database.known_revision(), office.database.newest_revision()
    if here is None:
        raise NotFound(f"There is no studio in {data_dir} yet. `softprompt up` makes it.")
    if here != newest:
        raise WrongState(
            f"The tables are of an older version (revision {here}, this version has {newest}). Make a backup "
            "(softprompt backup FILE); then `softprompt up` brings them up to date."
        )


def make_home(data_dir: Path) -> None:
    """The folder; nobody else may look into it."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise UsageError(f"--data-dir: {data_dir} cannot be made ({error.strerror}). Name another folder.") from error


@contextmanager
def sole(data_dir: Path, *, wish: str = "start") -> Iterator[None]:
    """Hold the folder's lock; refused if a studio runs on it. The system lets go when this process ends, however."""
    from filelock import FileLock, Timeout

    make_home(data_dir)
    lock = FileLock(data_dir / LOCK, timeout=1)
    try:
        lock.acquire()
    except Timeout:
        state = read_state(data_dir)
        pid = f" (process {state['pid']})" if state.get("pid") else ""
        at = f" at {state['web']}" if state.get("web") else ""
        raise Conflict(
            f"A studio runs on {data_dir} already{pid}{at}; this one cannot {wish}. `softprompt status` shows it. "
            "Stop it, or name another folder: --data-dir DIR."
        ) from None
    except OSError as error:
        raise UsageError(
            f"--data-dir: {data_dir} cannot be written ({error.strerror}). Name another folder."
        ) from error
    try:
        yield
    finally:
        lock.release()


def is_running(data_dir: Path) -> bool:
    """Whether somebody holds the lock."""
    from filelock import FileLock, Timeout

    if not os.path.exists(data_dir / LOCK):  # nor where this user may not look
        return False
    lock = FileLock(data_dir / LOCK, timeout=0)
    try:
        lock.acquire()
    except (Timeout, OSError):
        return True
    lock.release()
    return False


def read_state(data_dir: Path) -> dict[str, Any]:
    """What `up` wrote down last; empty if nothing."""
    try:
        found = json.loads((data_dir / STATE_FILE).read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}


def write_state(data_dir: Path, state: dict[str, Any]) -> None:
    """For `status` and for commands that are given the folder alone; a password may be in it."""
    try:
        write_private(data_dir / STATE_FILE, json.dumps(state, indent=1).encode())
    except OSError as error:
        raise StorageFull(f"{data_dir / STATE_FILE} cannot be written: {error.strerror}. Make room there.") from error
