"""Methods side by side, the linear baseline among them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from softprompt import evaluate, tune
from softprompt.data.records import Example
from softprompt.engine.generate import Answer
from softprompt.errors import DatasetInvalid, ParameterInvalid
from softprompt.params import TuneConfig
from softprompt.workbench.baseline import LinearBaseline
from softprompt.workbench.evaluate import Method, measure

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone


def said(text: str, output: str) -> Answer:
    return Answer(text, output, 10, 3, 2, "eos_token", 0.5)


def test_a_method_is_judged_and_timed(examples: list[Example]) -> None:
    result = measure(Method("always", lambda texts: [said(t, "Service") for t in texts]), examples, "classification")
    assert result.score.exact == pytest.approx(1 / 3)
    assert (result.input_tokens, result.virtual_tokens, result.generated_tokens) == (10, 3, 2)
    assert result.ms_per_row >= 0
    document = result.to_dict()
    assert document["answers"][0]["output"] == "Service"
    assert document["per_label"]["Service"]["recall"] == 1.0


def test_the_linear_baseline_learns_words(examples: list[Example]) -> None:
    linear = LinearBaseline(examples)
    ((answer, sure),) = linear.predict(["window broke"])
    assert answer == "Service"
    assert 1 / 3 < sure <= 1
    assert set(linear.chosen) == {"grams", "strength", "class_weight"}
    with pytest.raises(DatasetInvalid, match="at least two different outputs"):
        LinearBaseline([Example("a", "x"), Example("b", "x")])


def test_methods_answer_the_same_rows_in_order(backbone: Backbone, examples: list[Example]) -> None:
    tuned = tune(
        examples, model=backbone, config=TuneConfig(place="prefix", virtual_tokens=3, epochs=1), out=None
    ).tuned
    heard: list[str] = []
    found = evaluate(
        examples, model=backbone, methods=["zero-shot", "1-shot", "baseline", tuned], examples=examples, limit=5,
        on_method=heard.append,
    )  # fmt: skip
    assert heard == [method.name for method in found.methods]
    assert (found.task, len(found.rows)) == ("classification", 5)
    for method in found.methods:
        assert [answer.input for answer in method.answers] == [example.input for example in examples[:5]]


def test_a_few_rows_keep_the_task_of_all(backbone: Backbone, examples: list[Example]) -> None:
    always = Method("always", lambda texts: [said(t, "Service") for t in texts])
    assert evaluate(examples, model=backbone, methods=[always], limit=2).task == "classification"


def test_a_wrapper_is_taken_off_and_said(backbone: Backbone, examples: list[Example]) -> None:
    wrapped = [Example(f"Comment: {e.input} (end of comment)", e.output) for e in examples]
    texts: list[str] = []
    spy = Method("spy", lambda asked: [texts.append(t) or said(t, "Service") for t in asked])  # type: ignore[func-returns-value]
    found = evaluate(wrapped, model=backbone, methods=[spy])
    assert texts == [example.input for example in examples]
    assert "was taken off" in found.notes[0]


def test_the_guard_knows_more_answers_than_the_rows_that_are_asked(backbone: Backbone, examples: list[Example]) -> None:
    found = evaluate(examples, model=backbone, methods=["zero-shot"], guard=True, limit=1)
    assert found.notes == ("the guard knows 3 answers, those of all 18 test rows, for no examples were given",)
    assert found.methods[0].answers[0].confidence < 1, "one answer alone would be certain"


def test_the_guard_takes_examples_before_tuned_prompts_before_test_rows(
    backbone: Backbone, examples: list[Example], tmp_path: Path
) -> None:
    config = TuneConfig(place="prefix", virtual_tokens=3, epochs=1, readout="off")
    tune(examples, model=backbone, config=config, out=tmp_path / "sorted")
    few = [example for example in examples if example.output != "Marketing"]

    def note(**given: Any) -> str:
        return evaluate(few, model=backbone, guard=True, limit=2, **given).notes[-1]

    assert note(methods=["zero-shot"]).startswith("the guard knows 2 answers, those of all 12 test rows")
    methods = ["zero-shot", tmp_path / "sorted"]
    assert note(methods=methods).startswith("the guard knows 3 answers, those of the tuned prompt sorted")
    assert note(methods=methods, examples=few).startswith("the guard knows 2 answers, those of the labelled examples")


def test_the_guard_says_that_it_holds_no_free_text(backbone: Backbone) -> None:
    titles = [Example(f"text number {i}", f"a title of its own for {i}") for i in range(12)]
    found = evaluate(titles, model=backbone, methods=["zero-shot"], guard=True, limit=1, max_new_tokens=1)
    assert found.notes == (
        "the wrapper around all inputs of the rows was taken off",
        "the guard does nothing: the answers of this task (generation) are free text",
    )


def test_refusals(backbone: Backbone, examples: list[Example]) -> None:
    titles = [Example(f"text number {i}", f"a title of its own for {i}") for i in range(12)]
    with pytest.raises(ParameterInvalid, match="baseline is a classifier; this task is generation"):
        evaluate(titles, model=backbone, methods=["baseline"])
    with pytest.raises(DatasetInvalid, match="no rows to evaluate"):
        evaluate([], model=backbone, methods=["zero-shot"])
