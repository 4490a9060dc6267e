"""Answers by a label readout: one packed pass up to the highest layer it reads, nothing decoded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from softprompt.engine.generate import Answer
from softprompt.engine.packing import pack
from softprompt.engine.readout import LabelReadout, features
from softprompt.engine.tokens import Encoder

if TYPE_CHECKING:
    from softprompt.engine.backbone import CausalBackbone

ROWS = 16


@torch.inference_mode()
def read_labels(
    backbone: CausalBackbone, readout: LabelReadout, texts: Sequence[str], max_input_tokens: int = 0
) -> list[Answer]:
    """The likeliest label of each text with its probability.

    Args:
        backbone: the frozen model that the readout was fitted on.
        readout: the map, its template and vectors.
        texts: bare inputs.
        max_input_tokens: where inputs are cut; 0: nowhere.
    """
    encoder = Encoder(backbone.tokenizer, readout.template, max_input_tokens)
    rows = encoder.rows(list(texts))
    depth = max(readout.layers)
    prefix = backbone.prefix(readout.prompt, encoder.head, depth)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].prompt))
    answers: dict[int, Answer] = {}
    for start in range(0, len(order), ROWS):
        numbers = order[start : start + ROWS]
        chosen = [rows[i] for i in numbers]
        packed = backbone.place(pack(chosen, readout.prompt.suffix_length))
        _, tapped = backbone.rows(
            packed, [(prefix, 0, len(chosen))], suffix=readout.prompt.suffix, depth=depth, taps=readout.layers
        )
        taken = features(tapped, packed, chosen, readout.layers, readout.places)
        sure, best = torch.softmax(readout.logits(taken.cpu()), dim=1).max(dim=1)
        for number, row, p, label in zip(numbers, chosen, sure.tolist(), best.tolist(), strict=True):
            answers[number] = Answer(
                input=texts[number],
                output=readout.labels[label],
                input_tokens=len(encoder.head) + len(row.prompt),
                virtual_tokens=readout.prompt.virtual_tokens,
                generated_tokens=0,
                stop_reason="label",
                confidence=p,
                cut=row.cut,
            )
    return [answers[i] for i in range(len(rows))]
