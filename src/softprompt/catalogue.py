"""The foundation models Softprompt knows, read from `catalogue.toml`.

Facts only: what a model is, what it is good at, where it can be had. Whether it lies on this machine is
`engine.sources`. Torch-free.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from softprompt.errors import ModelUnknown

CAUSAL = frozenset({"gemma", "gemma3_text", "gpt2", "granite", "llama", "mistral", "qwen2"})
SEQ2SEQ = frozenset({"mt5", "t5"})
"""Architectures the engine runs, by transformers' `model_type`."""

SEQ2SEQ_LEARNING_RATE = 0.3
RELATIVE_LEARNING_RATE = 0.22
"""Of the RMS of the embedding table: what worked best on decoders of 135M parameters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelSource:
    """A GGUF file inside a Python wheel."""

    package: str
    version: str
    member: str
    """Path of the file inside the wheel."""
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCard:
    """What is known about a foundation model without having it."""

    id: str
    label: str
    provider: str
    parameters: str
    """For people: "135M"."""
    parameter_count: int
    architecture: Literal["causal", "seq2seq"]
    model_type: str
    languages: tuple[str, ...]
    licence: str
    context: int
    """Longest text in tokens it was trained on, virtual tokens included."""
    good_at: str
    short_description: str
    hidden_size: int | None = None
    layers: int | None = None
    """Of an encoder-decoder: of each half."""
    learning_rate: float | None = None
    """None: computed from the model, see `default_learning_rate`."""
    tunable: bool = True
    reason: str = ""
    """Why it is not tunable."""
    aliases: tuple[str, ...] = ()
    hub: str | None = None
    wheel: WheelSource | None = None


@cache
def cards() -> tuple[ModelCard, ...]:
    """Every model, in the order of the file: small ones first."""
    text = (files("softprompt") / "catalogue.toml").read_text(encoding="utf-8")
    return tuple(_card(entry) for entry in tomllib.loads(text)["model"])


def find(model_id: str) -> ModelCard | None:
    """The card of an id, in any case, or of another name the model goes by."""
    return _index().get(model_id.strip().lower())


def get(model_id: str) -> ModelCard:
    """As `find`; an unknown id is an error that names the closest ones."""
    if (card := find(model_id)) is not None:
        return card
    names = {name: card.id for name, card in _index().items()}
    close = difflib.get_close_matches(model_id.strip().lower(), names, n=8, cutoff=0.6)
    suggestions = list(dict.fromkeys(names[name] for name in close))[:3]
    hint = f"Did you mean {' or '.join(suggestions)}? " if suggestions else ""
    raise ModelUnknown(
        f"There is no foundation model {model_id!r} in the catalogue. {hint}"
        "`softprompt models list` shows all; a folder with the model's files can be named instead."
    )


def default_learning_rate(card: ModelCard | None, *, architecture: str, embedding_rms: float) -> float:
    """The learning rate to start with: the model's own, T5's, or one at the scale of the embeddings."""
    if card is not None and card.learning_rate is not None:
        return card.learning_rate
    return SEQ2SEQ_LEARNING_RATE if architecture == "seq2seq" else RELATIVE_LEARNING_RATE * embedding_rms


def _card(entry: dict[str, Any]) -> ModelCard:
    wheel = entry.get("wheel")
    return ModelCard(
        **{
            **entry,
            "languages": tuple(entry["languages"]),
            "aliases": tuple(entry.get("aliases", ())),
            "wheel": WheelSource(**wheel) if wheel else None,
        }
    )


@cache
def _index() -> dict[str, ModelCard]:
    """Every name in lower case; the part behind the owner is a name too."""
    index: dict[str, ModelCard] = {}
    for card in cards():
        for name in (card.id, card.hub, *card.aliases):
            if name:
                index[name.lower()] = card
                index.setdefault(name.lower().split("/")[-1], card)
    return index
