"""Writes a folder whole or not at all, whatever happens: a full disk, a kill, a power cut.

The files go to a hidden sibling first and down to the disk; then two renames put it in place. If the machine stops
between the two, the older folder still lies beside it under the name that `previous` tells. Does not know what the
files are.
"""

from __future__ import annotations

import glob
import os
import secrets
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from softprompt.engine.safe_files import reason
from softprompt.errors import ArtifactError, ArtifactInvalid

_ABANDONED_SECONDS = 3600


def write_folder(folder: Path, files: Mapping[str, bytes], *, known: frozenset[str], mark: str) -> Path:
    """Put a folder with these files in place.

    Args:
        folder: where; must be new, empty, or an older folder of the same kind, which is replaced.
        files: names and contents.
        known: names that a folder of this kind may hold; one with any other file is never replaced.
        mark: the file that makes a folder one of this kind.
    """
    place = folder.resolve()
    beside = place.with_name(f".{place.name}.{secrets.token_hex(4)}.tmp")
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        _recover(place)
        _check_replaceable(place, known, mark)
        _write(beside, files)
        _swap(beside, place)
    except OSError as error:
        kept = "What was there before is unchanged. " if place.exists() else ""
        raise ArtifactError(
            f"{folder} could not be saved: {reason(error)}. {kept}Free or choose another place and save again."
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return place


def previous(folder: Path) -> Path:
    """Where the older folder lies for the instant of the swap."""
    place = folder.resolve()
    return place.with_name(f".{place.name}.previous")


def _recover(place: Path) -> None:
    """Finish what an earlier save left behind when it was killed."""
    for left in place.parent.glob(f".{glob.escape(place.name)}.*.tmp"):
        if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    old = previous(place)
    if old.is_dir():
        if place.exists():
            shutil.rmtree(old)
        else:
            os.rename(old, place)


def _check_replaceable(place: Path, known: frozenset[str], mark: str) -> None:
    if not place.exists():
        return
    if not place.is_dir():
        raise ArtifactInvalid(f"{place} is a file. Choose another folder; nothing was changed.")
    names = {path.name for path in place.iterdir()}
    if names and mark not in names:
        raise ArtifactInvalid(
            f"{place} holds {len(names)} files, such as {min(names)}, and no {mark}: it is no tuned prompt and will "
            "not be replaced. Choose another folder; nothing was changed."
        )
    if foreign := sorted(names - known):
        raise ArtifactInvalid(
            f"{place} holds {foreign[0]} beside a tuned prompt; replacing the folder would delete it. Move it away or "
            "choose another folder; nothing was changed."
        )


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    os.mkdir(folder)
    for name, data in files.items():
        with open(folder / name, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
    _sync(folder)


def _swap(new: Path, place: Path) -> None:
    old = previous(place)
    replaces = place.is_dir() and any(place.iterdir())
    if replaces:
        os.rename(place, old)
    try:
        os.rename(new, place)
    except BaseException:
        if replaces:
            os.rename(old, place)
        raise
    with suppress(OSError):  # it is in place; there is nothing left that could be undone
        _sync(place.parent)
    if replaces:
        shutil.rmtree(old, ignore_errors=True)


def _sync(folder: Path) -> None:
    """Names reach the disk only when their folder does."""
    number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
