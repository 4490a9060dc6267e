"""All routers of our own interface; `app` includes them."""

from __future__ import annotations

from fastapi import APIRouter

from softprompt.api.studio import (
    audit,
    backups,
    dataset_changes,
    datasets,
    deployment_records,
    deployments,
    evaluations,
    experiments,
    foundation_models,
    health,
    jobs,
    keys,
    members,
    model_pulls,
    projects,
    prompt_imports,
    prompt_sessions,
    runs,
    search,
    settings,
    sign_in,
    spaces,
    status,
    trash,
    tuned_prompts,
    users,
)

ROUTERS: list[APIRouter] = [
    sign_in.router,
    status.router,
    search.router,
    projects.router,
    spaces.router,
    members.router,
    datasets.router,
    dataset_changes.router,
    experiments.router,
    runs.router,
    # Before the tuned prompts, whose addresses begin the same way.
    prompt_imports.router,
    tuned_prompts.router,
    deployments.router,
    deployment_records.router,
    prompt_sessions.router,
    evaluations.router,
    foundation_models.router,
    model_pulls.router,
    users.router,
    keys.router,
    jobs.router,
    trash.router,
    backups.router,
    settings.router,
    health.router,
    audit.router,
]
