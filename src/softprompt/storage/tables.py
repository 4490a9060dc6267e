"""The nouns of the studio as tables. People, keys and the log stand in `people`, the queue in `work`.

No relationships: queries say what they read. References are plain ids, since deleted rows stay until they are purged.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from softprompt.storage.types import Base, Big, Identified, InContainer, InProject, Noun

ALIVE = text("deleted_at IS NULL")


class Project(Noun, Base):
    """A workshop: datasets, experiments, lab sessions."""

    __tablename__ = "projects"
    sandbox: Mapped[bool] = mapped_column(default=False)
    __table_args__ = (Index("uq_projects_name", "name", unique=True, sqlite_where=ALIVE, postgresql_where=ALIVE),)


class Space(Noun, Base):
    """A place for deployments. `stage`: development, testing or production."""

    __tablename__ = "spaces"
    stage: Mapped[str] = mapped_column(String(20), default="development")
    storage: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = (Index("uq_spaces_name", "name", unique=True, sqlite_where=ALIVE, postgresql_where=ALIVE),)


class FoundationModel(Identified, Base):
    """A model that an admin added: a folder on the server under an id of its own. The catalogue's are not rows."""

    __tablename__ = "foundation_models"
    model_id: Mapped[str] = mapped_column(String(300), unique=True)
    path: Mapped[str] = mapped_column(String(2000))
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)


class Dataset(InProject, Noun, Base):
    """Labelled examples, immutable once stored. `state`: uploading, checking, ready or invalid."""

    __tablename__ = "datasets"
    version: Mapped[int] = mapped_column(default=1)
    state: Mapped[str] = mapped_column(String(20), default="uploading")
    file_name: Mapped[str] = mapped_column(String(300), default="")
    media_type: Mapped[str] = mapped_column(String(100), default="application/octet-stream")
    size: Mapped[int] = mapped_column(Big, default=0)
    """Bytes."""
    sha256: Mapped[str | None] = mapped_column(String(64), index=True)
    key: Mapped[str | None] = mapped_column(String(300))
    """Of the file in the store."""
    rows: Mapped[int | None]
    task: Mapped[str | None] = mapped_column(String(30))
    report: Mapped[dict[str, Any] | None]
    attachment_id: Mapped[str | None] = mapped_column(String(36), index=True)
    upload_digest: Mapped[str | None] = mapped_column(String(64))
    """SHA-256 of the secret with which the file may be put."""
    __table_args__ = (UniqueConstraint("project_id", "name", "version"),)


class TuningExperiment(InProject, Noun, Base):
    """A named folder of tuning runs."""

    __tablename__ = "tuning_experiments"
    runs_made: Mapped[int] = mapped_column(default=0)
    """The number of the newest run."""


class TuningRun(InProject, Noun, Base):
    """One configuration on one dataset and one model. `state`: see `jobs.states`."""

    __tablename__ = "tuning_runs"
    experiment_id: Mapped[str] = mapped_column(String(36))
    number: Mapped[int]
    state: Mapped[str] = mapped_column(String(20), default="queued")
    model_id: Mapped[str] = mapped_column(String(300))
    dataset_id: Mapped[str] = mapped_column(String(36), index=True)
    validation: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """{"dataset_id": ID}, {"share": 0.2} or nothing."""
    test_dataset_id: Mapped[str | None] = mapped_column(String(36), index=True)
    config: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """The fields of `TuneConfig` that the person set."""
    wire: Mapped[dict[str, Any]] = mapped_column(default=dict)
    """What a foreign interface sent and wants to see again."""
    keep_prompt: Mapped[bool] = mapped_column(default=True)
    """Whether the result becomes a tuned prompt by itself (IBM: auto_update_model)."""
    progress: Mapped[dict[str, Any]] = mapped_column(default=dict)
    results: Mapped[dict[str, Any]] = mapped_column(default=dict)
    tuned_prompt_id: Mapped[str | None] = mapped_column(String(36), index=True)
    problem: Mapped[dict[str, Any] | None]
    """{"code", "message"} of what ended it."""
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    __table_args__ = (
        UniqueConstraint("experiment_id", "number"),
        Index("ix_tuning_runs_project_state", "project_id", "deleted_at", "state"),
        Index("ix_tuning_runs_project_created", "project_id", "created_at", "id"),
        Index("ix_tuning_runs_experiment_state", "experiment_id", "deleted_at", "state", "number"),
        Index("ix_tuning_runs_experiment_created", "experiment_id", "created_at", "id"),
        Index("ix_tuning_runs_model_state", "model_id", "state", "deleted_at"),
    )


class RunEvent(Base):
    """One thing a run told. Ids grow, so a reader goes on behind the last one it saw."""

    __tablename__ = "run_events"
    id: Mapped[int] = mapped_column(Big, primary_key=True, autoincrement=True)
    run_id: Mapped[str] = mapped_column(String(36))
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(30))
    data: Mapped[dict[str, Any]] = mapped_column(default=dict)
    __table_args__ = (Index("ix_run_events_run_id_id", "run_id", "id"), {"sqlite_autoincrement": True})


class TunedPrompt(InContainer, Noun, Base):
    """The artefact of a run, or one brought in from elsewhere."""

    __tablename__ = "tuned_prompts"
    run_id: Mapped[str | None] = mapped_column(String(36), index=True)
    source_id: Mapped[str | None] = mapped_column(String(36), index=True)
    """The tuned prompt it was promoted from."""
    model_id: Mapped[str] = mapped_column(String(300), index=True)
    fingerprint: Mapped[str] = mapped_column(String(200), default="")
    task: Mapped[str] = mapped_column(String(30), default="")
    answers_by: Mapped[str] = mapped_column(String(20), default="text")
    virtual_tokens: Mapped[int] = mapped_column(default=0)
    labels: Mapped[list[str]] = mapped_column(default=list)
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    card: Mapped[dict[str, Any]] = mapped_column(default=dict)
    key: Mapped[str] = mapped_column(String(300))
    """Of the folder in the store."""
    size: Mapped[int] = mapped_column(Big, default=0)


class Deployment(InContainer, Noun, Base):
    """A tuned prompt, a foundation model or a prompt template behind a serving name."""

    __tablename__ = "deployments"
    serving_name: Mapped[str | None] = mapped_column(String(100))
    state: Mapped[str] = mapped_column(String(20), default="ready")
    """ready or offline, as people set it; whether it can answer is seen when it is shown (`studio.standing`)."""
    model_id: Mapped[str] = mapped_column(String(300))
    tuned_prompt_id: Mapped[str | None] = mapped_column(String(36), index=True)
    prompt_session_id: Mapped[str | None] = mapped_column(String(36), index=True)
    problem: Mapped[dict[str, Any] | None]
    __table_args__ = (
        Index("uq_deployments_serving_name", "serving_name", unique=True, sqlite_where=ALIVE, postgresql_where=ALIVE),
    )


class DeploymentUsage(Base):
    """How often a deployment was asked in one minute (an hour, once it is two days old), by how long answers took.

    All numbers are added up, so that any number of processes may count at once.
    """

    __tablename__ = "deployment_usage"
    deployment_id: Mapped[str] = mapped_column(String(36), primary_key=True)
    at: Mapped[datetime] = mapped_column(primary_key=True, index=True)
    """The begin of the minute, or hour."""
    latency: Mapped[int] = mapped_column(primary_key=True)
    """A class of durations, see `storage.usage`; -1: there was no answer."""
    requests: Mapped[int] = mapped_column(Big, default=0)
    errors: Mapped[int] = mapped_column(Big, default=0)
    input_tokens: Mapped[int] = mapped_column(Big, default=0)
    virtual_tokens: Mapped[int] = mapped_column(Big, default=0)
    generated_tokens: Mapped[int] = mapped_column(Big, default=0)


class PromptSession(InContainer, Noun, Base):
    """A saved page of the Prompt Lab; also what IBM calls a prompt template."""

    __tablename__ = "prompt_sessions"
    mode: Mapped[str] = mapped_column(String(20), default="structured")
    model_id: Mapped[str | None] = mapped_column(String(300))
    content: Mapped[dict[str, Any]] = mapped_column(default=dict)
    locked_by: Mapped[str | None] = mapped_column(String(36))


class LabGeneration(Identified, Base):
    """What stood in the Prompt Lab when somebody pressed Generate, with the answers; so it can be brought back."""

    __tablename__ = "lab_generations"
    project_id: Mapped[str] = mapped_column(String(36), index=True)
    user_id: Mapped[str | None] = mapped_column(String(36))
    session_id: Mapped[str | None] = mapped_column(String(36), index=True)
    """The prompt session it was made in, if there is one."""
    page: Mapped[dict[str, Any]] = mapped_column(default=dict)
    answers: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    __table_args__ = (Index("ix_lab_generations_user_created", "user_id", "created_at"),)


class Evaluation(InProject, Noun, Base):
    """Methods against each other on held-out rows; made by a job, as runs are."""

    __tablename__ = "evaluations"
    state: Mapped[str] = mapped_column(String(20), default="queued")
    model_id: Mapped[str] = mapped_column(String(300))
    dataset_id: Mapped[str] = mapped_column(String(36), index=True)
    methods: Mapped[list[str]] = mapped_column(default=list)
    settings: Mapped[dict[str, Any]] = mapped_column(default=dict)
    results: Mapped[dict[str, Any]] = mapped_column(default=dict)
    report: Mapped[str | None] = mapped_column(Text)
    problem: Mapped[dict[str, Any] | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


NOUNS: tuple[type[Base], ...] = (
    Project, Space, TuningExperiment, TuningRun, TunedPrompt, Deployment, Dataset, Evaluation, PromptSession
)  # fmt: skip
"""What people name, change and delete, each before what is in it."""
LARGE: dict[type[Base], tuple[str, ...]] = {
    Dataset: ("report",),
    TuningRun: ("results", "wire"),
    Evaluation: ("results", "report"),
    TunedPrompt: ("metrics", "card"),
    PromptSession: ("content",),
}
"""Columns of theirs that a list of many does not show."""
