"""Fetching foundation models while people watch: start, follow, stop.

Each pull is a process of its own (`pull_process`) that writes how far it is into a file beside the models, so that any
web process can tell, a reload loses nothing, and a pull that died is seen as such: it holds a lock while it lives.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from softprompt import catalogue
from softprompt.catalogue import ModelCard
from softprompt.config import Settings
from softprompt.engine import model_disk, sources
from softprompt.errors import ModelUnavailable, StorageFull, WrongState
from softprompt.storage.types import now
from softprompt.studio.access import Unit

State = Literal["running", "here", "failed", "stopped", "interrupted"]
STARTING = timedelta(seconds=20)
"""For so long a pull may not hold its lock yet."""


@dataclass(frozen=True, slots=True)
class Pull:
    """How far the fetching of one model is.

    Attributes:
        step: what is done now, in words.
        done: bytes that have arrived.
        total: bytes in all; None where nobody says.
        rate: bytes a second.
        problem: why it failed.
    """

    model_id: str
    state: State
    started_at: datetime
    updated_at: datetime
    step: str = ""
    done: int = 0
    total: int | None = None
    rate: float = 0.0
    problem: str = ""
    pid: int = 0


def start(unit: Unit, model_id: str, settings: Settings | None = None) -> Pull:
    """Begin to fetch a model, or go on where it broke off; one that is on its way already stays so."""
    unit.need_studio_admin()
    card, settings = catalogue.get(model_id), settings or Settings.from_environment()
    if sources.available(card, settings) is not None:
        raise WrongState(f"{card.label} lies on this machine already; there is nothing to fetch.")
    if not pullable(card):
        raise ModelUnavailable(
            f"{card.label} cannot be fetched: no source of it is known. Put its files into "
            f"{model_disk.own_folder(card, settings)}, or add the folder in which they lie."
        )
    found = get(card.id, settings)
    if found is not None and found.state == "running":
        return found
    _check_room(card, settings)
    pull = Pull(card.id, "running", now(), now(), step="Starting")
    write(pull, settings)
    pull = replace(pull, pid=_launch(card, settings))
    write(pull, settings)
    unit.log("pull", None, "foundation model", name=card.id)
    return pull


def stop(unit: Unit, model_id: str, settings: Settings | None = None) -> None:
    """End a pull; what has arrived stays for the next time."""
    unit.need_studio_admin()
    card, settings = catalogue.get(model_id), settings or Settings.from_environment()
    pull = get(card.id, settings)
    if pull is None or pull.state != "running":
        raise WrongState(f"{card.label} is not on its way, so there is nothing to stop. Load the page again.")
    with suppress(ProcessLookupError):
        os.kill(pull.pid, signal.SIGTERM)
    write(replace(pull, state="stopped", rate=0.0, updated_at=now()), settings)
    unit.log("stop pull", None, "foundation model", name=card.id)


def forget(model_id: str, settings: Settings) -> None:
    """The model was taken off the disk: nothing of its pull is told any more."""
    _file(model_id, settings).unlink(missing_ok=True)
    shutil.rmtree(scratch(model_id, settings), ignore_errors=True)


def get(model_id: str, settings: Settings | None = None) -> Pull | None:
    """How far the newest pull of a model is; None if there never was one."""
    settings = settings or Settings.from_environment()
    try:
        told = json.loads(_file(model_id, settings).read_text(encoding="utf-8"))
        moments = {name: datetime.fromisoformat(told[name]) for name in ("started_at", "updated_at")}
        pull = Pull(**{**told, **moments})
    except (OSError, ValueError, KeyError, TypeError):
        return None
    young = now() - pull.started_at < STARTING
    if pull.state == "running" and not young and not _alive(model_id, settings):
        return replace(pull, state="interrupted", rate=0.0)
    return pull


def all_pulls(settings: Settings | None = None) -> dict[str, Pull]:
    """The newest pull of each model that ever was fetched from a page here."""
    settings = settings or Settings.from_environment()
    there = {file.stem for file in _folder(settings).glob("*.json")}
    ids = [card.id for card in catalogue.cards() if _slug(card.id) in there]
    return {model_id: pull for model_id in ids if (pull := get(model_id, settings)) is not None}


def pullable(card: ModelCard) -> bool:
    """Whether a source of it is known; some want the licence to be accepted first."""
    return card.hub is not None or card.wheel is not None


# --- for the process --------------------------------------------------------------------------------------------------
def write(pull: Pull, settings: Settings) -> None:
    """Whole or not at all: others read it at any moment."""
    file = _file(pull.model_id, settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    moments = {"started_at": pull.started_at.isoformat(), "updated_at": pull.updated_at.isoformat()}
    draft = file.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    draft.write_text(json.dumps({**asdict(pull), **moments}), encoding="utf-8")
    os.replace(draft, file)


@contextmanager
def sole(model_id: str, settings: Settings) -> Iterator[bool]:
    """Holds the lock of a model's pull for the block; False if another process has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(_file(model_id, settings).with_suffix(".lock"))
    try:
        lock.acquire(timeout=2)  # whoever only looks holds it for a moment
    except Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def scratch(model_id: str, settings: Settings) -> Path:
    """Where the process keeps files on their way, so that they can be counted and cleared."""
    return _file(model_id, settings).with_suffix(".tmp")


def environment(card: ModelCard, settings: Settings) -> dict[str, str]:
    """For the process that fetches a model: what pip puts down on the way lies where it is counted."""
    folder = scratch(card.id, settings)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return {**os.environ, "SOFTPROMPT_CACHE": str(settings.cache), "TMPDIR": str(folder)}


def _launch(card: ModelCard, settings: Settings) -> int:
    """The id of the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "softprompt.studio.pull_process", card.id],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env=environment(card, settings),
    )
    folder = scratch(card.id, settings)
    threading.Thread(target=_see_out, args=(process, folder), daemon=True).start()
    return process.pid


def _see_out(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Waits for the end of the process and keeps its standard input open until then: it ends when that closes."""
    process.wait()
    assert process.stdin is not None
    process.stdin.close()
    shutil.rmtree(folder, ignore_errors=True)


def _check_room(card: ModelCard, settings: Settings) -> None:
    needed = model_disk.estimate(card) - model_disk.arrived(card, settings)
    free = model_disk.room(settings)
    if needed > free:
        raise StorageFull(
            f"{card.label} takes about {needed / 1e9:,.1f} GB; {settings.cache} has {free / 1e9:,.1f} GB left. Remove "
            "models that nobody needs, or set SOFTPROMPT_CACHE and HF_HOME to a larger disk."
        )


def _alive(model_id: str, settings: Settings) -> bool:
    """Whether a process holds the lock."""
    from filelock import FileLock, Timeout

    lock = FileLock(_file(model_id, settings).with_suffix(".lock"))
    try:
        with lock.acquire(timeout=0):
            return False
    except (Timeout, OSError):
        return True


def _folder(settings: Settings) -> Path:
    return settings.cache / "pulls"


def _file(model_id: str, settings: Settings) -> Path:
    return _folder(settings) / f"{_slug(model_id)}.json"


def _slug(model_id: str) -> str:
    return model_id.lower().replace("/", "--")
