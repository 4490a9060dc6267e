"""All routes of the OpenAI wire."""

from __future__ import annotations

from fastapi import APIRouter

from softprompt.api.openai import chat, completions, models

router = APIRouter()
for part in (models, completions, chat):
    router.include_router(part.router)
