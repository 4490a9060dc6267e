"""Which foundation models are loaded: each once, at its first use, with a thread of its own; idle ones go when memory
is short. Does not decode.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from softprompt.engine.loading import load_model
from softprompt.engine.sources import resolve
from softprompt.serving.batcher import Batcher
from softprompt.serving.meters import Meters
from softprompt.serving.prompts import Prompts
from softprompt.serving.threads import Launch, spawn
from softprompt.serving.turns import Limits

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

log = logging.getLogger("softprompt.serving")
Load = Callable[[str], "Backbone"]
"""Brings a foundation model by its id."""


def load_local(model_id: str, device: str = "cpu") -> Backbone:
    """A model that lies on this machine; a request is no reason to fetch gigabytes."""
    resolve(model_id, download=False)
    return load_model(model_id, device=device)


class Models:
    """The loaded models, within a budget of bytes. For several threads."""

    def __init__(
        self, load: Load, budget: int, prompts: Prompts, limits: Limits, meters: Meters, launch: Launch = spawn
    ) -> None:
        self._launch = launch
        self._load, self._budget, self._prompts = load, budget, prompts
        self._limits, self._meters = limits, meters
        self._batchers: dict[str, Batcher] = {}
        self._lock = threading.Lock()
        self._closed = False
        meters.hold("models", self.nbytes)
        meters.hold("prompts", prompts.nbytes)
        meters.hold("rows", lambda: sum(b.row_bytes() for b in self.batchers()))

    def batcher(self, model_id: str) -> Batcher:
        """The model's batcher, which takes work at once, even while the model is being loaded."""
        with self._lock:
            found = self._batchers.get(model_id)
            if found is not None and (found.state != "stopped" or self._closed):
                return found
            for name in [name for name, batcher in self._batchers.items() if batcher.state == "stopped"]:
                del self._batchers[name]
                self._meters.unwatch(name)
            made = self._batchers[model_id] = Batcher(model_id, self._bring, self._prompts, self._limits, self._meters)
            made.start(self._launch)
            return made

    def batchers(self) -> list[Batcher]:
        with self._lock:
            return list(self._batchers.values())

    def nbytes(self) -> int:
        """Bytes of the weights of all loaded models."""
        return sum(weight(b.backbone) for b in self.batchers() if b.backbone is not None)

    def close(self, within: float) -> None:
        """Let all end what they do, within some seconds."""
        with self._lock:
            self._closed = True
        for batcher in self.batchers():
            batcher.stop(within)
        end = time.monotonic() + within + 1.0
        for batcher in self.batchers():
            batcher.join(max(end - time.monotonic(), 0.1))

    def _bring(self, model_id: str) -> Backbone:
        """Load a model; idle ones that were not used for longest make room for it."""
        backbone = self._load(model_id)
        self._make_room(model_id, weight(backbone))
        return backbone

    def _make_room(self, model_id: str, coming: int) -> None:
        for batcher in sorted(self.batchers(), key=lambda one: one.used):
            if self.nbytes() + coming <= self._budget:
                return
            if batcher.model_id != model_id and batcher.stop(0.0, only_idle=True):
                batcher.join(10.0)
                self._prompts.forget(batcher.model_id)
                log.info("%s was unloaded: its memory is needed for %s.", batcher.model_id, model_id)


def weight(backbone: Backbone) -> int:
    """Bytes of a model's weights."""
    return sum(p.numel() * p.element_size() for p in backbone.model.parameters())
