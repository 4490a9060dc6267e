"""How much may be read between two steps."""

from __future__ import annotations

from softprompt.serving.pace import LEAST, MOST, Pace


def learned(rate: float) -> Pace:
    pace = Pace()
    for _ in range(60):
        pace.read(int(rate), 1.0)
    return pace


def test_running_rows_wait_longer_the_more_others_wait() -> None:
    pace = learned(1000)
    assert [pace.budget(8, waiting) for waiting in (0, 8, 16, 400)] == [200, 200, 400, 1000]
    assert pace.budget(0, 5) == 500


def test_slow_machines_still_read_and_fast_ones_have_a_limit() -> None:
    assert learned(10).budget(4, 0) == LEAST
    assert learned(10_000_000).budget(4, 0) == MOST


def test_a_pass_without_tokens_teaches_nothing() -> None:
    pace = Pace()
    pace.read(0, 1.0)
    assert pace.budget(1, 0) == Pace().budget(1, 0)
