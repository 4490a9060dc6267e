"""Foundation models of two layers with random weights and a byte tokenizer: made in milliseconds, nothing downloaded.

They behave like their large relatives (rotary or learned positions, shared key/value heads, relative biases, a BOS in
front or an EOS behind); what they say means nothing. Does not know soft prompts or training.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch

from softprompt.engine.loading import quiet_transformers

TinyKind = Literal["llama", "gpt2", "qwen2", "mistral", "gemma", "gemma3", "t5", "mt5"]

PAD, BOS, EOS = "<pad>", "<s>", "</s>"
_EMBEDDING_STD = 0.15


def tiny_model(kind: TinyKind, folder: Path | None = None, seed: int = 0, **config: Any) -> tuple[Any, Any]:
    """A random model and its tokenizer; with `folder`, also saved there as a folder that `load_model` opens.

    `config` goes to the configuration of a llama, such as `head_dim=32` for servers that take no smaller heads.
    """
    model = _BUILDERS[kind](**config)
    _draw_weights(model, seed)
    model.eval().requires_grad_(False)
    tokenizer = byte_tokenizer(adds_bos=kind in ("mistral", "gemma", "gemma3"), adds_eos=kind in ("t5", "mt5"))
    if folder is not None:
        with quiet_transformers():
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
    return model, tokenizer


def byte_tokenizer(*, adds_bos: bool = False, adds_eos: bool = False) -> Any:
    """One token a byte behind three special tokens: 259 in all, every text survives the round trip."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([PAD, BOS, EOS, *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    if adds_bos or adds_eos:
        backend.post_processor = processors.TemplateProcessing(
            single=f"{BOS} $A" if adds_bos else f"$A {EOS}",
            special_tokens=[(BOS, vocabulary[BOS]), (EOS, vocabulary[EOS])],
        )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token=PAD, bos_token=BOS, eos_token=EOS, clean_up_tokenization_spaces=False
    )


def _draw_weights(model: torch.nn.Module, seed: int) -> None:
    """Weights at the scale of trained models, so that other inputs give clearly other outputs."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = {id(m.weight) for m in model.modules() if isinstance(m, torch.nn.Embedding)}
    with torch.no_grad():
        for parameter in model.parameters():
            if id(parameter) in embeddings:
                parameter.normal_(0.0, _EMBEDDING_STD, generator=generator)
            elif parameter.dim() >= 2:
                parameter.normal_(0.0, parameter.shape[-1] ** -0.5, generator=generator)


_SPECIALS: dict[str, Any] = {"vocab_size": 259, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
_DECODER: dict[str, Any] = {
    **_SPECIALS,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}
_T5: dict[str, Any] = {
    **_SPECIALS,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "num_heads": 4,
    "feed_forward_proj": "gated-gelu",
    "tie_word_embeddings": False,
    "decoder_start_token_id": 0,
}


def _llama(**config: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    return LlamaForCausalLM(LlamaConfig(**_DECODER | config))


def _gpt2() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(**_SPECIALS, n_embd=32, n_layer=2, n_head=4, n_positions=2048))


def _qwen2() -> Any:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    return Qwen2ForCausalLM(Qwen2Config(**_DECODER))


def _mistral() -> Any:
    from transformers import MistralConfig, MistralForCausalLM

    return MistralForCausalLM(MistralConfig(**_DECODER, sliding_window=None))


def _gemma() -> Any:
    from transformers import GemmaConfig, GemmaForCausalLM

    return GemmaForCausalLM(GemmaConfig(**{**_DECODER, "num_key_value_heads": 1}, head_dim=8))


def _gemma3() -> Any:
    from transformers import Gemma3ForCausalLM, Gemma3TextConfig

    config = {**_DECODER, "num_key_value_heads": 1}
    layers = ["sliding_attention", "full_attention"]
    return Gemma3ForCausalLM(Gemma3TextConfig(**config, head_dim=8, sliding_window=64, layer_types=layers))


def _t5() -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    return _untied(T5ForConditionalGeneration(T5Config(**_T5)))


def _mt5() -> Any:
    from transformers import MT5Config, MT5ForConditionalGeneration

    return _untied(MT5ForConditionalGeneration(MT5Config(**_T5)))


def _untied(model: Any) -> Any:
    """With an output matrix of its own, as FLAN-T5 and mT0 have; transformers ties every T5 that was not loaded."""
    model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    return model


_BUILDERS: dict[TinyKind, Callable[..., Any]] = {
    "llama": _llama,
    "gpt2": _gpt2,
    "qwen2": _qwen2,
    "mistral": _mistral,
    "gemma": _gemma,
    "gemma3": _gemma3,
    "t5": _t5,
    "mt5": _mt5,
}
