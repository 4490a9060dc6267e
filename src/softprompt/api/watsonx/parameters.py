"""IBM's decoding parameters in our words. All that do not fit are named at once; what cannot be done is warned of.

Does not know HTTP or answers. Chats have OpenAI's names, see `chat`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from softprompt.errors import ParameterInvalid
from softprompt.params import GenerateConfig
from softprompt.serving.protocol import MOST_DETAILS

NEW_TOKENS = 20
"""IBM's default of max_new_tokens."""
MOST_STOPS = 6
NUMBERS: dict[str, tuple[type, float, float | None]] = {
    "temperature": (float, 0.0, 2.0),
    "top_p": (float, 1e-6, 1.0),
    "top_k": (int, 1, 100),
    "random_seed": (int, 1, 2**32 - 1),
    "repetition_penalty": (float, 1.0, 2.0),
    "min_new_tokens": (int, 0, None),
    "max_new_tokens": (int, 0, None),
    "truncate_input_tokens": (int, 0, None),
    "time_limit": (int, 1, 86_400_000),
}
"""Kind and limits by name; the time limit is in milliseconds."""
OPTIONS = ("input_text", "generated_tokens", "input_tokens", "token_logprobs", "token_ranks")
OTHERS = (
    "decoding_method",
    "stop_sequences",
    "include_stop_sequence",
    "length_penalty",
    "return_options",
    "prompt_variables",
)
NO_LENGTH_PENALTY = "length_penalty is not applied here; max_new_tokens and stop_sequences bound an answer's length."
NO_INPUT_FIGURES = "input_tokens come without log probabilities and ranks here."


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants of an answer.

    Attributes:
        include_stop: whether the stop sequence that was found stays at the end of the text.
        time_limit: seconds.
        options: IBM's return options that are set.
        top: alternatives of each token.
        warnings: what was asked for and is not done.
    """

    config: GenerateConfig
    include_stop: bool = True
    time_limit: float | None = None
    variables: Mapping[str, str] | None = None
    options: frozenset[str] = frozenset()
    top: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def details(self) -> int | None:
        """Alternatives of each generated token; None if nobody wants to know of tokens."""
        return self.top if "generated_tokens" in self.options else None


def read(sent: Mapping[str, Any] | None, usual: Mapping[str, Any] | None = None) -> Wanted:
    """Check and translate.

    Args:
        usual: parameters that a prompt template was saved with; what is sent comes before them.
    """
    given = {name: value for name, value in {**(usual or {}), **(sent or {})}.items() if value is not None}
    problems = [f"{name}: not known" for name in sorted(set(given) - set(NUMBERS) - set(OTHERS))]
    numbers = {name: given[name] for name in NUMBERS if name in given}
    problems += [problem for name, value in numbers.items() if (problem := _number_problem(name, value))]
    method = given.get("decoding_method", "greedy")
    if method not in ("greedy", "sample"):
        problems.append(f"decoding_method: {str(method)[:60]!r} is not greedy or sample")
    stops = given.get("stop_sequences") or []
    fine = isinstance(stops, list) and all(isinstance(stop, str) and stop for stop in stops)
    if not fine or len(stops) > MOST_STOPS:
        problems.append(f"stop_sequences: at most {MOST_STOPS} texts that are not empty are allowed")
    include = given.get("include_stop_sequence", True)
    if not isinstance(include, bool):
        problems.append(f"include_stop_sequence: {str(include)[:60]!r} is not true or false")
    options, top = _options(given.get("return_options") or {}, problems)
    variables = given.get("prompt_variables")
    if variables is not None and not isinstance(variables, dict):
        problems.append("prompt_variables: an object of names and texts is needed")
    least, most = numbers.get("min_new_tokens", 0), numbers.get("max_new_tokens")
    if not problems and least > (NEW_TOKENS if most is None else most):
        problems.append(
            f"min_new_tokens: {least} is larger than max_new_tokens ({NEW_TOKENS if most is None else most})"
        )
    if problems:
        raise ParameterInvalid("; ".join(f"parameters.{problem}" for problem in problems) + ".")
    warnings = [NO_LENGTH_PENALTY] if given.get("length_penalty") else []
    if "input_tokens" in options and options & {"token_logprobs", "token_ranks"}:
        warnings.append(NO_INPUT_FIGURES)
    return Wanted(
        config=_config(str(method), numbers, tuple(stops)),
        include_stop=include,
        time_limit=numbers["time_limit"] / 1000 if "time_limit" in numbers else None,
        variables=None if variables is None else {str(name): str(value) for name, value in variables.items()},
        options=options,
        top=top,
        warnings=tuple(warnings),
    )


def _config(method: str, numbers: dict[str, Any], stops: tuple[str, ...]) -> GenerateConfig:
    return GenerateConfig(
        decoding="sample" if method == "sample" else "greedy",
        temperature=float(numbers.get("temperature", 1.0)),
        top_p=float(numbers.get("top_p", 1.0)),
        top_k=int(numbers.get("top_k", 50)),
        seed=int(numbers["random_seed"]) if "random_seed" in numbers else None,
        repetition_penalty=float(numbers.get("repetition_penalty", 1.0)),
        stop=stops,
        min_new_tokens=int(numbers.get("min_new_tokens", 0)),
        max_new_tokens=int(numbers.get("max_new_tokens", NEW_TOKENS)),
        truncate_input_tokens=int(numbers.get("truncate_input_tokens", 0)),
    )


def _options(sent: Any, problems: list[str]) -> tuple[frozenset[str], int]:
    if not isinstance(sent, dict):
        problems.append("return_options: an object is needed")
        return frozenset(), 0
    top = sent.get("top_n_tokens") or 0
    if isinstance(top, bool) or not isinstance(top, int) or not 0 <= top <= MOST_DETAILS:
        problems.append(f"return_options.top_n_tokens: {str(top)[:60]!r} is not between 0 and {MOST_DETAILS}")
        top = 0
    if unknown := sorted(set(sent) - {*OPTIONS, "top_n_tokens"}):
        problems.append(f"return_options: {', '.join(unknown)} not known; known are {', '.join(OPTIONS)}, top_n_tokens")
    return frozenset(name for name in OPTIONS if sent.get(name)), top


def _number_problem(name: str, value: Any) -> str | None:
    kind, low, high = NUMBERS[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or (kind is int and not float(value).is_integer()):
        return f"{name}: {str(value)[:60]!r} is not a {'whole number' if kind is int else 'number'}"
    if not value >= low or (high is not None and value > high):  # "not >=" also catches NaN
        return f"{name}: {value} is not {f'at least {low}' if high is None else f'between {low} and {high}'}"
    return None
