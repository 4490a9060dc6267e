"""All routes of pages."""

from __future__ import annotations

from fastapi import APIRouter

from softprompt.api.pages import (
    account,
    admin_audit,
    admin_health,
    admin_jobs,
    admin_people,
    admin_settings,
    compare,
    data,
    deployment_tabs,
    deployments,
    evaluations,
    home,
    lab,
    lab_files,
    lab_generate,
    lab_sessions,
    models,
    runs,
    search,
    spaces,
    static,
    tuning,
)

ROUTERS: tuple[APIRouter, ...] = (
    static.router,
    home.router,
    search.router,
    models.router,
    data.router,
    tuning.router,
    runs.router,
    compare.router,
    evaluations.router,
    deployments.router,
    deployment_tabs.router,
    spaces.router,
    lab.router,
    lab_generate.router,
    lab_files.router,
    lab_sessions.router,
    account.router,
    admin_people.router,
    admin_jobs.router,
    admin_health.router,
    admin_settings.router,
    admin_audit.router,
)
