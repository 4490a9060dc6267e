"""What a loaded model does from turn to turn, so that many requests of many kinds are answered in batches.

Each turn: who gave up or ran out of time leaves; some prompts are read (never so many that running rows stall for
long), label readouts and scores are answered out of that; every running row gets a token. Whatever fails, fails for the
rows concerned. Used by one thread. Does not know where calls come from (`batcher`) and what they mean (`jobs`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from softprompt.engine.memory import out_of_memory
from softprompt.engine.read_label import read_rows
from softprompt.engine.requests import Answer
from softprompt.engine.running import News, Running
from softprompt.errors import DeadlineExceeded, ModelUnsupported, OutOfMemory, SoftpromptError
from softprompt.serving.call import Call, Job, done
from softprompt.serving.fair import FairQueue
from softprompt.serving.jobs import Desk
from softprompt.serving.meters import Meters
from softprompt.serving.pace import Pace
from softprompt.serving.protocol import Event, Failed, Piece
from softprompt.serving.scored import score_rows

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

log = logging.getLogger("softprompt.serving")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one model takes on.

    Attributes:
        rows: rows decoded together.
        queue: requests that wait until they are taken up; of more, those of whoever has the most are refused.
        places: tokens that the running rows may hold together, each row counted as wide as the widest.
    """

    rows: int = 64
    queue: int = 512
    places: int = 65_536


class Turns:
    """The rows of one model.

    Attributes:
        texts: jobs that wait for a place among the running rows.
        jobs: the running ones by their ticket.
        running: the engine's side of them.
    """

    def __init__(
        self,
        backbone: Backbone,
        desk: Desk,
        limits: Limits,
        meters: Meters,
        end: Callable[[Call, Event, str], None],
    ) -> None:
        self._backbone, self._desk, self._limits, self._meters, self._end = backbone, desk, limits, meters, end
        self._name = desk.model_id
        self._pace = Pace()
        self.texts: FairQueue[Job] = FairQueue()
        self.jobs: dict[int, Job] = {}
        self.running = Running(backbone)

    @property
    def busy(self) -> bool:
        return bool(self.texts or self.running)

    def calls(self) -> list[Call]:
        """All that would be lost if this ended."""
        return [*(job.call for job in self.jobs.values()), *(job.call for job in self.texts)]

    def turn(self, take: Callable[[], Call | None], waiting: int = 0) -> None:
        """One turn; `take` gives the next of the `waiting` calls."""
        self._sweep()
        begun = time.perf_counter()
        jobs = self._pick(take, self._pace.budget(len(self.running), waiting + len(self.texts)))
        for kind, answer in (("text", self._admit), ("readout", self._read), ("score", self._score)):
            if chosen := [job for job in jobs if job.kind == kind]:
                self._divided(chosen, answer)
        if jobs:
            self._pace.read(sum(job.cost for job in jobs), time.perf_counter() - begun)
        if self.running:
            self._step()

    def lose_all(self, error: Exception) -> None:
        """Start anew without the rows that were running."""
        lost, self.jobs, self.running = self.jobs, {}, Running(self._backbone)
        for job in lost.values():
            self._fail(job.call, error)

    # --- what a turn consists of --------------------------------------------------------------------------------------
    def _sweep(self) -> None:
        """Let go of those whose time is over and of those that nobody waits for."""
        for job in self.texts.remove(lambda job: over(job.call)):
            self._end(job.call, too_late(job.call), _why(job.call))
        for ticket, job in [(ticket, job) for ticket, job in self.jobs.items() if over(job.call)]:
            news = self.running.drop(ticket, _why(job.call))
            if news is not None:
                self._tell(news)

    def _pick(self, take: Callable[[], Call | None], budget: int) -> list[Job]:
        """The jobs whose prompts are read in this turn: in fair order, within what does not stall others."""
        jobs: list[Job] = []
        while self.texts and budget > 0 and self._fits(self.texts.peek(), jobs):
            jobs.append(self.texts.pop())
            budget -= jobs[-1].cost
        while budget > 0 and len(self.texts) < self._limits.rows and (call := take()) is not None:
            try:
                job = self._desk.job(call)
            except Exception as error:
                self._fail(call, error)
                continue
            budget -= max(job.cost, 1)
            if job.kind != "text" or self._fits(job, jobs):
                jobs.append(job)
            else:
                self.texts.push(call.work.tenant, job)
        return jobs

    def _fits(self, job: Job, chosen: Sequence[Job]) -> bool:
        """Whether one more row may run: by number, and by the places of the rectangle that all rows share."""
        texts = [*self.jobs.values(), *(other for other in chosen if other.kind == "text")]
        if not texts:
            return True
        widest = max(job.room, *(other.room for other in texts))
        return len(texts) < self._limits.rows and (len(texts) + 1) * widest <= self._limits.places

    def _divided(self, jobs: Sequence[Job], answer: Callable[[Sequence[Job]], None]) -> None:
        """Do it for all at once; if that fails, for each half, so that in the end only the culprits fail."""
        try:
            answer(jobs)
            return
        except Exception as error:
            if len(jobs) == 1:
                self._fail(jobs[0].call, error)
                return
        half = len(jobs) // 2
        self._divided(jobs[:half], answer)
        self._divided(jobs[half:], answer)

    def _admit(self, jobs: Sequence[Job]) -> None:
        begun = time.perf_counter()
        # Rows of one prompt stand together: they share the product with its keys.
        ordered = sorted(jobs, key=lambda job: id(job.request.ready) if job.request else 0)
        requests = [job.request for job in ordered if job.request is not None]
        tickets = self.running.admit(requests, [job.row for job in ordered])
        self.jobs.update(zip(tickets, ordered, strict=True))
        self._began(jobs, "prefill", begun)

    def _read(self, jobs: Sequence[Job]) -> None:
        begun = time.perf_counter()
        if self._backbone.kind != "causal":
            raise ModelUnsupported("Label readouts need a decoder-only model.")
        asked = [(job.readout, job.call.work.input or "", job.row) for job in jobs if job.readout is not None]
        answers = read_rows(self._backbone, asked, len(asked))
        self._began(jobs, "readout", begun)
        for job, answer in zip(jobs, answers, strict=True):
            self._finish(job, answer)

    def _score(self, jobs: Sequence[Job]) -> None:
        begun = time.perf_counter()
        answers = score_rows(self._backbone, jobs)
        self._began(jobs, "score", begun)
        for job, answer in zip(jobs, answers, strict=True):
            self._finish(job, answer)

    def _step(self) -> None:
        begun, rows = time.perf_counter(), len(self.running)
        try:
            news = self.running.step()
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            self._shed(error)
            return
        for item in news:
            self._tell(item)
        self._meters.passed(self._name, "step", rows, time.perf_counter() - begun)

    # --- ends ---------------------------------------------------------------------------------------------------------
    def _tell(self, news: News) -> None:
        """Pass on what the engine brought to a row."""
        job = self.jobs[news.ticket]
        if news.piece and job.call.work.stream:
            job.call.tell(Piece(news.piece))
        if news.answer is None and news.error is None:
            return
        del self.jobs[news.ticket]
        if news.answer is not None:
            self._finish(job, news.answer)
        elif news.error is not None:
            self._fail(job.call, news.error)

    def _shed(self, error: Exception) -> None:
        """Memory is full though the rows were tried a few at a time: the younger half has to go."""
        tickets = sorted(self.jobs)
        for ticket in tickets[len(tickets) // 2 :]:
            self.running.drop(ticket)
            self._fail(self.jobs.pop(ticket).call, error)

    def _began(self, jobs: Sequence[Job], part: str, begun: float) -> None:
        self._meters.passed(self._name, part, len(jobs), time.perf_counter() - begun)
        now = time.monotonic()
        for job in jobs:
            job.call.begun = begun
            self._meters.waited(self._name, now - job.call.came)

    def _finish(self, job: Job, answer: Answer) -> None:
        for kind in ("input", "virtual", "generated"):
            self._meters.tokens(self._name, kind, getattr(answer, f"{kind}_tokens"))
        self._end(job.call, done(answer, job), answer.stop_reason)

    def _fail(self, call: Call, error: Exception) -> None:
        told = call.context.run(shown, error, f"a request to {self._name} failed")
        self._end(call, Failed.of(told), told.code)


def over(call: Call) -> bool:
    """Whether nothing more is to be done for a call."""
    return call.cancelled or call.late


def too_late(call: Call) -> Failed:
    """What is said to whoever waited in vain."""
    return Failed.of(
        DeadlineExceeded(
            f"The time limit of {call.work.time_limit or 0:g} s was over before the request's turn came. "
            "Allow more time, or ask again later."
        )
    )


def shown(error: Exception, what: str) -> SoftpromptError:
    """Our own errors as they are; memory in words; of others the log tells more than the asker."""
    if isinstance(error, SoftpromptError):
        return error
    if out_of_memory(error):
        log.warning("%s: out of memory", what)
        return OutOfMemory("The memory of the serving host is full. Ask with a shorter input, or later.")
    log.error("%s", what, exc_info=error)
    return SoftpromptError(f"The serving host failed: {what} ({type(error).__name__}). Its log says more.")


def _why(call: Call) -> str:
    return "cancelled" if call.cancelled else "time_limit"
