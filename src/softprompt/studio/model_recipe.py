"""How prompts are tuned for a model if nobody says otherwise, and where each number comes from."""

from __future__ import annotations

from dataclasses import dataclass

from softprompt.catalogue import RELATIVE_LEARNING_RATE, default_learning_rate
from softprompt.engine.embedding_scale import embedding_rms
from softprompt.engine.plans import Pace, Shape, pace_of, rate_share, shape_of
from softprompt.params import TuneConfig
from softprompt.studio.foundation_models import Model


@dataclass(frozen=True, slots=True)
class Recipe:
    """The defaults for one kind of task.

    Attributes:
        learning_rate: None while nobody has read the model's embeddings.
        relative: learning rate over the scale of the embeddings, where it follows that.
    """

    task: str
    shape: Shape
    pace: Pace
    learning_rate: float | None
    relative: float | None


def recipes(model: Model) -> tuple[Recipe, ...]:
    """Of tasks with known labels and of others; an encoder-decoder takes the same for both."""
    if model.architecture == "seq2seq":
        return (_recipe(model, "Any task", labels=False),)
    return _recipe(model, "Known labels", labels=True), _recipe(model, "Free text", labels=False)


def scale(model: Model) -> float | None:
    """Of the embeddings of a model that lies here."""
    return embedding_rms(model.path) if model.path is not None else None


def _recipe(model: Model, task: str, *, labels: bool) -> Recipe:
    causal, config = model.architecture == "causal", TuneConfig()
    shape = shape_of(config, causal=causal, labels=labels, example_tokens=1 if labels else 0)
    pace = pace_of(shape.init, causal=causal)
    share, rms = rate_share(config, pace), scale(model)
    follows = causal and (model.card is None or model.card.learning_rate is None)
    known = default_learning_rate(model.card, architecture=model.architecture, embedding_rms=rms or 0.0)
    rate = None if follows and rms is None else known * share
    return Recipe(task, shape, pace, rate, RELATIVE_LEARNING_RATE * share if follows else None)
