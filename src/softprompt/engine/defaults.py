"""What is taken when a person leaves a parameter open, and the sentence that says so.

The values follow the model (scale of its embeddings, architecture) and the data (number of rows): what trains a prompt
is the number of updates, not of epochs, and a learning rate means something only beside the embeddings' RMS.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from softprompt.catalogue import default_learning_rate, find
from softprompt.engine.init import Start
from softprompt.engine.tune import Schedule
from softprompt.params import TuneConfig

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

FEW_UPDATES = 200
"""Below this a prompt has hardly moved; the run warns."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All numbers of a run, and in words where they came from."""

    schedule: Schedule
    start: Start
    notes: tuple[str, ...]


def resolve(backbone: Backbone, config: TuneConfig, rows: int, labels: tuple[str, ...], text: str) -> Recipe:
    """Fill in what the person left open.

    Args:
        backbone: the frozen model.
        config: the person's choices.
        rows: training rows.
        labels: known answers (label starts).
        text: what a text start begins from.
    """
    notes: list[str] = []
    causal = backbone.kind == "causal"
    batch = config.batch_size or (4 if causal else 16)
    batches = math.ceil(rows / batch)
    epochs = config.epochs or max(3, min(20 if causal else 50, math.ceil(_WANTED[causal] / batches)))
    accumulate = config.accumulate or max(1, min(16, batches * epochs // _WANTED[causal]))
    rate = config.learning_rate
    if rate is None:
        card = find(backbone.model_id)
        rate = default_learning_rate(card, architecture=backbone.kind, embedding_rms=backbone.embedding_rms)
        if config.method == "prefix_tuning":
            rate = rate / 3  # keys and values move every layer at once
        relative = rate / backbone.embedding_rms
        notes.append(f"learning rate {rate:.3g} = {relative:.2f} × the RMS of the model's embeddings")
    schedule = Schedule(
        batch_size=batch,
        accumulate=accumulate,
        epochs=epochs,
        learning_rate=rate,
        optimizer=config.optimizer,
        warmup=config.warmup,
        decay=config.decay,
        weight_decay=config.weight_decay,
        clip=config.clip,
        noise=config.noise,
        patience=config.patience,
        seed=config.seed,
    )
    updates = schedule.updates(rows)
    notes.append(
        f"{rows} rows / batch {batch} / accumulate {accumulate} × {epochs} epochs = {updates} updates of the prompt"
    )
    if updates < FEW_UPDATES:
        notes.append(
            f"{updates} updates are few: a prompt learns by updates, not by epochs. "
            "Lower --accumulate or --batch-size, or raise --epochs."
        )
    start = Start(
        method=config.method,
        place=config.place or ("both" if causal and config.method == "prompt_tuning" else "prefix"),
        init=config.init,
        text=config.init_text or text,
        labels=labels,
        prefix_length=config.virtual_tokens or (20 if causal else 100),
        suffix_length=config.suffix_tokens or 8,
        seed=config.seed,
    )
    return Recipe(schedule, start, tuple(notes))


_WANTED = {True: 250, False: 400}
"""Updates that a run should have, by whether the model is causal."""
