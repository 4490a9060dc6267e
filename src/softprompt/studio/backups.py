"""Backups that the running studio makes of itself, kept in its data folder until somebody removes them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from softprompt.errors import NotFound
from softprompt.storage import backup
from softprompt.storage.backup import Manifest
from softprompt.studio.access import Actor, Office, Unit

FOLDER = "backups"
_NAME = re.compile(r"softprompt-\d{8}-\d{6}(-\d+)?\.zip")


@dataclass(frozen=True, slots=True)
class Kept:
    """A backup in the data folder."""

    name: str
    size: int
    made_at: datetime


def make(office: Office, actor: Actor, data_dir: Path) -> tuple[Kept, Manifest]:
    """Write everything, as of this moment, into one file; others go on working meanwhile."""
    with office.unit(actor) as unit:
        unit.need_studio_admin()
        unit.log("backup", None, "studio")
    folder = data_dir / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = _free(folder, f"softprompt-{datetime.now(UTC):%Y%m%d-%H%M%S}")
    manifest = backup.write(office.database, office.store, path)
    return _kept(path), manifest


def kept(unit: Unit, data_dir: Path) -> list[Kept]:
    """What is there, the newest first."""
    unit.need_studio_admin()
    folder = data_dir / FOLDER
    files = [path for path in folder.iterdir() if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return [_kept(path) for path in sorted(files, key=lambda path: path.stem, reverse=True)]


def path_of(unit: Unit, data_dir: Path, name: str) -> Path:
    """The file of a backup, for somebody who takes it away."""
    path = _existing(unit, data_dir, name)
    unit.log("download", None, "backup", name=name)
    return path


def remove(unit: Unit, data_dir: Path, name: str) -> None:
    path = _existing(unit, data_dir, name)
    unit.log("delete", None, "backup", name=name)
    path.unlink(missing_ok=True)


def _free(folder: Path, stem: str) -> Path:
    """A file that is not there yet: two backups may be made within a second."""
    path, number = folder / f"{stem}.zip", 2
    while path.exists():
        path, number = folder / f"{stem}-{number}.zip", number + 1
    return path


def _existing(unit: Unit, data_dir: Path, name: str) -> Path:
    unit.need_studio_admin()
    path = data_dir / FOLDER / name
    if not _NAME.fullmatch(name) or not path.is_file():
        raise NotFound(f"There is no backup {name!r} here. The settings page lists what there is.")
    return path


def _kept(path: Path) -> Kept:
    facts = path.stat()
    return Kept(path.name, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))
