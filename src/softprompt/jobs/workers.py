"""Who works, or worked: a row per worker process with its last sign of life."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from softprompt.storage.rows import Rows
from softprompt.storage.types import now
from softprompt.storage.work import WorkerRow

SILENT = 30.0
"""Seconds without a sign of life after which a worker is not counted as there."""


def arrive(rows: Rows, worker_id: str, *, host: str, pid: int, device: str) -> WorkerRow:
    """A worker is there; said twice, it is there once."""
    there = rows.get(WorkerRow, worker_id)
    return there or rows.add(WorkerRow(id=worker_id, host=host, pid=pid, device=device, heartbeat_at=now()))


def pulse(rows: Rows, worker_id: str, job_id: str | None = None) -> None:
    """The worker lives, and this is what it works on."""
    rows.change(WorkerRow, {"heartbeat_at": now(), "job_id": job_id}, id=worker_id)


def leave(rows: Rows, worker_id: str) -> None:
    rows.change(WorkerRow, {"heartbeat_at": now(), "job_id": None, "stopped_at": now()}, id=worker_id)


def present(rows: Rows) -> Sequence[WorkerRow]:
    """Workers that live, the oldest first."""
    since = now() - timedelta(seconds=SILENT)
    return [row for row in rows.all(WorkerRow, stopped_at=None) if row.heartbeat_at >= since]
