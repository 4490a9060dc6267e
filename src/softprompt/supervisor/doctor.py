"""Looks a studio and its machine over: each check is a line that is ok, or says what is wrong and what to do."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from softprompt import catalogue
from softprompt.config import Settings, StudioSettings
from softprompt.engine.sources import available
from softprompt.errors import SoftpromptError
from softprompt.storage import queue
from softprompt.storage.artifacts import ArtifactStore
from softprompt.storage.database import Database
from softprompt.studio.health import Finding
from softprompt.supervisor import figures, home, sockets
from softprompt.supervisor.status import answers, heard, serving_address

GIB = 2**30
LITTLE_DISK, TOO_LITTLE_DISK = 5 * GIB, GIB // 2
LITTLE_MEMORY = 2 * GIB
CLOCK_SECONDS = 30.0
MAIN = ("torch", "transformers", "safetensors", "fastapi", "uvicorn", "pydantic", "sqlalchemy", "alembic", "fsspec")


def examine(settings: StudioSettings, port: int, tls_port: int) -> list[Finding]:
    """Every check; none of them changes anything that stays."""
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "packages": _versions,
        "data folder": lambda: _folder(settings),
        "disk": lambda: _disk(settings),
        "memory": _memory,
        "database": lambda: _database(settings),
        "queue": lambda: _queue(settings),
        "file store": lambda: _storage(settings),
        "models": _models,
        "ports": lambda: _ports(settings, port, tls_port),
        "processes": lambda: _processes(settings),
    }
    return [finding for name, check in checks.items() for finding in _done(name, check)]


def _done(name: str, check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a check found; one that may not look where it has to does not end the others."""
    try:
        yield from check()
    except OSError as error:
        words = f"{error.filename or 'the machine'} cannot be looked at ({error.strerror or error})."
        yield Finding(name, "wrong", f"{words} Run this as the user that runs the studio.")


def _versions() -> Iterator[Finding]:
    """The main packages against what the package itself asks for."""
    needed = {}
    for line in metadata.requires("softprompt") or ():
        found = re.match(r"^([A-Za-z0-9._-]+)(?:\[.*?\])?\s*>=\s*([0-9.]+)(?!.*extra)", line)
        if found:
            needed[found[1].lower()] = found[2]
    wrong = []
    there = []
    for name in MAIN:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{name} is not installed")
            continue
        there.append(f"{name} {version}")
        if name in needed and _numbers(version) < _numbers(needed[name]):
            wrong.append(f"{name} is {version}, at least {needed[name]} is needed")
    if wrong:
        yield Finding("packages", "wrong", f"{'; '.join(wrong)}. Run: pip install --upgrade softprompt")
    else:
        yield Finding("packages", "ok", ", ".join(there))


def _folder(settings: StudioSettings) -> Iterator[Finding]:
    folder = settings.data_dir
    if not folder.exists():
        yield Finding("data folder", "ok", f"{folder} is not there yet; `softprompt up` makes it.")
        return
    if not os.access(folder, os.W_OK | os.X_OK):
        yield Finding("data folder", "wrong", f"{folder} cannot be written by this user: chown -R $USER {folder}")
        return
    if folder.stat().st_mode & 0o077:
        yield Finding("data folder", "warning", f"{folder} can be read by other users: chmod 700 {folder}")
        return
    yield Finding("data folder", "ok", str(folder))


def _disk(settings: StudioSettings) -> Iterator[Finding]:
    places = {"data": settings.data_dir, "models": Settings.from_environment().cache}
    if "://" not in settings.storage_url:
        places["files"] = Path(settings.storage_url)
    for name, folder in places.items():
        there = next(each for each in (folder, *folder.parents) if each.exists())
        free = shutil.disk_usage(there).free
        words = f"{free / GIB:,.1f} GiB free at {folder}"
        if free < TOO_LITTLE_DISK:
            yield Finding(f"disk of {name}", "wrong", f"{words}; runs will fail. Make room.")
        elif free < LITTLE_DISK:
            yield Finding(f"disk of {name}", "warning", f"{words}; that is little for models and checkpoints.")
        else:
            yield Finding(f"disk of {name}", "ok", words)


def _memory() -> Iterator[Finding]:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kib = {line.split(":")[0]: int(line.split()[1]) for line in lines if line.split()[1].isdecimal()}
    except (OSError, IndexError, ValueError):
        return  # not on this kind of system
    free, whole = kib["MemAvailable"] * 1024, kib["MemTotal"] * 1024
    words = f"{free / GIB:.1f} of {whole / GIB:.1f} GiB free, {os.cpu_count()} processors"
    if free < LITTLE_MEMORY:
        yield Finding("memory", "warning", f"{words}; end other programs, or use small models only.")
    else:
        yield Finding("memory", "ok", words)


def _database(settings: StudioSettings) -> Iterator[Finding]:
    if not home.is_there(settings):
        yield Finding("database", "ok", "not there yet; the first start makes it.")
        return
    try:
        database = Database(settings.database_url)
        try:
            here, newest = database.known_revision(), Database.newest_revision()
            database.check()
            with database.read() as session:
                away = abs(queue.clock(session).timestamp() - time.time())
        finally:
            database.close()
    except SoftpromptError as error:
        yield Finding("database", "wrong", str(error))
        return
    if here is None:
        yield Finding("database", "ok", "empty; the first start makes its tables.")
    elif here != newest:
        words = f"its tables are at revision {here}, this version has {newest}."
        yield Finding("database", "warning", f"{words} Make a backup; `softprompt up` brings them up to date.")
    else:
        yield Finding("database", "ok", f"answers, revision {here}")
    if away > CLOCK_SECONDS:
        words = f"the database's clock and this machine's are {away:.0f} s apart; leases and tokens go wrong."
        yield Finding("clock", "wrong", f"{words} Turn on time synchronisation (timedatectl set-ntp true).")
    elif time.time() < 1_750_000_000:
        yield Finding("clock", "wrong", f"this machine thinks it is {time.ctime()}. Set it: timedatectl set-ntp true")
    else:
        yield Finding("clock", "ok", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime()))


def _queue(settings: StudioSettings) -> Iterator[Finding]:
    """Whether somebody does what waits; where the tables cannot be read, the line of the database says so."""
    if not home.is_there(settings):
        return
    try:
        office = home.office_of(settings)
        try:
            found = figures.read(office) if office.database.revision() == Database.newest_revision() else None
        finally:
            office.database.close()
    except SoftpromptError:
        return
    if found is not None:
        words = f"{found.queued:,} waiting, {found.running:,} at work, workers that live: {len(found.working):,}"
        yield Finding("queue", "warning" if found.nobody_works else "ok", found.nobody_works or words)


def _storage(settings: StudioSettings) -> Iterator[Finding]:
    if "://" not in settings.storage_url and not settings.data_dir.exists():
        return  # looking must not make a folder
    try:
        ArtifactStore(settings.storage_url, settings.data_dir / "cache").probe()
        yield Finding("file store", "ok", f"{settings.storage_url}: written, read and removed a file")
    except SoftpromptError as error:
        yield Finding("file store", "wrong", f"{error} Check --storage-url, its credentials and rights.")


def _models() -> Iterator[Finding]:
    cache = Settings.from_environment()
    found = [card.id for card in catalogue.cards() if available(card)]
    if found:
        yield Finding("models", "ok", f"{len(found)} on this machine: {', '.join(found)}")
    else:
        words = f"no foundation model lies in {cache.cache} or the hub's cache yet."
        yield Finding("models", "warning", f"{words} Fetch a small one: softprompt models pull SmolLM2-135M-Instruct")


def _ports(settings: StudioSettings, port: int, tls_port: int) -> Iterator[Finding]:
    state = home.read_state(settings.data_dir) if home.is_running(settings.data_dir) else {}
    if state:
        for name in ("web", "tls"):
            if answers(state.get(name)):
                yield Finding(f"port of {name}", "ok", f"{state[name]} answers, ours")
            else:
                words = f"{state.get(name)} does not answer although the studio runs."
                yield Finding(f"port of {name}", "wrong", f"{words} Its log: {settings.data_dir / 'logs'}")
        return
    for name, number in (("web", port), ("tls", tls_port)):
        try:
            sockets.listen("127.0.0.1", number, "--port" if name == "web" else "--tls-port").close()
            yield Finding(f"port of {name}", "ok", f"{number} is free")
        except SoftpromptError as error:
            yield Finding(f"port of {name}", "wrong", str(error))


def _processes(settings: StudioSettings) -> Iterator[Finding]:
    if not home.is_running(settings.data_dir):
        yield Finding("processes", "ok", "no studio runs on this folder")
        return
    known = home.read_state(settings.data_dir).get("processes", [])
    failing = [each for each in known if each["state"] in ("failing", "restarting")]
    for each in failing:
        log = settings.data_dir / "logs" / f"{each['name'].replace(' ', '-')}.log"
        yield Finding(each["name"], "wrong", f"{each['state']}: {each.get('problem') or 'it ended'}. Its log: {log}")
    frozen = _frozen_host(settings, known)
    yield from frozen
    if not failing and not frozen:
        yield Finding("processes", "ok", f"{len(known)} of the studio's processes live")


def _frozen_host(settings: StudioSettings, known: list[dict[str, Any]]) -> list[Finding]:
    """A serving host that lives and says nothing."""
    pid = next((each["pid"] for each in known if each["kind"] == "serving" and each["state"] == "running"), None)
    address = serving_address(settings)
    if pid is None or address is None or heard(address):
        return []
    words = f"process {pid} lives but does not answer at {address}. If that lasts, end it: kill -9 {pid}"
    return [Finding("serving host", "wrong", f"{words}; it starts again by itself.")]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version.split("+")[0])[:3])
