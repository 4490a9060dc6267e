"""All routes of the watsonx wire, in the order in which they are asked: what is asked most comes first."""

from __future__ import annotations

from fastapi import APIRouter

from softprompt.api.watsonx import (
    assets,
    auth,
    chat,
    deployments,
    foundation_models,
    inference,
    models,
    monitor,
    projects,
    prompts,
    spaces,
    training_files,
    trainings,
    uploads,
)


def routers() -> list[APIRouter]:
    nouns = (auth, projects, spaces, uploads, assets, trainings, training_files, models, deployments, prompts)
    return [noun.router for noun in (inference, chat, *nouns, foundation_models, monitor)]
