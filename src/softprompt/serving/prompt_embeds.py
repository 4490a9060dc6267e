"""What a tuned prompt puts in front of a foundation model, as one matrix of embeddings for servers that take it.

The embedding table is read from the model's folder; the model itself is never loaded. Bytes in torch's format are only
written here, never read. Keys and values per layer and encoder-decoder models have no such matrix.
"""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from softprompt.engine.artifact import TunedPrompt
from softprompt.engine.fingerprint import digest
from softprompt.engine.loading import load_tokenizer
from softprompt.engine.requests import Ready, Request, encode
from softprompt.engine.sources import resolve
from softprompt.engine.tokens import Encoder
from softprompt.errors import ModelUnavailable, ModelUnsupported, WrongBase
from softprompt.params import GenerateConfig

TABLES = ("embed_tokens.weight", "wte.weight")
"""How embedding tables are called, whatever stands in front."""
SCALED = ("gemma",)
"""Families that multiply embeddings inside: servers differ in who does it."""


@dataclass(frozen=True, eq=False)
class Embeddings:
    """The tokenizer and the embedding table `[V, H]` of a foundation model."""

    model_id: str
    tokenizer: Any
    table: Tensor
    fingerprint: str

    @classmethod
    def read(cls, model_id: str) -> Embeddings:
        """From the folder in which the model lies on this machine."""
        folder = resolve(model_id, download=False)
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        family = str(config.get("model_type", ""))
        if config.get("is_encoder_decoder") or family.startswith(SCALED):
            raise ModelUnsupported(
                f"{model_id} ({family}) takes no prompts as embeddings from outside. Serve it by Softprompt's own host."
            )
        table = read_table(folder)
        return cls(model_id, load_tokenizer(model_id), table, digest(table))

    def matrix(self, tuned: TunedPrompt, text: str, config: GenerateConfig) -> tuple[Tensor, int, bool, str]:
        """`[T, H]` vectors, template and input as the engine would read them; input tokens, whether cut, the gap."""
        if tuned.base.fingerprint != self.fingerprint:
            raise WrongBase(
                f"The tuned prompt {tuned.name!r} was made for {tuned.base.model_id} (embeddings "
                f"{tuned.base.fingerprint[:12]}); {self.model_id} here has the embeddings {self.fingerprint[:12]}."
            )
        if tuned.prompt.deep is not None:
            raise ModelUnsupported(
                f"The tuned prompt {tuned.name!r} holds keys and values per layer, which vLLM does not take. "
                "Serve it by Softprompt's own host, or tune with the method prompt_tuning."
            )
        encoder = Encoder(self.tokenizer, tuned.template, tuned.max_input_tokens)
        row = encode(Request(text, Ready(encoder, tuned.prompt, None), config))
        ids = torch.tensor([*encoder.head, *row.prompt])
        parts = [tuned.prompt.prefix, self.table[ids], tuned.prompt.suffix]
        matrix = torch.cat([part.to(self.table.dtype) for part in parts if part is not None])
        return matrix, len(ids), row.cut, encoder.gap


def read_table(folder: Path) -> Tensor:
    """The input embeddings from the safetensors files of a model's folder."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (the file is no mapping)
                if name.endswith(TABLES):
                    table: Tensor = tensors.get_tensor(name)
                    return table
    raise ModelUnavailable(f"{folder} has no embedding table ({' or '.join(TABLES)}). Copy or pull the model again.")


def wire(matrix: Tensor) -> str:
    """As vLLM takes it in `prompt_embeds`: a saved tensor in base64."""
    buffer = io.BytesIO()
    torch.save(matrix.contiguous().clone(), buffer)
    return base64.b64encode(buffer.getvalue()).decode()
