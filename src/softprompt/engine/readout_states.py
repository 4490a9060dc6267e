"""Read rows with the frozen model and take down the hidden states that a label readout may look at.

That is nearly all of the work of a readout, and with many rows it takes long. So it can be kept on disk as it comes:
reading that broke off goes on behind the last rows that were written, and ends in the same bits. Fits nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from softprompt.data.template import Template
from softprompt.engine import checkpoint
from softprompt.engine.packing import pack
from softprompt.engine.readout import features
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder

if TYPE_CHECKING:
    from softprompt.engine.backbone import CausalBackbone

States = dict[tuple[int, str], Tensor]
"""Hidden states `[B, H]` by (layer, place)."""
ROWS = 16
FILES = "states-*.safetensors"


class KeptStates:
    """Where the states of a run lie while they are gathered.

    Args:
        folder: for files by the name of `FILES`; each is written whole or not at all.
        key: digest of what decides the run; files of another one are not continued.
        seconds: between two files, at least.
        told: called after every file.
    """

    def __init__(self, folder: Path, key: str, seconds: float, told: Callable[[], None] = lambda: None) -> None:
        self._folder, self._key, self._seconds, self._told = folder, key, seconds, told

    def of(self, *parts: object) -> _Series:
        """Those of one reading of the run, which these parts tell from its others."""
        words = json.dumps([self._key, *parts], default=str)
        series = hashlib.sha256(words.encode()).hexdigest()[:16]
        return _Series(self._folder, series, self._seconds, self._told)

    def clear(self) -> None:
        """Nothing of it is needed any more."""
        for path in self._folder.glob(FILES):
            path.unlink(missing_ok=True)


class _Series:
    """One reading: blocks `[S, B, H]` of S states, in the order in which they were read."""

    def __init__(self, folder: Path, name: str, seconds: float, told: Callable[[], None]) -> None:
        self._folder, self._name, self._seconds, self._told = folder, name, seconds, told
        self._waiting: list[Tensor] = []
        self._written = 0
        self._last = time.monotonic()

    def load(self) -> list[Tensor]:
        """What earlier attempts wrote, up to the first file that is missing or cannot be read."""
        found: list[Tensor] = []
        while (block := self._read(self._path(self._written))) is not None:
            found.append(block)
            self._written += block.shape[1]
        return found

    def add(self, block: Tensor) -> None:
        """One more; written together with those before it when the time has come."""
        self._waiting.append(block)
        if time.monotonic() < self._last + self._seconds:
            return
        whole = torch.cat(self._waiting, dim=1)
        checkpoint.write(self._path(self._written), {"states": whole}, {})
        self._written += whole.shape[1]
        self._waiting, self._last = [], time.monotonic()
        self._told()

    def _path(self, first: int) -> Path:
        return self._folder / FILES.replace("*", f"{self._name}-{first:08d}")

    @staticmethod
    def _read(path: Path) -> Tensor | None:
        try:
            with safe_open(path, framework="pt") as file:
                found: Tensor = file.get_tensor("states")
                return found if found.dim() == 3 and found.shape[1] else None
        except (SafetensorError, OSError):
            return None


@torch.inference_mode()
def extract(
    backbone: CausalBackbone,
    texts: Sequence[str],
    template: Template,
    prompt: SoftPrompt,
    wanted: Sequence[tuple[int, str]],
    max_input_tokens: int,
    keep: KeptStates | None = None,
) -> States:
    """Hidden states of each text at the wanted (layer, place)s; layers above the highest of them never run.

    Args:
        keep: where they are kept on the way.
    """
    encoder = Encoder(backbone.tokenizer, template, max_input_tokens)
    rows = encoder.rows(list(texts))
    layers = tuple(sorted({layer for layer, _ in wanted}))
    depth = max(layers)
    prefix = backbone.prefix(prompt, encoder.head, depth)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].prompt))
    series = keep.of(list(wanted), max_input_tokens, list(texts)) if keep is not None else None
    blocks = series.load() if series is not None else []
    for start in range(sum(block.shape[1] for block in blocks), len(order), ROWS):
        chosen = [rows[i] for i in order[start : start + ROWS]]
        packed = backbone.place(pack(chosen, prompt.suffix_length))
        _, tapped = backbone.rows(packed, [(prefix, 0, len(chosen))], suffix=prompt.suffix, depth=depth, taps=layers)
        block = torch.stack([features(tapped, packed, chosen, (layer,), (place,)).cpu() for layer, place in wanted])
        blocks.append(block)
        if series is not None:
            series.add(block)
    back = torch.tensor(order).argsort()
    whole = torch.cat(blocks, dim=1)
    return {key: whole[number][back] for number, key in enumerate(wanted)}
