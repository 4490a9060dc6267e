"""What is taken where a person leaves a parameter open: it follows model and data, and is said."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from softprompt.engine.backbone import wrap
from softprompt.engine.defaults import Recipe, resolve
from softprompt.engine.init import initial_prompt
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import ParameterInvalid
from softprompt.params import TuneConfig
from softprompt.testing.tiny import tiny_model

EXAMPLES = "Input: a screw is missing Output: Warehouse\n"


@cache
def backbone(kind: str) -> Any:
    model, tokenizer = tiny_model(kind)  # type: ignore[arg-type]
    return wrap(model, tokenizer, model_id=f"tiny-{kind}")


LABELS = ("Warehouse", "L3")


def recipe(
    kind: str = "llama", rows: int = 200, examples: str = EXAMPLES, labels: tuple[str, ...] = LABELS, **config: Any
) -> Recipe:
    return resolve(backbone(kind), TuneConfig(**config), rows, labels, "Route it.", examples)


def test_decoders_start_from_solved_rows_with_as_many_vectors_as_these_have_tokens() -> None:
    start = recipe().start
    tokens = len(backbone("llama").tokenizer(EXAMPLES, add_special_tokens=False)["input_ids"])
    assert (start.init, start.place, start.text, start.prefix_length) == ("examples", "prefix", EXAMPLES, tokens)
    assert f"solved training rows: {tokens} virtual tokens" in recipe().notes[0]


@pytest.mark.parametrize(
    "config", [{"init_text": "Sort it."}, {"init": "text"}, {"place": "suffix"}, {"place": "both"}], ids=str
)
def test_they_start_from_a_text_where_a_text_a_start_or_another_place_is_asked_for(config: dict[str, Any]) -> None:
    start = recipe(**config).start
    assert (start.init, start.text) == ("text", config.get("init_text", "Route it."))
    assert start.prefix_length == 20
    assert start.place == config.get("place", "both")


def test_encoder_decoders_free_text_and_rows_that_do_not_fit_start_from_a_text() -> None:
    assert recipe("t5").start.init == recipe(examples="").start.init == recipe(labels=()).start.init == "text"
    assert recipe(labels=(), init="examples").start.text == EXAMPLES
    assert recipe("t5").start.prefix_length == 100
    assert recipe("t5").schedule.learning_rate == 0.3


def test_examples_move_in_smaller_and_fewer_steps_than_words() -> None:
    shown, said = recipe().schedule, recipe(init="text").schedule
    assert shown.learning_rate == pytest.approx(said.learning_rate / 3)
    assert shown.updates(200) == 78
    assert said.updates(200) == 250


@pytest.mark.parametrize("rows", [10, 200, 5000])
def test_what_is_set_is_taken_as_it_stands(rows: int) -> None:
    set_to = {"batch_size": 16, "accumulate": 16, "epochs": 20, "learning_rate": 0.3, "virtual_tokens": 50}
    found = recipe(rows=rows, **set_to)
    schedule = found.schedule
    assert [schedule.batch_size, schedule.accumulate, schedule.epochs, schedule.learning_rate] == [16, 16, 20, 0.3]
    assert found.start.prefix_length == 50


def test_the_number_of_updates_is_said_and_few_are_warned_of() -> None:
    lab = recipe(batch_size=16, accumulate=16, epochs=20, init="text")
    assert "200 rows / batch 16 / accumulate 16 × 20 epochs = 20 updates of the prompt" in lab.notes
    assert any("20 updates are few" in note for note in lab.notes)
    assert not any("few" in note for note in recipe().notes)


def test_vectors_start_from_a_tuned_prompt_and_keep_its_shape() -> None:
    before = SoftPrompt(prefix=torch.ones(5, 32), suffix=torch.zeros(2, 32))
    found = resolve(
        backbone("llama"), TuneConfig(init="prompt", virtual_tokens=9), 200, LABELS, "Route it.", given=before
    )
    assert (found.start.place, found.start.prefix_length, found.start.suffix_length) == ("both", 5, 2)
    assert found.schedule.learning_rate == pytest.approx(recipe(init="text").schedule.learning_rate / 3)
    begun = initial_prompt(backbone("llama"), found.start)
    assert begun.prefix is not None
    assert torch.equal(begun.prefix, torch.ones(5, 32))
    begun.prefix.zero_()
    assert torch.equal(before.tensors()["prefix"], torch.ones(5, 32)), "the old ones stay as they are"


def test_a_tuned_prompt_of_another_method_or_without_vectors_is_no_start() -> None:
    shallow = SoftPrompt(prefix=torch.ones(5, 32))
    config = TuneConfig(init="prompt", method="prefix_tuning")
    start = resolve(backbone("llama"), config, 200, LABELS, "Route it.", given=shallow).start
    with pytest.raises(ParameterInvalid, match="was made by prompt_tuning"):
        initial_prompt(backbone("llama"), start)
    empty = resolve(backbone("llama"), TuneConfig(init="prompt"), 200, LABELS, "Route it.", given=SoftPrompt()).start
    with pytest.raises(ParameterInvalid, match="name a tuned prompt that has vectors"):
        initial_prompt(backbone("llama"), empty)
