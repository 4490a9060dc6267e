"""What is taken when a person leaves a parameter open, as far as it can be said without the model itself.

Torch-free, so that a page can show the numbers of a run before it starts. What needs the model (its embeddings' scale,
its tokenizer) is handed in; `defaults` does so for the engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from softprompt.params import Init, Optimizer, Place, TuneConfig

EXAMPLE_TOKENS = 512
"""Most vectors that a prompt takes from solved examples unless more are asked for."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """The numbers of a run, all of them decided."""

    batch_size: int
    accumulate: int
    epochs: int
    learning_rate: float
    optimizer: Optimizer = "adamw"
    warmup: float = 0.06
    decay: bool = True
    weight_decay: float = 0.0
    clip: float = 1.0
    noise: float = 0.0
    patience: int = 0
    seed: int = 73

    def updates_per_epoch(self, rows: int) -> int:
        """A partial window at the end of an epoch is an update of its own."""
        return math.ceil(math.ceil(rows / self.batch_size) / self.accumulate)

    def updates(self, rows: int) -> int:
        return self.updates_per_epoch(rows) * self.epochs


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
"""Chosen on validation rows (docs/quality.md). Examples start near an answer: larger batches, smaller, fewer steps; so
does a tuned prompt."""
NEAR = ("examples", "prompt")
"""Starts that are near an answer."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Where the vectors start, where they stand, and how many there are."""

    init: Init
    place: Place
    prefix_length: int
    suffix_length: int

    @property
    def virtual_tokens(self) -> int:
        front = 0 if self.place == "suffix" else self.prefix_length
        return front + (0 if self.place == "prefix" else self.suffix_length)


def shape_of(
    config: TuneConfig, *, causal: bool, labels: bool, example_tokens: int, given: tuple[int, int] = (0, 0)
) -> Shape:
    """Solved examples where a decoder-only model reads them in front and answers are known ones, else a text.

    Args:
        causal: whether the model is decoder-only.
        labels: whether the answers are known ones.
        example_tokens: tokens of the solved rows to start from; 0 if there is no room for them.
        given: vectors in front and after the cue of the tuned prompt to start from, which keeps its shape.
    """
    if config.init == "prompt":
        front, behind = given
        place: Place = "both" if front and behind else "suffix" if behind else "prefix"
        return Shape(init="prompt", place=place, prefix_length=front, suffix_length=behind)
    shows = causal and labels and example_tokens > 0 and not config.init_text and config.place in (None, "prefix")
    init = config.init or ("examples" if shows else "text")
    length = example_tokens if init == "examples" else 20 if causal else 100
    both = causal and init != "examples" and config.method == "prompt_tuning"
    return Shape(
        init=init,
        place=config.place or ("both" if both else "prefix"),
        prefix_length=config.virtual_tokens or length,
        suffix_length=config.suffix_tokens or 8,
    )


def pace_of(init: Init, *, causal: bool) -> Pace:
    return PACES["seq2seq" if not causal else "examples" if init in NEAR else "words"]


def schedule_of(config: TuneConfig, rows: int, pace: Pace, learning_rate: float) -> Schedule:
    """Batch, accumulation and epochs that give the number of updates a run should have."""
    batch = config.batch_size or pace.batch
    batches = math.ceil(rows / batch)
    epochs = config.epochs or max(3, min(pace.most_epochs, math.ceil(pace.updates / batches)))
    return Schedule(
        batch_size=batch,
        accumulate=config.accumulate or max(1, min(16, batches * epochs // pace.updates)),
        epochs=epochs,
        learning_rate=learning_rate,
        optimizer=config.optimizer,
        warmup=config.warmup,
        decay=config.decay,
        weight_decay=config.weight_decay,
        clip=config.clip,
        noise=config.noise,
        patience=config.patience,
        seed=config.seed,
    )


def rate_share(config: TuneConfig, pace: Pace) -> float:
    """Of the model's learning rate. Keys and values move every layer at once; examples are near an answer already."""
    return 1 / 3 if config.method == "prefix_tuning" else pace.share


def tokens_read(row_tokens: float, *, rows: float, updates: float, prefix: int, suffix: int, causal: bool) -> float:
    """Tokens that pass through the model: in front of a decoder vectors are read once an update, behind it in each row.

    Args:
        row_tokens: prompt and target tokens of all the rows, without virtual ones.
        rows: how many rows that are, each time counted.
        updates: of the prompt.
    """
    return row_tokens + suffix * rows + prefix * (updates if causal else rows)
