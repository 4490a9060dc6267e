"""How often deployments are asked, and how long it takes: counted in memory, written behind, read as a curve.

An answer waits for no write: what was asked is added up in memory and written every few seconds, in one transaction,
by a thread of its own. A process that is killed loses the last seconds of its counts, nothing else.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from softprompt.errors import SoftpromptError
from softprompt.storage import usage as stored
from softprompt.storage.database import Database
from softprompt.storage.tables import Deployment
from softprompt.storage.types import now
from softprompt.storage.usage import NO_ANSWER, Counted
from softprompt.studio.access import Office, Unit

log = logging.getLogger("softprompt.usage")
EVERY = 10.0
"""Seconds for which counts wait in memory. Each write is a commit, after which what was remembered is read again."""
MOST_WAITING = 20_000
"""Rows that wait while the database is away; then the oldest are given up."""
MINUTES_KEPT = timedelta(days=2)
HOURS_KEPT = timedelta(days=400)
_MOMENTS = 200
"""Minutes that are made coarser in one transaction: others have to get their turn."""


class Tokens(Protocol):
    """What an answer says about its tokens."""

    @property
    def input_tokens(self) -> int: ...
    @property
    def virtual_tokens(self) -> int: ...
    @property
    def generated_tokens(self) -> int: ...


class Counter:
    """The counts of one process. Any thread may add; one at a time writes."""

    def __init__(self, database: Database, every: float = EVERY) -> None:
        self._database, self._every = database, every
        self._waiting: dict[tuple[str, datetime, int], list[int]] = {}
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._timer: threading.Timer | None = None
        self._closed = False

    def begin(self, deployment_id: str | None) -> Tally:
        """Count a request from now on; one without a deployment is not written down."""
        return Tally(self, deployment_id)

    def note(self, deployment_id: str, latency: int, numbers: Sequence[int]) -> None:
        minute = now().replace(second=0, microsecond=0)
        with self._lock:
            self._add((deployment_id, minute, latency), numbers)
            if self._timer is None and not self._closed:
                self._timer = threading.Timer(self._every, self._on_time)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what waits."""
        with self._writing:
            with self._lock:
                waiting, self._waiting = self._waiting, {}
            if not waiting:
                return
            rows = [Counted(*place, *numbers) for place, numbers in waiting.items()]
            try:
                self._database.attempt(lambda session: stored.add(session, rows))
            except BaseException:
                with self._lock:
                    for place, numbers in waiting.items():
                        self._add(place, numbers)
                    for place in sorted(self._waiting, key=lambda p: p[1])[: max(0, len(self._waiting) - MOST_WAITING)]:
                        del self._waiting[place]
                raise

    def close(self) -> None:
        """Write the rest; nothing is written by itself any more."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
        self.flush_if_possible()

    def _on_time(self) -> None:
        with self._lock:
            self._timer = None
        self.flush_if_possible()

    def flush_if_possible(self) -> None:
        """The same; while the database is away, what waits goes on waiting."""
        try:
            self.flush()
        except SoftpromptError as error:  # tried again with the next request
            log.warning("Counts of deployments could not be written yet: %s", error)

    def _add(self, place: tuple[str, datetime, int], numbers: Sequence[int]) -> None:
        there = self._waiting.get(place)
        self._waiting[place] = list(numbers) if there is None else [a + b for a, b in zip(there, numbers, strict=True)]


class Tally:
    """One request on its way to its answer; counted once, when it is closed."""

    def __init__(self, counter: Counter, deployment_id: str | None) -> None:
        self._counter, self._deployment_id = counter, deployment_id
        self._began, self._open = time.perf_counter(), True
        self._tokens = [0, 0, 0]
        self.failed = False

    def add(self, answers: Iterable[Tokens]) -> None:
        for each in answers:
            for place, count in enumerate((each.input_tokens, each.virtual_tokens, each.generated_tokens)):
                self._tokens[place] += count

    def fail(self) -> None:
        """It ended without an answer."""
        self.failed = True
        self.close()

    def close(self) -> None:
        if not self._open or self._deployment_id is None:
            return
        self._open = False
        took = NO_ANSWER if self.failed else stored.latency_class(time.perf_counter() - self._began)
        self._counter.note(self._deployment_id, took, (1, int(self.failed), *self._tokens))


def tidy(office: Office, at: datetime) -> int:
    """Minutes that are old become hours, old hours go; how many rows were looked at."""
    total = 0
    while True:
        with office.unit() as unit:
            count = stored.make_coarser(unit.rows.session, at - MINUTES_KEPT, _MOMENTS)
            gone = 0 if count else stored.remove_before(unit.rows.session, at - HOURS_KEPT)
        total += count + gone
        if not count:
            return total


# --- read -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that a page can show, in points of equal width."""

    name: str
    words: str
    length: timedelta
    step: timedelta


SPANS = (
    Span("hour", "1 hour", timedelta(hours=1), timedelta(minutes=1)),
    Span("day", "24 hours", timedelta(days=1), timedelta(minutes=30)),
    Span("week", "7 days", timedelta(days=7), timedelta(hours=3)),
    Span("month", "30 days", timedelta(days=30), timedelta(hours=12)),
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was asked between two moments. Latencies are of answered requests, in seconds; None: there were none."""

    at: datetime
    requests: int = 0
    errors: int = 0
    input_tokens: int = 0
    virtual_tokens: int = 0
    generated_tokens: int = 0
    p50: float | None = None
    p95: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """The points of a span, all of them, and their sum."""

    span: Span
    points: tuple[Stretch, ...]
    whole: Stretch


def span_of(name: str) -> Span:
    return next((span for span in SPANS if span.name == name), SPANS[1])


def of(unit: Unit, deployment_id: str, span: Span, at: datetime | None = None) -> Usage:
    """The usage of a deployment up to this moment."""
    deployment = unit.get(Deployment, deployment_id)
    first, count = _first(span, at or now()), round(span.length / span.step)
    rows = stored.between(unit.rows.session, deployment.id, first, first + span.length)
    in_point: list[list[Counted]] = [[] for _ in range(count)]
    for row in rows:
        in_point[(row.at - first) // span.step].append(row)
    points = tuple(_stretch(first + number * span.step, inside) for number, inside in enumerate(in_point))
    return Usage(span, points, _stretch(first, rows))


def last_day(unit: Unit, deployment_ids: Collection[str]) -> dict[str, tuple[int, int]]:
    """Requests and errors of the last 24 hours, of the deployments that were asked."""
    return stored.requests_since(unit.rows.session, deployment_ids, now() - timedelta(days=1))


def percentile(histogram: Sequence[tuple[int, int]], share: float) -> float | None:
    """Of (class, count) pairs in order: the duration below which that share of them lies, in seconds."""
    total = sum(count for _, count in histogram)
    if not total:
        return None
    wanted = share * total
    for latency, count in histogram:
        if wanted <= count:
            low, high = stored.bounds(latency)
            return float(low * (high / low) ** (wanted / count))
        wanted -= count
    return stored.bounds(histogram[-1][0])[1]


def _first(span: Span, at: datetime) -> datetime:
    """Begin of the first point; points begin at round times of the day."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    last = midnight + ((at - midnight) // span.step) * span.step
    return last + span.step - span.length


def _stretch(at: datetime, rows: Sequence[Counted]) -> Stretch:
    histogram: dict[int, int] = {}
    for row in rows:
        if row.latency != NO_ANSWER:
            histogram[row.latency] = histogram.get(row.latency, 0) + row.requests
    ordered = sorted(histogram.items())
    return Stretch(
        at=at,
        requests=sum(row.requests for row in rows),
        errors=sum(row.errors for row in rows),
        input_tokens=sum(row.input_tokens for row in rows),
        virtual_tokens=sum(row.virtual_tokens for row in rows),
        generated_tokens=sum(row.generated_tokens for row in rows),
        p50=percentile(ordered, 0.5),
        p95=percentile(ordered, 0.95),
    )
