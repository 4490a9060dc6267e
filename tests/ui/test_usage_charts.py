"""Pictures of usage: heights and words worked out by hand."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest

from softprompt.studio.usage import Span, Stretch, Usage
from softprompt.ui.usage_charts import Series, bar_chart, step_chart

BEGIN = datetime(2026, 5, 4, 8, tzinfo=UTC)
SPAN = Span("hour", "1 hour", timedelta(hours=1), timedelta(minutes=15))
REQUESTS = (Series("answered", "one", lambda p: p.requests - p.errors), Series("failed", "bad", lambda p: p.errors))


def usage(*points: tuple[int, int, float | None]) -> Usage:
    stretches = tuple(
        Stretch(BEGIN + number * SPAN.step, requests, errors, p50=p50)
        for number, (requests, errors, p50) in enumerate(points)
    )
    return Usage(SPAN, stretches, Stretch(BEGIN))


def test_bars_stand_on_each_other_below_a_round_top() -> None:
    drawn = str(
        bar_chart(usage((0, 0, None), (3, 1, None), (0, 0, None), (0, 0, None)), "Requests", REQUESTS, "{:.0f}".format)
    )
    bars = re.findall(r'<rect class="(one|bad)"[^>]* y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', drawn)
    assert bars == [("one", "50.00", "50.00"), ("bad", "25.00", "25.00")], "the top is 4"
    assert "08:15: answered 2, failed 1" in drawn
    assert (
        'aria-label="Requests, 1 hour: answered at most 2; failed at most 1. The table below has every number."'
        in drawn
    )


def test_lines_break_where_nothing_was_asked() -> None:
    drawn = str(
        step_chart(
            usage((1, 0, 0.5), (1, 0, 1.0), (0, 0, None), (1, 0, 0.25)),
            "Time",
            (Series("p50", "one", lambda p: p.p50),),
            "{:.2f} s".format,
        )
    )
    path = re.search(r'<path class="line one" d="([^"]+)"', drawn)
    assert path
    assert path[1] == "M0.00 50.00H250.00L250.00 0.00H500.00M750.00 75.00H1000.00"
    assert "08:30: p50 –" in drawn


@pytest.mark.parametrize(("largest", "top"), [(0, "1"), (3, "4"), (7, "8"), (40, "40"), (41, "50"), (999, "1000")])
def test_the_top_is_round(largest: int, top: str) -> None:
    drawn = str(bar_chart(usage((largest, 0, None)), "Requests", REQUESTS[:1], "{:.0f}".format))
    assert f'<div class="levels" aria-hidden="true"><span>{top}</span>' in drawn
