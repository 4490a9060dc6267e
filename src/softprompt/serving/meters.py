"""What the host counts, for `GET /metrics`: a registry of its own, names in one place."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Meters:
    """Counters and gauges of one host."""

    def __init__(self) -> None:
        self.registry = made = CollectorRegistry()
        self._passes: dict[str, tuple[int, int, int]] = {}
        name = "softprompt_serving_"
        self._asked = Counter(f"{name}requests", "Requests by their end.", ["model", "end"], registry=made)
        self._tokens = Counter(f"{name}tokens", "Tokens by kind.", ["model", "kind"], registry=made)
        self._caches = Counter(f"{name}prompt_cache", "Lookups of tuned prompts.", ["result"], registry=made)
        self._batch = Histogram(f"{name}batch_rows", "Rows of a pass.", ["model", "part"], buckets=_ROWS, registry=made)
        self._took = Histogram(
            f"{name}pass_seconds", "Time of a pass.", ["model", "part"], buckets=_SECONDS, registry=made
        )
        self._waited = Histogram(
            f"{name}wait_seconds", "Time in the queue.", ["model"], buckets=_SECONDS, registry=made
        )
        self._waiting = Gauge(f"{name}queue_depth", "Requests that wait.", ["model"], registry=made)
        self._running = Gauge(f"{name}running_rows", "Rows that are decoded.", ["model"], registry=made)
        self._bytes = Gauge(f"{name}bytes", "Memory by what holds it.", ["kind"], registry=made)

    def page(self) -> bytes:
        return generate_latest(self.registry)

    def ended(self, model: str, end: str) -> None:
        self._asked.labels(model, end).inc()

    def tokens(self, model: str, kind: str, count: int) -> None:
        if count:
            self._tokens.labels(model, kind).inc(count)

    def cache(self, result: str) -> None:
        self._caches.labels(result).inc()

    def batches(self, model: str) -> dict[str, int]:
        """How many passes a model made, with how many rows together, and at most."""
        passes, rows, largest = self._passes.get(model, (0, 0, 0))
        return {"passes": passes, "rows": rows, "largest": largest}

    def passed(self, model: str, part: str, rows: int, seconds: float) -> None:
        passes, sum_, largest = self._passes.get(model, (0, 0, 0))
        self._passes[model] = passes + 1, sum_ + rows, max(largest, rows)  # by the model's own thread alone
        self._batch.labels(model, part).observe(rows)
        self._took.labels(model, part).observe(seconds)

    def waited(self, model: str, seconds: float) -> None:
        self._waited.labels(model).observe(seconds)

    def watch(self, model: str, waiting: Callable[[], int], running: Callable[[], int]) -> None:
        """Ask a model's batcher for its lengths whenever the page is read."""
        self._waiting.labels(model).set_function(waiting)
        self._running.labels(model).set_function(running)

    def unwatch(self, model: str) -> None:
        self._waiting.remove(model)
        self._running.remove(model)

    def hold(self, kind: str, nbytes: Callable[[], int]) -> None:
        self._bytes.labels(kind).set_function(nbytes)
