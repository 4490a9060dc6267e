"""What a vLLM server answers, read event by event; and its refusals as errors of ours. Does not ask anything."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from softprompt.errors import Busy, ModelUnavailable, ParameterInvalid, SoftpromptError, Unavailable
from softprompt.serving.protocol import TokenDetail


@dataclass(slots=True)
class Said:
    """An answer as it comes in.

    Attributes:
        tokenizer: says what the ids of tokens mean.
        details: alternatives of each token that were asked for.
        gap: the blank in front of the answer, which is taken off.
        limit: what the end is called when no more tokens were allowed.
    """

    tokenizer: Any
    details: int | None = None
    gap: str = ""
    limit: str = "max_tokens"
    output: str = ""
    tokens: list[TokenDetail] = field(default_factory=list)
    generated: int = 0
    reason: str = "max_tokens"

    def take(self, content: dict[str, Any]) -> str:
        """Read one event; the text that is new."""
        if usage := content.get("usage"):
            self.generated = int(usage.get("completion_tokens", 0))
        text = ""
        for choice in content.get("choices") or ():
            text += choice.get("text") or ""
            self.tokens += self._details(choice.get("logprobs") or {})
            if choice.get("finish_reason") == "stop":
                self.reason = "stop_sequence" if isinstance(choice.get("stop_reason"), str) else "eos_token"
            elif choice.get("finish_reason") == "length":
                self.reason = self.limit
        if self.gap and text:
            text, self.gap = text.removeprefix(self.gap), ""
        self.output += text
        return text

    def _details(self, logprobs: dict[str, Any]) -> list[TokenDetail]:
        """vLLM tells no ranks: a token's is counted among the alternatives that came with it.

        Tokens come as `token_id:7`: as texts, parts of letters would all be empty and stand for each other.
        """
        names, values = logprobs.get("tokens") or [], logprobs.get("token_logprobs") or []
        tops = logprobs.get("top_logprobs") or [None] * len(names)
        found = []
        for name, value, top in zip(names, values, tops, strict=True):
            others = sorted((top or {}).items(), key=lambda pair: -pair[1])
            rank = 1 + sum(number > value for _, number in others)
            wanted = tuple((self._says(other), number) for other, number in others[: self.details or 0])
            found.append(TokenDetail(self._says(name), value, rank, wanted))
        return found

    def _says(self, name: str) -> str:
        """The token's text with the blank in front that some tokenizers take off."""
        token = int(name.removeprefix("token_id:"))
        text: str = self.tokenizer.decode([token])
        piece = self.tokenizer.convert_ids_to_tokens(token) or ""
        return f" {text}" if piece.startswith("\u2581") and not text.startswith(" ") else text


def refusal(status: int, text: str) -> SoftpromptError:
    """What the server said, as one of our errors."""
    try:
        content = json.loads(text)
        said = str((content.get("error") or content).get("message") or text)
    except (ValueError, AttributeError):
        said = text
    said = f"vLLM: {said.strip()[:500]}"
    if "--enable-prompt-embeds" in said:  # a 400, though nobody who asks can help it
        return Unavailable(f"{said} Start the vLLM server with this option.")
    if status in (400, 422):
        return ParameterInvalid(said)
    if status == 404:
        return ModelUnavailable(said)
    if status == 429:
        return Busy(said)
    return Unavailable(said)
