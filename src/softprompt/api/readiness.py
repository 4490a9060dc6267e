"""Whether the studio's store and serving host, which all spaces share, are there."""

from __future__ import annotations

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from softprompt.api.context import studio_of
from softprompt.errors import SoftpromptError
from softprompt.storage.artifacts import ArtifactStore
from softprompt.studio.readiness import Readiness


async def readiness(request: Request) -> Readiness:
    """Both are asked now."""
    studio = studio_of(request)
    storage = await run_in_threadpool(_storage, studio.office.store)
    try:
        status = await studio.backend.status()
        running = status.get("state") in ("running", "ready")
        name = {"vllm": "vLLM server"}.get(str(status.get("backend")), "serving host")
        words = f"The studio's {name} answers." if running else f"The {name} is {status.get('state')}."
        serving = (running, words)
    except SoftpromptError:
        serving = (False, "The serving host does not answer yet. `softprompt status` says whether it is starting.")
    return Readiness(storage, serving)


def _storage(store: ArtifactStore) -> tuple[bool, str]:
    try:
        store.exists("prompts/any")
    except SoftpromptError as error:
        return False, str(error)
    kept = "the studio's folder" if store.local else f"the studio's store, {store.url.partition('://')[0]}"
    return True, f"Files are kept in {kept}."
