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
from softprompt.errors import ParameterInvalid

_PROBES = ("a", "The", "1", "(", "é", "Why")


@dataclass(frozen=True)
class Encoder:
    """A tokenizer with a template.

    Attributes:
        tokenizer: of the transformers library, a fast one.
        template: how an input becomes a prompt.
        max_input_tokens: longest prompt, not counting virtual tokens and the frozen instruction; 0: no limit.
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
        ids, cut = self._prompt(self.template.inner(text))
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
        ids = self._bare(self.gap + text)
        return [*ids, self.end] if end else ids

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
        return int(not self.share_head and self._ids("a")[-1] == self.end)

    def _prompt(self, text: str) -> tuple[list[int], bool]:
        ids = self._behind_head(text)
        if not self.max_input_tokens:
            return ids, False
        limit = self.max_input_tokens + self._instruction_length - len(self.head)
        if len(ids) <= limit:
            return ids, False
        lead = 0 if self.share_head else len(self._front)
        room = max(1, limit - lead - self._cue_length - self._tail)
        asked = {"add_special_tokens": False, "split_special_tokens": True, "return_offsets_mapping": True}
        offsets = self.tokenizer(text, **asked)["offset_mapping"]
        # Tokens at the seams may differ by one from those of the text alone: shorten until it fits.
        for keep in range(min(room, len(offsets)), -1, -1):
            ids = self._behind_head(text[: offsets[keep - 1][1]] if keep else "")
            if len(ids) <= limit:
                return ids, True
        raise ParameterInvalid(
            f"The template's own text takes {len(self.head) + len(ids) - self._instruction_length} tokens; "
            f"{self.max_input_tokens} are allowed for it and the input. Allow more (max_input_tokens), or shorten it."
        )

    def _behind_head(self, text: str) -> list[int]:
        rendered = self.template.render(text)
        ids, head = self._ids(rendered), list(self.head)
        if ids[: len(head)] == head and len(ids) > len(head):
            return ids[len(head) :]
        return self._bare(text + self.template.cue) or [self.end]

    @cached_property
    def _instruction_length(self) -> int:
        """Ids of the frozen instruction, which no limit counts."""
        return len(self._bare(f"{self.template.instruction}\n")) if self.template.instruction else 0

    def _ids(self, text: str) -> list[int]:
        """Ids of a whole prompt, with what the model wants at its beginning (T5: and at its end)."""
        ids = list(self.tokenizer(text, split_special_tokens=True)["input_ids"])
        # Between a cue and its answer no end of text may stand.
        return ids[:-1] if self.share_head and len(ids) > 1 and ids[-1] == self.end else ids

    def _bare(self, text: str) -> list[int]:
        """Ids of a piece of text; names of special tokens in it are plain letters, whoever wrote them."""
        return list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def _common(lines: list[list[int]]) -> int:
    """How many ids all lines start with."""
    return next((i for i, ids in enumerate(zip(*lines, strict=False)) if len(set(ids)) > 1), min(map(len, lines)))
