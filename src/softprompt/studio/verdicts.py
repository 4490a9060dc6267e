"""A run's curve in plain words, with the setting to try next.

The rules are those that people read a loss curve by: one that levels off early wants a smaller learning rate, one that
still falls at the end wants more epochs or a larger rate. How good the answers are, test rows say.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from softprompt.studio.curves import Curve, smooth

Kind = Literal["good", "try", "bad"]
MOST_EPOCHS, LEAST_RATE, MOST_RATE = 50, 1e-5, 0.5
_FEWEST = 4
"""Updates below which a curve has no shape."""


@dataclass(frozen=True, slots=True)
class Change:
    """A setting to try next: in words, and as the fields of the form."""

    words: str
    settings: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: Kind
    title: str
    words: str
    changes: tuple[Change, ...] = ()


def verdict(curve: Curve, chosen: Mapping[str, Any]) -> Verdict | None:
    """What the curve says; None if there is too little of it.

    Args:
        chosen: the numbers of the run: epochs, learning_rate, accumulate.
    """
    losses = curve.loss
    if len(losses) < _FEWEST:
        return None
    line = smooth(losses, max(1, min(25, len(losses) // 8)))
    start, end, least = statistics.fmean(losses[: max(1, len(losses) // 20)]), line[-1], min(line)
    fallen = start - least
    if end > start * 1.02 or fallen <= 0.02 * start:
        return _rose(chosen, end > start * 1.02, start, end)
    if (early := _heart(curve)) is not None:
        return _by_heart(early, chosen)
    late = line[-max(3, len(line) // 5)] - end
    if late > 0.08 * fallen:
        return _falling(chosen, late / fallen)
    if _jumps(losses, line, fallen):
        return _jumping(chosen)
    reached = next(i for i, value in enumerate(line) if start - value >= 0.95 * fallen) / len(line)
    if reached < 0.4:
        return _early(chosen, reached, start, end)
    return Verdict(
        "good",
        "The loss fell and levelled off.",
        f"From {start:.2f} to {end:.2f}, flat at the end: as it should look. The test rows say how good it is.",
    )


def failed(problem: Mapping[str, Any] | None, chosen: Mapping[str, Any]) -> Verdict | None:
    """What to try after a run that failed for its settings."""
    code = (problem or {}).get("code")
    if code == "loss_not_finite":
        return Verdict("bad", "The learning rate is too large.", "The loss ran away.", _rates(chosen, 1 / 3))
    if code == "out_of_memory":
        batch = int(chosen.get("batch_size") or 16)
        if batch > 1:
            accumulate = min(128, 2 * int(chosen.get("accumulate") or 1))
            settings = {"batch_size": str(batch // 2), "accumulate": str(accumulate)}
            words = f"Batch size {batch // 2}, accumulate {accumulate}"
            return Verdict(
                "bad", "The memory was too small.", "The same update fits in halves.", (Change(words, settings),)
            )
    return None


def _rose(chosen: Mapping[str, Any], rose: bool, start: float, end: float) -> Verdict:
    if rose:
        return Verdict(
            "bad", "The loss rose.", f"From {start:.2f} to {end:.2f}: the steps are too large.", _rates(chosen, 1 / 3)
        )
    words = f"It stayed near {start:.2f}: the steps are too small, or too few."
    return Verdict("bad", "The loss hardly fell.", words, (*_rates(chosen, 3), *_epochs(chosen, 2)))


def _heart(curve: Curve) -> int | None:
    """The best epoch, if the validation loss has risen since for a good while."""
    held = [e for e in curve.epochs if e.validation is not None]
    if len(held) < 4:
        return None
    values = [float(e.validation or 0) for e in held]
    best = values.index(min(values))
    late = best < len(values) * 2 / 3 and values[-1] > 1.05 * values[best]
    return held[best].number if late else None


def _by_heart(epoch: int, chosen: Mapping[str, Any]) -> Verdict:
    words = (
        f"On the validation rows it was best after epoch {epoch} and got worse from there. "
        "More rows help most; else stop earlier, or take smaller steps."
    )
    changes = (Change(f"{epoch} epochs", {"epochs": str(epoch)}), *_rates(chosen, 1 / 2))
    return Verdict("try", "It began to learn the rows by heart.", words, changes)


def _falling(chosen: Mapping[str, Any], share: float) -> Verdict:
    words = (
        f"The last fifth of the updates still brought {share:.0%} of the fall. More epochs or larger steps go further."
    )
    return Verdict("try", "The loss was still falling.", words, (*_epochs(chosen, 2), *_rates(chosen, 2)))


def _jumping(chosen: Mapping[str, Any]) -> Verdict:
    accumulate = min(128, 2 * int(chosen.get("accumulate") or 1))
    changes = (*_rates(chosen, 1 / 2), Change(f"Accumulate {accumulate}", {"accumulate": str(accumulate)}))
    return Verdict("try", "The loss jumps.", "Many peaks: smaller steps, or more rows to each, calm it.", changes)


def _early(chosen: Mapping[str, Any], reached: float, start: float, end: float) -> Verdict:
    words = (
        f"From {start:.2f} to {end:.2f}, nearly all of it in the first {max(reached, 0.01):.0%} of the updates. "
        "Smaller steps often find a lower end."
    )
    return Verdict("try", "The loss levelled off early.", words, _rates(chosen, 1 / 2))


def _jumps(losses: list[float], line: list[float], fallen: float) -> bool:
    half = len(losses) // 2
    around = [value - middle for value, middle in zip(losses[half:], line[half:], strict=True)]
    return statistics.pstdev(around) > 0.35 * fallen


def _rates(chosen: Mapping[str, Any], factor: float) -> tuple[Change, ...]:
    rate = chosen.get("learning_rate")
    if not isinstance(rate, int | float) or rate <= 0:
        return ()
    new = f"{min(MOST_RATE, max(LEAST_RATE, rate * factor)):.2g}"
    return () if float(new) == rate else (Change(f"Learning rate {new}", {"learning_rate": new}),)


def _epochs(chosen: Mapping[str, Any], factor: int) -> tuple[Change, ...]:
    epochs = int(chosen.get("epochs") or 0)
    new = min(MOST_EPOCHS, epochs * factor)
    return () if not epochs or new == epochs else (Change(f"{new} epochs", {"epochs": str(new)}),)
