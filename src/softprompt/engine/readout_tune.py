"""Train vectors through a label readout: the loss stands at the hidden state, not at vocabulary tokens.

The readout starts as fitted on the frozen model; vectors in front of the input and the map are then moved together for
a few passes over the rows. Layers above the highest one that is read never run. Few rows overfit within epochs, so the
result of each epoch is judged on held-out rows, and the start is kept if nothing is better.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from softprompt.data.records import Example
from softprompt.engine import events
from softprompt.engine.backbone import pull_back
from softprompt.engine.optim import rate_at
from softprompt.engine.packing import Row, pack
from softprompt.engine.readout import LabelReadout, features
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.errors import LossNotFinite

if TYPE_CHECKING:
    from softprompt.engine.backbone import CausalBackbone


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how fast; the learning rates are those of vectors and of the map."""

    epochs: int = 2
    batch_size: int = 8
    prompt_rate: float = 0.005
    map_rate: float = 0.002
    seed: int = 73
    max_input_tokens: int = 256


@dataclass(frozen=True, slots=True)
class Moved:
    """The readout after training, and held-out accuracy at the start and after each epoch (empty without rows).

    `stopped` says that it was asked to stop: the epoch that ran then is not part of the readout.
    """

    readout: LabelReadout
    held_out: tuple[float, ...]
    stopped: bool = False


def train(
    backbone: CausalBackbone,
    readout: LabelReadout,
    start: SoftPrompt,
    examples: Sequence[Example],
    held: Sequence[Example],
    plan: Plan,
    listener: events.Listener = events.ignore,
    should_stop: Callable[[], bool] = lambda: False,
) -> Moved:
    """Move `start` and the map of `readout` together.

    Args:
        backbone: the frozen model.
        readout: fitted on `examples`, without vectors.
        start: vectors to begin with, in front of the input.
        examples: training rows.
        held: rows that decide which epoch is kept; without any the last is.
        plan: lengths and rates.
        listener: told of every epoch.
        should_stop: asked after every update.
    """
    began = time.monotonic()
    encoder = Encoder(backbone.tokenizer, readout.template, plan.max_input_tokens)
    rows = encoder.rows([e.input for e in examples])
    answers = torch.tensor([readout.labels.index(e.output) for e in examples])
    weights = _weights(answers, len(readout.labels))
    prompt = start.parameters()
    weight, bias = readout.weight.clone().requires_grad_(), readout.bias.clone().requires_grad_()
    optimizer = _optimizer(list(prompt.tensors().values()), [weight, bias], plan)
    total, done = plan.epochs * math.ceil(len(rows) / plan.batch_size), 0
    best = readout
    scores = [_accuracy(backbone, readout, encoder, held)] if held else []
    for epoch in range(plan.epochs):
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(plan.seed * 10_007 + epoch)).tolist()
        loss_sum = 0.0
        for first in range(0, len(order), plan.batch_size):
            numbers = order[first : first + plan.batch_size]
            for group in optimizer.param_groups:
                group["lr"] = group["top"] * rate_at(done, total, 0.1, True)
            loss = _update(backbone, encoder, readout, prompt, weight, bias, rows, answers, weights, numbers)
            if not math.isfinite(loss):
                raise _astray(loss, f"update {done + 1} of {total} (pass {epoch + 1})", plan)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            loss_sum, done = loss_sum + loss, done + 1
            if should_stop():
                return Moved(best, tuple(scores), stopped=True)
        moved = replace(readout, prompt=prompt.detached(), weight=weight.detach().clone(), bias=bias.detach().clone())
        if held:
            scores.append(_accuracy(backbone, moved, encoder, held))
        if not held or scores[-1] > max(scores[:-1]):
            best = moved
        metric, seconds = scores[-1] if scores else None, time.monotonic() - began
        listener(events.ReadoutEpochDone(epoch, loss_sum / len(rows), metric, best is moved, seconds))
    return Moved(best, tuple(scores))


def _optimizer(vectors: list[Tensor], head: list[Tensor], plan: Plan) -> torch.optim.AdamW:
    """Vectors and map at their own rates; `top` is what the schedule takes its share of."""
    groups = [
        {"params": vectors, "lr": plan.prompt_rate, "top": plan.prompt_rate},
        {"params": head, "lr": plan.map_rate, "top": plan.map_rate},
    ]
    return torch.optim.AdamW(groups, weight_decay=0.0)


def _astray(loss: float, where: str, plan: Plan) -> LossNotFinite:
    return LossNotFinite(
        f"The loss through the readout became {loss} at {where}, with learning rates up to {plan.prompt_rate:g}. Leave "
        "these passes out (readout_epochs 0): the readout is fitted without them."
    )


def _update(
    backbone: CausalBackbone,
    encoder: Encoder,
    readout: LabelReadout,
    prompt: SoftPrompt,
    weight: Tensor,
    bias: Tensor,
    rows: Sequence[Row],
    answers: Tensor,
    weights: Tensor,
    numbers: Sequence[int],
) -> float:
    """Add the gradient of one batch; returns its summed loss."""
    depth = max(readout.layers)
    shared = backbone.prefix(prompt, encoder.head, depth)
    assert shared is not None
    leaf = shared.detached()
    taken = _features(backbone, readout, leaf, prompt, [rows[i] for i in numbers])
    scores = ((taken - readout.center) * readout.scale) @ weight.T + bias
    loss = F.cross_entropy(scores, answers[numbers], weight=weights, reduction="sum") / len(numbers)
    loss.backward()  # type: ignore[no-untyped-call]
    pull_back(shared, leaf)
    return float(loss.detach()) * len(numbers)


def _features(
    backbone: CausalBackbone, readout: LabelReadout, prefix: object, prompt: SoftPrompt, rows: Sequence[Row]
) -> Tensor:
    packed = backbone.place(pack(rows, prompt.suffix_length))
    depth = max(readout.layers)
    groups = [(prefix, 0, len(rows))]
    _, tapped = backbone.rows(packed, groups, suffix=prompt.suffix, depth=depth, taps=readout.layers)  # type: ignore[arg-type]
    return features(tapped, packed, rows, readout.layers, readout.places)


@torch.inference_mode()
def _accuracy(backbone: CausalBackbone, readout: LabelReadout, encoder: Encoder, held: Sequence[Example]) -> float:
    rows = encoder.rows([e.input for e in held])
    prefix = backbone.prefix(readout.prompt, encoder.head, max(readout.layers))
    right = 0
    for first in range(0, len(rows), 16):
        taken = _features(backbone, readout, prefix, readout.prompt, rows[first : first + 16])
        best = readout.logits(taken).argmax(dim=1).tolist()
        right += sum(readout.labels[b] == e.output for b, e in zip(best, held[first : first + 16], strict=True))
    return right / len(rows)


def _weights(answers: Tensor, classes: int) -> Tensor:
    """Rare answers weigh more, by the root of their rarity; the mean weight of a row is one."""
    counts = torch.bincount(answers, minlength=classes).float().clamp(min=1)
    weights = counts.rsqrt()
    return weights * len(answers) / float(weights[answers].sum())
