"""One request on its way through the host: what was asked, who is told, until when; and what the engine makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Literal

from softprompt.engine.packing import Row
from softprompt.engine.read_label import ReadyReadout
from softprompt.engine.requests import Answer, Request
from softprompt.serving.prompts import Prepared
from softprompt.serving.protocol import Done, Event, TokenDetail, Way, Work


@dataclass(slots=True, eq=False)
class Call:
    """A request of somebody who waits.

    Attributes:
        work: what was asked.
        tell: takes each event; called from the model's thread.
        came: when it came, by the monotonic clock.
        begun: when the model began with it, by the performance counter.
        cancelled: set by whoever asked when nobody waits any more.
        context: in which it was asked; what is logged in it belongs to the asker's request.
    """

    work: Work
    tell: Callable[[Event], None]
    came: float = field(default_factory=time.monotonic)
    begun: float | None = None
    cancelled: bool = False
    context: Context = field(default_factory=copy_context)

    @property
    def late(self) -> bool:
        limit = self.work.time_limit
        return limit is not None and time.monotonic() - self.came >= limit


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A call that the engine can start on.

    Attributes:
        call: whose it is.
        kind: decoded text, a label readout, or known answers that are compared.
        way: the way that was taken, "auto" resolved.
        row: the prompt as token ids.
        cost: tokens that have to be read to begin.
        room: most places that the row will take.
        request: text: what `Running` admits.
        readout: readout: what reads the row.
        scored: score: whose known answers are compared.
    """

    call: Call
    kind: Literal["text", "readout", "score"]
    way: Way
    row: Row
    cost: int
    room: int = 0
    request: Request | None = None
    readout: ReadyReadout | None = None
    scored: Prepared | None = None


def done(answer: Answer, job: Job) -> Done:
    """The engine's answer as it goes over the wire."""
    begun = job.call.begun
    return Done(
        output=answer.output,
        input_tokens=answer.input_tokens,
        virtual_tokens=answer.virtual_tokens,
        generated_tokens=answer.generated_tokens,
        stop_reason=answer.stop_reason,
        confidence=answer.confidence,
        seed=answer.seed,
        cut=answer.cut,
        labels=answer.labels,
        tokens=tuple(TokenDetail(token.text, token.logprob, token.rank, token.top) for token in answer.tokens),
        way=job.way,
        seconds=None if begun is None else time.perf_counter() - begun,
    )
