"""How good predictions are: exact matches, F1 over labels, ROUGE-L, and how sure one can be of it.

Pure text in, numbers out. Label sets come from `labels.labels_of`; in `macro_f1` a rare label counts as much as a
frequent one.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from softprompt.data.labels import labels_of
from softprompt.errors import ParameterInvalid
from softprompt.params import LABEL_TASKS, Task
from softprompt.patterns import matches

Labels = Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class LabelScore:
    precision: float
    recall: float
    f1: float
    support: int
    """Rows that carry the label in truth."""


@dataclass(frozen=True, slots=True)
class Score:
    """The result of one comparison. What a task does not have is None."""

    rows: int
    exact: float
    interval: tuple[float, float]
    """95 % interval of `exact` (Wilson)."""
    micro_f1: float | None = None
    macro_f1: float | None = None
    per_label: dict[str, LabelScore] | None = None
    rouge_l: float | None = None
    rouge_l_interval: tuple[float, float] | None = None
    format_kept: float | None = None
    """Share of predictions that match the pattern as a whole."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def score(task: Task, predictions: Sequence[str], golds: Sequence[str], pattern: str | None = None) -> Score:
    """Everything that is worth knowing about predictions of this task."""
    hits = exact(predictions, golds)
    interval = wilson_interval(sum(hits), len(hits))
    share = sum(hits) / len(hits) if hits else 0.0
    kept = format_kept(predictions, pattern) if pattern is not None else None
    if task in LABEL_TASKS:
        guessed, true = ([labels_of(text, task) for text in texts] for texts in (predictions, golds))
        return Score(
            rows=len(hits), exact=share, interval=interval, format_kept=kept,
            micro_f1=micro_f1(guessed, true), macro_f1=macro_f1(guessed, true), per_label=per_label(guessed, true),
        )  # fmt: skip
    values = rouge_l(predictions, golds)
    return Score(
        rows=len(hits), exact=share, interval=interval, format_kept=kept,
        rouge_l=sum(values) / len(values) if values else 0.0, rouge_l_interval=bootstrap_interval(values, seed=0),
    )  # fmt: skip


def exact(predictions: Sequence[str], golds: Sequence[str]) -> list[bool]:
    """Whether each prediction is the expected text; only space does not count.

    A label set has one fixed spelling, so "L3, Service" for "Service, L3" is wrong here and right in the F1.
    """
    _same_length(predictions, golds)
    return [p.split() == g.split() for p, g in zip(predictions, golds, strict=True)]


def micro_f1(predictions: Labels, golds: Labels) -> float:
    """F1 over all labels of all rows together; every invented label counts as a mistake."""
    _same_length(predictions, golds)
    right = sum(len(set(p) & set(g)) for p, g in zip(predictions, golds, strict=True))
    given, wanted = sum(len(set(p)) for p in predictions), sum(len(set(g)) for g in golds)
    return 2 * right / (given + wanted) if given + wanted else 0.0


def macro_f1(predictions: Labels, golds: Labels) -> float:
    """Mean F1 of the labels that occur in the truth."""
    scores = per_label(predictions, golds)
    return sum(s.f1 for s in scores.values()) / len(scores) if scores else 0.0


def per_label(predictions: Labels, golds: Labels) -> dict[str, LabelScore]:
    """Precision, recall and F1 of every label that occurs in the truth, by name."""
    _same_length(predictions, golds)
    scores = {}
    for label in sorted({label for labels in golds for label in labels}):
        given, wanted = sum(label in p for p in predictions), sum(label in g for g in golds)
        right = sum(label in p and label in g for p, g in zip(predictions, golds, strict=True))
        precision = right / given if given else 0.0
        scores[label] = LabelScore(precision, right / wanted, 2 * right / (given + wanted), wanted)
    return scores


def rouge_l(predictions: Sequence[str], golds: Sequence[str]) -> list[float]:
    """ROUGE-L F1 of each row: the longest common run of word stems, gaps allowed."""
    from rouge_score.rouge_scorer import RougeScorer

    _same_length(predictions, golds)
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    return [float(scorer.score(g, p)["rougeL"].fmeasure) for p, g in zip(predictions, golds, strict=True)]


def format_kept(predictions: Sequence[str], pattern: str) -> float:
    """Share of the predictions that match the pattern from start to end."""
    kept = sum(matches(pattern, text.strip()) for text in predictions)
    return kept / len(predictions) if predictions else 0.0


def wilson_interval(successes: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Interval of a share; stays inside 0 … 1 and is honest for few rows. (0, 1) if nothing was counted."""
    if n == 0:
        return 0.0, 1.0
    share = successes / n
    scale = 1 + z * z / n
    middle = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, middle - half)
    return low, 1.0 if successes == n else min(1.0, middle + half)


def bootstrap_interval(values: Sequence[float], seed: int, *, draws: int = 1000) -> tuple[float, float]:
    """95 % interval of the mean, from means of rows drawn with replacement."""
    if not values:
        return 0.0, 0.0
    draw = random.Random(seed)
    means = sorted(sum(draw.choices(values, k=len(values))) / len(values) for _ in range(draws))
    return means[int(0.025 * draws)], means[min(draws - 1, int(0.975 * draws))]


def _same_length(predictions: Sequence[object], golds: Sequence[object]) -> None:
    if len(predictions) != len(golds):
        raise ParameterInvalid(f"{len(predictions)} predictions stand against {len(golds)} expected outputs.")
