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

EXAMPLE_TOKENS = 512
"""Most vectors that a prompt takes from solved examples unless more are asked for."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a kind of start is trained best.

    Attributes:
        batch: rows of a forward pass.
        updates: how many of them a run should have.
        few: below this a prompt has hardly moved; the run warns.
        most_epochs: passes over few rows after which nothing is gained.
        share: of the model's learning rate.
    """

    batch: int
    updates: int
    few: int
    most_epochs: int
    share: float = 1.0


PACES = {"words": Pace(4, 250, 200, 20), "examples": Pace(16, 75, 40, 20, 1 / 3), "seq2seq": Pace(16, 400, 200, 50)}
"""Chosen on validation rows (docs/quality.md). Examples start near an answer: larger batches, smaller, fewer steps."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """All numbers of a run, and in words where they came from."""

    schedule: Schedule
    start: Start
    notes: tuple[str, ...]


def resolve(
    backbone: Backbone, config: TuneConfig, rows: int, labels: tuple[str, ...], text: str, examples: str = ""
) -> Recipe:
    """Fill in what the person left open.

    Args:
        backbone: the frozen model.
        config: the person's choices.
        rows: training rows.
        labels: known answers (label starts).
        text: what a text start begins from.
        examples: solved training rows as they are written (example starts).
    """
    start = _start(backbone, config, labels, text, examples)
    pace = PACES["seq2seq" if backbone.kind != "causal" else "examples" if start.init == "examples" else "words"]
    schedule, notes = _schedule(backbone, config, rows, pace)
    if start.init == "examples" and config.init is None:
        notes = (f"the vectors start from solved training rows: {start.prefix_length} virtual tokens", *notes)
    return Recipe(schedule, start, notes)


def _start(backbone: Backbone, config: TuneConfig, labels: tuple[str, ...], text: str, examples: str) -> Start:
    """Solved examples where a decoder-only model reads them in front and answers are known ones, else a text."""
    causal = backbone.kind == "causal"
    shows = causal and bool(labels) and bool(examples) and not config.init_text and config.place in (None, "prefix")
    init = config.init or ("examples" if shows else "text")
    length = 20 if causal else 100
    if init == "examples":
        length = len(backbone.tokenizer(examples, add_special_tokens=False)["input_ids"])
    both = causal and init != "examples" and config.method == "prompt_tuning"
    return Start(
        method=config.method,
        place=config.place or ("both" if both else "prefix"),
        init=init,
        text=examples if init == "examples" else config.init_text or text,
        labels=labels,
        prefix_length=config.virtual_tokens or length,
        suffix_length=config.suffix_tokens or 8,
        seed=config.seed,
    )


def _schedule(backbone: Backbone, config: TuneConfig, rows: int, pace: Pace) -> tuple[Schedule, tuple[str, ...]]:
    """Lengths and rates of a run, and the sentences that say them."""
    notes: list[str] = []
    batch = config.batch_size or pace.batch
    batches = math.ceil(rows / batch)
    epochs = config.epochs or max(3, min(pace.most_epochs, math.ceil(pace.updates / batches)))
    accumulate = config.accumulate or max(1, min(16, batches * epochs // pace.updates))
    rate = config.learning_rate
    if rate is None:
        card = find(backbone.model_id)
        rate = default_learning_rate(card, architecture=backbone.kind, embedding_rms=backbone.embedding_rms)
        # Keys and values move every layer at once; examples are near an answer already.
        rate *= 1 / 3 if config.method == "prefix_tuning" else pace.share
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
    if updates < pace.few:
        notes.append(
            f"{updates} updates are few: a prompt learns by updates, not by epochs. "
            "Lower --accumulate or --batch-size, or raise --epochs."
        )
    return schedule, tuple(notes)
