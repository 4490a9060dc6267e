"""The words that vectors start from: an instruction with the labels, or as many solved rows as there is room for.

Text only: how many tokens a text has, the caller says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from softprompt.data.demonstrations import demonstrations, written
from softprompt.data.labels import split_labels
from softprompt.data.records import Example
from softprompt.data.template import Template
from softprompt.params import Task

FEWEST_EXAMPLES = 3
"""Solved rows that free text has to start from, if it starts from rows."""


def instruction_of(task: Task, labels: Sequence[str]) -> str:
    """What the vectors start from, if the person gave no words.

    Args:
        labels: whole answers, of tasks that have a set of them.
    """
    if task == "multilabel":
        known = sorted({part for label in labels for part in split_labels(label)})
        return f"Decide which of these labels apply to the following text: {', '.join(known)}."
    if task == "classification":
        return f"Classify the following text as one of these labels: {', '.join(labels)}."
    if task == "summarization":
        return "Summarize the following text in the style of the examples."
    return "Answer the following input in the style of the examples."


def solved_rows(
    rows: Sequence[Example],
    labels: Sequence[str],
    template: Template,
    seed: int,
    room: int,
    count: Callable[[str], int],
    *,
    asked: bool,
) -> str:
    """Solved rows as the template writes them; empty if the room is too small for every answer.

    Args:
        room: tokens they may take.
        count: tokens of a text.
        asked: whether the person wants this start: then as many as fit are better than none.
    """
    text = ""
    for shortest in (False, True):
        chosen = demonstrations(rows, labels, seed, shortest=shortest)
        text = written(chosen, template)
        while chosen and count(text) > room:
            chosen.pop()
            text = written(chosen, template)
        if len(chosen) >= (len(labels) or FEWEST_EXAMPLES):
            return text
    return text if asked else ""
