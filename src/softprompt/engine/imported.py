"""What the readers of foreign formats hand over. Knows neither files nor models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from softprompt.data.template import Template
from softprompt.engine.artifact_card import Base
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import WrongBase


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ImportedVectors:
    """Vectors that another program trained.

    Attributes:
        format: the program they come from: peft, caikit.
        prompt: the vectors, finite float32.
        kind: the kind of model they belong to, "causal" or "seq2seq"; None: the files do not say.
        base_name: the model's name as that program wrote it; a claim.
        template: how that program put inputs into text, if the files say so.
        left_out: what the files hold and a tuned prompt cannot.
        source: what else is worth keeping in the recipe, JSON.
    """

    format: str
    prompt: SoftPrompt
    kind: str | None = None
    base_name: str = ""
    template: Template | None = None
    left_out: tuple[str, ...] = ()
    source: dict[str, Any] = field(default_factory=dict)

    def check_fit(self, base: Base) -> None:
        """Refuse a model in which the vectors cannot stand. Same width does not prove the same model."""
        problems = []
        if self.kind not in (None, base.kind):
            problems.append(f"they belong to a {_KIND[self.kind or '']} model, it is {_KIND[base.kind]}")
        if self.prompt.prefix is not None and self.prompt.prefix.shape[1] != base.hidden_size:
            problems.append(f"they are {self.prompt.prefix.shape[1]} wide, its embeddings {base.hidden_size}")
        if self.prompt.deep is not None:
            layers, _, heads, _, width = self.prompt.deep.shape
            there = (base.layers, base.kv_heads, base.head_dim)
            if (layers, heads, width) != there:
                problems.append(
                    f"they fill {layers} layers of {heads} key heads of width {width}; it has {there[0]} layers of "
                    f"{there[1]} of width {there[2]}"
                )
        if problems:
            claim = f" They name {self.base_name!r} as their model." if self.base_name else ""
            raise WrongBase(
                f"The {self.format} vectors do not fit {base.model_id or 'the model'}: {'; '.join(problems)}.{claim} "
                "Give the model they were trained on with --model."
            )


_KIND = {"causal": "decoder-only", "seq2seq": "encoder-decoder"}
