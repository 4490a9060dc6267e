"""IBM's tuning parameters in our words, and back.

What a person leaves out: for encoder-decoder models (T5), for which IBM's values were chosen, those are taken and
shown: what stands in the document is what runs. For decoder-only models they train badly (docs/tuning.md), so that
everything left out stays open and is chosen by the engine for model and data; the document then shows what it is
expected to choose, and the true figures once the run is over. `torch_dtype` is taken and shown; the studio chooses its
precision by the machine.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from softprompt.data.template import DEFAULT_TEXT, Template
from softprompt.errors import TemplateInvalid
from softprompt.params import LABEL_TASKS, TuneConfig
from softprompt.storage.tables import Dataset
from softprompt.studio.foundation_models import Model

OURS = {
    "accumulate_steps": "accumulate",
    "batch_size": "batch_size",
    "learning_rate": "learning_rate",
    "max_input_tokens": "max_input_tokens",
    "max_output_tokens": "max_output_tokens",
    "num_epochs": "epochs",
    "num_virtual_tokens": "virtual_tokens",
}
"""Our names of IBM's numbers."""
OTHERS = ("base_model", "task_id", "tuning_type", "init_method", "init_text", "verbalizer", "torch_dtype")
IBM: dict[str, Any] = {
    "accumulate_steps": 16,
    "batch_size": 16,
    "learning_rate": 0.3,
    "max_input_tokens": 256,
    "max_output_tokens": 128,
    "num_epochs": 20,
    "num_virtual_tokens": 100,
    "init_method": "random",
}
"""IBM's values for what is left out."""
TASKS = {
    "classification": "classification",
    "summarization": "summarization",
    "generation": "generation",
    "question_answering": "generation",
    "extraction": "generation",
    "code": "generation",
    "retrieval_augmented_generation": "generation",
}
"""Our tasks by IBM's."""
DTYPES = ("float16", "bfloat16", "float32")
_RANGES = {item.name: item.metadata for item in dataclasses.fields(TuneConfig)}


def read(sent: dict[str, Any], model: Model | None, dataset: Dataset | None) -> tuple[dict[str, Any], list[str]]:
    """Fields of `TuneConfig` for what was sent, and everything that is wrong with it.

    Args:
        model, dataset: None if they are what is wrong.
    """
    problems = [f"{name}: not known; known are {', '.join([*OTHERS, *OURS])}" for name in _unknown(sent)]
    config: dict[str, Any] = {}
    for name, ours in OURS.items():
        value = sent.get(name)
        if value is None:
            continue
        if problem := _number_problem(name, value, ours):
            problems.append(problem)
        else:
            config[ours] = float(value) if ours == "learning_rate" else int(value)
    problems += _read_words(sent, config)
    if isinstance(task := sent.get("task_id"), str) and task in TASKS:
        # IBM's classification covers label sets; whether these rows hold sets was seen when they came in.
        sets = task == "classification" and dataset is not None and dataset.task == "multilabel"
        config["task"] = "multilabel" if sets else TASKS[task]
    if model is not None and model.architecture == "seq2seq":
        config = {
            **{ours: IBM[name] for name, ours in OURS.items()},
            "init": _init(sent) or IBM["init_method"],
            **config,
        }
    return config, problems


def shown(sent: dict[str, Any], config: dict[str, Any], model: Model, dataset: Dataset) -> dict[str, Any]:
    """The parameters as the run's document has them: as sent, what was left out filled in where it is known."""
    document = {name: value for name, value in sent.items() if value is not None}
    document["base_model"] = {**_object(sent.get("base_model")), "model_id": model.id}
    document.setdefault("tuning_type", "prompt_tuning")
    document.setdefault("task_id", _IBM_TASKS.get(dataset.task or "", "generation"))
    document.setdefault("verbalizer", DEFAULT_TEXT)
    document.setdefault("max_input_tokens", IBM["max_input_tokens"])
    document.setdefault("max_output_tokens", IBM["max_output_tokens"])
    if model.architecture == "seq2seq":
        return {**IBM, "torch_dtype": "float32", **document}
    expected = expected_schedule(config, dataset.rows or 0, dataset.task or "")
    if model.card is not None and model.card.learning_rate is not None:
        expected.setdefault("learning_rate", model.card.learning_rate)
    return {**expected, **document}


def chosen(document: dict[str, Any], card: dict[str, Any]) -> dict[str, Any]:
    """The document of a run that is over, with the figures that its tuned prompt says it was made with."""
    recipe = (card.get("recipe") or {}).get("chosen") or {}
    found = {name: recipe[ours] for name, ours in OURS.items() if recipe.get(ours) is not None}
    if card.get("virtual_tokens"):
        found["num_virtual_tokens"] = card["virtual_tokens"]
    return {**document, **found}


def of_config(config: dict[str, Any], model_id: str, epochs: int) -> dict[str, Any]:
    """The parameters of a run that was started on another interface."""
    document: dict[str, Any] = {"base_model": {"model_id": model_id}, "tuning_type": "prompt_tuning"}
    document["num_epochs"] = epochs or IBM["num_epochs"]
    document |= {name: config[ours] for name, ours in OURS.items() if config.get(ours) is not None}
    document["task_id"] = _IBM_TASKS.get(config.get("task") or "", "generation")
    document["verbalizer"] = config.get("template") or DEFAULT_TEXT
    return document


def expected_schedule(config: dict[str, Any], rows: int, task: str) -> dict[str, Any]:
    """Passes, batch and accumulation that the engine will choose for a decoder-only model (`engine.defaults`)."""
    solved = task in LABEL_TASKS and not config.get("init_text")
    examples = solved and config.get("init") in (None, "examples")
    usual, updates = (16, 75) if examples else (4, 250)
    batch = config.get("batch_size") or usual
    batches = max(1, math.ceil(rows / batch))
    epochs = config.get("epochs") or max(3, min(20, math.ceil(updates / batches)))
    accumulate = config.get("accumulate") or max(1, min(16, batches * epochs // updates))
    return {"num_epochs": epochs, "batch_size": batch, "accumulate_steps": accumulate}


_IBM_TASKS = {**{ours: ours for ours in TASKS.values()}, "multilabel": "classification"}


def _read_words(sent: dict[str, Any], config: dict[str, Any]) -> list[str]:
    problems = []
    choices = {"tuning_type": ("prompt_tuning",), "init_method": ("random", "text"), "torch_dtype": DTYPES}
    for name, allowed in {**choices, "task_id": tuple(TASKS)}.items():
        if sent.get(name) is not None and sent[name] not in allowed:
            problems.append(f"{name}: {str(sent[name])[:60]!r} is not one of {', '.join(allowed)}")
    for name in ("init_text", "verbalizer"):
        if sent.get(name) is not None and not isinstance(sent[name], str):
            problems.append(f"{name}: {str(sent[name])[:60]!r} is not a text")
    if isinstance(verbalizer := sent.get("verbalizer"), str):
        try:
            Template(verbalizer)
            config["template"] = verbalizer
        except TemplateInvalid as error:
            problems.append(f"verbalizer: {str(error).rstrip('.')}")
    if (init := _init(sent)) is not None:
        config["init"] = init
    if init == "text" and isinstance(sent.get("init_text"), str):
        config["init_text"] = sent["init_text"]
    return problems


def _init(sent: dict[str, Any]) -> str | None:
    """How the vectors start; a text without a method means: from that text."""
    method = sent.get("init_method")
    if method in ("random", "text"):
        return str(method)
    return "text" if method is None and sent.get("init_text") else None


def _number_problem(name: str, value: Any, ours: str) -> str | None:
    low, high = _RANGES[ours]["low"], _RANGES[ours]["high"]
    whole = ours != "learning_rate"
    if isinstance(value, bool) or not isinstance(value, int | float) or (whole and not float(value).is_integer()):
        return f"{name}: {str(value)[:60]!r} is not a {'whole number' if whole else 'number'}"
    return None if low <= value <= high else f"{name}: {value!r} is not between {low} and {high}"


def _unknown(sent: dict[str, Any]) -> list[str]:
    return sorted(set(sent) - set(OURS) - set(OTHERS))


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
