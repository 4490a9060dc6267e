from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from softprompt.engine.gguf_convert import convert
from softprompt.engine.loading import load_parts
from softprompt.errors import ModelUnsupported
from softprompt.testing.tiny import tiny_model

NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def write_gguf(file: Path, model: Any, tokenizer: Any, *, pre: str = "smollm") -> None:
    """A tiny Llama as llama.cpp's own converter would write it."""
    from gguf import GGUFWriter

    writer = GGUFWriter(str(file), "llama")
    config = model.config
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    tokens = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    writer.add_token_list(tokens)
    writer.add_token_types([3, 3, 3] + [1] * (len(tokens) - 3))
    writer.add_token_merges(["a b"])
    writer.add_pad_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_chat_template("{{ messages }}")
    writer.add_tensor("token_embd.weight", model.model.embed_tokens.weight.numpy())
    writer.add_tensor("output_norm.weight", model.model.norm.weight.numpy())
    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for number, layer in enumerate(model.model.layers):
        for path, name in NAMES.items():
            weight = layer.get_submodule(path).weight
            if name in heads:
                weight = weight.view(heads[name], 2, -1, config.hidden_size).swapaxes(1, 2).reshape(weight.shape)
            writer.add_tensor(f"blk.{number}.{name}.weight", weight.contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_weights_tokenizer_and_template_survive(tmp_path: Path) -> None:
    model, tokenizer = tiny_model("llama")
    tokenizer_with_merge = {**tokenizer.get_vocab(), "ab": len(tokenizer.get_vocab())}
    tokenizer.get_vocab = lambda: tokenizer_with_merge
    model.resize_token_embeddings(260)
    write_gguf(tmp_path / "tiny.gguf", model, tokenizer)
    folder = tmp_path / "folder"
    folder.mkdir()
    convert(tmp_path / "tiny.gguf", folder)
    parts = load_parts(folder)
    found = parts.model.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in model.state_dict().items())
    assert parts.model.config.tie_word_embeddings
    assert (parts.tokenizer.pad_token, parts.tokenizer.bos_token, parts.tokenizer.eos_token) == ("<pad>", "<s>", "</s>")
    assert parts.tokenizer.chat_template == "{{ messages }}"
    assert parts.tokenizer.tokenize("ab12</s>") == ["ab", "1", "2", "</s>"]


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    write_gguf(tmp_path / "tiny.gguf", *tiny_model("llama"), pre="llama-bpe")
    with pytest.raises(ModelUnsupported, match="tokenizer.ggml.pre is 'llama-bpe'; only 'smollm' can be converted"):
        convert(tmp_path / "tiny.gguf", tmp_path)
