"""PEFT's adapters of prompt tuning and prefix tuning, in and out, without PEFT.

Reading takes known fields of `adapter_config.json` and one tensor of `adapter_model.safetensors`; PEFT's own loader,
which may fetch tokenizers that a stranger's file names, is never used. Writing makes a folder that
`peft.PeftModel.from_pretrained` opens. Does not cover methods that change weights (LoRA …) or that compute their
vectors by a network of their own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from softprompt.engine.artifact_card import Base
from softprompt.engine.imported import ImportedVectors
from softprompt.engine.safe_files import read_json, refuse
from softprompt.engine.safe_tensors import dump_tensors, read_tensors
from softprompt.engine.soft_prompt import SoftPrompt

CONFIG, WEIGHTS, PICKLE = "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"
TENSOR = "prompt_embeddings"
KINDS = {"CAUSAL_LM": "causal", "SEQ_2_SEQ_LM": "seq2seq", None: None}
TASK_TYPES = {"causal": "CAUSAL_LM", "seq2seq": "SEQ_2_SEQ_LM"}
MAX_CONFIG_BYTES = 1 << 20
_AGAIN = "Save the adapter again with PEFT's save_pretrained."


@dataclass(frozen=True, slots=True, kw_only=True)
class Adapter:
    """A prompt as PEFT's files, and in words what they hold of it and what they do not."""

    files: dict[str, bytes] = field(default_factory=dict)
    covers: tuple[str, ...] = ()
    leaves_out: tuple[str, ...] = ()


def read_adapter(folder: Path) -> ImportedVectors:
    """The vectors of a PEFT adapter."""
    config = read_json(folder, CONFIG, MAX_CONFIG_BYTES)
    where = folder / CONFIG
    method = _method(config, where)
    kind = _kind(config, where)
    if not (folder / WEIGHTS).is_file():
        _refuse_without_weights(folder)
    tensors = read_tensors(folder, WEIGHTS)
    if set(tensors) != {TENSOR}:
        names = ", ".join(repr(name[:40]) for name in sorted(tensors)[:5]) or "none"
        refuse(folder / WEIGHTS, f"holds the tensors {names} where {TENSOR!r} alone belongs", _AGAIN)
    vectors = tensors[TENSOR]
    if vectors.dim() != 2 or 0 in vectors.shape:
        refuse(folder / WEIGHTS, f"holds vectors of shape {list(vectors.shape)}, not [virtual tokens, width]", _AGAIN)
    left_out: tuple[str, ...] = ()
    if method == "PREFIX_TUNING":
        prompt = SoftPrompt(deep=_unflatten(vectors, config, kind, folder))
    else:
        vectors, left_out = _encoder_part(vectors, config, folder)
        prompt = SoftPrompt(prefix=vectors)
    return ImportedVectors(
        format="peft",
        prompt=prompt,
        kind=kind,
        base_name=_text(config.get("base_model_name_or_path")),
        left_out=left_out,
        source={"peft_type": method, "peft_version": _text(config.get("peft_version"))},
    )


def write_adapter(prompt: SoftPrompt, base: Base) -> Adapter:
    """What PEFT can express of the prompt."""
    left_out = [] if prompt.suffix is None else [f"suffix ({prompt.suffix_length} vectors after the cue)"]
    if prompt.deep is not None and prompt.prefix is not None:
        return Adapter(leaves_out=("vectors and per-layer keys and values in one prompt", *left_out))
    if prompt.deep is not None:
        config, tensor = _prefix_tuning(prompt.deep, base), flatten(prompt.deep)
        covers = f"keys and values of {base.layers} layers ({prompt.prefix_length} virtual tokens)"
    elif prompt.prefix is not None:
        config, tensor = _prompt_tuning(prompt.prefix, base), prompt.prefix
        covers = f"prefix ({prompt.prefix_length} vectors)"
    else:
        return Adapter(leaves_out=tuple(left_out))
    files = {CONFIG: (json.dumps(config, indent=2) + "\n").encode(), WEIGHTS: dump_tensors({TENSOR: tensor})}
    return Adapter(files=files, covers=(covers,), leaves_out=tuple(left_out))


def flatten(deep: Tensor) -> Tensor:
    """`[L, 2, K, P, D]` → PEFT's `[P, L * 2 * K * D]`."""
    return deep.permute(3, 0, 1, 2, 4).flatten(1)


def _unflatten(vectors: Tensor, config: Mapping[str, Any], kind: str | None, folder: Path) -> Tensor:
    """PEFT's `[P, L * 2 * K * D]` → `[L, 2, K, P, D]`."""
    if kind == "seq2seq":
        refuse(
            folder / CONFIG,
            "is prefix tuning for an encoder-decoder model, where PEFT puts keys and values into the decoder",
            "Softprompt runs prefix tuning in decoder-only models; use prompt tuning for this model.",
        )
    where = folder / CONFIG
    length, layers = _count(config, "num_virtual_tokens", where), _count(config, "num_layers", where)
    heads, width = _count(config, "num_attention_heads", where), _count(config, "token_dim", where)
    if width % heads or tuple(vectors.shape) != (length, layers * 2 * width):
        refuse(
            folder / WEIGHTS,
            f"holds {list(vectors.shape)} numbers; {length} virtual tokens in {layers} layers of {heads} heads, "
            f"{width} wide together, take [{length}, {layers * 2 * width}]",
            _AGAIN,
        )
    return vectors.view(length, layers, 2, heads, width // heads).permute(1, 2, 3, 0, 4).contiguous()


def _encoder_part(vectors: Tensor, config: Mapping[str, Any], folder: Path) -> tuple[Tensor, tuple[str, ...]]:
    """The vectors that PEFT reads: for encoder-decoder models it stores as many again, and never looks at them."""
    length, width = _count(config, "num_virtual_tokens", folder / CONFIG), _text(config.get("token_dim"))
    if width.isdigit() and int(width) != vectors.shape[1]:
        refuse(folder / WEIGHTS, f"holds vectors {vectors.shape[1]} wide, {CONFIG} says {width}", _AGAIN)
    if vectors.shape[0] == length:
        return vectors, ()
    if vectors.shape[0] == 2 * length and config.get("num_transformer_submodules") == 2:
        return vectors[:length].clone(), (f"{length} decoder vectors, which PEFT stores and does not use",)
    refuse(folder / WEIGHTS, f"holds {vectors.shape[0]} vectors, {CONFIG} says {length}", _AGAIN)


def _method(config: Mapping[str, Any], where: Path) -> str:
    method = "".join(filter(str.isprintable, str(config.get("peft_type"))[:40]))
    if method in ("PROMPT_TUNING", "PREFIX_TUNING"):
        return method
    why = {
        "LORA": "LoRA changes the weights of the model",
        "P_TUNING": "p-tuning computes its vectors by a network of its own",
        "MULTITASK_PROMPT_TUNING": "multitask prompt tuning multiplies its vectors with a matrix per task",
    }
    refuse(
        where,
        f"is a {method} adapter: {why.get(method, 'it is more than vectors in front of the input')}",
        "PROMPT_TUNING and PREFIX_TUNING adapters can be imported; use this one with PEFT itself.",
    )


def _kind(config: Mapping[str, Any], where: Path) -> str | None:
    task = config.get("task_type")
    if not isinstance(task, str | None) or task not in KINDS:
        refuse(
            where,
            f"has task_type {str(task)[:40]!r}: such adapters come with a head that is no part of a prompt",
            "CAUSAL_LM and SEQ_2_SEQ_LM can be imported.",
        )
    return KINDS[task]


def _count(config: Mapping[str, Any], key: str, where: Path) -> int:
    value = config.get(key)
    if type(value) is not int or not 0 < value < 1 << 31:
        refuse(where, f"has {key} {str(value)[:40]!r} where a number above 0 belongs", _AGAIN)
    return value


def _text(value: Any) -> str:
    return "" if value is None else str(value)[:300]


def _refuse_without_weights(folder: Path) -> None:
    if (folder / PICKLE).exists():
        refuse(
            folder / PICKLE,
            "is a pickle, which can run any code when it is opened",
            "Where you trust it, open it with PEFT and save it again with safe_serialization=True.",
        )
    refuse(folder, f"has {CONFIG} but no {WEIGHTS}", "Copy the whole folder.")


def _prompt_tuning(prefix: Tensor, base: Base) -> dict[str, Any]:
    return {
        **_common("PROMPT_TUNING", base, prefix.shape[0]),
        "token_dim": base.hidden_size,
        "num_attention_heads": base.kv_heads,
        "prompt_tuning_init": "RANDOM",
    }


def _prefix_tuning(deep: Tensor, base: Base) -> dict[str, Any]:
    width = base.kv_heads * base.head_dim
    return {
        **_common("PREFIX_TUNING", base, deep.shape[3]),
        "token_dim": width,
        "num_attention_heads": base.kv_heads,
        "encoder_hidden_size": width,
        "prefix_projection": False,
    }


def _common(method: str, base: Base, length: int) -> dict[str, Any]:
    return {
        "peft_type": method,
        "task_type": TASK_TYPES[base.kind],
        "base_model_name_or_path": base.model_id,
        "inference_mode": True,
        "num_virtual_tokens": length,
        "num_layers": base.layers,
        # One, also for encoder-decoder models: PEFT would store vectors for the decoder too, and never use them.
        "num_transformer_submodules": 1,
    }
