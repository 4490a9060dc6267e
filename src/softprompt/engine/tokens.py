"""Text to token ids by a template: what every row shares in front (the head), and each row behind it.

Covers: the one beginning-of-text token, the blank between cue and answer, inputs that are too long (the input is cut,
never the cue; every cut is marked). The ids of head and row together are those of the whole rendered text, unless the
vocabulary would merge across the seam; then the head stays whole, in tuning and in serving alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from softprompt.data.template import Template
from softprompt.engine.packing import Row

_PROBES = ("a", "The", "1", "(", "é", "Why")


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with a template.

    Attributes:
        tokenizer: of the transformers library, a fast one.
        template: how an input becomes a prompt.
        max_input_tokens: longest prompt (head, input and cue; virtual tokens apart); 0: no limit.
        share_head: split off what all rows have in front (causal models), or leave rows whole.
    """

    tokenizer: Any
    template: Template
    max_input_tokens: int = 0
    share_head: bool = True

    @cached_property
    def head(self) -> tuple[int, ...]:
        """Ids that every row stands behind."""
        return self._front if self.share_head else ()

    def row(self, text: str, target: str | None = None) -> Row:
        """One example behind the head; `target` gets the template's blank in front and the end token behind."""
        ids, cut = self._prompt(text)
        start = 0 if self.share_head else _common([ids, list(self._front)])
        return Row(
            prompt=tuple(ids),
            target=() if target is None else tuple(self.target(target)),
            input_start=start,
            input_end=max(start + 1, len(ids) - self._cue_length - self._tail),
            cut=cut,
        )

    def rows(self, texts: Sequence[str], targets: Sequence[str] | None = None) -> list[Row]:
        return [self.row(text, None if targets is None else targets[i]) for i, text in enumerate(texts)]

    def target(self, text: str, *, end: bool = True) -> list[int]:
        """Ids of an answer, as they follow the cue."""
        ids = self.tokenizer(self.gap + text, add_special_tokens=False)["input_ids"]
        return [*ids, self.end] if end else list(ids)

    @property
    def end(self) -> int:
        """The id that ends an answer."""
        return int(self.tokenizer.eos_token_id)

    @cached_property
    def _front(self) -> tuple[int, ...]:
        """Ids that every rendered prompt starts with: what the probes have in common."""
        whole = [self._ids(self.template.render(probe)) for probe in _PROBES]
        return tuple(whole[0][: min(_common(whole), *(len(ids) - 1 for ids in whole))])

    @cached_property
    def gap(self) -> str:
        """The blank in front of an answer."""
        return self.template.target_gap if self.share_head else ""

    @cached_property
    def _cue_length(self) -> int:
        """Ids of the cue at the end of a row, counted where an input stands in front of it."""
        return len(self._ids("a" + self.template.cue)) - len(self._ids("a"))

    @cached_property
    def _tail(self) -> int:
        """Ids that the tokenizer puts behind every text: the end token of T5, nothing in causal models."""
        return int(self._ids("a")[-1] == self.end)

    def _prompt(self, text: str) -> tuple[list[int], bool]:
        ids = self._behind_head(text)
        limit = self.max_input_tokens - len(self.head) if self.max_input_tokens else 0
        if not self.max_input_tokens or len(ids) <= limit:
            return ids, False
        lead = 0 if self.share_head else len(self._front)
        room = max(1, limit - lead - self._cue_length - self._tail)
        offsets = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        # Tokens at the seams may differ by one from those of the text alone: shorten until it fits.
        for keep in range(min(room, len(offsets)), -1, -1):
            ids = self._behind_head(text[: offsets[keep - 1][1]] if keep else "")
            if len(ids) <= limit:
                break
        return ids, True

    def _behind_head(self, text: str) -> list[int]:
        rendered = self.template.render(text)
        ids, head = self._ids(rendered), list(self.head)
        if ids[: len(head)] == head and len(ids) > len(head):
            return ids[len(head) :]
        return self.tokenizer(text + self.template.cue, add_special_tokens=False)["input_ids"] or [self.end]

    def _ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text)["input_ids"])


def _common(lines: list[list[int]]) -> int:
    """How many ids all lines start with."""
    return next((i for i, ids in enumerate(zip(*lines, strict=False)) if len(set(ids)) > 1), min(map(len, lines)))
