"""Keeps folders of converted models: made once, whole or not at all, by one process at a time.

A folder gets a manifest of its files. Sizes are compared on every use, digests when asked; a folder that does not fit
is made anew. A folder without a manifest was put there by a person and is left alone. Does not know how to make one.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from softprompt.errors import ModelUnavailable

MANIFEST = "softprompt-model.json"


def kept(folder: Path, *, verify: bool = False) -> bool:
    """Whether a whole folder lies there; with `verify`, every byte of it is read."""
    manifest = read_manifest(folder)
    if manifest is None:
        return (folder / "config.json").is_file()
    return all(_fits(folder / name, facts, verify) for name, facts in manifest["files"].items())


def keep(folder: Path, model_id: str, make: Callable[[Path], None], *, verify: bool = False) -> Path:
    """The folder; `make` fills an empty one if there is none or if it does not fit its manifest."""
    from filelock import FileLock  # here, as it brings asyncio along and most calls need no lock

    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.parent / f".{folder.name}.lock"):
        if kept(folder, verify=verify):  # another process was faster
            return folder
        if folder.exists() and read_manifest(folder) is None and any(folder.iterdir()):
            raise ModelUnavailable(
                f"{folder} was put there by hand and has no config.json. Complete it, or remove it to fetch the model."
            )
        for left in folder.parent.glob(f".{folder.name}.*.partial"):
            shutil.rmtree(left, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", suffix=".partial", dir=folder.parent))
        try:
            make(partial)
            _seal(partial, model_id)
            _replace(folder, partial)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """What was written when the folder was made; None if it has no manifest. One that cannot be read fits no files."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict):
            return manifest
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        pass
    return {"files": {MANIFEST: {"size": -1, "sha256": ""}}}


def digest(file: Path) -> str:
    """SHA-256 of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _fits(file: Path, facts: dict[str, Any], verify: bool) -> bool:
    try:
        return file.stat().st_size == facts["size"] and (not verify or digest(file) == facts["sha256"])
    except (OSError, KeyError, TypeError):
        return False


def _seal(folder: Path, model_id: str) -> None:
    """Write the manifest and push all to the disk: a power cut must not leave a folder that looks whole."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    facts = {str(f.relative_to(folder)): {"size": f.stat().st_size, "sha256": digest(f)} for f in files}
    manifest = folder / MANIFEST
    manifest.write_text(json.dumps({"model_id": model_id, "files": facts}, indent=2) + "\n", encoding="utf-8")
    for file in [*files, manifest]:
        file.chmod(0o644)  # the folder is for everybody on this machine
        _sync(file)
    _sync(folder)


def _replace(folder: Path, partial: Path) -> None:
    partial.chmod(0o755)
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old.partial")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
        os.replace(partial, folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        os.replace(partial, folder)
    _sync(folder.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
