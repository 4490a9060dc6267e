"""All routes of pages."""

from __future__ import annotations

from fastapi import APIRouter

from softprompt.api.pages import data, deployments, home, lab, others, runs, static, tuning

ROUTERS: tuple[APIRouter, ...] = (
    static.router,
    home.router,
    data.router,
    tuning.router,
    runs.router,
    deployments.router,
    lab.router,
    others.router,
)
