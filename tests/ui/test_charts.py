"""Charts of the server: every point inside the picture, numbers round, nothing drawn that is no number."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.ui.charts import Line, chart, interval, loss_lines, nice, thinned


def places(text: str) -> list[tuple[float, float]]:
    found = " ".join(re.findall(r'points="([^"]*)"', text)).split()
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in found)]


@given(
    st.lists(st.floats(0, 1e6) | st.just(float("nan")) | st.just(float("inf")), max_size=80),
    st.integers(1, 5000),
)
def test_every_point_lies_inside_the_picture(losses: list[float], wide: int) -> None:
    points = list(enumerate(losses, start=1))
    text = str(chart([Line("loss", points)], wide=wide, told="Loss."))
    assert "nan" not in text
    assert "inf" not in text
    assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in places(text))


@given(st.floats(1e-6, 1e9), st.integers(2, 8))
def test_levels_are_even_begin_at_zero_and_reach_the_top(high: float, count: int) -> None:
    levels = nice(high, count)
    assert levels[0] == 0
    assert levels[-1] >= high * 0.999
    assert 2 <= len(levels) <= count + 3
    steps = [b - a for a, b in zip(levels, levels[1:], strict=False)]
    assert max(steps) == pytest.approx(min(steps))
    assert nice(high, inside=True)[-1] <= high * 1.001


def test_levels_that_people_would_choose() -> None:
    assert nice(2.7) == [0, 1, 2, 3]
    assert nice(200, inside=True) == [0, 50, 100, 150, 200]
    assert nice(7, inside=True) == [0, 2, 4, 6]
    assert nice(0) == nice(float("nan")) == [0, 1]


def test_a_chart_says_what_it_shows_and_its_numbers_are_text() -> None:
    text = str(chart([Line("a", [(1, 2.0), (10, 1.0)])], wide=10, told="Loss from 2 to 1."))
    assert 'role="img" aria-label="Loss from 2 to 1."' in text
    assert "<text" not in text
    assert '<span style="top:0.00%">2</span>' in text


def test_thinning_keeps_both_ends() -> None:
    points = [(float(n), 0.0) for n in range(10_000)]
    few = thinned(points, 100)
    assert len(few) <= 101
    assert (few[0], few[-1]) == (points[0], points[-1])
    assert thinned([]) == []


def test_a_loss_without_validation_has_no_line_for_it() -> None:
    assert [line.name for line in loss_lines([1], [2.0], [2.0], [])] == ["each update", "training, smoothed"]
    assert loss_lines([1], [2.0], [2.0], [(1, 3.0)])[-1].marked


def test_an_interval_shows_share_and_ends() -> None:
    text = str(interval(0.5, 0.4, 0.6, "half", colour=3))
    assert "left:40.0%;width:20.0%" in text
    assert "left:50.0%" in text
    assert 'aria-label="half"' in text
