"""What the web counts about itself, in Prometheus' words; the queue's numbers are read when somebody asks.

Several web processes of one machine count together: the parent gives them a folder, in which each keeps its numbers.
"""

from __future__ import annotations

from http import HTTPMethod

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from softprompt.config import metrics_folder_from_environment
from softprompt.storage.rows import Rows
from softprompt.storage.tables import Deployment, TuningRun
from softprompt.storage.work import Job

REGISTRY = CollectorRegistry()
_REQUESTS = Counter("softprompt_requests", "Answered requests.", ["method", "route", "status"], registry=REGISTRY)
_SECONDS = Histogram(
    "softprompt_request_seconds",
    "Seconds until a request was answered.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    registry=REGISTRY,
)
_RUNS = Gauge("softprompt_runs", "Tuning runs by state.", ["state"], multiprocess_mode="mostrecent", registry=REGISTRY)
_QUEUE = Gauge(
    "softprompt_queue_depth", "Jobs that wait for a worker.", multiprocess_mode="mostrecent", registry=REGISTRY
)
_DEPLOYMENTS = Gauge(
    "softprompt_deployments", "Deployments that answer.", multiprocess_mode="mostrecent", registry=REGISTRY
)
STATES = ("queued", "running", "completed", "failed", "canceled")
_METHODS = frozenset(HTTPMethod)


def count(method: str, route: str, status: int, seconds: float) -> None:
    # Words of a stranger's own would each make numbers that stay for good.
    _REQUESTS.labels(method if method in _METHODS else "other", route, str(status)).inc()
    _SECONDS.labels(route).observe(seconds)


def text(rows: Rows) -> bytes:
    """The page that Prometheus reads."""
    for state in STATES:
        _RUNS.labels(state).set(rows.count(TuningRun, state=state))
    _QUEUE.set(rows.count(Job, state="queued"))
    _DEPLOYMENTS.set(rows.count(Deployment, state="ready"))
    folder = metrics_folder_from_environment()
    if folder is None:
        return generate_latest(REGISTRY)
    of_all = CollectorRegistry()
    MultiProcessCollector(of_all, path=folder)  # type: ignore[no-untyped-call]
    return generate_latest(of_all)
