"""Stop texts as OpenAI has them: they end the answer and are not part of it. The engine leaves them at its end."""

from __future__ import annotations

from collections.abc import Sequence

from softprompt.serving.protocol import Done


def without_stop(done: Done, stops: Sequence[str]) -> str:
    """The text of an answer, without the stop text that ended it."""
    if done.stop_reason != "stop_sequence":
        return done.output
    found = max((stop for stop in stops if done.output.endswith(stop)), key=len, default="")
    return done.output.removesuffix(found)


class Cutter:
    """Holds back the end of a stream as long as it may become a stop text."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stops)
        self._held = ""
        self._told = 0

    def add(self, piece: str) -> str:
        """Take new text; what of all text so far can be told now."""
        text = self._held + piece
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return self._tell(text[: len(text) - keep])

    def end(self, done: Done) -> str:
        """The rest of the answer."""
        return self._tell(without_stop(done, self._stops)[self._told :])

    def _tell(self, text: str) -> str:
        self._told += len(text)
        return text


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that `stop` begins with."""
    longest = min(len(text), len(stop))
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
