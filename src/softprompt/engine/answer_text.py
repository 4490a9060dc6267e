"""The text of an answer as its tokens come in: whole characters only, cut behind the first stop text.

Decodes a short window of tokens at each step, so that long answers cost no more a token than short ones. Does not
choose tokens.
"""

from __future__ import annotations

from softprompt.engine.tokens import Encoder
from softprompt.params import GenerateConfig

WINDOW = 48
"""Tokens after which the window moves on."""
LEAD = 8
"""Tokens in front of the window that are decoded with it: many tokens read differently at the start of a text."""


class AnswerText:
    """What one row has said so far."""

    def __init__(self, encoder: Encoder, config: GenerateConfig) -> None:
        self._tokenizer, self._gap = encoder.tokenizer, encoder.gap
        self._stop, self._least = config.stop, config.min_new_tokens
        self._tokens: list[int] = []
        self._raw = ""
        self._text = ""
        self._early = 0
        self._told = ""
        self._start, self._lead, self._before = 0, "", ""

    def add(self, token: int) -> bool:
        """Take a token; True if a stop text is complete (it stays at the end, as IBM's service has it)."""
        self._tokens.append(token)
        self._raw = self._before + self._decode(self._tokens[self._start :])[len(self._lead) :]
        self._text = self._raw[1:] if self._gap and self._raw.startswith(self._gap) else self._raw
        self._move()
        if len(self._tokens) < self._least:
            self._early = len(self._text)  # a stop text that ends here or before does not count
            return False
        checked = max(self._early, len(self._told) - 1)  # what was told was looked at
        ends = [(self._text.find(s, max(0, checked - len(s) + 1)), len(s)) for s in self._stop]
        found = [start + length for start, length in ends if start >= 0]
        if found:
            self._text = self._text[: min(found)]
        return bool(found)

    def fresh(self, *, final: bool) -> str:
        """What was not told yet; a character whose bytes are incomplete waits."""
        ready = self._text if final else self._text.rstrip("\ufffd")
        piece = ready[len(self._told) :]
        self._told += piece
        return piece

    def whole(self) -> str:
        return self._told

    def _move(self) -> None:
        """Let the window start later, where text and tokens end together."""
        if len(self._tokens) - self._start < WINDOW or self._raw.endswith("\ufffd"):
            return
        lead = self._decode(self._tokens[-LEAD:])
        if "\ufffd" not in lead and lead and self._raw.endswith(lead.lstrip(" ")):
            self._start, self._lead, self._before = len(self._tokens) - LEAD, lead, self._raw

    def _decode(self, tokens: list[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True)
        return text
