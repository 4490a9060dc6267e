"""Tuned prompts as ZIP files: out and in again, PEFT's, and archives that mean harm."""

from __future__ import annotations

import io
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from softprompt.api.studio import prompt_imports
from softprompt.storage.tables import TunedPrompt
from softprompt.studio.access import SYSTEM
from softprompt.testing.live import LiveStudio

from .conftest import MODEL, message, ok, unique


@pytest.fixture(scope="module")
def tuned(tiny_folder: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tuned prompt, made by hand in an instant."""
    import torch

    from softprompt import load_model
    from softprompt.data.template import Template
    from softprompt.engine.artifact import TunedPrompt as Artefact
    from softprompt.engine.artifact import base_of, versions_here
    from softprompt.engine.soft_prompt import SoftPrompt

    backbone = load_model(tiny_folder())
    vectors = torch.ones(3, base_of(backbone).hidden_size)
    prompt = Artefact(
        name="Routing",
        base=base_of(backbone),
        task="generation",
        prompt=SoftPrompt(prefix=vectors),
        template=Template(),
        versions=versions_here(),
    )
    return prompt.save(tmp_path_factory.mktemp("made") / "routing")


def packed(folder: Path, under: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, f"{under}{path.name}")
    return buffer.getvalue()


def archive(*members: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, content in members:
            made.writestr(name, content, method)
    return buffer.getvalue()


def test_a_prompt_comes_back_as_it_went(admin: httpx.Client, studio: LiveStudio, tuned: Path) -> None:
    query = {"model": MODEL, "name": unique("prompt")}
    made = ok(admin.post("/api/prompts/import", params=query, content=packed(tuned)), 201)
    assert (made["name"], made["model_id"], made["virtual_tokens"]) == (query["name"], MODEL, 3)
    assert made["size"] > 0
    again = ok(
        admin.post(
            "/api/prompts/import",
            params={"model": MODEL},
            files={"file": ("routing.zip", admin.get(f"/api/prompts/{made['id']}/file").content)},
        ),
        201,
    )
    assert again["name"] == "Routing", "without a name it keeps that of its card"
    assert again["fingerprint"] == made["fingerprint"]
    with studio.office.unit(SYSTEM, write=False) as unit:
        first, second = (unit.get(TunedPrompt, key) for key in (made["id"], again["id"]))
        folders = [unit.store.folder(row.key) for row in (first, second)]
    contents = [{path.name: path.read_bytes() for path in folder.iterdir()} for folder in folders]
    assert contents[0]["prompt.safetensors"] == contents[1]["prompt.safetensors"]
    assert list((studio.data_dir / "uploads").iterdir()) == []


def test_a_folder_inside_is_found_and_a_peft_adapter_becomes_a_prompt(admin: httpx.Client, tuned: Path) -> None:
    foreign = {path.name: path.read_bytes() for path in tuned.iterdir() if path.name.startswith("adapter")}
    body = archive(*((f"mine/{name}", content) for name, content in foreign.items()))
    assert "name the foundation model" in message(admin.post("/api/prompts/import", content=body), 400)
    query = {"model": MODEL, "name": unique("peft"), "template": "Complaint: {{input}} Department: "}
    made = ok(admin.post("/api/prompts/import", params=query, content=body), 201)
    assert made["virtual_tokens"] == 3
    card = ok(admin.get(f"/api/prompts/{made['id']}"))["card"]
    assert card["template"]["text"] == query["template"]


def test_a_changed_tensor_is_refused(admin: httpx.Client, tuned: Path) -> None:
    files = {path.name: path.read_bytes() for path in tuned.iterdir()}
    files["prompt.safetensors"] = files["prompt.safetensors"][:-1] + b"x"
    words = message(admin.post("/api/prompts/import", params={"model": MODEL}, content=archive(*files.items())), 422)
    assert "prompt.safetensors" in words
    assert "/uploads/" not in words


def _link() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("softprompt.json")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"no archive", "is no ZIP file"),
        (b"", "is no ZIP file"),
        (archive(), "it holds 0 files"),
        (archive(*((str(n), b"") for n in range(101))), "it holds 101 files"),
        (archive(("../../evil", b"x")), "leads out of its folder"),
        (archive(("/etc/evil", b"x")), "leads out of its folder"),
        (archive(("a\\..\\evil", b"x")), "leads out of its folder"),
        (archive(("C:evil", b"x")), "leads out of its folder"),
        (archive((_link(), b"/etc/passwd")), "is no plain file"),
        (archive(("bomb", b"\0" * 5_000_000), method=zipfile.ZIP_DEFLATED), "would become 5,000,000"),
        (archive(("a/b/c/d/e", b"x")), "too long a name"),
    ],
)
def test_archives_that_mean_harm_are_refused(
    admin: httpx.Client, studio: LiveStudio, body: bytes, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_imports, "CHILD", "nothing.may.be.started")
    assert words in message(admin.post("/api/prompts/import", content=body), 422)
    assert list((studio.data_dir / "uploads").iterdir()) == []


def test_a_table_that_lies_about_sizes_is_found_out(admin: httpx.Client) -> None:
    body = bytearray(archive(("a", b"x" * 1000), method=zipfile.ZIP_DEFLATED))
    start = body.index(b"PK\x01\x02")
    body[start + 24 : start + 28] = (10).to_bytes(4, "little")
    answer = admin.post("/api/prompts/import", content=bytes(body))
    assert answer.status_code in (413, 422), answer.text


@pytest.mark.parametrize("query", [{"model": "no/model"}, {"project": "nowhere"}])
def test_models_and_projects_are_checked_before_the_archive(admin: httpx.Client, query: dict[str, str]) -> None:
    message(admin.post("/api/prompts/import", params=query, content=b"no archive"), 404)


def test_a_reader_of_a_folder_that_breaks_off_is_told(
    admin: httpx.Client, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prompt_imports, "CHILD", "this")  # prints a poem, and no card
    words = message(admin.post("/api/prompts/import", params={"model": MODEL}, content=packed(tuned)), 422)
    assert "broke off" in words
