"""A curve in words: each shape gets its sentence, and the next setting to try."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.studio.curves import Curve, Epoch, smooth
from softprompt.studio.verdicts import Verdict, failed, verdict

CHOSEN = {"epochs": 10, "learning_rate": 0.02, "accumulate": 2, "batch_size": 16}


def curve(losses: list[float], held: list[float] | None = None) -> Curve:
    step = len(losses) // max(1, len(held or ()))
    epochs = tuple(
        Epoch(n + 1, step * (n + 1), losses[-1], value, None, value == min(held or [0]))
        for n, value in enumerate(held or ())
    )
    order = list(range(1, len(losses) + 1))
    return Curve(len(losses), 0, order, losses, [0.02] * len(losses), [900.0] * len(losses), epochs)


def falling(fast: float, updates: int = 200, noise: float = 0.0, seed: int = 1) -> list[float]:
    draw = random.Random(seed)
    return [2 * math.exp(-fast * n) + 0.3 + noise * draw.uniform(-1, 1) for n in range(updates)]


def said(losses: list[float], held: list[float] | None = None) -> Verdict:
    found = verdict(curve(losses, held), CHOSEN)
    assert found is not None
    return found


def settings(found: Verdict) -> list[dict[str, str]]:
    return [dict(change.settings) for change in found.changes]


def test_still_falling_asks_for_more_epochs_or_a_larger_rate() -> None:
    found = said(falling(0.005))
    assert (found.kind, found.title) == ("try", "The loss was still falling.")
    assert settings(found) == [{"epochs": "20"}, {"learning_rate": "0.04"}]


def test_levelling_off_early_asks_for_a_smaller_rate() -> None:
    found = said(falling(0.2, noise=0.02))
    assert found.title == "The loss levelled off early."
    assert settings(found) == [{"learning_rate": "0.01"}]


def test_a_good_curve_is_called_good() -> None:
    found = said(falling(0.022, noise=0.02))
    assert (found.kind, found.changes) == ("good", ())


@pytest.mark.parametrize(
    ("losses", "title", "first"),
    [
        ([1 + n / 100 for n in range(100)], "The loss rose.", {"learning_rate": "0.0067"}),
        ([2.0 + 0.001 * (n % 2) for n in range(100)], "The loss hardly fell.", {"learning_rate": "0.06"}),
        ([abs(x) for x in falling(0.03, noise=1.6)], "The loss jumps.", {"learning_rate": "0.01"}),
    ],
)
def test_bad_curves(losses: list[float], title: str, first: dict[str, str]) -> None:
    found = said(losses)
    assert found.title == title
    assert settings(found)[0] == first


def test_rows_learned_by_heart_are_seen_on_the_validation_rows() -> None:
    found = said(falling(0.022), held=[1.5, 1.2, 1.1, 1.3, 1.5, 1.8, 2.0, 2.2])
    assert found.title == "It began to learn the rows by heart."
    assert settings(found)[0] == {"epochs": "3"}


def test_limits_are_kept() -> None:
    found = verdict(curve(falling(0.005)), {"epochs": 50, "learning_rate": 0.5})
    assert found is not None
    assert found.changes == ()
    assert verdict(curve(falling(0.005)), {}) is not None


def test_a_few_updates_have_no_shape() -> None:
    assert verdict(curve([3.0, 2.0, 1.0]), CHOSEN) is None


def test_a_failure_for_its_settings_says_which() -> None:
    away = failed({"code": "loss_not_finite"}, CHOSEN)
    room = failed({"code": "out_of_memory"}, CHOSEN)
    assert away is not None
    assert room is not None
    assert settings(away) == [{"learning_rate": "0.0067"}]
    assert settings(room) == [{"batch_size": "8", "accumulate": "4"}]
    assert failed({"code": "worker_died"}, CHOSEN) is None
    assert failed(None, CHOSEN) is None


@given(st.lists(st.floats(0.0, 50.0), min_size=4, max_size=300))
def test_every_curve_gets_a_verdict(losses: list[float]) -> None:
    found = said(losses)
    assert found.title.endswith(".")
    assert all(change.words for change in found.changes)


@given(st.lists(st.floats(0, 10), min_size=1, max_size=60), st.integers(1, 20))
def test_smoothing_is_the_mean_of_the_last(values: list[float], span: int) -> None:
    line = smooth(values, span)
    for at in range(len(values)):
        near = values[max(0, at - span + 1) : at + 1]
        assert line[at] == pytest.approx(sum(near) / len(near), abs=1e-6)
