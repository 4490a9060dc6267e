"""Foundation models on this machine's disk: where a model was found, the room it takes, and taking it off again.

Folders that a person put there or named are never touched. Fetching is `sources`; opens no model and imports no torch.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from softprompt.catalogue import ModelCard
from softprompt.config import Settings
from softprompt.engine import model_cache
from softprompt.errors import InUse, ModelUnavailable

Place = Literal["cache", "by hand", "hub cache", "folder"]
"""Softprompt's own cache, a folder in it that a person filled, the hub's cache, a folder elsewhere."""
BYTES_PER_PARAMETER = 2
"""Most models are published in 16 bits."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """A model's folder, what kind of place it is, and its bytes."""

    path: Path
    place: Place
    size: int


def footprint(path: Path, card: ModelCard | None, settings: Settings) -> Footprint:
    """Of a model that lies ready in `path`."""
    return Footprint(path, _place(path, card, settings), size_of(path))


def size_of(folder: Path) -> int:
    """Bytes of all files in it; 0 if it is not there."""
    return sum(_sizes(folder))


def estimate(card: ModelCard) -> int:
    """Bytes that a model will take, roughly, before anybody was asked."""
    return card.parameter_count * BYTES_PER_PARAMETER


def room(settings: Settings) -> int:
    """Bytes that are free where models are kept."""
    folder = settings.cache
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def arrived(card: ModelCard, settings: Settings) -> int:
    """Bytes of a model that is not whole yet: what a broken-off download left, or what one has brought so far."""
    home = own_folder(card, settings)
    count = sum(size_of(left) for left in home.parent.glob(f".{home.name}.*.partial"))
    blobs = hub_folder(card)
    return count + (size_of(blobs / "blobs") if blobs is not None else 0)


def remove(card: ModelCard, settings: Settings) -> int:
    """Take a model of the catalogue off the disk, what is left of a broken-off download too; the bytes that are freed.

    Raises:
        ModelUnavailable: there is nothing of it here.
        InUse: a person put it there.
    """
    from filelock import FileLock

    home, hub = own_folder(card, settings), hub_folder(card)
    if home.is_dir() and model_cache.read_manifest(home) is None:
        raise InUse(f"{home} was filled by hand, not by Softprompt. Remove the folder yourself if nobody needs it.")
    freed = 0
    if home.parent.is_dir():
        with FileLock(home.parent / f".{home.name}.lock"):
            for folder in (home, *home.parent.glob(f".{home.name}.*.partial")):
                freed += _removed(folder)
    if hub is not None:
        freed += _removed(hub)
    if not freed:
        raise ModelUnavailable(f"Nothing of {card.id} lies on this machine.")
    return freed


def own_folder(card: ModelCard, settings: Settings) -> Path:
    """Where Softprompt keeps a model that it converted, or that a person puts there."""
    return settings.cache / "models" / card.id.lower().replace("/", "--")


def hub_folder(card: ModelCard) -> Path | None:
    """A model's folder in the hub's cache, which other programs of this machine may use too; None if it has none."""
    from huggingface_hub import constants

    if card.hub is None:
        return None
    folder = Path(constants.HF_HUB_CACHE) / f"models--{card.hub.replace('/', '--')}"
    return folder if folder.is_dir() else None


def _place(path: Path, card: ModelCard | None, settings: Settings) -> Place:
    if card is None:
        return "folder"
    if path == own_folder(card, settings):
        return "by hand" if model_cache.read_manifest(path) is None else "cache"
    return "hub cache"


def _removed(folder: Path) -> int:
    count = size_of(folder)
    shutil.rmtree(folder, ignore_errors=True)
    return count


def _sizes(folder: Path) -> Iterator[int]:
    """Bytes of every file, each once: a model in the hub's cache is a folder of links."""
    seen: set[tuple[int, int]] = set()
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                facts = os.stat(os.path.join(parent, name))
            except OSError:  # it goes away while a download goes on
                continue
            if (facts.st_dev, facts.st_ino) not in seen:
                seen.add((facts.st_dev, facts.st_ino))
                yield facts.st_size
