"""What is taken when a person leaves a parameter open, and the sentence that says so.

The values follow the model (scale of its embeddings, architecture) and the data (number of rows): what trains a prompt
is the number of updates, not of epochs, and a learning rate means something only beside the embeddings' RMS.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from softprompt.catalogue import default_learning_rate, find
from softprompt.engine.init import Start, start_ids
from softprompt.engine.plans import Pace, Schedule, pace_of, rate_share, schedule_of, shape_of
from softprompt.params import TuneConfig

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone
    from softprompt.engine.soft_prompt import SoftPrompt


@dataclass(frozen=True, slots=True)
class Recipe:
    """All numbers of a run, and in words where they came from."""

    schedule: Schedule
    start: Start
    notes: tuple[str, ...]


def resolve(
    backbone: Backbone,
    config: TuneConfig,
    rows: int,
    labels: tuple[str, ...],
    text: str,
    examples: str = "",
    given: SoftPrompt | None = None,
) -> Recipe:
    """Fill in what the person left open.

    Args:
        backbone: the frozen model.
        config: the person's choices.
        rows: training rows.
        labels: known answers (label starts).
        text: what a text start begins from.
        examples: solved training rows as they are written (example starts).
        given: vectors that were tuned before (prompt starts).
    """
    start = _start(backbone, config, labels, text, examples, given)
    pace = pace_of(start.init, causal=backbone.kind == "causal")
    schedule, notes = _schedule(backbone, config, rows, pace)
    if start.init == "examples" and config.init is None:
        notes = (f"the vectors start from solved training rows: {start.prefix_length} virtual tokens", *notes)
    if start.init in ("text", "labels") and start.place != "suffix":
        whole = len(start_ids(backbone, start))
        if whole > start.prefix_length:
            what = "the text" if start.init == "text" else "the labels"
            notes = (
                f"the vectors start from the first {start.prefix_length} of the {whole} tokens of {what}; "
                f"--virtual-tokens {whole} takes all of them",
                *notes,
            )
    return Recipe(schedule, start, notes)


def _start(
    backbone: Backbone, config: TuneConfig, labels: tuple[str, ...], text: str, examples: str, given: SoftPrompt | None
) -> Start:
    count = len(backbone.tokenizer(examples, add_special_tokens=False)["input_ids"]) if examples else 0
    lengths = (given.prefix_length, given.suffix_length) if given is not None else (0, 0)
    causal = backbone.kind == "causal"
    shape = shape_of(config, causal=causal, labels=bool(labels), example_tokens=count, given=lengths)
    return Start(
        method=config.method,
        place=shape.place,
        init=shape.init,
        text=examples if shape.init == "examples" else config.init_text or text,
        labels=labels,
        prefix_length=shape.prefix_length,
        suffix_length=shape.suffix_length,
        seed=config.seed,
        given=given,
    )


def _schedule(backbone: Backbone, config: TuneConfig, rows: int, pace: Pace) -> tuple[Schedule, tuple[str, ...]]:
    """Lengths and rates of a run, and the sentences that say them."""
    notes: list[str] = []
    rate = config.learning_rate
    if rate is None:
        card = find(backbone.model_id)
        rate = default_learning_rate(card, architecture=backbone.kind, embedding_rms=backbone.embedding_rms)
        rate *= rate_share(config, pace)
        relative = rate / backbone.embedding_rms
        notes.append(f"learning rate {rate:.3g} = {relative:.2f} × the RMS of the model's embeddings")
    schedule = schedule_of(config, rows, pace, rate)
    updates = schedule.updates(rows)
    notes.append(
        f"{rows} rows / batch {schedule.batch_size} / accumulate {schedule.accumulate} × {schedule.epochs} epochs = "
        f"{updates} updates of the prompt"
    )
    if updates < pace.few:
        notes.append(
            f"{updates} updates are few: a prompt learns by updates, not by epochs. "
            "Lower --accumulate or --batch-size, or raise --epochs."
        )
    return schedule, tuple(notes)
