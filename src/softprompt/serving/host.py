"""The serving host inside its process: takes work from coroutines, hands it to the threads of the models, brings events
back. Does not know HTTP (`server`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from softprompt.data.template import Template
from softprompt.engine.loading import find_device, load_tokenizer
from softprompt.engine.tokens import Encoder
from softprompt.errors import SoftpromptError, Unavailable
from softprompt.serving.batcher import Batcher, Stopped
from softprompt.serving.call import Call
from softprompt.serving.meters import Meters
from softprompt.serving.models import Load, Models, load_local, weight
from softprompt.serving.prompts import Fetch, Prompts
from softprompt.serving.protocol import Event, Failed, Piece, Target, Tokens, Work
from softprompt.serving.threads import Launch, alone, spawn
from softprompt.serving.turns import Limits

GIB = 2**30
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSettings:
    """One serving host.

    Attributes:
        fetch: brings the local folder of a tuned prompt by its key.
        data_dir: where `serving.json` is written, which tells others how to reach the host.
        secret: what those who ask have to know.
        host, port: where it listens; port 0: any that is free.
        models: foundation models that are loaded at the start.
        device: where models run, as torch calls it.
        model_bytes: most bytes of weights; idle models make room, a model in use never goes.
        prompt_bytes: most bytes of the keys and values of tuned prompts.
        max_rows: rows of a model that are decoded together.
        queue: requests to a model that may wait; a tenant's share of it is held free by refusing those with more.
        places: tokens that the rows of a model may hold together.
        vllm: URL of a vLLM server that generates in place of this process.
        vllm_key: its API key, if it wants one.
    """

    fetch: Fetch
    data_dir: Path
    secret: str = field(repr=False)
    host: str = "127.0.0.1"
    port: int = 0
    models: tuple[str, ...] = ()
    device: str = "cpu"
    model_bytes: int = 64 * GIB
    prompt_bytes: int = 3 * GIB // 4
    max_rows: int = 64
    queue: int = 512
    places: int = 65_536
    vllm: str | None = None
    vllm_key: str = field(default="", repr=False)


class Host:
    """Answers work with the models of this process; a `Backend`."""

    def __init__(self, settings: HostSettings, load: Load | None = None, launch: Launch = spawn) -> None:
        find_device(settings.device)
        self.meters = Meters()
        self._begun = time.time()
        self._prompts = Prompts(settings.fetch, settings.prompt_bytes, self.meters)
        limits = Limits(settings.max_rows, settings.queue, settings.places)
        load = load or partial(load_local, device=settings.device)
        self._models = Models(load, settings.model_bytes, self._prompts, limits, self.meters, launch)
        self._settings = settings
        self._tokenizers: dict[str, Any] = {}
        self._counting = asyncio.Lock()
        self._readers = ThreadPoolExecutor(8, thread_name_prefix="reader", initializer=alone)
        self._closing = False

    def preload(self) -> None:
        """Begin to load the models that were named."""
        for model_id in self._settings.models:
            self._models.batcher(model_id)

    async def generate(self, work: Work) -> AsyncIterator[Event]:
        """Pieces, then one `Done` or `Failed`. Leaving the iteration early cancels the work."""
        mailbox = _Mailbox(asyncio.get_running_loop())
        call = Call(work, mailbox.post)
        try:
            batcher = await self._handed_in(call)
        except SoftpromptError as error:
            yield Failed.of(error)
            return
        try:
            while True:
                event = await mailbox.get()
                yield event
                if not isinstance(event, Piece):
                    return
        finally:
            if not call.cancelled:
                call.cancelled = True
                batcher.wake()

    async def tokenize(self, target: Target, text: str) -> Tokens:
        """The text as the target reads it, by a tokenizer of its own: those of the models belong to their threads."""
        async with self._counting:
            return await self._aside(self._count, target, text)

    async def status(self) -> dict[str, Any]:
        return {
            "state": "stopping" if self._closing else "running",
            "backend": "host",
            "seconds": round(time.time() - self._begun, 1),
            "models": [
                {**_facts(batcher), "batch": self.meters.batches(batcher.model_id)}
                for batcher in self._models.batchers()
                if batcher.state != "stopped"
            ],
            "prompts": {
                "count": len(self._prompts),
                "bytes": self._prompts.nbytes(),
                "budget": self._settings.prompt_bytes,
            },
        }

    async def close(self, within: float = 5.0) -> None:
        """Let what runs come to its end; what is not done within some seconds fails."""
        self._closing = True
        await asyncio.to_thread(self._models.close, within)
        self._readers.shutdown(wait=False)

    async def _aside(self, work: Callable[..., Result], *arguments: Any) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._readers, copy_context().run, work, *arguments)

    async def _handed_in(self, call: Call) -> Batcher:
        target = call.work.target
        if self._closing:
            raise Unavailable("The serving host is being stopped. Ask again in a minute.")
        if target.prompt is not None and not self._prompts.has(target.model_id, target.prompt):
            await self._aside(self._prompts.open, target.prompt)  # may take as long as a network takes
        while True:
            batcher = self._models.batcher(target.model_id)
            try:
                batcher.submit(call)
                return batcher
            except Stopped:
                if self._closing:
                    raise Unavailable("The serving host is being stopped. Ask again in a minute.") from None
                await asyncio.sleep(0)  # it was unloaded in this instant; the next one loads it again

    def _count(self, target: Target, text: str) -> Tokens:
        tokenizer = self._tokenizers.get(target.model_id)
        if tokenizer is None:
            tokenizer = self._tokenizers[target.model_id] = load_tokenizer(target.model_id)
        if target.prompt is None:
            ids, virtual = tokenizer(text, split_special_tokens=True)["input_ids"], 0
        else:
            tuned = self._prompts.open(target.prompt)
            encoder = Encoder(tokenizer, tuned.template or Template(), share_head=False)
            ids, virtual = encoder.row(text).prompt, tuned.virtual_tokens
        return Tokens(count=len(ids), virtual_tokens=virtual, tokens=tuple(tokenizer.convert_ids_to_tokens(list(ids))))


class _Mailbox:
    """Events from a thread to a coroutine."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self.get: Callable[[], Any] = self._events.get

    def post(self, event: Event) -> None:
        """From any thread; nobody is told any more once the loop is closed."""
        try:
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)
        except RuntimeError:
            if not self._loop.is_closed():
                raise


def _facts(batcher: Batcher) -> dict[str, Any]:
    return {
        "model_id": batcher.model_id,
        "state": batcher.state,
        "running": batcher.running(),
        "waiting": batcher.waiting(),
        "row_bytes": batcher.row_bytes(),
        "weights": 0 if batcher.backbone is None else weight(batcher.backbone),
    }
