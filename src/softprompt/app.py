"""The composition root: settings in, the web application out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, FastAPI

from softprompt import __version__
from softprompt.api import errors, operations
from softprompt.api.auth import authorize
from softprompt.api.context import Studio, open_office, token_secret
from softprompt.api.middleware import Around
from softprompt.api.openai import routes as openai
from softprompt.api.pages import routes as pages
from softprompt.api.studio import inference
from softprompt.api.studio import routes as studio_api
from softprompt.api.watsonx import routes as watsonx
from softprompt.config import StudioSettings

if TYPE_CHECKING:
    from softprompt.serving.backend import Backend


def routers() -> list[APIRouter]:
    """Every wire, in the order in which they are asked.

    A path is compared with one route after the other, some microseconds each: programs that want answers come first,
    people's pages, of which there are most, last.
    """
    answering = [operations.router, inference.router, openai.router, *watsonx.routers()]
    return [*answering, *studio_api.ROUTERS, *pages.ROUTERS]


def create_app(settings: StudioSettings, backend: Backend | None = None) -> FastAPI:
    """The web application.

    Args:
        settings: where the studio keeps its things; its tables are brought up to date.
        backend: what answers inference; None: the serving host that this data folder names.
    """
    studio = Studio(
        settings, open_office(settings), backend or _serving_host(settings), token_secret(settings.data_dir)
    )

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await studio.backend.close()
        studio.close()

    app = FastAPI(
        title="Softprompt",
        version=__version__,
        description="The self-hosted tuning studio.",
        openapi_url=None,  # building it takes a second; `operations` does it outside the event loop
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        dependencies=[Depends(authorize)],
    )
    app.state.studio = studio
    app.add_middleware(Around, body_bytes=settings.limits.body_bytes, upload_bytes=settings.limits.upload_bytes)
    errors.install(app)
    for router in routers():
        app.include_router(router)
    return app


def _serving_host(settings: StudioSettings) -> Backend:
    from softprompt.serving.discovery import DiscoveredHost

    return DiscoveredHost(settings.data_dir)
