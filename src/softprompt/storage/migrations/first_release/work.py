"""Tables of work: tuning runs and what they report, the queue, who works on it, and what was measured."""

from __future__ import annotations

from alembic import op

from softprompt.storage.migrations.first_release.columns import (
    counted,
    document,
    flag,
    identified,
    indexes,
    key,
    moment,
    noun,
    primary,
    text,
    unique,
    whole,
)


def tuning_runs() -> None:
    op.create_table(
        "tuning_runs",
        key("experiment_id"),
        whole("number"),
        text("state", 20),
        text("model_id", 300),
        key("dataset_id"),
        document("validation"),
        key("test_dataset_id", null=True),
        document("config"),
        document("wire"),
        flag("keep_prompt"),
        document("progress"),
        document("results"),
        key("tuned_prompt_id", null=True),
        document("problem", null=True),
        moment("started_at", null=True),
        moment("finished_at", null=True),
        key("project_id"),
        *noun("tuning_runs"),
        unique("tuning_runs", "experiment_id", "number"),
    )
    indexes("tuning_runs", "created_at", "dataset_id", "experiment_id", "model_id")
    op.create_index("ix_tuning_runs_project_created", "tuning_runs", ["project_id", "created_at", "id"])
    indexes("tuning_runs", "project_id")
    op.create_index("ix_tuning_runs_project_state", "tuning_runs", ["project_id", "state"])
    indexes("tuning_runs", "test_dataset_id", "tuned_prompt_id")


def run_events() -> None:
    op.create_table(
        "run_events",
        counted(),
        key("run_id"),
        moment("at"),
        text("kind", 30),
        document("data"),
        primary("run_events", "id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_run_events_run_id_id", "run_events", ["run_id", "id"])


def jobs() -> None:
    op.create_table(
        "jobs",
        text("kind", 30),
        key("subject_id"),
        key("project_id"),
        text("state", 20),
        whole("priority"),
        whole("attempts"),
        whole("most_attempts"),
        moment("not_before"),
        key("worker_id", null=True),
        whole("fence"),
        moment("lease_until", null=True),
        text("cancel_requested", 20, null=True),
        document("problem", null=True),
        moment("started_at", null=True),
        moment("finished_at", null=True),
        *identified("jobs"),
    )
    indexes("jobs", "created_at")
    op.create_index("ix_jobs_project_state", "jobs", ["project_id", "state"])
    op.create_index("ix_jobs_state_priority", "jobs", ["state", "priority", "created_at"])
    indexes("jobs", "subject_id", "worker_id")


def workers() -> None:
    op.create_table(
        "workers",
        text("host", 200),
        whole("pid"),
        text("device", 50),
        moment("heartbeat_at"),
        key("job_id", null=True),
        moment("stopped_at", null=True),
        *identified("workers"),
    )
    indexes("workers", "created_at")


def measurements() -> None:
    op.create_table(
        "measurements",
        text("state", 20),
        text("model_id", 300),
        key("dataset_id"),
        document("config"),
        key("run_id", null=True),
        text("host", 200),
        text("device", 50),
        document("found"),
        document("problem", null=True),
        moment("started_at", null=True),
        moment("finished_at", null=True),
        key("project_id"),
        *identified("measurements"),
    )
    indexes("measurements", "created_at", "model_id", "project_id", "run_id")
