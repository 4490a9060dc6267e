"""The tables of the first release"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _answered_requests()
    _api_keys()
    _audit_log()
    _browser_sessions()
    _datasets()
    _deployment_usage()
    _deployments()
    _evaluations()
    _foundation_models()
    _jobs()
    _lab_generations()
    _measurements()
    _memberships()
    _projects()
    _prompt_sessions()
    _run_events()
    _sign_in_links()
    _spaces()
    _tuned_prompts()
    _tuning_experiments()
    _tuning_runs()
    _users()
    _workers()


def _answered_requests() -> None:
    op.create_table(
        "answered_requests",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("body_digest", sa.String(length=64), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_answered_requests")),
    )
    with op.batch_alter_table("answered_requests") as batch_op:
        batch_op.create_index(batch_op.f("ix_answered_requests_created_at"), ["created_at"], unique=False)


def _api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("prefix", sa.String(length=16), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=True),
        sa.Column("space_id", sa.String(length=36), nullable=True),
        sa.Column("expires_at", sa.DateTime(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(), nullable=True),
        sa.Column("last_used_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_keys_digest")),
    )
    with op.batch_alter_table("api_keys") as batch_op:
        batch_op.create_index(batch_op.f("ix_api_keys_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_api_keys_user_id"), ["user_id"], unique=False)


def _audit_log() -> None:
    op.create_table(
        "audit_log",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=True),
        sa.Column("key_id", sa.String(length=36), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("action", sa.String(length=40), nullable=False),
        sa.Column("noun", sa.String(length=40), nullable=False),
        sa.Column("noun_id", sa.String(length=36), nullable=True),
        sa.Column("container_id", sa.String(length=36), nullable=True),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_log")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("audit_log") as batch_op:
        batch_op.create_index(batch_op.f("ix_audit_log_at"), ["at"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_log_container_id"), ["container_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_log_noun_id"), ["noun_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_audit_log_user_id"), ["user_id"], unique=False)


def _browser_sessions() -> None:
    op.create_table(
        "browser_sessions",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_browser_sessions")),
    )
    with op.batch_alter_table("browser_sessions") as batch_op:
        batch_op.create_index(batch_op.f("ix_browser_sessions_user_id"), ["user_id"], unique=False)


def _datasets() -> None:
    op.create_table(
        "datasets",
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("file_name", sa.String(length=300), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("key", sa.String(length=300), nullable=True),
        sa.Column("rows", sa.Integer(), nullable=True),
        sa.Column("task", sa.String(length=30), nullable=True),
        sa.Column("report", sa.JSON(), nullable=True),
        sa.Column("attachment_id", sa.String(length=36), nullable=True),
        sa.Column("upload_digest", sa.String(length=64), nullable=True),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=4000), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datasets")),
        sa.UniqueConstraint("project_id", "name", "version", name=op.f("uq_datasets_project_id_name_version")),
    )
    with op.batch_alter_table("datasets") as batch_op:
        batch_op.create_index(batch_op.f("ix_datasets_attachment_id"), ["attachment_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_datasets_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_datasets_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_datasets_sha256"), ["sha256"], unique=False)


def _deployment_usage() -> None:
    op.create_table(
        "deployment_usage",
        sa.Column("deployment_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("latency", sa.Integer(), nullable=False),
        sa.Column("requests", BIG, nullable=False),
        sa.Column("errors", BIG, nullable=False),
        sa.Column("input_tokens", BIG, nullable=False),
        sa.Column("virtual_tokens", BIG, nullable=False),
        sa.Column("generated_tokens", BIG, nullable=False),
        sa.PrimaryKeyConstraint("deployment_id", "at", "latency", name=op.f("pk_deployment_usage")),
    )
    with op.batch_alter_table("deployment_usage") as batch_op:
        batch_op.create_index(batch_op.f("ix_deployment_usage_at"), ["at"], unique=False)


def _deployments() -> None:
    op.create_table(
        "deployments",
        sa.Column("serving_name", sa.String(length=100), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("model_id", sa.String(length=300), nullable=False),
        sa.Column("tuned_prompt_id", sa.String(length=36), nullable=True),
        sa.Column("prompt_session_id", sa.String(length=36), nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("project_id", sa.String(length=36), nullable=True),
        sa.Column("space_id", sa.String(length=36), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=4000), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deployments")),
    )
    with op.batch_alter_table("deployments") as batch_op:
        batch_op.create_index(batch_op.f("ix_deployments_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_deployments_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_deployments_prompt_session_id"), ["prompt_session_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_deployments_space_id"), ["space_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_deployments_tuned_prompt_id"), ["tuned_prompt_id"], unique=False)
        batch_op.create_index(
            "uq_deployments_serving_name",
            ["serving_name"],
            unique=True,
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        )


def _evaluations() -> None:
    op.create_table(
        "evaluations",
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("model_id", sa.String(length=300), nullable=False),
        sa.Column("dataset_id", sa.String(length=36), nullable=False),
        sa.Column("methods", sa.JSON(), nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.Column("report", sa.Text(), nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=4000), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
    )
    with op.batch_alter_table("evaluations") as batch_op:
        batch_op.create_index(batch_op.f("ix_evaluations_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_evaluations_dataset_id"), ["dataset_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_evaluations_project_id"), ["project_id"], unique=False)


def _foundation_models() -> None:
    op.create_table(
        "foundation_models",
        sa.Column("model_id", sa.String(length=300), nullable=False),
        sa.Column("path", sa.String(length=2000), nullable=False),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_foundation_models")),
        sa.UniqueConstraint("model_id", name=op.f("uq_foundation_models_model_id")),
    )
    with op.batch_alter_table("foundation_models") as batch_op:
        batch_op.create_index(batch_op.f("ix_foundation_models_created_at"), ["created_at"], unique=False)


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("subject_id", sa.String(length=36), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("most_attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.DateTime(), nullable=False),
        sa.Column("worker_id", sa.String(length=36), nullable=True),
        sa.Column("fence", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.DateTime(), nullable=True),
        sa.Column("cancel_requested", sa.String(length=20), nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    with op.batch_alter_table("jobs") as batch_op:
        batch_op.create_index(batch_op.f("ix_jobs_created_at"), ["created_at"], unique=False)
        batch_op.create_index("ix_jobs_project_state", ["project_id", "state"], unique=False)
        batch_op.create_index("ix_jobs_state_priority", ["state", "priority", "created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_jobs_subject_id"), ["subject_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_jobs_worker_id"), ["worker_id"], unique=False)


def _lab_generations() -> None:
    op.create_table(
        "lab_generations",
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=True),
        sa.Column("session_id", sa.String(length=36), nullable=True),
        sa.Column("page", sa.JSON(), nullable=False),
        sa.Column("answers", sa.JSON(), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lab_generations")),
    )
    with op.batch_alter_table("lab_generations") as batch_op:
        batch_op.create_index(batch_op.f("ix_lab_generations_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_lab_generations_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_lab_generations_session_id"), ["session_id"], unique=False)
        batch_op.create_index("ix_lab_generations_user_created", ["user_id", "created_at"], unique=False)


def _measurements() -> None:
    op.create_table(
        "measurements",
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("model_id", sa.String(length=300), nullable=False),
        sa.Column("dataset_id", sa.String(length=36), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=True),
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("device", sa.String(length=50), nullable=False),
        sa.Column("found", sa.JSON(), nullable=False),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_measurements")),
    )
    with op.batch_alter_table("measurements") as batch_op:
        batch_op.create_index(batch_op.f("ix_measurements_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_measurements_model_id"), ["model_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_measurements_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_measurements_run_id"), ["run_id"], unique=False)


def _memberships() -> None:
    op.create_table(
        "memberships",
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("container_id", sa.String(length=36), nullable=False),
        sa.Column("role", sa.String(length=10), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_memberships")),
    )
    with op.batch_alter_table("memberships") as batch_op:
        batch_op.create_index(batch_op.f("ix_memberships_container_id"), ["container_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_memberships_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_memberships_user_id"), ["user_id"], unique=False)
        batch_op.create_index("uq_memberships_user_container", ["user_id", "container_id"], unique=True)


def _projects() -> None:
    op.create_table(
        "projects",
        sa.Column("sandbox", sa.Boolean(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=4000), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
    )
    with op.batch_alter_table("projects") as batch_op:
        batch_op.create_index(batch_op.f("ix_projects_created_at"), ["created_at"], unique=False)
        batch_op.create_index(
            "uq_projects_name",
            ["name"],
            unique=True,
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        )


def _prompt_sessions() -> None:
    op.create_table(
        "prompt_sessions",
        sa.Column("mode", sa.String(length=20), nullable=False),
        sa.Column("model_id", sa.String(length=300), nullable=True),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("locked_by", sa.String(length=36), nullable=True),
        sa.Column("project_id", sa.String(length=36), nullable=True),
        sa.Column("space_id", sa.String(length=36), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=4000), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt_sessions")),
    )
    with op.batch_alter_table("prompt_sessions") as batch_op:
        batch_op.create_index(batch_op.f("ix_prompt_sessions_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_prompt_sessions_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_prompt_sessions_space_id"), ["space_id"], unique=False)


def _run_events() -> None:
    op.create_table(
        "run_events",
        sa.Column("id", BIG, autoincrement=True, nullable=False),
        sa.Column("run_id", sa.String(length=36), nullable=False),
        sa.Column("at", sa.DateTime(), nullable=False),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("data", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_run_events")),
        sqlite_autoincrement=True,
    )
    with op.batch_alter_table("run_events") as batch_op:
        batch_op.create_index("ix_run_events_run_id_id", ["run_id", "id"], unique=False)


def _sign_in_links() -> None:
    op.create_table(
        "sign_in_links",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("user_id", sa.String(length=36), nullable=False),
        sa.Column("expires_at", sa.DateTime(), nullable=False),
        sa.Column("used_at", sa.DateTime(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sign_in_links")),
    )


def _spaces() -> None:
    op.create_table(
        "spaces",
        sa.Column("stage", sa.String(length=20), nullable=False),
        sa.Column("storage", sa.JSON(), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=4000), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_spaces")),
    )
    with op.batch_alter_table("spaces") as batch_op:
        batch_op.create_index(batch_op.f("ix_spaces_created_at"), ["created_at"], unique=False)
        batch_op.create_index(
            "uq_spaces_name",
            ["name"],
            unique=True,
            sqlite_where=sa.text("deleted_at IS NULL"),
            postgresql_where=sa.text("deleted_at IS NULL"),
        )


def _tuned_prompts() -> None:
    op.create_table(
        "tuned_prompts",
        sa.Column("run_id", sa.String(length=36), nullable=True),
        sa.Column("source_id", sa.String(length=36), nullable=True),
        sa.Column("model_id", sa.String(length=300), nullable=False),
        sa.Column("fingerprint", sa.String(length=200), nullable=False),
        sa.Column("task", sa.String(length=30), nullable=False),
        sa.Column("answers_by", sa.String(length=20), nullable=False),
        sa.Column("virtual_tokens", sa.Integer(), nullable=False),
        sa.Column("labels", sa.JSON(), nullable=False),
        sa.Column("metrics", sa.JSON(), nullable=False),
        sa.Column("card", sa.JSON(), nullable=False),
        sa.Column("key", sa.String(length=300), nullable=False),
        sa.Column("size", BIG, nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=True),
        sa.Column("space_id", sa.String(length=36), nullable=True),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=4000), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuned_prompts")),
    )
    with op.batch_alter_table("tuned_prompts") as batch_op:
        batch_op.create_index(batch_op.f("ix_tuned_prompts_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuned_prompts_model_id"), ["model_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuned_prompts_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuned_prompts_run_id"), ["run_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuned_prompts_source_id"), ["source_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuned_prompts_space_id"), ["space_id"], unique=False)


def _tuning_experiments() -> None:
    op.create_table(
        "tuning_experiments",
        sa.Column("runs_made", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=4000), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuning_experiments")),
    )
    with op.batch_alter_table("tuning_experiments") as batch_op:
        batch_op.create_index(batch_op.f("ix_tuning_experiments_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuning_experiments_project_id"), ["project_id"], unique=False)


def _tuning_runs() -> None:
    op.create_table(
        "tuning_runs",
        sa.Column("experiment_id", sa.String(length=36), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("model_id", sa.String(length=300), nullable=False),
        sa.Column("dataset_id", sa.String(length=36), nullable=False),
        sa.Column("validation", sa.JSON(), nullable=False),
        sa.Column("test_dataset_id", sa.String(length=36), nullable=True),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("wire", sa.JSON(), nullable=False),
        sa.Column("keep_prompt", sa.Boolean(), nullable=False),
        sa.Column("progress", sa.JSON(), nullable=False),
        sa.Column("results", sa.JSON(), nullable=False),
        sa.Column("tuned_prompt_id", sa.String(length=36), nullable=True),
        sa.Column("problem", sa.JSON(), nullable=True),
        sa.Column("started_at", sa.DateTime(), nullable=True),
        sa.Column("finished_at", sa.DateTime(), nullable=True),
        sa.Column("project_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("description", sa.String(length=4000), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.String(length=36), nullable=True),
        sa.Column("updated_at", sa.DateTime(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("deleted_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tuning_runs")),
        sa.UniqueConstraint("experiment_id", "number", name=op.f("uq_tuning_runs_experiment_id_number")),
    )
    with op.batch_alter_table("tuning_runs") as batch_op:
        batch_op.create_index(batch_op.f("ix_tuning_runs_created_at"), ["created_at"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuning_runs_dataset_id"), ["dataset_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuning_runs_experiment_id"), ["experiment_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuning_runs_model_id"), ["model_id"], unique=False)
        batch_op.create_index("ix_tuning_runs_project_created", ["project_id", "created_at", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuning_runs_project_id"), ["project_id"], unique=False)
        batch_op.create_index("ix_tuning_runs_project_state", ["project_id", "state"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuning_runs_test_dataset_id"), ["test_dataset_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_tuning_runs_tuned_prompt_id"), ["tuned_prompt_id"], unique=False)


def _users() -> None:
    op.create_table(
        "users",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("password_hash", sa.String(length=300), nullable=True),
        sa.Column("admin", sa.Boolean(), nullable=False),
        sa.Column("disabled_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("name", name=op.f("uq_users_name")),
    )
    with op.batch_alter_table("users") as batch_op:
        batch_op.create_index(batch_op.f("ix_users_created_at"), ["created_at"], unique=False)


def _workers() -> None:
    op.create_table(
        "workers",
        sa.Column("host", sa.String(length=200), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("device", sa.String(length=50), nullable=False),
        sa.Column("heartbeat_at", sa.DateTime(), nullable=False),
        sa.Column("job_id", sa.String(length=36), nullable=True),
        sa.Column("stopped_at", sa.DateTime(), nullable=True),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_workers")),
    )
    with op.batch_alter_table("workers") as batch_op:
        batch_op.create_index(batch_op.f("ix_workers_created_at"), ["created_at"], unique=False)
