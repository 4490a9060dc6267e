"""Every parameter a person can set, with its help text, limits and default, written once for CLI, REST and forms.

Torch-free. Values are checked where the object is made, and all problems are named together.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from softprompt.errors import ParameterInvalid
from softprompt.patterns import compiled

Task = Literal["auto", "classification", "multilabel", "generation", "summarization"]
LABEL_TASKS: Final = ("classification", "multilabel")
"""Tasks whose answers are known beforehand: they can be read, scored and guarded."""
Method = Literal["prompt_tuning", "prefix_tuning"]
Place = Literal["prefix", "suffix", "both"]
Readout = Literal["auto", "off", "only"]
Init = Literal["text", "examples", "labels", "vocabulary", "random", "prompt"]
Optimizer = Literal["adamw", "adafactor"]
Precision = Literal["auto", "float32", "bfloat16"]
Decoding = Literal["greedy", "sample"]

LAB_INSTRUCTION = (
    "Classify the following complaint and determine which departments to route the complaint: "
    "Planning, Development, Service, Warehouse, L3, Packaging, and Marketing."
)


def param(default: Any, help: str, *, low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field with its help text and its inclusive range."""
    return field(default=default, metadata={"help": help, "low": low, "high": high})


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneConfig:
    """One tuning run. `None` means: take what suits the model and the data, and say what was taken."""

    task: Task = param("auto", "What the answers are; auto looks at the outputs of the training rows.")
    method: Method = param("prompt_tuning", "Vectors at the input, or keys and values in every layer (prefix tuning).")
    place: Place | None = param(None, "Vectors in front of the input, after the cue, or both; T5: in front.")
    readout: Readout = param("auto", "Label readout: beside the text path when it helps, never, or nothing but it.")
    init: Init | None = param(
        None, "Where the vectors start: a text, solved rows, label words, vocabulary, noise, a tuned prompt."
    )
    init_text: str = param("", "Text the vectors start from; empty: the task's instruction with the labels.")
    init_prompt: str = param(
        "", "Tuned prompt whose vectors are the start (init prompt): its folder; in the studio its id."
    )
    readout_epochs: int = param(0, "Passes that also train vectors through the readout.", low=0, high=50)
    instruction: str = param("", "Frozen text in front of every input, kept in the tuned prompt's template.")
    template: str = param("Input: {{input}} Output: ", "How an input becomes a prompt.")
    pattern: str = param("", "Regular expression that every answer keeps, also of the tuned prompt; empty: none.")
    virtual_tokens: int | None = param(None, "Vectors trained in front of the input.", low=1, high=1024)
    suffix_tokens: int | None = param(None, "Vectors trained after the cue, where they see the input.", low=1, high=128)
    batch_size: int | None = param(None, "Rows in one forward pass (the lab: 16).", low=1, high=16)
    accumulate: int | None = param(None, "Forward passes summed into one update (the lab: 16).", low=1, high=128)
    epochs: int | None = param(None, "Times every row is seen (the lab: 20).", low=1, high=50)
    learning_rate: float | None = param(None, "Step size; default: by the model's embeddings.", low=1e-5, high=0.5)
    optimizer: Optimizer = param("adamw", "How gradients become steps.")
    warmup: float = param(0.06, "Share of the updates in which the rate rises.", low=0.0, high=0.9)
    decay: bool = param(True, "Let the learning rate fall to zero over the run.")
    weight_decay: float = param(0.0, "Pull of the vectors towards zero, per update.", low=0.0, high=1.0)
    clip: float = param(1.0, "Largest norm of a gradient; 0 leaves gradients alone.", low=0.0)
    noise: float = param(0.0, "Noise on the vectors while training, in RMS of the embeddings.", low=0.0, high=2.0)
    precision: Precision = param("auto", "Products while tuning; auto: bfloat16 where the processor is made for it.")
    max_input_tokens: int = param(256, "Longest prompt in tokens; the input is cut, not the cue.", low=1, high=32768)
    max_output_tokens: int = param(128, "Longest answer in tokens.", low=1, high=8192)
    patience: int = param(0, "Epochs without a better validation result until the run stops.", low=0, high=50)
    seed: int = param(73, "Seed of order, start values and noise.", low=0, high=2**32 - 1)
    checkpoint_seconds: float = param(30.0, "Longest time between two checkpoints.", low=0.0, high=60.0)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.pattern:
            compiled(self.pattern)


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerateConfig:
    """How answers are decoded. The names are those of IBM's and OpenAI's services where they agree."""

    decoding: Decoding = param("greedy", "Always the likeliest token, or a draw.")
    temperature: float = param(0.7, "Flattens (over 1) or sharpens (under 1) the draw; 0: greedy.", low=0.0, high=2.0)
    top_p: float = param(1.0, "Draw from the likeliest tokens that together reach this.", low=1e-6, high=1.0)
    top_k: int = param(50, "Draw from that many likeliest tokens; 0: from all.", low=0)
    seed: int | None = param(None, "Seed of the draw; each row draws from its own stream.", low=0, high=2**32 - 1)
    repetition_penalty: float = param(1.0, "Above 1: tokens already seen become less likely.", low=1.0, high=2.0)
    stop: tuple[str, ...] = field(
        default=(), metadata={"help": "Texts that end the answer (at most six).", "low": None, "high": None}
    )
    min_new_tokens: int = param(0, "The answer may not end before that many tokens.", low=0)
    pattern: str = param("", "Regular expression that the whole answer keeps; empty: that of the tuned prompt, if any.")
    max_new_tokens: int = param(20, "The answer ends after that many tokens.", low=0)
    truncate_input_tokens: int = param(0, "Longest prompt in tokens; the input is cut, 0: do not cut.", low=0)

    def __post_init__(self) -> None:
        check_fields(self)
        if self.pattern:
            compiled(self.pattern)
        if len(self.stop) > 6 or any(not s for s in self.stop):
            raise ParameterInvalid(f"stop: {list(self.stop)!r} given; up to six texts that are not empty are allowed.")
        if self.min_new_tokens > self.max_new_tokens:
            raise ParameterInvalid(
                f"min_new_tokens {self.min_new_tokens} is larger than max_new_tokens {self.max_new_tokens}."
            )


def check_fields(config: Any) -> None:
    """Compare every field with its type, choices and range; one error names all that do not fit."""
    problems = []
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        low, high = item.metadata.get("low"), item.metadata.get("high")
        kind = str(item.type).removesuffix(" | None")
        if value is None and kind != item.type:
            continue
        choices = get_args(_LITERALS.get(kind))
        if choices and value not in choices:
            problems.append(f"{item.name}: {value!r} is not one of {', '.join(choices)}")
        if kind in _KINDS and not _is(value, kind):
            problems.append(f"{item.name}: {value!r} is not {_KINDS[kind][1]}")
            continue
        if low is None and high is None:
            continue
        below, above = low is not None and not value >= low, high is not None and not value <= high
        if below or above:  # "not >=" also catches NaN
            limits = f"at least {low}" if high is None else f"between {low} and {high}"
            problems.append(f"{item.name}: {value!r} is not {limits}")
    if problems:
        raise ParameterInvalid("; ".join(problems) + ".")


def _is(value: object, kind: str) -> bool:
    """Whether a value is of the kind. Whole numbers are numbers; true and false are none, though Python counts them."""
    if isinstance(value, bool):
        return kind == "bool"
    if kind == "tuple[str, ...]":
        return isinstance(value, tuple | list) and all(isinstance(part, str) for part in value)
    return isinstance(value, _KINDS[kind][0])


_KINDS: dict[str, tuple[Any, str]] = {
    "int": (int, "a whole number"), "float": ((int, float), "a number"), "bool": (bool, "true or false"),
    "str": (str, "a text"), "tuple[str, ...]": (tuple, "a list of texts"),
}  # fmt: skip
_LITERALS: dict[str, Any] = {
    "Task": Task, "Method": Method, "Place": Place, "Readout": Readout,
    "Init": Init, "Optimizer": Optimizer, "Precision": Precision, "Decoding": Decoding,
}  # fmt: skip
