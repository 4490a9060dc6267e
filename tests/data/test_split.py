"""Splits and folds: proportions kept, copies together, nothing lost, the same for the same seed."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.data.records import Example
from softprompt.data.split import folds, split
from softprompt.data.textform import normalise
from softprompt.errors import DatasetInvalid, ParameterInvalid

ROWS = [Example(f"row {i}", "ABC"[i % 10 // 4], i + 1) for i in range(100)]  # 40 A, 40 B, 20 C
SOME = st.lists(st.builds(Example, st.text("ab \n", min_size=1, max_size=4), st.sampled_from("XYZ")), max_size=40)


def inputs(examples: list[Example]) -> set[str]:
    return {normalise(example.input) for example in examples}


def test_every_output_keeps_its_share() -> None:
    train, held = split(ROWS, 0.2, 7, task="classification")
    assert Counter(e.output for e in held) == {"A": 8, "B": 8, "C": 4}
    assert sorted(train + held, key=lambda e: e.line) == ROWS


def test_the_seed_decides_and_nothing_else() -> None:
    first = split(ROWS, 0.2, 7)
    assert split(ROWS, 0.2, 7) == first
    assert split(ROWS, 0.2, 8) != first
    assert set(split(ROWS[::-1], 0.2, 7)[1]) == set(first[1])


def test_copies_stay_together() -> None:
    copied = [Example(text, "A") for i in range(30) for text in (f"Row {i}", f"row  {i} ")]
    train, held = split(copied, 0.3, 1)
    assert len(held) == 18
    assert not inputs(train) & inputs(held)


def test_free_text_is_split_without_classes() -> None:
    titles = [Example(f"row {i}", f"title {i}") for i in range(50)]
    train, held = split(titles, 0.2, 1)
    assert (len(train), len(held)) == (40, 10)
    assert len(split(titles, 0.2, 1, task="classification")[1]) == 10


def test_a_label_with_one_row_stays_in_training() -> None:
    rows = [*ROWS, Example("the only one", "rare")]
    for seed in range(10):
        assert "rare" in {e.output for e in split(rows, 0.5, seed, task="classification")[0]}


def test_near_copies_stay_together() -> None:
    texts = [" ".join(f"w{i * 7 % 31}x{k * i % 29}" for k in range(1, 9)) for i in range(1, 29)]
    rows = [Example(text + end, "AB"[i % 2]) for i, text in enumerate(texts) for end in ("", ".", " and more")]
    train, held = split(rows, 0.3, 1)
    assert len(held) == 24
    assert set(Counter(e.input.split()[0] for e in train + held).values()) == {3}
    assert not {e.input.split()[0] for e in train} & {e.input.split()[0] for e in held}


def test_rows_of_one_pattern_can_be_parted_nevertheless() -> None:
    rows = [Example(f"please tell me all about the number {i}", "A") for i in range(40)]
    assert len(split(rows, 0.25, 1)[1]) == 10


@pytest.mark.parametrize("fraction", [0.0, 1.0, -1.0, float("nan")])
def test_a_fraction_outside_of_its_range_is_refused(fraction: float) -> None:
    with pytest.raises(ParameterInvalid, match="is not between 0 and 1"):
        split(ROWS, fraction, 1)


def test_rows_that_cannot_be_parted_are_refused() -> None:
    with pytest.raises(DatasetInvalid, match="2 rows with fewer than 2 different inputs"):
        split([Example("a", "b"), Example("A ", "b")], 0.5, 1)
    with pytest.raises(ParameterInvalid, match="5 folds asked for; 1 different inputs"):
        folds([Example("a", "b")], 5, 1)


@settings(deadline=None)
@given(rows=SOME, fraction=st.floats(0.01, 0.99), seed=st.integers(0, 99))
def test_a_split_keeps_its_promises(rows: list[Example], fraction: float, seed: int) -> None:
    if len(inputs(rows)) < 2:
        return
    train, held = split(rows, fraction, seed, task="classification")
    assert train
    assert held
    assert Counter(train + held) == Counter(rows)
    assert not inputs(train) & inputs(held)


@settings(deadline=None)
@given(rows=SOME, k=st.integers(2, 5), seed=st.integers(0, 99))
def test_folds_keep_their_promises(rows: list[Example], k: int, seed: int) -> None:
    if len(inputs(rows)) < k:
        return
    parts = folds(rows, k, seed)
    assert len(parts) == k
    assert Counter(example for _, held in parts for example in held) == Counter(rows)
    for train, held in parts:
        assert train
        assert held
        assert Counter(train + held) == Counter(rows)
        assert not inputs(train) & inputs(held)
    assert folds(rows, k, seed) == parts


def test_folds_keep_the_share_of_every_output() -> None:
    for _, held in folds(ROWS, 5, 3):
        assert Counter(e.output for e in held) == {"A": 8, "B": 8, "C": 4}
