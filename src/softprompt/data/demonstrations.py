"""Solved examples that a prompt may start from: one for each known answer, or a few drawn ones for free text.

Covers: which rows are taken, in which order, and how they are written. How many fit is the caller's affair: it knows
the tokens.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Sequence

from softprompt.data.records import Example
from softprompt.data.template import Template

FREE_TEXT = 12
"""Examples of a task without a set of answers."""


def demonstrations(
    examples: Sequence[Example], labels: Sequence[str], seed: int, *, shortest: bool = False
) -> list[Example]:
    """One example for each of `labels`, or `FREE_TEXT` of all rows where there are none; in an order drawn by the seed.

    Of each answer one of the shorter half of its rows is drawn, since long ones leave no room for others; with
    `shortest` the shortest is taken.
    """
    draw = random.Random(seed)
    groups: defaultdict[str, list[Example]] = defaultdict(list)
    for example in examples:
        groups[example.output if labels else ""].append(example)
    chosen = []
    for answer in sorted(groups):
        rows = sorted(groups[answer], key=lambda row: (len(row.input) + len(row.output), row.input, row.output))
        short = rows[: max(1, len(rows) // 2)]
        count = 1 if labels else min(FREE_TEXT, len(short))
        chosen += short[:count] if shortest else draw.sample(short, count)
    draw.shuffle(chosen)
    return chosen


def written(examples: Iterable[Example], template: Template) -> str:
    """The examples as the template writes questions, each with its answer and a line break behind it."""
    plain = Template(template.text)
    return "".join(f"{plain.render(row.input)}{plain.target_gap}{row.output}\n" for row in examples)
