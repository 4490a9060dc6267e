"""Solved examples to start from: every answer once, drawn by the seed, written as the template writes questions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from softprompt.data.demonstrations import FREE_TEXT, demonstrations, written
from softprompt.data.records import Example
from softprompt.data.template import Template

ANSWERS = ("Service", "Warehouse", "Service, L3")
ROWS = [Example(f"complaint number {i} " + "long " * i, ANSWERS[i % 3]) for i in range(30)]


@given(seed=st.integers(0, 1000), shortest=st.booleans())
def test_each_answer_is_shown_once_by_one_of_its_shorter_rows(seed: int, shortest: bool) -> None:
    chosen = demonstrations(ROWS, ANSWERS, seed, shortest=shortest)
    assert sorted(row.output for row in chosen) == sorted(ANSWERS)
    assert all(row in ROWS[:15] for row in chosen)
    assert chosen == demonstrations(list(reversed(ROWS)), ANSWERS, seed, shortest=shortest)
    if shortest:
        assert sorted(row.input for row in chosen) == sorted(row.input for row in ROWS[:3])


def test_the_seed_decides_rows_and_order() -> None:
    assert len({tuple(demonstrations(ROWS, ANSWERS, seed)) for seed in range(20)}) > 5


def test_free_text_shows_a_few_rows_and_never_more_than_there_are() -> None:
    assert len(demonstrations(ROWS, (), 1)) == FREE_TEXT
    assert len(demonstrations(ROWS[:1], (), 1)) == 1
    assert demonstrations([], (), 1) == []


def test_they_are_written_as_the_template_writes_questions_without_its_instruction() -> None:
    rows = [Example("Two screws are missing.", "Warehouse, Packaging"), Example("{{input}}", "L3")]
    template = Template("Q: {{input}} A: ", instruction="Route it.")
    assert written(rows, template) == "Q: Two screws are missing. A: Warehouse, Packaging\nQ: {{input}} A: L3\n"
    assert written([], template) == ""
