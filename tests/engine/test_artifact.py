"""Tuned prompts on disk: what comes back is what went in, and whatever a stranger writes is refused with a reason."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softprompt.data.template import Template
from softprompt.data.wrapper import Wrapper
from softprompt.engine.artifact import TunedPrompt, base_of, is_tuned_prompt, versions_here
from softprompt.engine.backbone import wrap
from softprompt.engine.folder_swap import previous
from softprompt.engine.readout import LabelReadout
from softprompt.engine.safe_tensors import dump_tensors
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import ArtifactError, ArtifactInvalid, WrongBase
from softprompt.testing.tiny import TinyKind, tiny_model

LABELS = ("Planning", "Service", "Warehouse, L3")
PROMPT, READOUT, CARD = "prompt.safetensors", "readout.safetensors", "softprompt.json"


@cache
def backbone(kind: TinyKind = "llama", seed: int = 0) -> Any:
    model, tokenizer = tiny_model(kind, seed=seed)
    return wrap(model, tokenizer, model_id=f"tiny-{kind}-{seed}")


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def readout(**changes: Any) -> LabelReadout:
    facts: dict[str, Any] = {
        "labels": LABELS,
        "layers": (1, 2),
        "places": ("mean", "last"),
        "center": numbers(128),
        "scale": numbers(128).abs(),
        "weight": numbers(3, 128),
        "bias": numbers(3),
        "template": Template("Complaint: {{input}}", "Route it.", Wrapper("Narrative: ", "\nProduct:\n")),
        "prompt": SoftPrompt(prefix=numbers(2, 32)),
    }
    return LabelReadout(**{**facts, **changes})


def counting(tokens: Tensor, idf: int = 2) -> dict[str, Any]:
    """What of a readout counts tokens."""
    wide = 128 + len(tokens)
    return {
        "tokens": tokens,
        "idf": numbers(idf).abs(),
        "center": numbers(wide),
        "scale": numbers(wide).abs(),
        "weight": numbers(3, wide),
    }


def tuned(**changes: Any) -> TunedPrompt:
    facts: dict[str, Any] = {
        "name": "Complaints (1)",
        "base": base_of(backbone()),
        "task": "classification",
        "prompt": SoftPrompt(prefix=numbers(5, 32), suffix=numbers(2, 32, seed=1)),
        "template": Template(text="Eingabe: {{input}} → ", instruction="Wähle die Abteilung."),
        "labels": LABELS,
        "calibration": numbers(3),
        "readout": readout(),
        "recipe": {"learning_rate": 0.03, "init": "text"},
        "data": {"rows": 200, "content": "ab" * 32},
        "metrics": {"accuracy": 0.69},
        "versions": versions_here(),
        "licence": "Apache-2.0",
    }
    return TunedPrompt(**{**facts, **changes})


def rewrite(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the card of a saved folder."""
    card = json.loads((folder / CARD).read_text())
    change(card)
    (folder / CARD).write_text(json.dumps(card))


def put(folder: Path, name: str, data: bytes) -> None:
    """Change a tensor file and let the card vouch for it: what a liar would do."""
    (folder / name).write_bytes(data)
    facts = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    rewrite(folder, lambda card: card["files"].update({name: facts}))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


# --- round trip -------------------------------------------------------------------------------------------------------
def test_what_was_saved_comes_back_bit_by_bit(tmp_path: Path) -> None:
    before = tuned()
    after = TunedPrompt.load(before.save(tmp_path / "complaints"), backbone=backbone())
    for name in ("name", "base", "task", "template", "labels", "recipe", "data", "metrics", "versions", "licence"):
        assert getattr(after, name) == getattr(before, name)
    assert after.created == before.created
    assert after.created.endswith("+00:00")
    assert after.prompt.tensors().keys() == {"prefix", "suffix"}
    for name, tensor in before.prompt.tensors().items():
        assert torch.equal(after.prompt.tensors()[name], tensor)
    assert before.calibration is not None
    assert after.calibration is not None
    assert torch.equal(after.calibration, before.calibration)
    assert before.readout is not None
    assert after.readout is not None
    for name in ("labels", "layers", "places", "template"):
        assert getattr(after.readout, name) == getattr(before.readout, name)
    assert after.readout.tensors().keys() == before.readout.tensors().keys()
    for name, tensor in before.readout.tensors().items():
        assert torch.equal(after.readout.tensors()[name], tensor)
    assert (after.virtual_tokens, after.answers_by) == (7, "readout")


def test_the_smallest_tuned_prompt_comes_back(tmp_path: Path) -> None:
    bare = tuned(prompt=SoftPrompt(prefix=numbers(1, 32)), labels=(), calibration=None, readout=None)
    folder = bare.save(tmp_path / "bare")
    after = TunedPrompt.load(folder)
    assert (after.virtual_tokens, after.answers_by, after.readout, after.calibration) == (1, "text", None, None)
    assert not (folder / READOUT).exists()


def test_a_readout_that_counts_tokens_comes_back(tmp_path: Path) -> None:
    before = tuned(readout=readout(**counting(torch.tensor([3, 40_000]))))
    after = TunedPrompt.load(before.save(tmp_path / "counting"), backbone=backbone())
    assert before.readout is not None
    assert after.readout is not None
    assert after.readout.tokens is not None
    assert (after.readout.tokens.tolist(), after.readout.tokens.dtype) == ([3, 40_000], torch.long)
    for name, tensor in before.readout.tensors().items():
        assert torch.equal(after.readout.tensors()[name], tensor)


@pytest.mark.parametrize("tokens", [[5, 3], [3, 3], [-1, 3], [2.5, 3.0]])
def test_tokens_that_are_no_ids_are_refused(tmp_path: Path, tokens: list[float]) -> None:
    folder = tuned(readout=readout(**counting(torch.tensor(tokens)))).save(tmp_path / "odd")
    with pytest.raises(ArtifactInvalid, match="has tokens that are no ids in rising order"):
        TunedPrompt.load(folder, backbone=backbone())


def test_a_readout_alone_is_a_tuned_prompt_too(tmp_path: Path) -> None:
    folder = tuned(prompt=SoftPrompt(), calibration=None).save(tmp_path / "readout")
    assert TunedPrompt.load(folder).virtual_tokens == 2
    assert not (folder / "adapter_config.json").exists()


@pytest.mark.parametrize("kind", ["gpt2", "qwen2", "mistral", "gemma"])
def test_keys_and_values_come_back_for_every_architecture(kind: TinyKind, tmp_path: Path) -> None:
    base = base_of(backbone(kind))
    deep = numbers(base.layers, 2, base.kv_heads, 3, base.head_dim)
    folder = tuned(base=base, prompt=SoftPrompt(deep=deep)).save(tmp_path / kind)
    after = TunedPrompt.load(folder, backbone=backbone(kind))
    assert after.prompt.deep is not None
    assert torch.equal(after.prompt.deep, deep)


def test_vectors_in_training_are_stored_dense_in_float32(tmp_path: Path) -> None:
    prefix = numbers(32, 4).T.to(torch.bfloat16).requires_grad_()
    after = TunedPrompt.load(tuned(prompt=SoftPrompt(prefix=prefix)).save(tmp_path / "half"))
    assert after.prompt.prefix is not None
    assert after.prompt.prefix.dtype is torch.float32
    assert not after.prompt.prefix.requires_grad
    assert torch.equal(after.prompt.prefix, prefix.detach().float())


def test_the_card_says_what_peft_does_not_see(tmp_path: Path) -> None:
    folder = tuned().save(tmp_path / "complaints")
    peft = json.loads((folder / CARD).read_text())["peft"]
    assert peft["covers"] == ["prefix (5 vectors)"]
    assert peft["leaves_out"] == [
        "suffix (2 vectors after the cue)",
        "label readout",
        "calibration of the labels",
        "template 'Eingabe: {{input}} → '",
        "instruction",
    ]
    page = (folder / "README.md").read_text()
    assert "Complaints (1)" in page
    assert "7 virtual tokens" in page
    assert "accuracy: 0.69" in page


# --- the right model --------------------------------------------------------------------------------------------------
def test_another_model_is_refused_by_both_names_and_fingerprints(tmp_path: Path) -> None:
    folder = tuned().save(tmp_path / "complaints")
    other = backbone(seed=1)
    here, there = base_of(backbone()).fingerprint[:12], base_of(other).fingerprint[:12]
    words = rf"made for tiny-llama-0 \(embeddings {here}\); the model at hand is tiny-llama-1 \(embeddings {there}\)"
    with pytest.raises(WrongBase, match=words):
        TunedPrompt.load(folder, backbone=other)


def test_vectors_too_large_for_the_models_numbers_are_refused(tmp_path: Path) -> None:
    folder = tuned(prompt=SoftPrompt(prefix=torch.full((1, 32), 70000.0))).save(tmp_path / "large")

    class Half:
        model, model_id, dtype = backbone().model, "tiny", torch.float16
        kind, hidden_size = backbone().kind, backbone().hidden_size

    half: Any = Half()
    with pytest.raises(ArtifactInvalid, match=r"reaches 7e\+04, too large for torch.float16"):
        TunedPrompt.load(folder).check_base(half)


def test_a_model_of_another_build_with_the_same_embeddings_is_refused(tmp_path: Path) -> None:
    folder = tuned().save(tmp_path / "prompt")
    model, tokenizer = tiny_model("gpt2")
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(backbone().model.get_input_embeddings().weight)
    with pytest.raises(WrongBase, match=r"the same embeddings but another build \(.*kv_heads 4 instead of 2"):
        TunedPrompt.load(folder, backbone=wrap(model, tokenizer, model_id="tiny"))


# --- what does not fit together is refused before it is written -------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": SoftPrompt(prefix=numbers(5, 31))}, r"prefix has the shape \[5, 31\] where \[any, 32\] belongs"),
        ({"prompt": SoftPrompt(prefix=numbers(0, 32))}, r"prefix has the shape \[0, 32\]"),
        ({"prompt": SoftPrompt(deep=numbers(2, 2, 4, 3, 8))}, r"deep has the shape .* where \[2, 2, 2, any, 8\]"),
        ({"prompt": SoftPrompt(prefix=torch.full((1, 32), torch.nan))}, r"prefix holds 32 of 32 numbers that are NaN"),
        ({"calibration": torch.tensor([0.0, 1.0, torch.inf])}, r"calibration holds 1 of 3 numbers"),
        ({"calibration": numbers(2)}, r"calibration has the shape \[2\] where \[3\] belongs"),
        ({"labels": ("a", "a", "b")}, r"1 labels stand there twice"),
        ({"readout": readout(layers=(3,))}, r"reads the layers \[3\] of a model with 2"),
        ({"readout": readout(places=("first",))}, r"reads at \['first'\]; known: mean, max, last"),
        ({"readout": readout(weight=numbers(2, 128))}, r"readout weight has the shape \[2, 128\] where \[3, 128\]"),
        (
            {"readout": readout(tokens=torch.tensor([3, 5]), idf=numbers(2))},
            r"readout center has the shape \[128\] where \[130\]",
        ),
        ({"readout": readout(**counting(torch.tensor([3, 5]), 3))}, r"readout idf has the shape \[3\] where \[2\]"),
        ({"name": "../up"}, r"holds a slash"),
        ({"name": "x" * 201}, r"has 201 characters"),
        ({"metrics": {"accuracy": float("nan")}}, r"cannot be written as JSON"),
        ({"recipe": {"config": object()}}, r"cannot be written as JSON"),
        ({"task": "two\nlines"}, r"could not be read again: task: 'two\\nlines' is no line"),
        ({"created": "yesterday"}, r"could not be read again: created: 'yesterday' is no moment"),
        (
            {"base": replace(base_of(backbone("t5")), layers=2), "prompt": SoftPrompt(deep=numbers(2, 2, 4, 3, 8))},
            r"keys and values per layer, which the engine runs in decoder-only models alone",
        ),
    ],
)
def test_what_does_not_fit_together_is_not_written(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=words):
        tuned(**changes).save(tmp_path / "odd")
    assert list(tmp_path.iterdir()) == []


# --- whole or not at all ----------------------------------------------------------------------------------------------
def test_an_older_tuned_prompt_is_replaced(tmp_path: Path) -> None:
    tuned().save(tmp_path / "complaints")
    tuned(name="newer", readout=None).save(tmp_path / "complaints")
    assert TunedPrompt.load(tmp_path / "complaints").name == "newer"
    assert not (tmp_path / "complaints" / READOUT).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["complaints"]


def test_folders_of_others_are_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ArtifactInvalid, match=r"holds 1 files, such as thesis.txt, and no softprompt.json"):
        tuned().save(tmp_path)
    with pytest.raises(ArtifactInvalid, match=r"thesis.txt is a file"):
        tuned().save(tmp_path / "thesis.txt")
    folder = tuned().save(tmp_path / "complaints")
    (folder / "notes.md").write_text("mine")
    with pytest.raises(
        ArtifactInvalid, match=r"holds notes.md beside a tuned prompt; replacing the folder would delete"
    ):
        tuned().save(folder)
    assert (folder / "notes.md").read_text() == "mine"
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(("call", "number"), [("fsync", 0), ("fsync", 3), ("fsync", 6), ("rename", 0), ("rename", 1)])
def test_a_failing_disk_leaves_the_old_one_intact(
    call: str, number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tuned().save(tmp_path / "complaints")
    before, real, calls = content(folder), getattr(os, call), []

    def failing(*arguments: Any) -> Any:
        calls.append(arguments)
        if len(calls) == number + 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(ArtifactError, match=r"complaints could not be saved: No space left on device. What was there"):
        tuned(name="newer").save(folder)
    monkeypatch.undo()
    assert content(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["complaints"]


def test_a_stop_between_the_two_renames_loses_nothing(tmp_path: Path) -> None:
    folder = tuned().save(tmp_path / "complaints")
    os.rename(folder, previous(folder))  # the state that a power cut leaves behind
    assert is_tuned_prompt(folder)
    assert TunedPrompt.load(folder).name == "Complaints (1)"
    tuned(name="newer").save(folder)
    assert TunedPrompt.load(folder).name == "newer"
    assert [path.name for path in tmp_path.iterdir()] == ["complaints"]


# --- strangers --------------------------------------------------------------------------------------------------------
@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tuned().save(tmp_path / "complaints")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda card: card.update(extra=1), r"'extra': unknown"),
        (lambda card: card.pop("task"), r"task: missing"),
        (
            lambda card: card.update(format_version=2),
            r"format version 2; this Softprompt reads up to 1. Update Softprompt",
        ),
        (lambda card: card.update(format_version=True), r"format_version: True is not 1"),
        (lambda card: card.update(format="zip"), r"says format 'zip'"),
        (lambda card: card.update(name="../../etc"), r"name: '../../etc' holds a slash"),
        (lambda card: card.update(created="yesterday"), r"created: 'yesterday' is no moment"),
        (lambda card: card.update(created="2026-01-01T00:00:00"), r"lacks its offset"),
        (lambda card: card.update(labels="abc"), r"labels: 'abc' is no list"),
        (
            lambda card: card.update(virtual_tokens=100),
            r"says 100 virtual tokens, answers by readout; its tensors say 7",
        ),
        (
            lambda card: card["base"].update(model_id="a\x1b[2Jb"),
            r"base: model_id: 'a\\x1b\[2Jb' is no line of 1000 signs",
        ),
        (lambda card: card["base"].update(hidden_size=64), r"does not fit together: prefix has the shape"),
        (lambda card: card["base"].update(trust_remote_code=True), r"base: 'trust_remote_code': unknown"),
        (lambda card: card["template"].update(text="{{output}}"), r"template: The template '{{output}}'"),
        (lambda card: card["readout"]["template"]["wrapper"].update(prefix=7), r"wrapper: prefix: 7 is no text"),
        (lambda card: card["template"].update(wrapper={"prefix": "a"}), r"template: wrapper: suffix: missing"),
        (lambda card: card["template"].pop("instruction"), r"template: instruction: missing"),
        (lambda card: card["tensors"].update(prefix=[4, 32]), r"'prefix': \(5, 32\), card: \(4, 32\)"),
        (lambda card: card["tensors"].pop("suffix"), r"'suffix': \(2, 32\), card: none"),
        (lambda card: card["files"].update({"../../x": {}}), r"files: '../../x' is not one of"),
        (lambda card: card["files"].pop(PROMPT), r"lists the tensor files \['readout.safetensors'\]"),
        (lambda card: card.update(readout=None), r"lists the tensor files"),
        (lambda card: card["readout"].update(layers=[1, -2]), r"readout: layers: -2 is no natural number"),
        (lambda card: card["readout"]["tensors"].pop("bias"), r"'bias': \(3,\), card: none"),
    ],
)
def test_cards_that_are_not_sound_are_refused(change: Callable[[Any], Any], words: str, folder: Path) -> None:
    rewrite(folder, change)
    with pytest.raises(ArtifactInvalid, match=words):
        TunedPrompt.load(folder)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"is no sound JSON"),
        (b"[]", r"holds a JSON list where an object belongs"),
        (b"\xff\xfe{}", r"is no sound JSON"),
        (b'{"a": 1, "a": 2}', r"the key 'a' stands there twice"),
        (b'{"a": NaN}', r"NaN is no number of JSON"),
        (b'{"a": 1e999}', r"1e999 is too large a number"),
        (b'{"a": "\\ud800"}', r"is no sound JSON"),
        (b"[" * 100_000, r"is no sound JSON"),
        (b" " * (4 << 20) + b"{}", r"has 4,194,306 bytes, more than the 4,194,304 allowed"),
    ],
    ids=["empty", "list", "utf-16", "twice", "nan", "infinity", "surrogate", "tower", "huge"],
)
def test_json_that_is_not_sound_is_refused(data: bytes, words: str, folder: Path) -> None:
    (folder / CARD).write_bytes(data)
    with pytest.raises(ArtifactInvalid, match=words):
        TunedPrompt.load(folder)


def test_changed_and_truncated_files_are_refused(folder: Path) -> None:
    data = (folder / PROMPT).read_bytes()
    (folder / PROMPT).write_bytes(data[:-8])
    with pytest.raises(ArtifactInvalid, match=rf"has {len(data) - 8:,} bytes, the card says {len(data):,}"):
        TunedPrompt.load(folder)
    (folder / PROMPT).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(ArtifactInvalid, match=r"has SHA-256 [0-9a-f]{12}…, the card says"):
        TunedPrompt.load(folder)
    (folder / PROMPT).unlink()
    with pytest.raises(ArtifactInvalid, match=r"prompt.safetensors cannot be read: No such file"):
        TunedPrompt.load(folder)


def test_numbers_that_are_not_finite_are_refused(folder: Path) -> None:
    put(folder, PROMPT, (folder / PROMPT).read_bytes()[:-4] + b"\x00\x00\xc0\x7f")
    with pytest.raises(ArtifactInvalid, match=r"holds 1 of \d+ numbers that are NaN or infinite"):
        TunedPrompt.load(folder)


def test_tensors_the_card_does_not_know_are_refused(folder: Path) -> None:
    parts = {"prefix": numbers(5, 32), "suffix": numbers(2, 32), "calibration": numbers(3)}
    put(folder, PROMPT, dump_tensors({**parts, "weight": numbers(1)}))
    with pytest.raises(
        ArtifactInvalid, match=r"holds other tensors than the card says \('weight': \(1,\), card: none\)"
    ):
        TunedPrompt.load(folder)


def test_links_that_leave_the_folder_are_refused(folder: Path, tmp_path: Path) -> None:
    (folder / PROMPT).rename(tmp_path / "elsewhere")
    (folder / PROMPT).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactInvalid, match=r"prompt.safetensors is a link to .*elsewhere, outside of its folder"):
        TunedPrompt.load(folder)
    (folder / PROMPT).unlink()
    (folder / PROMPT).symlink_to(PROMPT)
    with pytest.raises(ArtifactInvalid, match=r"prompt.safetensors cannot be read"):
        TunedPrompt.load(folder)


def test_pipes_and_folders_in_place_of_files_are_refused(folder: Path) -> None:
    (folder / PROMPT).unlink()
    os.mkfifo(folder / PROMPT)
    with pytest.raises(ArtifactInvalid, match=r"prompt.safetensors is no plain file"):
        TunedPrompt.load(folder)
    (folder / PROMPT).unlink()
    (folder / PROMPT).mkdir()
    with pytest.raises(ArtifactInvalid, match=r"prompt.safetensors is no plain file"):
        TunedPrompt.load(folder)


def test_a_folder_that_is_none_of_ours_gets_advice(tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=r"missing is no folder"):
        TunedPrompt.load(tmp_path / "missing")
    with pytest.raises(ArtifactInvalid, match=r"has no softprompt.json"):
        TunedPrompt.load(tmp_path)
    (tmp_path / "vectors.bin").write_bytes(b"")
    with pytest.raises(ArtifactInvalid, match=r"only vectors.bin, a pickle, which can run any code"):
        TunedPrompt.load(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ArtifactInvalid, match=r"made by another program. Convert it: softprompt import"):
        TunedPrompt.load(tmp_path)


# --- whatever happens to the bytes ------------------------------------------------------------------------------------
@cache
def sound() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as place:
        return content(tuned(versions={}, created="2026-01-01T00:00:00+00:00").save(Path(place) / "sound"))


def load_bytes(files: dict[str, bytes], signed: bool) -> bool:
    """Load these files: either they are refused, or what comes back is finite."""
    place = Path(tempfile.mkdtemp())
    try:
        for name, data in files.items():
            (place / name).write_bytes(data)
        if signed:
            for name in (PROMPT, READOUT):
                put(place, name, files[name])
        after = TunedPrompt.load(place)
    except ArtifactInvalid:
        return False
    finally:
        shutil.rmtree(place)
    extra = {} if after.readout is None else after.readout.tensors()
    assert all(bool(torch.isfinite(tensor).all()) for tensor in {**after.prompt.tensors(), **extra}.values())
    return True


@settings(max_examples=150, deadline=None)
@given(
    name=st.sampled_from([PROMPT, READOUT, CARD]),
    start=st.floats(0, 1),
    length=st.integers(0, 40),
    piece=st.one_of(st.binary(max_size=40), st.sampled_from([b"\x00\x00\xc0\x7f", b"-1", b"1e999", b'"', b"}", b"[["])),
    signed=st.booleans(),
)
def test_no_change_of_bytes_does_harm(name: str, start: float, length: int, piece: bytes, signed: bool) -> None:
    data = sound()[name]
    place = int(start**3 * len(data))  # headers stand in front
    changed = data[:place] + piece + data[place + length :]
    load_bytes({**sound(), name: changed}, signed and name != CARD)


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.lists(st.integers(-1, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@settings(max_examples=150, deadline=None)
@given(steps=st.lists(st.floats(0, 0.999), min_size=1, max_size=4), value=ODD, drop=st.booleans())
def test_no_change_of_the_card_does_harm(steps: list[float], value: Any, drop: bool) -> None:
    card = json.loads(sound()[CARD])
    node: Any = card
    for number, step in enumerate(steps):
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not keys:
            break
        key = keys[int(step * len(keys))]
        if number == len(steps) - 1 or not isinstance(node[key], (dict, list)):
            if drop:
                del node[key]
            else:
                node[key] = value
            break
        node = node[key]
    load_bytes({**sound(), CARD: json.dumps(card).encode()}, signed=False)


def test_the_untouched_bytes_do_load() -> None:
    assert load_bytes(sound(), signed=False)
    assert load_bytes(sound(), signed=True)
