"""Answers by label readouts: packed passes up to the highest layer that is read, nothing decoded.

Rows of several readouts go through one pass, as long as they read equally deep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.engine.attention import PrefixCache
from softprompt.engine.packing import Packed, Row, pack
from softprompt.engine.readout import LabelReadout
from softprompt.engine.requests import Answer, shortened
from softprompt.engine.tokens import Encoder

if TYPE_CHECKING:
    from softprompt.engine.backbone import CausalBackbone

ROWS = 16


@dataclass(frozen=True, slots=True, eq=False)
class ReadyReadout:
    """A readout whose keys and values are computed. Make it with `ready_readout` and keep it.

    Attributes:
        readout: the map, its template and vectors.
        encoder: tokenizer and template.
        prefix: keys and values of vectors and template head, up to the highest layer that is read.
    """

    readout: LabelReadout
    encoder: Encoder
    prefix: PrefixCache | None

    @property
    def depth(self) -> int:
        """Layers that have to run."""
        return max(self.readout.layers)


@torch.inference_mode()
def ready_readout(backbone: CausalBackbone, readout: LabelReadout, max_input_tokens: int = 0) -> ReadyReadout:
    """Compute what all rows of a readout share; `max_input_tokens` is where inputs are cut (0: nowhere)."""
    encoder = Encoder(backbone.tokenizer, readout.template, max_input_tokens)
    return ReadyReadout(readout, encoder, backbone.prefix(readout.prompt, encoder.head, max(readout.layers)))


@torch.inference_mode()
def read_labels(
    backbone: CausalBackbone, ready: ReadyReadout, texts: Sequence[str], truncate_input_tokens: int = 0
) -> list[Answer]:
    """The likeliest label of each text with its probability.

    Args:
        backbone: the frozen model that the readout was fitted on.
        ready: the readout with its keys and values.
        texts: bare inputs.
        truncate_input_tokens: where inputs are cut earlier than the readout's own encoder does; 0: nowhere.
    """
    encoder = shortened(ready.encoder, truncate_input_tokens)
    return read_rows(backbone, [(ready, text, encoder.row(text)) for text in texts])


@torch.inference_mode()
def read_rows(
    backbone: CausalBackbone, asked: Sequence[tuple[ReadyReadout, str, Row]], most: int = ROWS
) -> list[Answer]:
    """The likeliest label of each row, by its own readout, in order.

    Args:
        backbone: the frozen model.
        asked: readout, text, and the text's row by the readout's encoder.
        most: rows of one pass.
    """
    # Equal depths share a pass, rows of one readout stand together, similar lengths waste little.
    order = sorted(range(len(asked)), key=lambda i: (asked[i][0].depth, id(asked[i][0]), len(asked[i][2].prompt)))
    answers: dict[int, Answer] = {}
    for _, deep in groupby(order, key=lambda i: asked[i][0].depth):
        numbers = list(deep)
        for start in range(0, len(numbers), most):
            chunk = numbers[start : start + most]
            answers.update(zip(chunk, _one_pass(backbone, [asked[i] for i in chunk]), strict=True))
    return [answers[i] for i in range(len(asked))]


def _one_pass(backbone: CausalBackbone, asked: Sequence[tuple[ReadyReadout, str, Row]]) -> list[Answer]:
    groups = [(ready, [row for _, _, row in rows]) for ready, rows in _neighbours(asked)]
    suffixes: list[range] = []
    bounds, tables, start, vectors = [], [], 0, 0
    for ready, rows in groups:
        bounds.append((ready.prefix, start, start + len(rows)))
        start += len(rows)
        prompt = ready.readout.prompt
        suffixes += [range(vectors, vectors + prompt.suffix_length)] * len(rows)
        if prompt.suffix is not None:
            tables.append(prompt.suffix)
            vectors += prompt.suffix_length
    packed = backbone.place(pack([row for _, _, row in asked], suffixes))
    taps = sorted({layer for ready, _ in groups for layer in ready.readout.layers})
    table = torch.cat(tables) if tables else None
    _, tapped = backbone.rows(packed, bounds, suffix=table, depth=groups[0][0].depth, taps=taps)
    answers: list[Answer] = []
    for (ready, rows), (_, first, last) in zip(groups, bounds, strict=True):
        readout = ready.readout
        states, own = _part(tapped, packed, first, last)
        taken = readout.reads(states, own, rows)
        shares = torch.softmax(readout.logits(taken.cpu()), dim=1)
        texts = [text for _, text, _ in asked[first:last]]
        answers += [_answer(ready, *facts) for facts in zip(texts, rows, shares.tolist(), strict=True)]
    return answers


def _neighbours(
    asked: Sequence[tuple[ReadyReadout, str, Row]],
) -> list[tuple[ReadyReadout, list[tuple[ReadyReadout, str, Row]]]]:
    found = [(list(rows)) for _, rows in groupby(asked, key=lambda one: id(one[0]))]
    return [(rows[0][0], rows) for rows in found]


def _part(tapped: dict[int, Tensor], packed: Packed, first: int, last: int) -> tuple[dict[int, Tensor], Packed]:
    """The states of some rows, and a batch that knows the lengths of these."""
    ends = packed.lengths.cumsum(0).tolist()
    start = ends[first - 1] if first else 0
    own = replace(packed, lengths=packed.lengths[first:last])
    return {layer: states[start : ends[last - 1]] for layer, states in tapped.items()}, own


def _answer(ready: ReadyReadout, text: str, row: Row, shares: list[float]) -> Answer:
    order = sorted(range(len(shares)), key=lambda label: -shares[label])
    labels = tuple((ready.readout.labels[label], shares[label]) for label in order)
    return Answer(
        input=text,
        output=labels[0][0],
        input_tokens=len(ready.encoder.head) + len(row.prompt),
        virtual_tokens=ready.readout.prompt.virtual_tokens,
        generated_tokens=0,
        stop_reason="label",
        confidence=labels[0][1],
        cut=row.cut,
        labels=labels,
    )
