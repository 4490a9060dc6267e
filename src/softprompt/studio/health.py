"""How the studio and its machine are: processes, disks, database, versions. What answers is asked by whoever has a line
to it, and the checks of `softprompt doctor` are made by the supervisor; both are brought together on the page.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from softprompt import __version__
from softprompt.config import STATE_FILE, Settings, StudioSettings
from softprompt.storage.database import Database
from softprompt.studio.access import Office
from softprompt.studio.settings import without_password

Verdict = Literal["ok", "warning", "wrong"]
PACKAGES = ("torch", "transformers", "fastapi", "sqlalchemy", "htpy", "plotly", "scikit-learn")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found.

    Attributes:
        words: what is; where something is wrong, what to do about it.
    """

    check: str
    verdict: Verdict
    words: str


@dataclass(frozen=True, slots=True)
class Process:
    """A process that `softprompt up` keeps alive."""

    name: str
    kind: str
    state: str
    pid: int | None
    restarts: int
    problem: str


@dataclass(frozen=True, slots=True)
class Disk:
    """A file system that the studio writes to.

    Attributes:
        holds: what of the studio lies on it.
    """

    holds: tuple[str, ...]
    path: str
    free: int
    whole: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """The machine's side.

    Attributes:
        supervised: whether `softprompt up` says that it runs here.
        database_bytes: None of a server, whose files are elsewhere.
    """

    version: str
    python: str
    system: str
    packages: dict[str, str]
    database: str
    database_address: str
    database_bytes: int | None
    revision: str
    newest_revision: str
    store: str
    supervised: bool
    started: datetime | None
    processes: Sequence[Process] = field(default=())
    disks: Sequence[Disk] = field(default=())


def look(office: Office, settings: StudioSettings) -> Health:
    """As it is now. Quick: nothing is written and nobody is waited for."""
    state = _state(settings.data_dir)
    database = office.database
    supervised = bool(state) and _lives(state.get("pid"))
    return Health(
        version=__version__,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}, {os.cpu_count()} processors",
        packages=_versions(),
        database="SQLite" if database.sqlite else "PostgreSQL",
        database_address=without_password(settings.database_url),
        database_bytes=_bytes(settings.database_url),
        revision=database.revision() or "–",
        newest_revision=Database.newest_revision(),
        store=without_password(settings.storage_url),
        supervised=supervised,
        started=_moment(state.get("started")) if supervised else None,
        processes=tuple(_process(each) for each in state.get("processes", [])) if supervised else (),
        disks=_disks(settings),
    )


def _state(data_dir: Path) -> dict[str, Any]:
    """What `softprompt up` wrote down last."""
    try:
        found = json.loads((data_dir / STATE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _process(told: dict[str, Any]) -> Process:
    pid = told.get("pid")
    state = str(told.get("state", ""))
    if pid is not None and not _lives(pid):
        state = "restarting"  # its parent has not noticed yet
    return Process(
        str(told.get("name", "")), str(told.get("kind", "")), state, pid, int(told.get("restarts") or 0),
        str(told.get("problem") or ""),
    )  # fmt: skip


def _lives(pid: Any) -> bool:
    if not isinstance(pid, int):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def _bytes(database_url: str) -> int | None:
    file = database_url.removeprefix("sqlite:///")
    if file == database_url:
        return None
    sizes = [path.stat().st_size for path in (Path(file), Path(f"{file}-wal")) if path.exists()]
    return sum(sizes)


def _disks(settings: StudioSettings) -> tuple[Disk, ...]:
    """Each file system once, with all that lies on it."""
    places = {"data": settings.data_dir, "foundation models": Settings.from_environment().cache}
    if "://" not in settings.storage_url:
        places["files"] = Path(settings.storage_url)
    found: dict[int, Disk] = {}
    for name, folder in places.items():
        there = next(each for each in (folder, *folder.parents) if each.exists())
        device = there.stat().st_dev
        usage = shutil.disk_usage(there)
        before = found.get(device)
        holds = (*before.holds, name) if before else (name,)
        found[device] = Disk(holds, before.path if before else str(there), usage.free, usage.total)
    return tuple(found.values())


def _moment(text: Any) -> datetime | None:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        return None
