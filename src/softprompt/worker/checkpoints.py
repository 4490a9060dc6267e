"""Checkpoints on their way between scratch and store, so that any worker on any machine goes on from the newest.

A run's checkpoints are states on one path that data and configuration decide; which worker wrote one does not matter.
The same goes for what is kept beside the checkpoint: passes through a label readout, a finished readout, answers of an
evaluation. Reads nothing of them but how far each is.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from softprompt.errors import SoftpromptError
from softprompt.storage.artifacts import ArtifactStore
from softprompt.workbench.tune_side import side_of

NAME = "checkpoint.safetensors"
ANSWERS = "answers.json"
NAMES = (NAME, "passes-tried.safetensors", "passes.safetensors", "readout.safetensors", ANSWERS)
"""What is carried of the folder beside a run's result."""
STATES = "states-*.safetensors"
"""What a label readout has read so far: large, and so it stays on the machine that read it."""
_PLAIN = "checkpoint."
_LONGEST_HEADER = 64 << 20


def checkpoint_of(out: Path) -> Path:
    """Where `workbench.tune` keeps the checkpoint of the run that ends in `out`."""
    return side_of(out) / NAME


def answers_of(out: Path) -> Path:
    """Where the answers of an evaluation are kept until all are there."""
    return checkpoint_of(out).with_name(ANSWERS)


def update_of(path: Path) -> int | None:
    """How far this file is: updates done at a checkpoint, answers of an evaluation; None if it cannot be read."""
    try:
        if path.suffix == ".json":
            return int(json.loads(path.read_bytes())["progress"]["update"])
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < _LONGEST_HEADER else {}
        return int(json.loads(header["__metadata__"]["progress"])["update"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def bring(store: ArtifactStore, run_id: str, scratch: Path, out: Path) -> int | None:
    """Put the newest checkpoint of a run, and what is kept beside it, where `out` needs it.

    It comes from the store or from an earlier attempt on this machine.

    Returns:
        Updates of the checkpoint, or answers of an evaluation; None if there is neither.
    """
    keys = sorted(store.keys(_folder(run_id)), key=lambda key: (_update_in(key), key))
    side = checkpoint_of(out).parent
    found = {name: _bring(store, [k for k in keys if _name_in(k) == name], scratch, side / name) for name in NAMES}
    _bring_states(scratch, side)
    return found[ANSWERS] if found[NAME] is None else found[NAME]


def _bring(store: ArtifactStore, keys: Sequence[str], scratch: Path, target: Path) -> int | None:
    found = [(update_of(path), path) for path in scratch.glob(f"*/*.run/{target.name}")]
    here = [(update, path) for update, path in found if update is not None]
    update, newest = max(here, default=(None, None))
    if keys and (update is None or _update_in(keys[-1]) > update):
        newest, update = store.file(keys[-1]), _update_in(keys[-1])
    if newest is not None and newest != target:
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".fresh")
        shutil.copyfile(newest, fresh)
        fresh.replace(target)
    return update


def _bring_states(scratch: Path, side: Path) -> None:
    """Move the states of the attempt that read most."""
    folders = [folder for folder in scratch.glob("*/*.run") if folder != side]
    found = max((sorted(folder.glob(STATES)) for folder in folders), key=len, default=[])
    if len(found) > len(list(side.glob(STATES))):
        side.mkdir(parents=True, exist_ok=True)
        for path in found:
            path.replace(side / path.name)


def forget(store: ArtifactStore, run_id: str) -> None:
    """Delete a run's checkpoints from the store."""
    store.remove(_folder(run_id))


class Courier:
    """Carries each new checkpoint, and what is kept beside it, to the store.

    In a thread of its own: a slow store must not stop the worker.
    """

    def __init__(
        self, store: ArtifactStore, run_id: str, fence: int, out: Path, trouble: Callable[[str], None]
    ) -> None:
        self._store, self._run_id, self._fence = store, run_id, fence
        self._side, self._trouble = checkpoint_of(out).parent, trouble
        self._wanted, self._ended = threading.Event(), False
        self._last: dict[str, str] = {}
        self._thread = threading.Thread(target=self._carry_all, daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """There is a new checkpoint, or something new beside it."""
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
            for name in NAMES:
                try:
                    self._carry(name)
                except (SoftpromptError, OSError) as error:
                    self._trouble(f"the checkpoint could not be copied to the store: {error}")

    def _carry(self, name: str) -> None:
        still = self._side.with_name(f"carried.{name}")
        try:
            shutil.copyfile(self._side / name, still)  # the run may replace or delete its own at any time
        except FileNotFoundError:
            return
        update, last = update_of(still), self._last.get(name)
        key = f"{_folder(self._run_id)}/{self._fence:06d}-{update or 0:08d}.{name.removeprefix(_PLAIN)}"
        if update is None or key == last:
            return
        self._store.put_file(key, still)
        if last is not None:
            self._store.remove(last)
        self._last[name] = key


def _folder(run_id: str) -> str:
    return f"checkpoints/{run_id}"


def _update_in(key: str) -> int:
    return int(Path(key).name.partition(".")[0].rpartition("-")[2])


def _name_in(key: str) -> str:
    rest = Path(key).name.partition(".")[2]
    return rest if rest in NAMES else _PLAIN + rest
