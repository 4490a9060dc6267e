"""The tuning loop, one page: rows in, a better prompt out, its story told through events.

Covers: gradient accumulation weighted by target tokens, validation, the best prompt kept, early stop, checkpoints,
resuming to the same bits, stopping on request. Does not know files of data, templates, labels or where events go.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from softprompt.engine import checkpoint, events
from softprompt.engine.checkpoint import Progress
from softprompt.engine.memory import out_of_memory
from softprompt.engine.optim import clip, make_optimizer, rate_at
from softprompt.engine.packing import Row
from softprompt.engine.plans import Schedule
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import LossNotFinite, OutOfMemory

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone


@dataclass(frozen=True, slots=True)
class Validation:
    """What a validation found: mean loss per target token, and the task's metric if it was measured."""

    loss: float
    metric: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run: the best prompt (the last, without validation), and its story by epoch."""

    prompt: SoftPrompt
    history: tuple[dict[str, object], ...]
    updates: int
    seconds: float
    stopped: str


@dataclass(frozen=True, slots=True)
class Keep:
    """Where checkpoints go and how often."""

    path: Path
    seconds: float
    key: str


def run(
    backbone: Backbone,
    prompt: SoftPrompt,
    rows: Sequence[Row],
    head: Sequence[int],
    schedule: Schedule,
    *,
    validate: Callable[[SoftPrompt], Validation] | None = None,
    listener: events.Listener = events.ignore,
    keep: Keep | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Outcome:
    """Tune `prompt` on `rows`.

    Args:
        backbone: the frozen model.
        prompt: where to start.
        rows: prompts with targets, behind `head`.
        schedule: how long, how fast.
        validate: called after every epoch; the prompt with the best result is returned.
        listener: told of everything.
        keep: write checkpoints, and go on from one that is there.
        should_stop: asked after every update; True ends the run with what it has.

    Raises:
        LossNotFinite: the last good checkpoint stays on disk.
    """
    current, best = prompt.parameters(), prompt.detached()
    tensors = list(current.tensors().values())
    optimizer = make_optimizer(schedule.optimizer, tensors, schedule.learning_rate, schedule.weight_decay)
    progress = _resume(keep, current, best, optimizer) or Progress(key=keep.key if keep else "")
    total, clock = schedule.updates(len(rows)), _Clock(progress)
    listener(_started(progress, total, rows, current))
    reason = "all epochs done"
    while progress.epoch < schedule.epochs:
        if schedule.patience and validate and progress.worse >= schedule.patience:
            reason = f"no better validation result for {progress.worse} epochs"
            break
        windows = _windows(len(rows), schedule, progress.epoch)
        for window in windows[progress.update - progress.epoch * len(windows) :]:
            batches = [[rows[i] for i in batch] for batch in window]
            rate = schedule.learning_rate * rate_at(progress.update, total, schedule.warmup, schedule.decay)
            loss = _update(backbone, current, batches, head, optimizer, rate, schedule, progress)
            listener(clock.step(progress, total, batches, loss, rate))
            if should_stop():
                reason = "stopped on request"
                break
            if keep and clock.since_saved() >= keep.seconds:
                _save(keep, progress, current, best, optimizer, listener, clock)
        if reason == "stopped on request":
            break
        _end_epoch(progress, current, best, validate, listener, clock)
        if keep:
            _save(keep, progress, current, best, optimizer, listener, clock)
    if keep and reason == "stopped on request":
        _save(keep, progress, current, best, optimizer, listener, clock)
    clock.book(progress)
    listener(events.Finished(reason, progress.update))
    final = best if progress.best is not None else current.detached()
    return Outcome(final, tuple(progress.history), progress.update, progress.seconds, reason)


def _update(
    backbone: Backbone,
    current: SoftPrompt,
    batches: Sequence[Sequence[Row]],
    head: Sequence[int],
    optimizer: torch.optim.Optimizer,
    rate: float,
    schedule: Schedule,
    progress: Progress,
) -> float:
    """One optimizer step; returns the mean loss over its target tokens."""
    noisy = _with_noise(current, backbone.embedding_rms, schedule, progress.update)
    try:
        loss_sum = float(backbone.add_gradient(batches, noisy, head))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        longest = max(len(row.prompt) + len(row.target) for rows in batches for row in rows)
        raise OutOfMemory(
            f"A batch of {schedule.batch_size} rows of up to {longest} tokens does not fit into memory. Halve the "
            "batch size and double accumulate (the same update in less memory), or lower max_input_tokens."
        ) from error
    count = sum(len(row.target) for rows in batches for row in rows)
    tensors = list(current.tensors().values())
    norm = clip(tensors, schedule.clip)
    if not (math.isfinite(loss_sum) and math.isfinite(norm)):
        raise LossNotFinite(
            f"The loss became {loss_sum / count} (gradient norm {norm}) at update {progress.update + 1} with learning "
            f"rate {rate:.3g}. Use a smaller learning rate (a third is a good try); the last good checkpoint is kept."
        )
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    progress.update += 1
    progress.epoch_loss += loss_sum
    progress.epoch_tokens += count
    return loss_sum / count


def _with_noise(current: SoftPrompt, rms: float, schedule: Schedule, update: int) -> SoftPrompt:
    """The prompt that this update reads: the current one, with fresh noise on it if wanted."""
    if not schedule.noise:
        return current
    generator = torch.Generator().manual_seed(schedule.seed * 1_000_003 + update)
    scale = schedule.noise * rms
    return SoftPrompt(
        **{n: t + torch.randn(t.shape, generator=generator).to(t) * scale for n, t in current.tensors().items()}
    )


def _windows(rows: int, schedule: Schedule, epoch: int) -> list[list[list[int]]]:
    """The epoch's row numbers: updates → batches → rows. Seed and epoch decide the order."""
    generator = torch.Generator().manual_seed(schedule.seed * 10_007 + epoch)
    order = torch.randperm(rows, generator=generator).tolist()
    batches = [order[i : i + schedule.batch_size] for i in range(0, rows, schedule.batch_size)]
    return [batches[i : i + schedule.accumulate] for i in range(0, len(batches), schedule.accumulate)]


def _end_epoch(
    progress: Progress,
    current: SoftPrompt,
    best: SoftPrompt,
    validate: Callable[[SoftPrompt], Validation] | None,
    listener: events.Listener,
    clock: _Clock,
) -> None:
    """Book the epoch, validate, keep the best prompt."""
    result = validate(current.detached()) if validate else None
    is_best = False
    if result is not None:
        value = -result.loss if result.metric is None else result.metric
        is_best = not math.isnan(value) and (progress.best is None or value > progress.best)
        progress.worse = 0 if is_best else progress.worse + 1
        if is_best:
            progress.best = value
            best.load_(current)
    clock.book(progress)
    done = events.EpochDone(
        epoch=progress.epoch,
        loss=progress.epoch_loss / max(progress.epoch_tokens, 1),
        validation_loss=result.loss if result else None,
        metric=result.metric if result else None,
        best=is_best,
        seconds=progress.seconds,
    )
    progress.history.append(asdict(done))
    progress.epoch, progress.epoch_loss, progress.epoch_tokens = progress.epoch + 1, 0.0, 0
    listener(done)


def _resume(
    keep: Keep | None, current: SoftPrompt, best: SoftPrompt, optimizer: torch.optim.Optimizer
) -> Progress | None:
    found = checkpoint.load(keep.path, keep.key) if keep else None
    if found is None:
        return None
    progress, tensors = found
    for name, target in (("current", current), ("best", best)):
        target.load_(SoftPrompt(**{n: tensors[f"{name}.{n}"] for n in target.tensors()}))
    checkpoint.restore_optimizer(optimizer, tensors)
    return progress


def _save(
    keep: Keep,
    progress: Progress,
    current: SoftPrompt,
    best: SoftPrompt,
    optimizer: torch.optim.Optimizer,
    listener: events.Listener,
    clock: _Clock,
) -> None:
    clock.book(progress)
    tensors = {f"current.{n}": t for n, t in current.tensors().items()}
    tensors |= {f"best.{n}": t for n, t in best.tensors().items()}
    checkpoint.save(keep.path, progress, tensors, optimizer)
    clock.saved()
    listener(events.Saved(progress.update))


def _started(progress: Progress, total: int, rows: Sequence[Row], prompt: SoftPrompt) -> events.Started:
    targets = sum(len(row.target) for row in rows)
    return events.Started(total, progress.update, len(rows), prompt.virtual_tokens, targets)


class _Clock:
    """Time spent, speed, and time to go."""

    def __init__(self, progress: Progress) -> None:
        self._mark = self._saved = self._began = time.monotonic()
        self._before = progress.update
        self._tokens = 0

    def book(self, progress: Progress) -> None:
        now = time.monotonic()
        progress.seconds += now - self._mark
        self._mark = now

    def since_saved(self) -> float:
        return time.monotonic() - self._saved

    def saved(self) -> None:
        self._saved = time.monotonic()

    def step(
        self, progress: Progress, total: int, batches: Sequence[Sequence[Row]], loss: float, rate: float
    ) -> events.StepDone:
        self._tokens += sum(len(r.prompt) + len(r.target) for rows in batches for r in rows)
        spent = max(time.monotonic() - self._began, 1e-9)
        done = progress.update - self._before
        return events.StepDone(
            update=progress.update,
            epoch=progress.epoch,
            loss=loss,
            learning_rate=rate,
            tokens_per_second=self._tokens / spent,
            eta_seconds=spent / done * (total - progress.update),
        )
