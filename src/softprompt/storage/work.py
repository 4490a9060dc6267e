"""The queue and its workers as tables. Allowed moves stand in `jobs.states`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String
from sqlalchemy.orm import Mapped, mapped_column

from softprompt.storage.types import Base, Identified, InProject, now


class Job(Identified, Base):
    """Something a worker does for a noun."""

    __tablename__ = "jobs"
    kind: Mapped[str] = mapped_column(String(30))
    """tune, evaluate or measure."""
    subject_id: Mapped[str] = mapped_column(String(36), index=True)
    project_id: Mapped[str] = mapped_column(String(36))
    state: Mapped[str] = mapped_column(String(20), default="queued")
    priority: Mapped[int] = mapped_column(default=0)
    """Larger goes first."""
    attempts: Mapped[int] = mapped_column(default=0)
    most_attempts: Mapped[int] = mapped_column(default=5)
    not_before: Mapped[datetime] = mapped_column(default=now)
    worker_id: Mapped[str | None] = mapped_column(String(36), index=True)
    fence: Mapped[int] = mapped_column(default=0)
    """Grows with every claim; a worker with an older number cannot write any more."""
    lease_until: Mapped[datetime | None]
    cancel_requested: Mapped[str | None] = mapped_column(String(20))
    """"cancel", or "keep": stop here and keep the best."""
    problem: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        Index("ix_jobs_state_priority", "state", "priority", "created_at"),
        Index("ix_jobs_project_state", "project_id", "state"),
        Index("ix_jobs_project_started", "project_id", "started_at"),
    )


class WorkerRow(Identified, Base):
    """A worker that lives, or lived."""

    __tablename__ = "workers"
    host: Mapped[str] = mapped_column(String(200))
    pid: Mapped[int]
    device: Mapped[str] = mapped_column(String(50), default="cpu")
    heartbeat_at: Mapped[datetime]
    job_id: Mapped[str | None] = mapped_column(String(36))
    stopped_at: Mapped[datetime | None]


class Measurement(InProject, Identified, Base):
    """How fast a model is tuned on a machine: a few updates for their own sake, or what a whole run found.

    `state`: see `jobs.states`; that of a run is completed from the start.
    """

    __tablename__ = "measurements"
    state: Mapped[str] = mapped_column(String(20), default="queued")
    model_id: Mapped[str] = mapped_column(String(300), index=True)
    dataset_id: Mapped[str] = mapped_column(String(36))
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The fields of `TuneConfig` that it was measured with."""
    run_id: Mapped[str | None] = mapped_column(String(36), index=True)
    host: Mapped[str] = mapped_column(String(200), default="")
    device: Mapped[str] = mapped_column(String(50), default="")
    found: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The fields of `workbench.speed.Speed`."""
    problem: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
