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
from softprompt.engine import checkpoint, events
from softprompt.engine.backbone import pull_back
from softprompt.engine.checkpoint import Progress
from softprompt.engine.optim import rate_at
from softprompt.engine.packing import Row, pack
from softprompt.engine.readout import LabelReadout
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.engine.tune import Keep
from softprompt.errors import CheckpointInvalid, LossNotFinite

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
    keep: Keep | None = None,
) -> Moved:
    """Move `start` and the map of `readout` together.

    Args:
        backbone: the frozen model.
        readout: fitted on `examples`, without vectors.
        start: vectors to begin with, in front of the input.
        examples: training rows.
        held: rows that decide which epoch is kept; without any the last is.
        plan: lengths and rates.
        listener: told of every epoch, and of what is kept.
        should_stop: asked after every update.
        keep: write on the way how far it is, and go on from there.
    """
    encoder = Encoder(backbone.tokenizer, readout.template, plan.max_input_tokens)
    rows = encoder.rows([e.input for e in examples])
    answers = torch.tensor([readout.labels.index(e.output) for e in examples])
    weights = _weights(answers, len(readout.labels))
    state = _State.of(readout, start, plan)
    if not (keep and state.restore(keep)) and held:
        state.scored(_accuracy(backbone, readout, encoder, held))
    progress, saved = state.progress, time.monotonic()
    began = saved - progress.seconds
    total = plan.epochs * math.ceil(len(rows) / plan.batch_size)
    while progress.epoch < plan.epochs:
        batches = _batches(len(rows), plan, progress.epoch)
        for numbers in batches[progress.update - progress.epoch * len(batches) :]:
            state.at_rate(rate_at(progress.update, total, 0.1, True))
            loss = _update(backbone, encoder, state, rows, answers, weights, numbers)
            if not math.isfinite(loss):
                raise _astray(loss, f"update {progress.update + 1} of {total} (pass {progress.epoch + 1})", plan)
            state.step(loss)
            if should_stop():
                return Moved(state.best, state.scores, stopped=True)
            if keep and time.monotonic() - saved >= keep.seconds:
                saved = state.save(keep, began, listener)
        if held:
            state.scored(_accuracy(backbone, state.moved(), encoder, held))
        is_best = not held or state.scores[-1] > max(state.scores[:-1])
        metric, seconds = state.scores[-1] if held else None, time.monotonic() - began
        listener(events.ReadoutEpochDone(progress.epoch, progress.epoch_loss / len(rows), metric, is_best, seconds))
        state.end_epoch(is_best)
        if keep:
            saved = state.save(keep, began, listener)
    return Moved(state.best, state.scores)


@dataclass(slots=True)
class _State:
    """What moves, the best of it so far, and how far it has come."""

    prompt: SoftPrompt
    weight: Tensor
    bias: Tensor
    optimizer: torch.optim.AdamW
    readout: LabelReadout
    best: LabelReadout
    progress: Progress

    @classmethod
    def of(cls, readout: LabelReadout, start: SoftPrompt, plan: Plan) -> _State:
        prompt = start.parameters()
        weight, bias = readout.weight.clone().requires_grad_(), readout.bias.clone().requires_grad_()
        optimizer = _optimizer(list(prompt.tensors().values()), [weight, bias], plan)
        return cls(prompt, weight, bias, optimizer, readout, readout, Progress(""))

    @property
    def scores(self) -> tuple[float, ...]:
        return tuple(record["metric"] for record in self.progress.history)

    def scored(self, share: float) -> None:
        self.progress.history.append({"metric": share})

    def moved(self) -> LabelReadout:
        """The readout as it is now."""
        weight, bias = self.weight.detach().clone(), self.bias.detach().clone()
        return replace(self.readout, prompt=self.prompt.detached(), weight=weight, bias=bias)

    def at_rate(self, share: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = group["top"] * share

    def step(self, loss: float) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.progress.epoch_loss += loss
        self.progress.update += 1

    def end_epoch(self, is_best: bool) -> None:
        if is_best:
            self.best, self.progress.best = self.moved(), float(self.progress.epoch)
        self.progress.epoch, self.progress.epoch_loss = self.progress.epoch + 1, 0.0

    def save(self, keep: Keep, began: float, listener: events.Listener) -> float:
        """Write everything down; returns when that was."""
        now = time.monotonic()
        self.progress.key, self.progress.seconds = keep.key, now - began
        tensors = {f"moved.{name}": tensor for name, tensor in self._moving().items()}
        if self.progress.best is not None:
            numbers = self.best.prompt.tensors() | {"weight": self.best.weight, "bias": self.best.bias}
            tensors |= {f"best.{name}": tensor for name, tensor in numbers.items()}
        checkpoint.save(keep.path, self.progress, tensors, self.optimizer)
        listener(events.Kept("passes"))
        return now

    def restore(self, keep: Keep) -> bool:
        """Take up what `save` wrote; what belongs to another run, or is broken, is done anew."""
        try:
            found = checkpoint.load(keep.path, keep.key)
        except CheckpointInvalid:
            return False
        if found is None:
            return False
        self.progress, tensors = found
        with torch.no_grad():
            for name, target in self._moving().items():
                target.copy_(tensors[f"moved.{name}"])
        if self.progress.best is not None:
            best = {name.removeprefix("best."): t for name, t in tensors.items() if name.startswith("best.")}
            best = {name: tensor.to(self.weight.device) for name, tensor in best.items()}
            weight, bias, vectors = best.pop("weight"), best.pop("bias"), SoftPrompt(**best)
            self.best = replace(self.readout, prompt=vectors, weight=weight, bias=bias)
        checkpoint.restore_optimizer(self.optimizer, tensors)
        return True

    def _moving(self) -> dict[str, Tensor]:
        return self.prompt.tensors() | {"weight": self.weight, "bias": self.bias}


def _batches(rows: int, plan: Plan, epoch: int) -> list[list[int]]:
    """The epoch's row numbers. Seed and epoch decide the order."""
    generator = torch.Generator().manual_seed(plan.seed * 10_007 + epoch)
    order = torch.randperm(rows, generator=generator).tolist()
    return [order[first : first + plan.batch_size] for first in range(0, rows, plan.batch_size)]


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
    state: _State,
    rows: Sequence[Row],
    answers: Tensor,
    weights: Tensor,
    numbers: Sequence[int],
) -> float:
    """Add the gradient of one batch; returns its summed loss."""
    readout, prompt = state.readout, state.prompt
    shared = backbone.prefix(prompt, encoder.head, max(readout.layers))
    assert shared is not None
    leaf = shared.detached()
    taken = _features(backbone, readout, leaf, prompt, [rows[i] for i in numbers])
    scores = ((taken - readout.center) * readout.scale) @ state.weight.T + state.bias
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
    return readout.reads(tapped, packed, rows)


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
