"""A whole studio in one file: rows and files as of one moment, while it runs; and back, all of it or nothing.

The file is a zip: `manifest.json` (what is in it, with digests), `tables/NAME.jsonl`, `files/KEY`. It holds digests of
keys and passwords, so only its owner may read it. The folder's own secrets (signing key, certificate) are not in it:
another machine makes its own.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from softprompt import __version__
from softprompt.errors import Conflict, NotFound, StorageFull, Unavailable, UsageError
from softprompt.storage import dump
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database, knows_revision, migrate

FORMAT = 1
MANIFEST = "manifest.json"
_CHUNK = 2**20
_LOOKS = 10
"""For checkpoints, at most."""
_KEYED = ("datasets", "tuned_prompts", "tuning_runs")
"""Tables that name files and folders of the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What is in a backup.

    Attributes:
        version: of Softprompt that made it.
        revision: of the tables.
        rows: of each table.
        digests: SHA-256 of every entry of the zip but this one.
        folders: keys in the store that are folders; the others are files.
        missing: keys that a row names and the store did not have.
    """

    format: int = FORMAT
    version: str
    revision: str
    created: str
    rows: dict[str, int]
    digests: dict[str, str]
    folders: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @property
    def keys(self) -> list[str]:
        """Of files and folders in the store."""
        prefix = len("files/")
        files = {name[prefix:] for name in self.digests if name.startswith("files/")}
        inside = {name for name in files for key in self.folders if name.startswith(f"{key}/")}
        return sorted((files - inside) | set(self.folders))


# --- making one -------------------------------------------------------------------------------------------------------
def write(database: Database, store: ArtifactStore, path: Path) -> Manifest:
    """Write a backup; it appears under its name when it is whole. An older backup of that name is replaced."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with _told(path):
        if path.exists() and not _is_backup(path):
            raise Conflict(f"{path} is there and is no backup; it is not overwritten. Name another file.")
        try:
            with os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600), "w+b") as file:
                with (
                    tempfile.TemporaryDirectory(dir=path.parent, prefix=".backup-") as place,
                    zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=3) as archive,
                ):
                    # What lies far away is brought here for a moment only: all of it may be more than this disk holds.
                    source = store if store.local else ArtifactStore(store.url, Path(place))
                    manifest = _Writer(archive, source).all_of(database)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
            _sync_folder(path.parent)
        finally:
            partial.unlink(missing_ok=True)
    return manifest


class _Writer:
    """Fills an archive."""

    def __init__(self, archive: zipfile.ZipFile, store: ArtifactStore) -> None:
        self._archive, self._store = archive, store
        self._digests: dict[str, str] = {}
        self._folders: list[str] = []
        self._missing: list[str] = []

    def all_of(self, database: Database) -> Manifest:
        created = datetime.now(UTC).isoformat(timespec="seconds")
        # Before the rows: a run that goes on from an older checkpoint than its rows say is what a crash leaves, too.
        self._checkpoints()
        rows: dict[str, int] = {}
        keys: set[str] = set()
        with database.snapshot() as connection:
            revision = database.known_revision()
            if revision is None:
                raise NotFound("There is no studio in this database yet, so there is nothing to back up.")
            for name, table in dump.tables(connection).items():
                rows[name] = self._table(name, _noting(dump.lines(connection, table), name, keys))
        for key in sorted(keys):
            self._stored(key)
        manifest = Manifest(
            version=__version__,
            revision=revision,
            created=created,
            rows=rows,
            digests=self._digests,
            folders=self._folders,
            missing=self._missing,
        )
        self._archive.writestr(MANIFEST, json.dumps(asdict(manifest), indent=1))
        return manifest

    def _table(self, name: str, lines: Iterable[bytes]) -> int:
        count, digest = 0, hashlib.sha256()
        with self._archive.open(f"tables/{name}.jsonl", "w", force_zip64=True) as entry:
            for line in lines:
                entry.write(line)
                digest.update(line)
                count += 1
        self._digests[f"tables/{name}.jsonl"] = digest.hexdigest()
        return count

    def _stored(self, key: str) -> None:
        """A file or folder that a row names. Keys are written once, so it is as it was when the rows were read."""
        try:
            path = self._store.folder(key) if self._is_folder(key) else self._store.file(key)
        except NotFound:
            self._missing.append(key)
            return
        if path.is_file():
            self._add(f"files/{key}", path)
        else:
            self._folders.append(key)
            for file in sorted(p for p in path.rglob("*") if p.is_file()):
                self._add(f"files/{key}/{file.relative_to(path).as_posix()}", file)
        self._store.let_go(key)

    def _is_folder(self, key: str) -> bool:
        return any(name != key for name in self._store.keys(key))

    def _checkpoints(self) -> None:
        """Of every run one at least; a worker may replace them as they are read, and then the newer one is wanted."""
        for _ in range(_LOOKS):
            replaced = False
            for key in [key for key in self._store.keys("checkpoints") if f"files/{key}" not in self._digests]:
                try:
                    self._add(f"files/{key}", self._store.file(key))
                    self._store.let_go(key)
                except (NotFound, FileNotFoundError):
                    replaced = True
            if not replaced:
                return

    def _add(self, name: str, path: Path) -> None:
        digest = hashlib.sha256()
        info = zipfile.ZipInfo(name, date_time=datetime.now().timetuple()[:6])
        # Weights do not get smaller; trying would take most of the time.
        info.compress_type = zipfile.ZIP_STORED if path.suffix == ".safetensors" else zipfile.ZIP_DEFLATED
        with path.open("rb") as source, self._archive.open(info, "w", force_zip64=True) as entry:
            while part := source.read(_CHUNK):
                entry.write(part)
                digest.update(part)
        self._digests[name] = digest.hexdigest()


def _noting(lines: Iterator[bytes], table: str, keys: set[str]) -> Iterator[bytes]:
    """Pass lines on and write down the keys in the store that they name."""
    for line in lines:
        if table in _KEYED:
            row = json.loads(line)
            left = json.loads(row.get("results") or "{}")  # of a run whose prompt nobody has made into a noun yet
            keys |= {key for key in (row.get("key"), (left or {}).get("prompt_key")) if key}
        yield line


# --- bringing one back ------------------------------------------------------------------------------------------------
def check(path: Path) -> Manifest:
    """Read a backup through: every entry is there and has its digest, and this version knows its tables."""
    with _opened(path) as archive:
        try:
            content = json.loads(archive.read(MANIFEST))
            if content.get("format") != FORMAT:
                raise UsageError(f"{path} is a backup of format {content.get('format')}; this version reads {FORMAT}.")
            manifest = Manifest(**content)
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise UsageError(f"{path} is no backup of Softprompt, or a broken one: {error}.") from error
        if not knows_revision(manifest.revision):
            raise UsageError(
                f"{path} was made by Softprompt {manifest.version}, whose tables (revision {manifest.revision}) this "
                f"version, {__version__}, does not know. Install that version or a newer one, then restore."
            )
        names = set(archive.namelist()) - {MANIFEST}
        wrong = [f"{name} is missing" for name in sorted(set(manifest.digests) - names)]
        wrong += [f"{name} does not belong there" for name in sorted(names - set(manifest.digests))]
        wrong += [
            f"{name} was changed or damaged"
            for name in sorted(names & set(manifest.digests))
            if _digest(archive, name) != manifest.digests[name]
        ]
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise UsageError(
                f"{path} is not whole: {'; '.join(wrong[:5])}{more}. Nothing was restored; use another one."
            )
    return manifest


def restore(path: Path, database: Database, store: ArtifactStore, *, scratch: Path, replace: bool = False) -> Manifest:
    """Bring a studio back, and its tables to this version's revision. Nothing changes unless everything works.

    Args:
        scratch: folder with room for the largest tuned prompt.
        replace: whether a studio that is there may go.
    """
    manifest = check(path)
    with database.snapshot() as connection:
        if not replace and dump.holds_rows(connection):
            raise Conflict(
                "There is a studio in this database already. Name another data folder or database, or say --replace: "
                "then what is there now is gone."
            )
    put: list[str] = []
    with _opened(path) as archive, ExitStack() as undo:
        undo.callback(_remove_all, store, put)
        scratch.mkdir(parents=True, exist_ok=True)
        for key in manifest.keys:
            with tempfile.TemporaryDirectory(dir=scratch, prefix="restore-") as place:
                if _put(archive, manifest, key, store, Path(place)):
                    put.append(key)
        with database.alone() as connection:
            dump.drop_all(connection)
            migrate(connection, manifest.revision)
            made = dump.tables(connection)
            for name in manifest.rows:
                if name not in made:
                    raise UsageError(f"{path}: there is no table {name!r} in revision {manifest.revision}.")
                with archive.open(f"tables/{name}.jsonl") as lines:
                    dump.fill(connection, made[name], lines)
            dump.count_on(connection)
            migrate(connection)
        undo.pop_all()
    return manifest


def _put(archive: zipfile.ZipFile, manifest: Manifest, key: str, store: ArtifactStore, place: Path) -> bool:
    """Put a file or folder into the store unless it is there just so; whether it was not there before."""
    there = store.exists(key)
    prefix = f"files/{key}"
    names = [name for name in manifest.digests if name == prefix or name.startswith(f"{prefix}/")]
    if there and store.local and all(_same(store, name[6:], manifest.digests[name]) for name in names):
        return False
    out = place / "content"
    for name in names:
        target = out if name == prefix else out / name[len(prefix) + 1 :]
        if not target.resolve().is_relative_to(place.resolve()):
            raise UsageError(f"{name} in the backup leads out of its folder; it is not restored.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(name) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, _CHUNK)
    (store.put_folder if key in manifest.folders else store.put_file)(key, out)
    return not there


def _remove_all(store: ArtifactStore, keys: list[str]) -> None:
    for key in keys:
        store.remove(key)


def _same(store: ArtifactStore, key: str, digest: str) -> bool:
    try:
        with store.file(key).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == digest
    except (NotFound, OSError):
        return False


def _digest(archive: zipfile.ZipFile, name: str) -> str:
    digest = hashlib.sha256()
    try:
        with archive.open(name) as entry:
            while part := entry.read(_CHUNK):
                digest.update(part)
    except (zipfile.BadZipFile, EOFError, OSError, zlib.error):
        return "damaged"
    return digest.hexdigest()


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(path)
    except FileNotFoundError:
        raise UsageError(f"There is no file {path}.") from None
    except (zipfile.BadZipFile, OSError) as error:
        raise UsageError(f"{path} is no backup of Softprompt, or was cut off: {error}.") from error
    with archive:
        yield archive


def _is_backup(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return MANIFEST in archive.namelist()
    except (zipfile.BadZipFile, OSError):
        return False


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"There is no room for {path}. Make room, or name a file on another disk.") from error
        raise Unavailable(f"{path} cannot be written: {error.strerror or error}. Name another file.") from error


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
