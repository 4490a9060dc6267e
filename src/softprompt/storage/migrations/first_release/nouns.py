"""Tables of what people make, from projects to evaluations, and of the models that they choose from."""

from __future__ import annotations

from alembic import op

from softprompt.storage.migrations.first_release.columns import (
    big,
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
    unique_while_there,
    whole,
)


def projects() -> None:
    op.create_table(
        "projects",
        flag("sandbox"),
        *noun("projects"),
    )
    indexes("projects", "created_at")
    unique_while_there("projects", "name")


def spaces() -> None:
    op.create_table(
        "spaces",
        text("stage", 20),
        document("storage"),
        *noun("spaces"),
    )
    indexes("spaces", "created_at")
    unique_while_there("spaces", "name")


def datasets() -> None:
    op.create_table(
        "datasets",
        whole("version"),
        text("state", 20),
        text("file_name", 300),
        text("media_type", 100),
        big("size"),
        text("sha256", 64, null=True),
        text("key", 300, null=True),
        whole("rows", null=True),
        text("task", 30, null=True),
        document("report", null=True),
        key("attachment_id", null=True),
        text("upload_digest", 64, null=True),
        key("project_id"),
        *noun("datasets"),
        unique("datasets", "project_id", "name", "version"),
    )
    indexes("datasets", "attachment_id", "created_at", "project_id", "sha256")


def tuning_experiments() -> None:
    op.create_table(
        "tuning_experiments",
        whole("runs_made"),
        key("project_id"),
        *noun("tuning_experiments"),
    )
    indexes("tuning_experiments", "created_at", "project_id")


def tuned_prompts() -> None:
    op.create_table(
        "tuned_prompts",
        key("run_id", null=True),
        key("source_id", null=True),
        text("model_id", 300),
        text("fingerprint", 200),
        text("task", 30),
        text("answers_by", 20),
        whole("virtual_tokens"),
        document("labels"),
        document("metrics"),
        document("card"),
        text("key", 300),
        big("size"),
        key("project_id", null=True),
        key("space_id", null=True),
        *noun("tuned_prompts"),
    )
    indexes("tuned_prompts", "created_at", "model_id", "project_id", "run_id", "source_id", "space_id")


def deployments() -> None:
    op.create_table(
        "deployments",
        text("serving_name", 100, null=True),
        text("state", 20),
        text("model_id", 300),
        key("tuned_prompt_id", null=True),
        key("prompt_session_id", null=True),
        document("problem", null=True),
        key("project_id", null=True),
        key("space_id", null=True),
        *noun("deployments"),
    )
    indexes("deployments", "created_at", "project_id", "prompt_session_id", "space_id", "tuned_prompt_id")
    unique_while_there("deployments", "serving_name")


def deployment_usage() -> None:
    op.create_table(
        "deployment_usage",
        key("deployment_id"),
        moment("at"),
        whole("latency"),
        big("requests"),
        big("errors"),
        big("input_tokens"),
        big("virtual_tokens"),
        big("generated_tokens"),
        primary("deployment_usage", "deployment_id", "at", "latency"),
    )
    indexes("deployment_usage", "at")


def prompt_sessions() -> None:
    op.create_table(
        "prompt_sessions",
        text("mode", 20),
        text("model_id", 300, null=True),
        document("content"),
        key("locked_by", null=True),
        key("project_id", null=True),
        key("space_id", null=True),
        *noun("prompt_sessions"),
    )
    indexes("prompt_sessions", "created_at", "project_id", "space_id")


def lab_generations() -> None:
    op.create_table(
        "lab_generations",
        key("project_id"),
        key("user_id", null=True),
        key("session_id", null=True),
        document("page"),
        document("answers"),
        *identified("lab_generations"),
    )
    indexes("lab_generations", "created_at", "project_id", "session_id")
    op.create_index("ix_lab_generations_user_created", "lab_generations", ["user_id", "created_at"])


def evaluations() -> None:
    op.create_table(
        "evaluations",
        text("state", 20),
        text("model_id", 300),
        key("dataset_id"),
        document("methods"),
        document("settings"),
        document("results"),
        text("report", null=True),
        document("problem", null=True),
        moment("started_at", null=True),
        moment("finished_at", null=True),
        key("project_id"),
        *noun("evaluations"),
    )
    indexes("evaluations", "created_at", "dataset_id", "project_id")


def foundation_models() -> None:
    op.create_table(
        "foundation_models",
        text("model_id", 300),
        text("path", 2000),
        document("facts"),
        *identified("foundation_models"),
        unique("foundation_models", "model_id"),
    )
    indexes("foundation_models", "created_at")
