"""Against the real PEFT: what is saved here opens there with the same logits, what is saved there opens here."""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from softprompt.data.template import Template
from softprompt.engine.artifact import TunedPrompt, base_of
from softprompt.engine.artifact_card import Base
from softprompt.engine.backbone import CausalBackbone, wrap
from softprompt.engine.import_prompt import import_prompt
from softprompt.engine.packing import Row, pack
from softprompt.engine.peft_format import flatten, read_adapter, write_adapter
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import ArtifactInvalid, WrongBase
from softprompt.testing.tiny import TinyKind, tiny_model

# PEFT 0.21.2 asks transformers for a property that has been renamed there.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

CAUSAL: tuple[TinyKind, ...] = ("llama", "gpt2", "qwen2", "mistral", "gemma", "gemma3")
SEQ2SEQ: tuple[TinyKind, ...] = ("t5", "mt5")
IDS = [5, 80, 17, 200, 9]
ASKED = {"input_ids": torch.tensor([IDS]), "attention_mask": torch.ones(1, len(IDS), dtype=torch.long)}


@cache
def backbone(kind: TinyKind) -> Any:
    model, tokenizer = tiny_model(kind)
    return wrap(model, tokenizer, model_id=f"tiny-{kind}")


def fresh(kind: TinyKind) -> Any:
    """The library's model, untouched by our engine."""
    return tiny_model(kind)[0]


def numbers(*shape: int, scale: float = 0.15) -> Tensor:
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(3))


def deep(base: Base, length: int = 3) -> Tensor:
    return numbers(base.layers, 2, base.kv_heads, length, base.head_dim, scale=0.5)


def save(kind: TinyKind, prompt: SoftPrompt, folder: Path) -> Path:
    tuned = TunedPrompt(
        name="x", base=base_of(backbone(kind)), task="generation", prompt=prompt, template=Template(text="{{input}}")
    )
    return tuned.save(folder)


@torch.no_grad()
def ours(kind: TinyKind, prompt: SoftPrompt) -> Tensor:
    """`[T, V]` scores behind the prompt, by our engine."""
    engine = backbone(kind)
    assert isinstance(engine, CausalBackbone)
    hidden, _ = engine.rows(pack([Row(tuple(IDS))]), [(engine.prefix(prompt), 0, 1)])
    return engine.logits(hidden)


# --- out --------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", CAUSAL)
@pytest.mark.parametrize("method", ["prefix", "deep"])
def test_a_saved_prompt_opens_in_peft_with_the_same_logits(kind: TinyKind, method: str, tmp_path: Path) -> None:
    base = base_of(backbone(kind))
    prompt = SoftPrompt(prefix=numbers(3, 32)) if method == "prefix" else SoftPrompt(deep=deep(base))
    folder = save(kind, prompt, tmp_path / "x")
    opened = peft.PeftModel.from_pretrained(fresh(kind), str(folder)).eval()
    with torch.no_grad():
        theirs = opened(**ASKED).logits[0, -len(IDS) :]
    torch.testing.assert_close(theirs, ours(kind, prompt), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(theirs, ours(kind, SoftPrompt()), atol=1e-2)


@pytest.mark.parametrize("kind", SEQ2SEQ)
def test_a_saved_prompt_stands_in_front_of_the_encoder_in_peft(kind: TinyKind, tmp_path: Path) -> None:
    prefix = numbers(3, 32)
    folder = save(kind, SoftPrompt(prefix=prefix), tmp_path / "x")
    decoder = torch.tensor([[0, 40, 50]])
    model, opened = fresh(kind), peft.PeftModel.from_pretrained(fresh(kind), str(folder)).eval()
    with torch.no_grad():
        embeds = torch.cat([prefix, model.get_input_embeddings()(torch.tensor(IDS))])[None]
        wanted = model(inputs_embeds=embeds, decoder_input_ids=decoder).logits
        theirs = opened(**ASKED, decoder_input_ids=decoder).logits
    torch.testing.assert_close(theirs, wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("prompt", "covers", "leaves_out"),
    [
        (SoftPrompt(prefix=numbers(3, 32)), ("prefix (3 vectors)",), ()),
        (SoftPrompt(suffix=numbers(2, 32)), (), ("suffix (2 vectors after the cue)",)),
        (SoftPrompt(), (), ()),
        (
            SoftPrompt(prefix=numbers(3, 32), deep=numbers(2, 2, 2, 3, 8)),
            (),
            ("vectors and per-layer keys and values in one prompt",),
        ),
    ],
)
def test_what_peft_cannot_express_is_said(prompt: SoftPrompt, covers: Any, leaves_out: Any) -> None:
    adapter = write_adapter(prompt, base_of(backbone("llama")))
    assert (adapter.covers, adapter.leaves_out) == (covers, leaves_out)
    assert bool(adapter.files) == bool(covers)


# --- in ---------------------------------------------------------------------------------------------------------------
def peft_folder(kind: TinyKind, config: peft.PeftConfig, folder: Path) -> tuple[Path, Tensor]:
    """An adapter as PEFT itself makes and saves it, and its numbers."""
    torch.manual_seed(0)
    model = peft.get_peft_model(fresh(kind), config)
    model.save_pretrained(str(folder))
    return folder, model.get_prompt_embedding_to_save("default")


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "mistral"])
def test_a_prompt_tuned_with_peft_opens_here(kind: TinyKind, tmp_path: Path) -> None:
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)
    folder, vectors = peft_folder(kind, config, tmp_path / "peft")
    found = import_prompt(folder, backbone(kind), name="theirs")
    assert found.tuned.prompt.prefix is not None
    assert torch.equal(found.tuned.prompt.prefix, vectors)
    assert (found.format, found.left_out, found.tuned.template.text) == ("peft", (), "{{input}}")
    assert found.tuned.recipe["imported"]["peft_version"] == peft.__version__
    again = TunedPrompt.load(found.tuned.save(tmp_path / "ours"), backbone=backbone(kind))
    assert again.prompt.prefix is not None
    assert torch.equal(again.prompt.prefix, vectors)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "qwen2", "gemma"])
@pytest.mark.parametrize("projection", [False, True])
def test_a_prefix_tuned_with_peft_opens_here(kind: TinyKind, projection: bool, tmp_path: Path) -> None:
    config = peft.PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4, prefix_projection=projection)
    folder, flat = peft_folder(kind, config, tmp_path / "peft")
    prompt = import_prompt(folder, backbone(kind), name="theirs").tuned.prompt
    assert prompt.deep is not None
    assert torch.equal(flatten(prompt.deep), flat)
    opened = peft.PeftModel.from_pretrained(fresh(kind), str(folder)).eval()
    with torch.no_grad():
        theirs = opened(**ASKED).logits[0]
    torch.testing.assert_close(theirs, ours(kind, prompt), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", SEQ2SEQ)
def test_the_decoder_half_of_a_t5_prompt_is_left_out(kind: TinyKind, tmp_path: Path) -> None:
    config = peft.PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=4)
    folder, vectors = peft_folder(kind, config, tmp_path / "peft")
    assert vectors.shape == (8, 32)
    found = import_prompt(folder, backbone(kind), name="theirs")
    assert found.tuned.prompt.prefix is not None
    assert torch.equal(found.tuned.prompt.prefix, vectors[:4])
    assert found.left_out == ("4 decoder vectors, which PEFT stores and does not use",)


def test_half_precision_becomes_float32(tmp_path: Path) -> None:
    folder = adapter(tmp_path, tensors={"prompt_embeddings": numbers(4, 32).half()})
    prefix = read_adapter(folder).prompt.prefix
    assert prefix is not None
    assert prefix.dtype is torch.float32
    assert torch.equal(prefix, numbers(4, 32).half().float())


# --- refused ----------------------------------------------------------------------------------------------------------
def adapter(folder: Path, tensors: dict[str, Tensor] | None = None, **changes: Any) -> Path:
    config = {"peft_type": "PROMPT_TUNING", "task_type": "CAUSAL_LM", "num_virtual_tokens": 4, "token_dim": 32}
    config.update(changes)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    save_file(tensors or {"prompt_embeddings": numbers(4, 32)}, str(folder / "adapter_model.safetensors"))
    return folder


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"peft_type": "LORA"}, r"is a LORA adapter: LoRA changes the weights"),
        ({"peft_type": "P_TUNING"}, r"is a P_TUNING adapter: p-tuning computes its vectors"),
        ({"peft_type": "MULTITASK_PROMPT_TUNING"}, r"multiplies its vectors with a matrix per task"),
        ({"peft_type": None}, r"is a None adapter"),
        ({"task_type": "SEQ_CLS"}, r"task_type 'SEQ_CLS': such adapters come with a head"),
        ({"task_type": ["CAUSAL_LM"]}, r"such adapters come with a head"),
        ({"num_virtual_tokens": 5}, r"holds 4 vectors, adapter_config.json says 5"),
        ({"num_virtual_tokens": 2}, r"holds 4 vectors, adapter_config.json says 2"),
        ({"num_virtual_tokens": "4"}, r"num_virtual_tokens '4' where a number above 0 belongs"),
        ({"token_dim": 64}, r"holds vectors 32 wide, adapter_config.json says 64"),
        ({"tensors": {"weight": numbers(4, 32)}}, r"holds the tensors 'weight' where 'prompt_embeddings' alone"),
        (
            {"tensors": {"prompt_embeddings": numbers(4, 32), "x": numbers(1)}},
            r"holds the tensors 'prompt_embeddings', 'x' where",
        ),
        ({"tensors": {"prompt_embeddings": numbers(4)}}, r"holds vectors of shape \[4\]"),
        ({"tensors": {"prompt_embeddings": torch.ones(4, 32, dtype=torch.int32)}}, r"of type I32"),
        ({"tensors": {"prompt_embeddings": torch.full((4, 32), torch.inf)}}, r"128 of 128 numbers that are NaN or inf"),
        ({"peft_type": "PREFIX_TUNING"}, r"num_layers 'None' where a number"),
        (
            {"peft_type": "PREFIX_TUNING", "num_layers": 2, "num_attention_heads": 2, "token_dim": 16},
            r"holds \[4, 32\] numbers; 4 virtual tokens in 2 layers of 2 heads, 16 wide together, take \[4, 64\]",
        ),
        ({"peft_type": "PREFIX_TUNING", "task_type": "SEQ_2_SEQ_LM"}, r"prefix tuning for an encoder-decoder model"),
    ],
)
def test_adapters_that_cannot_be_imported_say_why(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(ArtifactInvalid, match=words):
        read_adapter(adapter(tmp_path, **changes))


def test_nothing_that_a_config_names_is_fetched_or_run(tmp_path: Path) -> None:
    evil = {
        "tokenizer_kwargs": {"trust_remote_code": True},
        "tokenizer_name_or_path": "../evil",
        "auto_mapping": {"a": 1},
    }
    folder = adapter(tmp_path, prompt_tuning_init="TEXT", prompt_tuning_init_text="x", **evil)
    prefix = read_adapter(folder).prompt.prefix
    assert prefix is not None
    assert torch.equal(prefix, numbers(4, 32))


def test_a_pickle_is_refused_with_advice(tmp_path: Path) -> None:
    folder = adapter(tmp_path)
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(ArtifactInvalid, match=r"adapter_model.bin is a pickle.*safe_serialization=True"):
        read_adapter(folder)
    os.remove(folder / "adapter_model.bin")
    with pytest.raises(ArtifactInvalid, match=r"has adapter_config.json but no adapter_model.safetensors"):
        read_adapter(folder)


def test_a_link_to_somewhere_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    folder = adapter(tmp_path / "adapter")
    (folder / "adapter_model.safetensors").rename(tmp_path / "blob")
    (folder / "adapter_model.safetensors").symlink_to(tmp_path / "blob")
    with pytest.raises(ArtifactInvalid, match=r"is a link to .*blob, outside of its folder. Copy .* cp -rL"):
        read_adapter(folder)


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        (
            "llama",
            {"tensors": {"prompt_embeddings": numbers(4, 48)}, "token_dim": 48},
            r"they are 48 wide, its embeddings 32",
        ),
        ("t5", {"base_model_name_or_path": "org/llama"}, r"belong to a decoder-only model, .*They name 'org/llama'"),
        (
            "llama",
            {
                "peft_type": "PREFIX_TUNING",
                "num_layers": 1,
                "num_attention_heads": 4,
                "token_dim": 16,
            },
            r"they fill 1 layers of 4 key heads of width 4; it has 2 layers of 2 of width 8",
        ),
    ],
)
def test_vectors_of_another_model_are_refused(
    kind: TinyKind, changes: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(WrongBase, match=words):
        import_prompt(adapter(tmp_path, **changes), backbone(kind), name="theirs")
