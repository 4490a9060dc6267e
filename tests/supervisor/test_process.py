"""A process that is kept alive: pauses between starts, and what counts as failing."""

from __future__ import annotations

import os
import time
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from softprompt.supervisor.plan import Part
from softprompt.supervisor.process import FAILING_PAUSE, LONGEST_PAUSE, TOO_MANY, WINDOW, Deaths, Kept, State
from supervisor.conftest import wait_for


@given(st.lists(st.floats(0, 30), min_size=1, max_size=40))
def test_it_is_never_started_often(gaps: list[float]) -> None:
    """However it dies, there are at most five starts in a minute and then one each half minute."""
    deaths, now, starts = Deaths(), 0.0, []
    for gap in gaps:
        now += gap
        deaths.add(now)
        now += deaths.pause()
        starts.append(now)
    for start in starts:
        within = [other for other in starts if start <= other < start + WINDOW]
        assert len(within) <= TOO_MANY + WINDOW / FAILING_PAUSE


def test_pauses_grow_and_a_good_minute_makes_it_well() -> None:
    deaths = Deaths()
    pauses = []
    for at in range(4):
        deaths.add(float(at))
        pauses.append(deaths.pause())
    assert pauses == [0.1, 0.4, 1.6, LONGEST_PAUSE]
    assert not deaths.failing
    deaths.add(5.0)
    assert deaths.failing
    assert deaths.pause() == FAILING_PAUSE
    deaths.add(5.0 + WINDOW + 1)
    assert not deaths.failing


def test_one_that_cannot_live_is_reported_as_failing_with_its_last_words(tmp_path: Path) -> None:
    said: list[str] = []
    part = Part("worker", 3, ("no-such-command",))
    kept = Kept(part, dict(os.environ), tmp_path, quiet=True, say=said.append)
    kept.start()

    def failing() -> bool:
        kept.look(time.monotonic())
        return kept.state == State.FAILING

    try:
        wait_for("it fails", failing)
    finally:
        kept.kill()
    assert said[0].startswith("worker 3 ended by itself with exit code 2 (error: No such command 'no-such-command'")
    assert "worker 3 is failing: it ended 5 times in a minute" in said[-1]
    assert str(tmp_path / "worker-3.log") in said[-1]
    assert kept.restarts == 4
