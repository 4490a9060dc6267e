"""Tenants take turns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from softprompt.serving.fair import FairQueue

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
