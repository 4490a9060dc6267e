"""Models on the disk: what kind of place they lie in, their bytes, and taking them off."""

from __future__ import annotations

from pathlib import Path

import pytest

from softprompt import catalogue
from softprompt.config import Settings
from softprompt.engine import model_disk
from softprompt.errors import InUse, ModelUnavailable

CARD = catalogue.get("google/flan-t5-small")


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def in_the_hubs_cache(hub: Path) -> Path:
    """Files as the hub's client lays them out: blobs once, and links to them."""
    root = hub / "models--google--flan-t5-small"
    snapshot = root / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (root / "blobs").mkdir()
    (root / "blobs" / "1").write_bytes(b"x" * 700)
    (snapshot / "model.safetensors").symlink_to(root / "blobs" / "1")
    return snapshot


def made_by_us(settings: Settings) -> Path:
    folder = model_disk.own_folder(CARD, settings)
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x" * 900)
    (folder / "softprompt-model.json").write_text('{"files": {}}')
    return folder


def test_the_place_is_told(settings: Settings, hub: Path, tmp_path: Path) -> None:
    assert model_disk.footprint(in_the_hubs_cache(hub), CARD, settings).place == "hub cache"
    ours = made_by_us(settings)
    assert model_disk.footprint(ours, CARD, settings).place == "cache"
    (ours / "softprompt-model.json").unlink()
    assert model_disk.footprint(ours, CARD, settings).place == "by hand"
    assert model_disk.footprint(tmp_path, None, settings).place == "folder"


def test_linked_files_count_once(settings: Settings, hub: Path) -> None:
    snapshot = in_the_hubs_cache(hub)
    assert model_disk.footprint(snapshot, CARD, settings).size == 700
    assert model_disk.arrived(CARD, settings) == 700


def test_removing_frees_both_caches_and_what_broke_off(settings: Settings, hub: Path) -> None:
    in_the_hubs_cache(hub)
    ours = made_by_us(settings)
    partial = ours.parent / f".{ours.name}.abc.partial"
    partial.mkdir()
    (partial / "download").write_bytes(b"x" * 50)
    other = settings.cache / "models" / "google--flan-t5-base"
    other.mkdir()
    assert model_disk.remove(CARD, settings) >= 700 + 900 + 50
    assert not ours.exists()
    assert not partial.exists()
    assert not model_disk.hub_folder(CARD)
    assert other.is_dir()
    with pytest.raises(ModelUnavailable, match="Nothing of google/flan-t5-small lies"):
        model_disk.remove(CARD, settings)


def test_a_folder_filled_by_hand_stays(settings: Settings) -> None:
    ours = made_by_us(settings)
    (ours / "softprompt-model.json").unlink()
    with pytest.raises(InUse, match="filled by hand"):
        model_disk.remove(CARD, settings)
    assert ours.is_dir()


def test_room_is_told_before_the_cache_exists(settings: Settings) -> None:
    assert not settings.cache.exists()
    assert model_disk.room(settings) > 0
