"""Foundation models as IBM's client lists them, with what each can do and the limits of its tuning; and the tasks.

The client asks without a key, too. Nothing here says whether a model's files lie on this machine.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request

from softprompt.api.context import studio_of
from softprompt.api.watsonx.shared import Limit
from softprompt.api.watsonx.trainings_params import IBM, OURS
from softprompt.catalogue import SEQ2SEQ_LEARNING_RATE
from softprompt.data.template import DEFAULT_TEXT
from softprompt.errors import UsageError
from softprompt.params import TuneConfig
from softprompt.storage.rows import Rows
from softprompt.storage.types import now
from softprompt.studio.access import iso
from softprompt.studio.foundation_models import Model, all_models

router = APIRouter(tags=["watsonx: foundation models"])
TASKS = {
    "question_answering": "Question answering",
    "summarization": "Summarization",
    "retrieval_augmented_generation": "Retrieval Augmented Generation",
    "classification": "Classification",
    "generation": "Generation",
    "code": "Code Generation and Conversion",
    "extraction": "Extraction",
}
"""IBM's labels: the client makes names out of them."""
TUNED = ("classification", "generation", "summarization")
KINDS = ("function", "task", "modelid", "provider", "source", "lifecycle", "tier")
_RANGES = {item.name: item.metadata for item in dataclasses.fields(TuneConfig)}


@router.get("/ml/v1/foundation_model_specs")
def specs(
    request: Request, filters: str = "", limit: Limit = 100, start: Annotated[int, Query(ge=0)] = 0
) -> dict[str, Any]:
    """Models that fit the filters: words such as `function_text_generation`, `!` for not, `:and` or `:or` behind."""
    studio = studio_of(request)
    with studio.office.database.read() as session:
        models = all_models(Rows(session))
    wanted = _Filter(filters)
    found = [spec for model in models if wanted.fits(spec := document(model, studio.settings.limits.rows))]
    page = found[start : start + limit]
    answered = {"limit": limit, "total_count": len(found), "resources": page}
    if start + limit < len(found):
        url = request.url.include_query_params(start=start + limit)
        answered["next"] = {"href": f"{url.path.lstrip('/')}?{url.query}"}
    return answered


@router.get("/ml/v1/foundation_model_tasks")
def tasks(request: Request) -> dict[str, Any]:
    found = [{"task_id": word, "label": label, "rank": rank} for rank, (word, label) in enumerate(TASKS.items(), 1)]
    return {"limit": 100, "total_count": len(found), "resources": found}


class _Filter:
    """IBM's filter expression."""

    def __init__(self, text: str) -> None:
        words, _, joined = text.rpartition(":") if text.endswith((":and", ":or")) else (text, "", "or")
        self._all = joined == "and"
        self._terms = [_term(word.strip()) for word in words.split(",") if word.strip()]

    def fits(self, spec: dict[str, Any]) -> bool:
        if not self._terms:
            return True
        has = _features(spec)
        answers = [((kind, value) in has) != negative for kind, value, negative in self._terms]
        return all(answers) if self._all else any(answers)


def _term(word: str) -> tuple[str, str, bool]:
    negative = word.startswith("!")
    kind, _, value = word.removeprefix("!").partition("_")
    if kind not in KINDS or not value:
        raise UsageError(f"filters: {word[:60]!r} is not known; use words such as function_text_generation. "
                         f"They begin with {', '.join(KINDS)}.")  # fmt: skip
    return kind, value.lower(), negative


def _features(spec: dict[str, Any]) -> set[tuple[str, str]]:
    found = {("modelid", spec["model_id"]), ("provider", spec["provider"]), ("source", spec["source"])}
    found |= {("function", item["id"]) for item in spec["functions"]}
    found |= {("task", word) for word in spec["task_ids"]}
    found |= {("lifecycle", item["id"]) for item in spec["lifecycle"]}
    return {(kind, value.lower()) for kind, value in found}


def document(model: Model, most_rows: int) -> dict[str, Any]:
    card = model.card
    functions = ["text_generation"]
    if model.architecture == "causal":
        functions.append("text_chat")
    if model.tunable:
        functions += ["prompt_tune_trainable", "prompt_tune_inferable"]
    begun = "2024-01-01" if model.row is None else str(iso(model.row.created_at))[:10]
    spec: dict[str, Any] = {
        "model_id": model.id,
        "label": model.label,
        "provider": card.provider if card else "Own model",
        "source": "Hugging Face" if card else "This studio",
        "short_description": card.short_description if card else "A model that an admin of this studio added.",
        "long_description": f"Good at {card.good_at}." if card else "",
        "number_params": card.parameters if card else "",
        "min_shot_size": 0,
        "input_tier": "class_c1",
        "output_tier": "class_c1",
        "task_ids": list(TASKS),
        "tasks": [{"id": word, **(_TRAINABLE if model.tunable and word in TUNED else {})} for word in TASKS],
        "functions": [{"id": word} for word in functions],
        "lifecycle": [{"id": "available", "start_date": begun}],
        "model_limits": {"max_sequence_length": model.context, "max_output_tokens": model.context - 1},
    }
    if model.tunable:
        spec["model_limits"]["training_data_max_records"] = most_rows
        spec["training_parameters"] = training_parameters(model)
    return spec


def training_parameters(model: Model) -> dict[str, Any]:
    """Limits and defaults of tuning. A decoder-only model's defaults that depend on the data have none here."""
    found: dict[str, Any] = {}
    for name, ours in OURS.items():
        high = _RANGES[ours]["high"]
        high = min(high, model.context) if ours.startswith("max_") else high
        found[name] = {"min": _RANGES[ours]["low"], "max": high}
        if (default := _default(name, model)) is not None:
            found[name] = {"default": default, **found[name]}
    found["num_virtual_tokens"]["supported"] = [20, 50, 100]
    start = IBM["init_method"] if model.architecture == "seq2seq" else "text"
    found["init_method"] = {"supported": ["random", "text"], "default": start}
    found["init_text"] = {"default": "text"}
    found["verbalizer"] = {"default": DEFAULT_TEXT}
    found["torch_dtype"] = {"default": "float32"}
    return found


def _default(name: str, model: Model) -> Any:
    if name == "learning_rate":
        usual = SEQ2SEQ_LEARNING_RATE if model.architecture == "seq2seq" else None
        return model.card.learning_rate or usual if model.card else usual
    if model.architecture == "seq2seq" or name.startswith("max_"):
        return IBM[name]
    return None


_TRAINABLE = {"tags": ["function_prompt_tune_trainable"]}


def stamp() -> str:
    """This moment, as answers carry it."""
    return str(iso(now()))
