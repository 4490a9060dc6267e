"""Files of the studio: datasets, tuned prompts, checkpoints, in a local folder or anything fsspec reaches.

A key is written once and whole: local files by renaming, folders elsewhere by a list of their files, written last.
What lies far away is brought into a local cache when it is read.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from softprompt.errors import NotFound, SoftpromptError, StorageFull, Unavailable, UsageError

_KEY = re.compile(r"[a-z0-9_-]+(/[A-Za-z0-9][A-Za-z0-9._-]*)+")
_LIST = "folder.json"


class ArtifactStore:
    """A store under one address.

    Args:
        url: a local folder, or an address of fsspec such as `s3://bucket/prefix`.
        cache: local folder for what is brought in from far away.
    """

    def __init__(self, url: str, cache: Path) -> None:
        self.url = url
        self._cache = cache
        self._local = Path(url.removeprefix("file://")) if "://" not in url or url.startswith("file://") else None
        self._fs: Any = None
        self._root = ""
        if self._local is None:
            self._fs, self._root = _remote(url)

    @property
    def local(self) -> bool:
        return self._local is not None

    @property
    def cache(self) -> Path:
        """Folder on this machine for what can be made again."""
        return self._cache

    def put_file(self, key: str, source: Path) -> int:
        """Store a file; its size in bytes. A key that exists is replaced whole."""
        _check(key)
        with _explained(self.url):
            if self._local is not None:
                _copy(source, self._local / key)
            else:
                self._fs.put_file(str(source), f"{self._root}/{key}")
        return source.stat().st_size

    def put_folder(self, key: str, source: Path) -> int:
        """Store a folder with all its files; the sum of their sizes."""
        _check(key)
        self.let_go(key)
        files = sorted(p for p in source.rglob("*") if p.is_file())
        with _explained(self.url):
            if self._local is not None:
                _copy_folder(source, self._local / key)
            else:
                names = [p.relative_to(source).as_posix() for p in files]
                for name in names:
                    self._fs.put_file(str(source / name), f"{self._root}/{key}/{name}")
                self._fs.pipe_file(f"{self._root}/{key}/{_LIST}", json.dumps(names).encode())
        return sum(p.stat().st_size for p in files)

    def file(self, key: str) -> Path:
        """A local path with the content of `key`; not to be changed."""
        _check(key)
        if self._local is not None:
            return _there(self._local / key, key)
        path = self._cached(key)
        with _explained(self.url):
            if not self._fs.exists(f"{self._root}/{key}"):
                raise NotFound(f"There is no file {key} in {self.url}.")
            path.parent.mkdir(parents=True, exist_ok=True)
            with _fresh(path) as fresh:
                self._fs.get_file(f"{self._root}/{key}", str(fresh))
        return path

    def folder(self, key: str) -> Path:
        """A local path with the files of folder `key`; not to be changed."""
        _check(key)
        if self._local is not None:
            return _there(self._local / key, key)
        path = self._cached(key)
        if path.is_dir():
            return path
        with _explained(self.url):
            try:
                names = json.loads(self._fs.cat_file(f"{self._root}/{key}/{_LIST}"))
            except FileNotFoundError:
                raise NotFound(f"There is no folder {key} in {self.url}.") from None
            with _fresh(path) as fresh:
                for name in names:
                    (fresh / name).parent.mkdir(parents=True, exist_ok=True)
                    self._fs.get_file(f"{self._root}/{key}/{name}", str(fresh / name))
        return path

    def exists(self, key: str) -> bool:
        _check(key)
        if self._local is not None:
            return os.path.exists(f"{self._local}/{key}")  # asked for a thousand deployments at once
        with _explained(self.url):
            root = f"{self._root}/{key}"
            return bool(self._fs.isfile(root) or self._fs.isfile(f"{root}/{_LIST}"))

    def remove(self, key: str) -> None:
        """Delete a file or folder; nothing happens if it is gone already."""
        _check(key)
        self.let_go(key)
        with _explained(self.url):
            if self._local is not None:
                path = self._local / key
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
                return
            try:
                self._fs.rm(f"{self._root}/{key}", recursive=True)
            except FileNotFoundError:
                return

    def let_go(self, key: str) -> None:
        """Delete this machine's copy of what lies far away."""
        copy = self._cached(key)
        shutil.rmtree(copy, ignore_errors=True) if copy.is_dir() else copy.unlink(missing_ok=True)

    def keys(self, under: str = "") -> Iterator[str]:
        """Every stored file, or those of one folder; files on their way are left out."""
        if self._local is not None:
            for path in sorted((self._local / under).rglob("*")):
                key = path.relative_to(self._local)
                if path.is_file() and not any(part.endswith(".partial") for part in key.parts):
                    yield key.as_posix()
            return
        with _explained(self.url):
            for name in sorted(self._fs.find(f"{self._root}/{under}".rstrip("/"))):
                yield str(name)[len(self._root) + 1 :]

    def stored(self, under: str) -> Iterator[tuple[str, datetime]]:
        """Every stored file of a folder with the moment it was put; those whose store does not tell are left out."""
        if self._local is not None:
            for key in self.keys(under):
                with suppress(FileNotFoundError):
                    yield key, datetime.fromtimestamp((self._local / key).stat().st_mtime, UTC)
            return
        with _explained(self.url):
            for name, facts in self._fs.find(f"{self._root}/{under}", detail=True).items():
                put = facts.get("LastModified") or facts.get("mtime") or facts.get("created")
                if isinstance(put, int | float):
                    put = datetime.fromtimestamp(put, UTC)
                if isinstance(put, datetime):
                    yield str(name)[len(self._root) + 1 :], put if put.tzinfo else put.replace(tzinfo=UTC)

    def probe(self) -> None:
        """Write, read and remove a file: whether the store works at all."""
        key = f"probe/{uuid.uuid4()}"
        self._cache.mkdir(parents=True, exist_ok=True)
        source = self._cache / key.replace("/", "-")
        source.write_bytes(b"softprompt")
        try:
            self.put_file(key, source)
            self.file(key)
            self.remove(key)
        finally:
            source.unlink(missing_ok=True)

    def _cached(self, key: str) -> Path:
        return self._cache / hashlib.sha256(self.url.encode()).hexdigest()[:12] / key


def _remote(url: str) -> tuple[Any, str]:
    import fsspec

    try:
        filesystem, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, use_listings_cache=False)
    except ImportError as error:
        raise UsageError(f"--storage-url {url}: {error}. For S3: pip install 'softprompt[s3]'.") from error
    except ValueError as error:
        raise UsageError(f"--storage-url {url}: {error}. Use a folder or an address such as s3://bucket.") from error
    return filesystem, str(root).rstrip("/")


def _check(key: str) -> None:
    if not _KEY.fullmatch(key) or ".." in key:
        raise NotFound(f"{key!r} is no key of a stored file.")


def _there(path: Path, key: str) -> Path:
    if not path.exists():
        raise NotFound(f"There is no file {key} in {path.parent}.")
    return path


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with source.open("rb") as read, partial.open("wb") as write:
            shutil.copyfileobj(read, write, 2**20)
            write.flush()
            os.fsync(write.fileno())
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _copy_folder(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with _fresh(target) as fresh:
        for path in sorted(p for p in source.rglob("*") if p.is_file()):
            _copy(path, fresh / path.relative_to(source))


@contextmanager
def _fresh(target: Path) -> Iterator[Path]:
    """A new name beside `target` that takes its place when the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        yield fresh
        if fresh.is_dir():
            old = target.with_name(f"{target.name}.{uuid.uuid4().hex[:8]}.partial")
            if target.exists():
                target.rename(old)
            fresh.rename(target)
            shutil.rmtree(old, ignore_errors=True)
        else:
            fresh.replace(target)
    finally:
        if fresh.is_dir():
            shutil.rmtree(fresh, ignore_errors=True)
        else:
            fresh.unlink(missing_ok=True)


@contextmanager
def _explained(url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"A file is gone from {url}: {error.filename or error}.") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageFull(f"There is no room left in {url}. Make room and try again; nothing was lost.") from error
        raise Unavailable(f"The file store {url} does not answer: {error}.") from error
    except SoftpromptError:
        raise
    except Exception as error:
        if "://" not in url:
            raise
        # Clients of object stores raise errors of their own for what a file system says with OSError.
        raise Unavailable(f"The file store {url} does not answer: {type(error).__name__}: {error}.") from error
