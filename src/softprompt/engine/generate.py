"""Answers from a frozen model behind any mix of prompts, in one batch, each row exactly as if it were alone.

Covers: a list of requests in, answers in order out, batching by number of rows, streaming. Decoding itself is
`running`; label readouts are `read_label`; queues and deadlines are the serving host's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import torch

from softprompt.engine.requests import Answer, Ready, Request, check_room, encode, make_ready
from softprompt.engine.running import Running

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

__all__ = ["MAX_ROWS", "Answer", "OnText", "Ready", "Request", "check_room", "generate", "make_ready"]

MAX_ROWS = 64
"""Rows decoded together; more are taken in turns, longest inputs first."""

OnText = Callable[[int, str], None]
"""Called with a row's number and each new piece of its answer."""


@torch.inference_mode()
def generate(
    backbone: Backbone, requests: Sequence[Request], on_text: OnText | None = None, max_rows: int = MAX_ROWS
) -> list[Answer]:
    """Answer every request, in order.

    Args:
        backbone: the frozen model.
        requests: texts with their prompts and parameters, in any mix.
        on_text: told each new piece of text while it is decoded.
        max_rows: rows decoded together.
    """
    rows = [encode(request) for request in requests]
    # Rows of one prompt stand together (they share its prefix product); similar lengths waste little.
    order = sorted(range(len(requests)), key=lambda i: (id(requests[i].ready), -len(rows[i].prompt)))
    answers: dict[int, Answer] = {}
    for start in range(0, len(order), max_rows):
        chunk = order[start : start + max_rows]
        running = Running(backbone)
        tickets = running.admit([requests[i] for i in chunk], [rows[i] for i in chunk])
        numbers = dict(zip(tickets, chunk, strict=True))
        while running:
            for news in running.step():
                if news.error is not None:
                    raise news.error
                if news.piece and on_text is not None:
                    on_text(numbers[news.ticket], news.piece)
                if news.answer is not None:
                    answers[numbers[news.ticket]] = news.answer
    return [answers[i] for i in range(len(requests))]
