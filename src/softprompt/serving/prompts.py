"""Tuned prompts ready to answer: fetched at first use, keys and values computed once, the least used go first.

A prompt's key names content that never changes; a new deployment brings a new key and is live at its first request.
Does not know the artifact store (a callable brings the folder) and does not decode.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor, device

from softprompt.engine.artifact import TunedPrompt
from softprompt.engine.attention import PrefixCache
from softprompt.engine.read_label import ReadyReadout, ready_readout
from softprompt.engine.requests import Ready, make_ready
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.errors import ArtifactInvalid, ModelUnsupported, SoftpromptError
from softprompt.serving.meters import Meters

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

log = logging.getLogger("softprompt.serving")
AnyReady = TypeVar("AnyReady", Ready, ReadyReadout)
Fetch = Callable[[str], Path]
"""The local folder of a tuned prompt, by its key."""
OPENED = 64
"""Tuned prompts whose files are kept open for counting tokens, beside the budget."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A tuned prompt on its loaded model.

    Attributes:
        tuned: what was read from the folder.
        text: for generated text.
        guard: for text that can only be a known answer.
        readout: for its label readout.
        nbytes: what all of it takes.
        cost: tokens that were read to make it.
    """

    tuned: TunedPrompt
    text: Ready
    guard: Ready | None
    readout: ReadyReadout | None
    nbytes: int
    cost: int


class Prompts:
    """The tuned prompts of all models, within one budget of bytes. For several threads."""

    def __init__(self, fetch: Fetch, budget: int, meters: Meters) -> None:
        self._fetch, self._budget, self._meters = fetch, budget, meters
        self._ready: OrderedDict[tuple[str, str], Prepared] = OrderedDict()
        self._opened: OrderedDict[str, TunedPrompt] = OrderedDict()
        self._opening: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def has(self, model_id: str, key: str) -> bool:
        """Whether nothing has to be fetched."""
        return (model_id, key) in self._ready or key in self._opened

    def open(self, key: str) -> TunedPrompt:
        """The tuned prompt's files, read and checked; takes as long as the artifact store takes."""
        with self._lock:
            if (found := self._opened.get(key)) is not None:
                self._opened.move_to_end(key)
                return found
            turn = self._opening.setdefault(key, threading.Lock())
        with turn:
            if (found := self._opened.get(key)) is not None:  # somebody else was faster
                return found
            try:
                tuned = TunedPrompt.load(self._fetch(key))
                log.debug("The tuned prompt %s was fetched and opened.", key)
            except SoftpromptError:
                raise
            except Exception as error:
                raise ArtifactInvalid(f"The tuned prompt {key} cannot be fetched: {error}") from error
            finally:
                with self._lock:
                    self._opening.pop(key, None)
            with self._lock:
                self._opened[key] = tuned
                while len(self._opened) > OPENED:
                    self._opened.popitem(last=False)
            return tuned

    def prepared(self, backbone: Backbone, model_id: str, key: str) -> tuple[Prepared, bool]:
        """The prompt on its model, and whether it had to be computed. Only the model's own thread asks."""
        with self._lock:
            if (found := self._ready.get((model_id, key))) is not None:
                self._ready.move_to_end((model_id, key))
                self._meters.cache("hit")
                return found, False
        self._meters.cache("miss")
        made = prepare(backbone, self.open(key))
        with self._lock:
            self._ready[model_id, key] = made
            while sum(one.nbytes for one in self._ready.values()) > self._budget and len(self._ready) > 1:
                (of, gone), _ = self._ready.popitem(last=False)
                log.debug("The tuned prompt %s of %s made room for others.", gone, of)
        log.debug("The tuned prompt %s of %s is ready: %s bytes.", key, model_id, f"{made.nbytes:,}")
        return made, True

    def forget(self, model_id: str) -> None:
        """Give back what belongs to a model that was unloaded."""
        with self._lock:
            for pair in [pair for pair in self._ready if pair[0] == model_id]:
                del self._ready[pair]

    def nbytes(self) -> int:
        with self._lock:
            return sum(one.nbytes for one in self._ready.values())

    def __len__(self) -> int:
        return len(self._ready)


def prepare(backbone: Backbone, tuned: TunedPrompt) -> Prepared:
    """Check that it is the right model and compute what all rows of the prompt share."""
    tuned.check_base(backbone)
    longest = tuned.max_input_tokens
    encoder = Encoder(backbone.tokenizer, tuned.template, longest, backbone.kind == "causal")
    text = _compact(make_ready(backbone, encoder, _placed(tuned.prompt, backbone.device), pattern=tuned.pattern))
    guard = make_ready(backbone, encoder, text.prompt, tuned.labels, text.prefix) if tuned.labels else None
    cost = text.prompt.prefix_length + len(encoder.head)
    readout = None
    if tuned.readout is not None:
        if backbone.kind != "causal":
            raise ModelUnsupported("Label readouts need a decoder-only model.")
        moved = replace(tuned.readout, prompt=_placed(tuned.readout.prompt, backbone.device))
        readout = _compact(ready_readout(backbone, moved, longest))
        cost += moved.prompt.prefix_length + len(readout.encoder.head)
    caches = [text.prefix, None if readout is None else readout.prefix]
    return Prepared(tuned, text, guard, readout, _cache_bytes(caches) + _bytes(_tensors(tuned)), cost)


def _compact(ready: AnyReady) -> AnyReady:
    """With keys and values in one piece: thousands of small ones leave holes that nothing else fits into."""
    return ready if ready.prefix is None else replace(ready, prefix=ready.prefix.compact())


def _placed(prompt: SoftPrompt, where: device) -> SoftPrompt:
    return SoftPrompt(**{name: tensor.to(where) for name, tensor in prompt.tensors().items()})


def _tensors(tuned: TunedPrompt) -> list[Tensor]:
    return [*tuned.prompt.tensors().values(), *(tuned.readout.tensors() if tuned.readout else {}).values()]


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _cache_bytes(caches: Iterable[PrefixCache | None]) -> int:
    return sum(cache.nbytes() for cache in caches if cache is not None)
