"""How likely is each known answer: all labels scored in one pass behind the prompt, calibrated if wanted.

The labels form a tree of tokens; the row is read once, the tree's nodes are read once behind it, each seeing its own
ancestors only. Short labels win by their mere length and common words by their mere frequency; what a label scores on
average over other inputs is therefore taken off ("contextual calibration", Zhao et al. 2021, arXiv:2102.09690).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from softprompt.engine.decoding import Group
from softprompt.engine.generate import Ready, check_room
from softprompt.engine.packing import Row
from softprompt.engine.trie import Trie

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone, CausalBackbone

ROWS = 16
"""Rows scored together: their trees' logits, rows × nodes × vocabulary, have to fit into memory."""


@torch.inference_mode()
def label_scores(backbone: Backbone, ready: Ready, texts: Sequence[str], labels: Sequence[str]) -> Tensor:
    """Summed log-probability of each label, end token included, behind each text: `[B, C]` in nats."""
    return score_rows(backbone, ready, ready.encoder.rows(list(texts)), labels)


@torch.inference_mode()
def score_rows(backbone: Backbone, ready: Ready, rows: Sequence[Row], labels: Sequence[str]) -> Tensor:
    """As `label_scores`, for texts that are token ids already."""
    answers = [tuple(ready.encoder.target(label)) for label in labels]
    if backbone.kind != "causal":
        return _one_by_one(backbone, ready, rows, answers)
    trie = Trie.of(answers)
    for row in rows:
        check_room(backbone, ready, row, trie)
    parts = [_by_tree(backbone, ready, rows[i : i + ROWS], trie) for i in range(0, len(rows), ROWS)]
    return torch.cat(parts) if parts else torch.zeros(0, len(labels))


def calibration(scores: Tensor) -> Tensor:
    """What each label scores on average, over rows that stand for all inputs: `[B, C]` → `[C]`."""
    return scores.mean(dim=0)


def confidence(scores: Tensor, offset: Tensor | None = None) -> Tensor:
    """Probability of each label among the known ones: `[B, C]` → `[B, C]`."""
    return torch.softmax(scores if offset is None else scores - offset, dim=-1)


def _by_tree(backbone: CausalBackbone, ready: Ready, rows: Sequence[Row], trie: Trie) -> Tensor:
    device = backbone.device
    nodes = len(trie.tokens)
    state = backbone.prefill(rows, [Group(ready.prompt, ready.prefix, len(rows))], room=nodes)
    visible = torch.zeros(nodes, nodes, dtype=torch.bool)
    for node in range(nodes):
        visible[node, trie.ancestors(node)] = True
    hidden = state.branch(
        torch.tensor(trie.tokens, device=device), torch.tensor(trie.depths, device=device), visible.to(device)
    )
    inner = [node for node in range(nodes) if trie.allowed(node)]  # leaves predict nothing
    after = torch.log_softmax(backbone.logits(hidden[:, inner].flatten(0, 1)).float(), dim=-1)
    after = after.view(len(rows), len(inner), -1)
    first = torch.log_softmax(state.logits, dim=-1)
    place = {node: i for i, node in enumerate(inner)}
    gained = torch.stack(
        [
            first[:, token] if parent < 0 else after[:, place[parent], token]
            for token, parent in zip(trie.tokens, trie.parents, strict=True)
        ],
        dim=1,
    )
    return torch.stack([gained[:, list(path)].sum(dim=1) for path in trie.paths], dim=1).cpu()


def _one_by_one(backbone: Backbone, ready: Ready, rows: Sequence[Row], answers: Sequence[tuple[int, ...]]) -> Tensor:
    """Encoder-decoder models: each label as a target of its own."""
    scores = torch.zeros(len(rows), len(answers))
    for number, row in enumerate(rows):
        asked = [replace(row, target=answer) for answer in answers]
        losses, owner = backbone.token_losses(asked, ready.prompt, ready.encoder.head, shared=ready.prefix)
        scores[number] = -torch.zeros(len(answers)).index_add(0, owner.cpu(), losses.cpu())
    return scores
