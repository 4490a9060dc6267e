"""Metrics against values worked out by hand."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.data import metrics
from softprompt.errors import ParameterInvalid

GOLDS = [("A", "B"), ("A",), ("C",)]
GUESSES = [("A",), ("A",), ("B", "X")]


def test_exact_ignores_space_and_nothing_else() -> None:
    hits = metrics.exact(
        [" Service,  L3\n", "L3, Service", "service", ""], ["Service, L3", "Service, L3", "Service", ""]
    )
    assert hits == [True, False, False, True]


def test_f1_by_hand() -> None:
    assert metrics.micro_f1(GUESSES, GOLDS) == pytest.approx(2 * 2 / (4 + 4))
    assert metrics.macro_f1(GUESSES, GOLDS) == pytest.approx((1 + 0 + 0) / 3)
    scores = metrics.per_label(GUESSES, GOLDS)
    assert scores["A"] == metrics.LabelScore(1.0, 1.0, 1.0, 2)
    assert scores["B"] == metrics.LabelScore(0.0, 0.0, 0.0, 1)
    assert list(scores) == ["A", "B", "C"]


def test_nothing_to_compare_is_zero() -> None:
    assert metrics.micro_f1([], []) == metrics.macro_f1([], []) == 0.0
    assert metrics.score("multilabel", [], []).exact == 0.0


def test_rouge_l_by_hand() -> None:
    assert metrics.rouge_l(["the cat sat", ""], ["the black cat sat", "x"]) == [pytest.approx(6 / 7), 0.0]


def test_wilson_by_hand() -> None:
    low, high = metrics.wilson_interval(8, 10)
    assert (low, high) == (pytest.approx(0.4902, abs=1e-4), pytest.approx(0.9433, abs=1e-4))
    assert metrics.wilson_interval(0, 0) == (0.0, 1.0)
    assert metrics.wilson_interval(0, 9)[0] == 0.0
    assert metrics.wilson_interval(9, 9)[1] == 1.0


@given(st.integers(1, 500), st.data())
def test_wilson_contains_the_share(n: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, n))
    low, high = metrics.wilson_interval(successes, n)
    assert 0 <= low <= successes / n <= high <= 1


def test_bootstrap_is_seeded_and_contains_the_mean() -> None:
    values = [0.0, 0.5, 1.0] * 20
    low, high = metrics.bootstrap_interval(values, 3)
    assert 0.35 < low < 0.5 < high < 0.65
    assert metrics.bootstrap_interval(values, 3) == (low, high)
    assert metrics.bootstrap_interval([], 3) == (0.0, 0.0)


def test_the_score_of_a_label_task() -> None:
    score = metrics.score("multilabel", ["A", "A", "X"], ["A, B", "A", "C"], pattern="[A-C](, [A-C])*")
    assert score.rows == 3
    assert score.exact == pytest.approx(1 / 3)
    assert score.interval == metrics.wilson_interval(1, 3)
    assert score.format_kept == pytest.approx(2 / 3)
    assert score.rouge_l is None
    assert json.loads(json.dumps(score.to_dict()))["per_label"]["A"]["support"] == 2


def test_the_score_of_free_text() -> None:
    score = metrics.score("summarization", ["the cat"], ["the cat"])
    assert (score.exact, score.rouge_l, score.rouge_l_interval) == (1.0, 1.0, (1.0, 1.0))
    assert score.micro_f1 is None
    assert score.format_kept is None


def test_unequal_lengths_and_broken_patterns_are_refused() -> None:
    with pytest.raises(ParameterInvalid, match="1 predictions stand against 2 expected"):
        metrics.score("generation", ["a"], ["a", "b"])
    with pytest.raises(ParameterInvalid, match=r"pattern: '\(' is no regular expression"):
        metrics.format_kept(["a"], "(")
