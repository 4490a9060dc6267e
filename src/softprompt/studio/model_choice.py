"""Choosing among foundation models: what each is for, how large it is, and the ones that fit a person's wishes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from softprompt.studio.foundation_models import Model

SIZES: dict[str, tuple[str, int, int]] = {
    "tiny": ("Up to 500 million", 0, 500_000_000),
    "small": ("500 million to 2 billion", 500_000_000, 2_000_000_000),
    "medium": ("2 to 6 billion", 2_000_000_000, 6_000_000_000),
    "large": ("More than 6 billion", 6_000_000_000, 10**15),
}
"""Words, and parameters from (not included) to."""
TASKS = {
    "classification": "Classification",
    "routing": "Routing",
    "extraction": "Extraction",
    "summarization": "Summarization",
    "generation": "Generation",
    "questions": "Question answering",
}
_SAID = {"question answering": "questions", "short answers": "questions", "short texts": "generation"}
"""What cards say in other words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a person looks for; what is empty does not matter."""

    search: str = ""
    task: str = ""
    size: str = ""
    licence: str = ""
    tunable: bool = False
    here: bool = False


def fits(model: Model, wish: Wish) -> bool:
    return (
        all(word in told(model) for word in wish.search.casefold().split())
        and (not wish.task or wish.task in tasks_of(model))
        and (not wish.size or wish.size == size_of(model))
        and (not wish.licence or wish.licence == licence_of(model))
        and (not wish.tunable or model.tunable)
        and (not wish.here or model.available)
    )


def told(model: Model) -> str:
    """Everything that is searched, in lower case."""
    card = model.card
    known = (card.provider, card.good_at, card.licence, card.short_description, *card.aliases) if card else ()
    return " ".join((model.id, model.label, *known)).casefold()


def tasks_of(model: Model) -> list[str]:
    """Keys of `TASKS`."""
    if model.card is None:
        return []
    words = [part.strip().removeprefix("multilingual ") for part in model.card.good_at.split(",")]
    found = [_SAID.get(word, word) for word in words]
    return [task for task in TASKS if task in found]


def size_of(model: Model) -> str:
    """A key of `SIZES`; empty if nobody knows."""
    count = model.card.parameter_count if model.card else 0
    return next((key for key, (_, above, most) in SIZES.items() if above < count <= most), "")


def licence_of(model: Model) -> str:
    return model.card.licence if model.card else ""


def licences(models: Iterable[Model]) -> list[str]:
    """All there are, the commonest first."""
    all_of_them = [licence for model in models if (licence := licence_of(model))]
    return sorted(set(all_of_them), key=lambda licence: (-all_of_them.count(licence), licence))
