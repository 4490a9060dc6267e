"""A chat as token ids, by the template that comes with the tokenizer.

What people write is never read as a special token: names of special tokens in messages stay plain letters.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from softprompt.errors import ParameterInvalid
from softprompt.serving.protocol import Message


def chat_ids(tokenizer: Any, messages: Sequence[Message]) -> tuple[int, ...] | None:
    """Ids of the rendered chat with the cue for the answer; None if the tokenizer has no chat template."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    names = [token for token in tokenizer.all_special_tokens if token]
    if not any(name in turn.content for turn in messages for name in names):
        return tuple(tokenizer(_rendered(tokenizer, messages), add_special_tokens=False)["input_ids"])
    marks = [f"\ue000{number}\ue001" for number in range(len(messages))]  # private letters that no text has
    marked = [Message(turn.role, mark) for turn, mark in zip(messages, marks, strict=True)]
    ids: list[int] = []
    for part in re.split("(\ue000[0-9]+\ue001)", _rendered(tokenizer, marked)):
        said = messages[marks.index(part)].content if part in marks else None
        text = part if said is None else said
        if text:
            ids += tokenizer(text, add_special_tokens=False, split_special_tokens=said is not None)["input_ids"]
    return tuple(ids)


def chat_text(messages: Sequence[Message]) -> str:
    """A chat as plain text, for models that know no chats."""
    return "\n".join([*(f"{turn.role}: {turn.content}" for turn in messages), "assistant:"])


def _rendered(tokenizer: Any, messages: Sequence[Message]) -> str:
    turns = [{"role": turn.role, "content": turn.content} for turn in messages]
    try:
        text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # templates refuse with errors of their own, such as two user turns in a row
        raise ParameterInvalid(f"The model's chat template refuses these messages: {error}") from error
    return text
