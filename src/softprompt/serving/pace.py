"""How many prompt tokens may be read between two steps: rows that are being answered shall not stall, and a step shall
not be made for two rows while thirty wait.
"""

from __future__ import annotations

STALL = 0.2
"""Seconds that running rows wait for prompts of as many others."""
LONGEST = 1.0
"""Seconds that they wait at most, however many others there are."""
IDLE = 0.5
"""Seconds of one pass while nothing runs: enough for large products, short enough for who comes next."""
LEAST, MOST = 64, 16_384


class Pace:
    """Learns how fast prompts are read here."""

    def __init__(self) -> None:
        self._rate = 1000.0

    def read(self, tokens: int, seconds: float) -> None:
        """That many tokens took so long."""
        if tokens > 0 and seconds > 0:
            self._rate += 0.2 * (tokens / seconds - self._rate)

    def budget(self, running: int, waiting: int) -> int:
        """Tokens that may be read now; the row that uses it up is still taken."""
        seconds = min(STALL * max(waiting / running, 1.0), LONGEST) if running else IDLE
        return int(min(max(self._rate * seconds, LEAST), MOST))
