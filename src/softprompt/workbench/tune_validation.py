"""How good a prompt is on the rows that were held out of a run: what decides which epoch is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from softprompt.data.metrics import exact, rouge_l
from softprompt.engine import tune as loop
from softprompt.engine.generate import Request, generate, make_ready
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.params import GenerateConfig, TuneConfig
from softprompt.workbench.tune_rows import TuneRows

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

TOGETHER = 16
"""Rows whose loss is computed in one pass."""


def validation(
    backbone: Backbone, encoder: Encoder, data: TuneRows, config: TuneConfig
) -> Callable[[SoftPrompt], loop.Validation]:
    """Loss and metric of a prompt on the held-out rows: exact match of known answers, else ROUGE-L."""
    texts, golds = [e.input for e in data.held], [e.output for e in data.held]
    rows = encoder.rows(texts, golds)
    longest = max(len(row.target) for row in rows)
    answering = GenerateConfig(max_new_tokens=min(longest + 4, config.max_output_tokens))

    @torch.inference_mode()
    def validate(prompt: SoftPrompt) -> loop.Validation:
        ready = make_ready(backbone, encoder, prompt, pattern=config.pattern)
        losses = [
            backbone.token_losses(rows[i : i + TOGETHER], prompt, encoder.head, shared=ready.prefix)[0]
            for i in range(0, len(rows), TOGETHER)
        ]
        said = [answer.output for answer in generate(backbone, [Request(text, ready, answering) for text in texts])]
        values = exact(said, golds) if data.labels else rouge_l(said, golds)
        return loop.Validation(float(torch.cat(losses).mean()), sum(values) / len(values))

    return validate
