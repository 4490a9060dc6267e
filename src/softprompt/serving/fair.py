"""A waiting line in which tenants take turns: whoever asks a thousand things does not hold up whoever asks one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """First come first served within a tenant, one each in turn between tenants.

    Whoever changes it has to hold a lock, if there are several threads; its length may be asked by any.
    """

    def __init__(self) -> None:
        self._lines: dict[str, deque[T]] = {}
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        return (item for line in self._lines.values() for item in line)

    def push(self, tenant: str, item: T) -> None:
        self._lines.setdefault(tenant, deque()).append(item)
        self._length += 1

    def peek(self) -> T:
        """The item whose turn it is."""
        return next(iter(self._lines.values()))[0]

    def pop(self) -> T:
        """Take the item whose turn it is; its tenant goes to the end."""
        tenant = next(iter(self._lines))
        line = self._lines.pop(tenant)
        item = line.popleft()
        self._length -= 1
        if line:
            self._lines[tenant] = line
        return item

    def make_room(self, tenant: str) -> T | None:
        """Take out the newest item of whoever has the most, if this tenant could then add one and still have no more.

        So a full line refuses nobody who has less than the share of the room that each tenant gets.
        """
        longest = max(self._lines, key=lambda name: len(self._lines[name]), default=None)
        if longest is None or len(self._lines.get(tenant, ())) > len(self._lines[longest]) - 2:
            return None
        self._length -= 1
        return self._lines[longest].pop()

    def remove(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out all items that are not wanted any more."""
        gone = [item for item in self if unwanted(item)]
        if gone:
            kept = {name: deque(i for i in line if not unwanted(i)) for name, line in self._lines.items()}
            self._lines = {name: line for name, line in kept.items() if line}
            self._length -= len(gone)
        return gone
