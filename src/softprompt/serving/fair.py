"""A waiting line in which tenants take turns: whoever asks a thousand things does not hold up whoever asks one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """First come first served within a tenant, one each in turn between tenants. Not for several threads at once."""

    def __init__(self) -> None:
        self._lines: dict[str, deque[T]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._lines.values()))

    def __iter__(self) -> Iterator[T]:
        return (item for line in self._lines.values() for item in line)

    def push(self, tenant: str, item: T) -> None:
        self._lines.setdefault(tenant, deque()).append(item)

    def peek(self) -> T:
        """The item whose turn it is."""
        return next(iter(self._lines.values()))[0]

    def pop(self) -> T:
        """Take the item whose turn it is; its tenant goes to the end."""
        tenant = next(iter(self._lines))
        line = self._lines.pop(tenant)
        item = line.popleft()
        if line:
            self._lines[tenant] = line
        return item

    def remove(self, unwanted: Callable[[T], bool]) -> list[T]:
        """Take out all items that are not wanted any more."""
        gone = [item for item in self if unwanted(item)]
        if gone:
            kept = {name: deque(i for i in line if not unwanted(i)) for name, line in self._lines.items()}
            self._lines = {name: line for name, line in kept.items() if line}
        return gone
