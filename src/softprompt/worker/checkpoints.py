"""Checkpoints on their way between scratch and store, so that any worker on any machine goes on from the newest.

A run's checkpoints are states on one path that data and configuration decide; which worker wrote one does not matter.
Reads nothing of them but the number of the update, from the header.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from softprompt.errors import SoftpromptError
from softprompt.storage.artifacts import ArtifactStore

NAME = "checkpoint.safetensors"
_LONGEST_HEADER = 64 << 20


def checkpoint_of(out: Path) -> Path:
    """Where `workbench.tune` keeps the checkpoint of the run that ends in `out`."""
    return out.with_name(f"{out.name}.run") / NAME


def update_of(path: Path) -> int | None:
    """Updates done at this checkpoint; None if it cannot be read."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < _LONGEST_HEADER else {}
        return int(json.loads(header["__metadata__"]["progress"])["update"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def bring(store: ArtifactStore, run_id: str, scratch: Path, out: Path) -> int | None:
    """Put the newest checkpoint of a run, from the store or an earlier attempt on this machine, where `out` needs it.

    Returns:
        Its number of updates, None if there is none.
    """
    here = [(update, path) for path in scratch.glob(f"*/*.run/{NAME}") if (update := update_of(path)) is not None]
    update, newest = max(here, default=(None, None))
    keys = sorted(store.keys(_folder(run_id)), key=_update_in)
    target = checkpoint_of(out)
    if keys and (update is None or _update_in(keys[-1]) > update):
        newest, update = store.file(keys[-1]), _update_in(keys[-1])
    if newest is not None and newest != target:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".fresh")
        shutil.copyfile(newest, fresh)
        fresh.replace(target)
    return update


def forget(store: ArtifactStore, run_id: str) -> None:
    """Delete a run's checkpoints from the store."""
    store.remove(_folder(run_id))


class Courier:
    """Carries each new checkpoint to the store, in a thread of its own: a slow store must not stop the worker."""

    def __init__(
        self, store: ArtifactStore, run_id: str, fence: int, out: Path, trouble: Callable[[str], None]
    ) -> None:
        self._store, self._run_id, self._fence = store, run_id, fence
        self._source, self._trouble = checkpoint_of(out), trouble
        self._still = out.with_name("carried.safetensors")
        self._wanted, self._ended = threading.Event(), False
        self._last: str | None = None
        self._thread = threading.Thread(target=self._carry_all, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is a new checkpoint."""
        self._wanted.set()

    def end(self, seconds: float) -> None:
        """Carry what waits, but not for longer than that."""
        self._ended = True
        self._wanted.set()
        self._thread.join(seconds)

    def _carry_all(self) -> None:
        ended = False
        while not ended:
            self._wanted.wait()
            self._wanted.clear()
            ended = self._ended
            try:
                self._carry()
            except (SoftpromptError, OSError) as error:
                self._trouble(f"the checkpoint could not be copied to the store: {error}")

    def _carry(self) -> None:
        try:
            shutil.copyfile(self._source, self._still)  # the run may replace or delete its own at any time
        except FileNotFoundError:
            return
        update = update_of(self._still)
        key = f"{_folder(self._run_id)}/{self._fence:06d}-{update or 0:08d}.safetensors"
        if update is None or key == self._last:
            return
        self._store.put_file(key, self._still)
        if self._last is not None:
            self._store.remove(self._last)
        self._last = key


def _folder(run_id: str) -> str:
    return f"checkpoints/{run_id}"


def _update_in(key: str) -> int:
    return int(Path(key).stem.rpartition("-")[2])
