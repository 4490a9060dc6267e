"""Tenants take turns, and each has its share of a line that is full."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.errors import Busy
from softprompt.serving.batcher import Batcher
from softprompt.serving.call import Call
from softprompt.serving.fair import FairQueue
from softprompt.serving.meters import Meters
from softprompt.serving.prompts import Prompts
from softprompt.serving.protocol import Event, Failed, Target, Work
from softprompt.serving.turns import Limits

ITEMS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 99)), max_size=30)


@given(items=ITEMS)
def test_everything_comes_once_in_order_within_a_tenant_and_in_turns_between_them(items: list[tuple[str, int]]) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for item in items:
        queue.push(item[0], item)
    assert len(queue) == len(items)
    out = []
    while queue:
        head = queue.peek()
        out.append(queue.pop())
        assert head == out[-1]
    for tenant in "abc":
        mine = [item for item in items if item[0] == tenant]
        assert [item for item in out if item[0] == tenant] == mine
        # While others wait, nobody is served twice in a row.
        for place in range(len(out) - 1):
            if out[place][0] == out[place + 1][0]:
                assert {other for other, _ in out[place:]} == {out[place][0]}


@given(items=ITEMS, unwanted=st.integers(0, 99))
def test_what_is_unwanted_goes(items: list[tuple[str, int]], unwanted: int) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    for item in items:
        queue.push(item[0], item)
    gone = queue.remove(lambda item: item[1] < unwanted)
    assert sorted(gone) == sorted(item for item in items if item[1] < unwanted)
    assert sorted(queue) == sorted(item for item in items if item[1] >= unwanted)
    assert len(queue) == len(items) - len(gone)


@given(tenants=st.text("abcd", max_size=60), most=st.integers(1, 9))
def test_whoever_waits_for_less_than_a_share_is_let_in(tenants: str, most: int) -> None:
    meters = Meters()
    batcher = Batcher("m", _never, Prompts(Path, 0, meters), Limits(queue=most), meters)  # is never started
    waiting: list[tuple[str, int]] = []
    told: dict[tuple[str, int], Event] = {}
    for number, tenant in enumerate(tenants):
        before = Counter(name for name, _ in waiting)
        one = tenant, number
        call = Call(Work(target=Target("m"), text="x", tenant=tenant), partial(told.__setitem__, one))
        refused = None
        try:
            batcher.submit(call)
        except Busy as error:
            refused = error
        if refused is not None:
            assert refused.retry_after > 0
            assert len(waiting) == most
            share = most // len({*before, tenant})
            assert before[tenant] >= share
            assert before[tenant] + 1 >= max(before.values())
            continue
        waiting.append(one)
        if len(waiting) > most:
            (out,) = (each for each in waiting if each in told)
            assert out == max((each for each in waiting if each[0] == out[0]), key=lambda each: each[1])
            assert before[out[0]] == max(before.values()) > before[tenant] + 1
            event = told[out]
            assert isinstance(event, Failed)
            assert (event.code, event.status) == ("busy", 429)
            assert event.retry_after is not None
            waiting.remove(out)
        assert batcher.waiting() == len(waiting)
        assert not any(each in told for each in waiting)


def _never(model_id: str) -> None:
    pytest.fail(f"{model_id} was loaded")
