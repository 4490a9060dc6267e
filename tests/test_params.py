"""Parameters are refused in words where they are made: wrong types, choices and ranges, all problems at once."""

from __future__ import annotations

from typing import Any

import pytest

from softprompt.errors import ParameterInvalid
from softprompt.params import GenerateConfig, TuneConfig


@pytest.mark.parametrize(
    ("kind", "given", "words"),
    [
        (TuneConfig, {"epochs": "3"}, "epochs: '3' is not a whole number."),
        (TuneConfig, {"epochs": 3.0}, "epochs: 3.0 is not a whole number."),
        (TuneConfig, {"epochs": True}, "epochs: True is not a whole number."),
        (TuneConfig, {"seed": None}, "seed: None is not a whole number."),
        (TuneConfig, {"learning_rate": "high"}, "learning_rate: 'high' is not a number."),
        (TuneConfig, {"decay": 1}, "decay: 1 is not true or false."),
        (TuneConfig, {"init_text": 5, "epochs": 51}, "epochs: 51 is not between 1 and 50"),
        (TuneConfig, {"init_text": 5, "epochs": 51}, "init_text: 5 is not a text"),
        (TuneConfig, {"pattern": 5}, "pattern: 5 is not a text."),
        (TuneConfig, {"task": ["auto"]}, "task: .* is not one of auto, classification"),
        (GenerateConfig, {"max_new_tokens": "3"}, "max_new_tokens: '3' is not a whole number."),
        (GenerateConfig, {"stop": "abc"}, "stop: 'abc' is not a list of texts."),
        (GenerateConfig, {"stop": ("a", 3)}, "stop: .* is not a list of texts."),
        (GenerateConfig, {"temperature": float("nan")}, "temperature: nan is not between 0.0 and 2.0."),
    ],
)
def test_what_does_not_fit_is_named(kind: Any, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ParameterInvalid, match=words):
        kind(**given)


def test_whole_numbers_are_numbers_and_what_is_left_open_stays_open() -> None:
    assert TuneConfig(clip=2, epochs=None, learning_rate=None).clip == 2
    assert GenerateConfig(temperature=1, stop=("a",), seed=None).stop == ("a",)
