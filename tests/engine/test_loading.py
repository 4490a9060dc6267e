from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from softprompt.engine.fingerprint import fingerprint
from softprompt.engine.loading import load_model, load_parts, load_tokenizer
from softprompt.errors import ModelUnavailable, ModelUnsupported, ParameterInvalid
from softprompt.testing.tiny import TinyKind, tiny_model

Folder = Callable[..., Path]


@pytest.fixture
def copy(tiny_folder: Folder, tmp_path: Path) -> Folder:
    """A tiny model's folder to break."""

    def copy(kind: str = "llama") -> Path:
        return Path(shutil.copytree(tiny_folder(kind), tmp_path / kind))

    return copy


@pytest.mark.parametrize("kind", get_args(TinyKind))
def test_a_saved_model_comes_back_frozen_and_whole(kind: TinyKind, tmp_path: Path) -> None:
    model, tokenizer = tiny_model(kind, tmp_path)
    parts = load_parts(tmp_path)
    weights = parts.model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert not parts.model.training
    assert not any(p.requires_grad for p in parts.model.parameters())
    assert parts.tokenizer("naïve  text\n")["input_ids"] == tokenizer("naïve  text\n")["input_ids"]
    assert (parts.model_id, parts.path) == (str(tmp_path), tmp_path)


@pytest.mark.parametrize("kind", ["t5", "mt5"])
def test_an_output_matrix_of_its_own_survives(kind: str, tiny_folder: Folder) -> None:
    model = load_parts(tiny_folder(kind)).model
    assert not torch.equal(model.lm_head.weight, model.get_input_embeddings().weight)


@pytest.mark.parametrize("kind", get_args(TinyKind))
def test_tiny_models_answer_differently_to_different_texts(kind: TinyKind) -> None:
    model, tokenizer = tiny_model(kind)
    start = {"decoder_input_ids": torch.tensor([[0]])} if kind in ("t5", "mt5") else {}
    first, second = (
        model(input_ids=torch.tensor([tokenizer(text)["input_ids"]]), **start).logits[0, -1] for text in ("abc", "xyz")
    )
    assert (first - second).abs().max() > 0.5


def test_tiny_models_follow_their_seed() -> None:
    assert fingerprint(tiny_model("llama", seed=1)[0]) == fingerprint(tiny_model("llama", seed=1)[0])
    assert fingerprint(tiny_model("llama", seed=1)[0]) != fingerprint(tiny_model("llama", seed=2)[0])


def test_the_fingerprint_is_that_of_the_weights_not_of_the_folder(tiny_folder: Folder, copy: Folder) -> None:
    here, there = load_parts(tiny_folder()).model, load_parts(copy()).model
    assert fingerprint(here) == fingerprint(there) == fingerprint(here)
    assert len(fingerprint(here)) == 64


def test_load_model_gives_a_backbone(tiny_folder: Folder) -> None:
    backbone = load_model(tiny_folder())
    assert backbone.path == tiny_folder()


def test_nothing_is_printed(tiny_folder: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    load_parts(tiny_folder("t5"))
    assert capfd.readouterr() == ("", "")


def test_quietness_ends_with_the_loading(tiny_folder: Folder) -> None:
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_tokenizer(tiny_folder())
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_weights_come_in_the_wanted_numbers(tiny_folder: Folder) -> None:
    assert load_parts(tiny_folder()).model.dtype == torch.float32
    assert load_parts(tiny_folder(), dtype="bfloat16").model.dtype == torch.bfloat16
    with pytest.raises(ParameterInvalid, match="dtype 'int8' is not one of float32, bfloat16, float16"):
        load_parts(tiny_folder(), dtype="int8")
    with pytest.raises(ParameterInvalid, match="T5 model.*become NaN. Use bfloat16 or float32"):
        load_parts(tiny_folder("t5"), dtype=torch.float16)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(tiny_folder: Folder, device: str) -> None:
    with pytest.raises(ParameterInvalid, match=f"device '{device}'"):
        load_parts(tiny_folder(), device=device)


def test_pickled_weights_are_refused_unopened(copy: Folder) -> None:
    folder = copy()
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    with pytest.raises(ModelUnsupported, match="pytorch_model.bin, a pickle, which can run any code"):
        load_parts(folder)


def test_a_folder_without_weights_says_so(copy: Folder) -> None:
    folder = copy()
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelUnavailable, match="holds no weights"):
        load_parts(folder)
    assert load_tokenizer(folder)("a")["input_ids"]


def test_half_a_file_is_refused(copy: Folder) -> None:
    folder = copy()
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(ModelUnavailable, match="cannot be opened.*interrupted copy"):
        load_parts(folder)


def test_missing_tensors_are_not_filled_with_noise(copy: Folder) -> None:
    from safetensors.torch import load_file, save_file

    folder = copy()
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match="lacks 1 of the model's tensors.*layers.1.mlp.up_proj"):
        load_parts(folder)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"model_type": "mamba"}, "architecture 'mamba'. This engine runs gemma"),
        ({"model_type": None}, "architecture ''"),
        ({"model_type": "own", "auto_map": {"AutoModelForCausalLM": "own.Model"}}, "architecture 'own'"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"quantised \(gptq\)"),
    ],
)
def test_what_the_engine_cannot_run_is_named(copy: Folder, change: dict[str, Any], words: str) -> None:
    folder = copy()
    config = json.loads((folder / "config.json").read_text()) | change
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelUnsupported, match=words):
        load_parts(folder)


def test_a_broken_configuration_is_named(copy: Folder) -> None:
    folder = copy()
    (folder / "config.json").write_text("{")
    with pytest.raises(ModelUnavailable, match="config.json cannot be read"):
        load_parts(folder)


def test_a_broken_tokenizer_is_named(copy: Folder) -> None:
    folder = copy()
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(ModelUnavailable, match="The tokenizer in .* cannot be opened"):
        load_tokenizer(folder)


@pytest.mark.model
def test_the_real_model_answers(smollm2: Path) -> None:
    parts = load_parts(smollm2)
    question = [{"role": "user", "content": "What is the capital of France?"}]
    prompt = parts.tokenizer.apply_chat_template(
        question, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    tokens = parts.model.generate(**prompt, max_new_tokens=12, do_sample=False)[0, prompt["input_ids"].shape[1] :]
    assert "Paris" in parts.tokenizer.decode(tokens, skip_special_tokens=True)
    assert (parts.tokenizer.bos_token, parts.tokenizer.eos_token) == ("<|im_start|>", "<|im_end|>")
    assert parts.tokenizer.tokenize("L3 2024") == ["L", "3", "Ġ", "2", "0", "2", "4"]
    assert parts.model_id == "HuggingFaceTB/SmolLM2-135M-Instruct"
