"""IBM's parameters in our words: whatever comes, it is translated or refused by name."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.api.watsonx import parameters, trainings_params
from softprompt.api.watsonx.shared import NAMED, patched
from softprompt.engine.defaults import resolve
from softprompt.engine.loading import load_model
from softprompt.errors import ParameterInvalid, UsageError
from softprompt.params import TuneConfig
from softprompt.studio.foundation_models import Model

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**33) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=7) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
DECODING = st.sampled_from([*parameters.NUMBERS, *parameters.OTHERS, "unknown"])
TUNING = st.sampled_from([*trainings_params.OURS, *trainings_params.OTHERS, "unknown"])
CAUSAL = Model("m", "m", "causal", 2048, True, "", None)
SEQ2SEQ = Model("m", "m", "seq2seq", 512, True, "", None)


@given(st.dictionaries(DECODING, JSON))
def test_decoding_parameters_are_read_or_refused(sent: dict[str, Any]) -> None:
    try:
        wanted = parameters.read(sent)
    except ParameterInvalid as error:
        refusal = str(error)
    else:
        refusal = "parameters."
        assert wanted.config.min_new_tokens <= wanted.config.max_new_tokens
    assert "parameters." in refusal


def test_decoding_parameters_in_our_words() -> None:
    wanted = parameters.read(
        {
            "decoding_method": "sample",
            "temperature": 0.5,
            "top_p": 0.9,
            "top_k": 10,
            "random_seed": 3,
            "repetition_penalty": 1.2,
            "stop_sequences": ["\n"],
            "min_new_tokens": 1,
            "max_new_tokens": 9,
            "truncate_input_tokens": 50,
            "time_limit": 1500,
            "return_options": {"generated_tokens": True, "top_n_tokens": 2},
        },
        usual={"temperature": 2.0, "max_new_tokens": 1},
    )
    config = wanted.config
    assert (config.decoding, config.temperature, config.top_p, config.top_k, config.seed) == ("sample", 0.5, 0.9, 10, 3)
    assert (config.repetition_penalty, config.stop, config.min_new_tokens) == (1.2, ("\n",), 1)
    assert (config.max_new_tokens, config.truncate_input_tokens) == (9, 50)
    assert (wanted.time_limit, wanted.details) == (1.5, 2)
    assert parameters.read(None).config.max_new_tokens == 20
    assert parameters.read({"decoding_method": "sample"}).config.temperature == 1.0


@given(st.dictionaries(TUNING, JSON), st.sampled_from([None, CAUSAL, SEQ2SEQ]))
def test_tuning_parameters_are_read_or_named(sent: dict[str, Any], model: Model | None) -> None:
    config, problems = trainings_params.read(sent, model, None)
    TuneConfig(**config)
    assert all(problem.split(":")[0] in sent for problem in problems)


@given(rows=st.integers(1, 2000), labels=st.booleans(), words=st.booleans())
def test_the_expected_schedule_is_the_one_that_is_chosen(rows: int, labels: bool, words: bool, decoder: Any) -> None:
    config: dict[str, Any] = {"init_text": "Route", "init": "text"} if words else {}
    known = ("a", "b") if labels else ()
    recipe = resolve(decoder, TuneConfig(**config), rows, known, "Route", "Input: x Output: a" if labels else "")
    expected = trainings_params.expected_schedule(config, rows, "classification" if labels else "generation")
    chosen = recipe.schedule
    assert expected == {
        "num_epochs": chosen.epochs,
        "batch_size": chosen.batch_size,
        "accumulate_steps": chosen.accumulate,
    }


@pytest.fixture(scope="module")
def decoder(tiny_folder: Any) -> Any:
    folder: Path = tiny_folder("llama")
    return load_model(folder)


@given(st.lists(st.dictionaries(st.sampled_from(["op", "path", "value", "from"]), JSON, max_size=4), max_size=4))
def test_patches_are_read_or_refused(operations: list[dict[str, Any]]) -> None:
    values: dict[str, Any] = {}
    with contextlib.suppress(UsageError):
        values = patched(operations, NAMED)
    assert set(values) <= {"name", "description", "tags"}


def test_a_patch_names_everything_that_it_cannot_do() -> None:
    wrong = [{"op": "remove", "path": "/name"}, {"op": "replace", "path": "/id", "value": "x"}]
    wrong += [{"op": "replace", "path": "/tags", "value": [1]}]
    with pytest.raises(UsageError, match="'remove' on /name.*/id: cannot be changed.*/tags: .* a list of texts"):
        patched(wrong, NAMED)
    assert patched([{"op": "replace", "path": "/metadata/name", "value": "x"}], NAMED) == {"name": "x"}
