"""The task that outputs speak of, their labels, and differing spellings."""

from __future__ import annotations

from collections import Counter

import pytest

from softprompt.data.labels import detect_task, labels_of, quantile, spellings, unifier
from softprompt.data.records import Example
from softprompt.params import Task


def examples(outputs: list[str], question: str = "some words") -> list[Example]:
    return [Example(question, output) for output in outputs]


@pytest.mark.parametrize(
    ("outputs", "task"),
    [
        (["yes", "no", "yes", "no"], "classification"),
        (["Service", "Service, L3", "L3", "Service, L3"], "multilabel"),
        (["Yes, please", "No", "Yes, please", "No"], "classification"),
        ([f"Title number {i}" for i in range(20)], "generation"),
        ([f"Title, number {i}" for i in range(20)], "generation"),
        (["one row"], "generation"),
        ([], "generation"),
        (["a long sentence that is always the same but is no label at all"] * 10, "generation"),
    ],
)
def test_the_task_follows_from_the_outputs(outputs: list[str], task: Task) -> None:
    assert detect_task(examples(outputs)) == task


def test_long_inputs_with_short_free_outputs_are_summaries() -> None:
    long = "word " * 60
    assert detect_task(examples([f"The caller has problem {i}." for i in range(9)], long)) == "summarization"
    assert detect_task(examples([f"{'word ' * 30}{i}" for i in range(9)], long)) == "generation"


@pytest.mark.parametrize(
    ("output", "task", "labels"),
    [
        ("Service, L3", "multilabel", ("Service", "L3")),
        (" Service,L3 , Service,", "multilabel", ("Service", "L3")),
        (" Service, L3 ", "classification", ("Service, L3",)),
        ("free text", "generation", ()),
        (" ", "classification", ()),
    ],
)
def test_labels_of_an_output(output: str, task: Task, labels: tuple[str, ...]) -> None:
    assert labels_of(output, task) == labels


def test_spellings_that_mean_the_same_are_grouped() -> None:
    outputs = {"Warehouse, Packaging": 5, "Packaging, Warehouse": 2, "service": 1, "Service": 9, "L3": 4}
    found = {spelling.use: spelling for spelling in spellings(outputs, "multilabel")}
    assert set(found) == {"Warehouse, Packaging", "Service"}
    assert found["Warehouse, Packaging"].differ_by == "order"
    assert found["Service"].differ_by == "case or space"
    assert found["Service"].spellings == {"service": 1, "Service": 9}


def test_case_and_space_are_unified_and_the_order_is_left() -> None:
    outputs = {"Warehouse, Packaging": 5, "Packaging,warehouse": 2, "L3": 4}
    assert unifier(outputs, "multilabel") == {"Packaging,warehouse": "Packaging, Warehouse"}


def test_quantile() -> None:
    assert [quantile(Counter(range(101)), share) for share in (0.0, 0.5, 0.95, 1.0)] == [0, 50, 95, 100]
    assert quantile(Counter(), 0.5) == 0
