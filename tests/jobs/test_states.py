"""The table of moves: what is allowed, what is noted, what is refused and in which words."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from datetime import datetime

import pytest

from softprompt.errors import WrongState
from softprompt.jobs.states import MOVES, OVER, State, move

ALLOWED = {
    ("queued", "running"),
    ("queued", "canceled"),
    ("running", "completed"),
    ("running", "failed"),
    ("running", "canceled"),
    ("running", "queued"),
}


@dataclass
class Thing:
    state: str
    started_at: datetime | None = None
    finished_at: datetime | None = None


@pytest.mark.parametrize(("before", "after"), list(itertools.product(map(str, State), repeat=2)))
def test_exactly_these_moves_are_allowed(before: str, after: str) -> None:
    thing = Thing(before)
    if (before, after) in ALLOWED:
        move(thing, after)
        assert thing.state == after
    else:
        with pytest.raises(WrongState):
            move(thing, after)
        assert thing.state == before


def test_every_state_is_in_the_table_and_nothing_leaves_an_end() -> None:
    assert set(MOVES) == set(State)
    assert {state for state, ways in MOVES.items() if not ways} == OVER


def test_begin_and_end_are_noted_and_a_second_begin_keeps_the_first() -> None:
    thing = Thing("queued")
    move(thing, "running")
    began = thing.started_at
    assert began is not None
    move(thing, "queued")
    move(thing, "running")
    assert (thing.started_at, thing.finished_at) == (began, None)
    move(thing, "completed")
    assert thing.finished_at is not None
    assert thing.finished_at >= began


def test_what_is_over_says_so() -> None:
    with pytest.raises(WrongState, match="Job already completed with state failed; it cannot become running"):
        move(Thing("failed"), "running")


def test_a_refusal_names_what_is_possible() -> None:
    with pytest.raises(WrongState, match=r"The job is queued; it cannot become completed.*canceled, running"):
        move(Thing("queued"), "completed")
