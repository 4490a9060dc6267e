"""The sample datasets keep what their READMEs promise: counts, formats, and no row that gives away another."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import pytest

from softprompt.data.labels import detect_task
from softprompt.data.read import read
from softprompt.data.records import Example
from softprompt.data.report import check
from softprompt.data.textform import four_grams, normalise

EXAMPLES = Path(__file__).parents[2] / "examples"
COMPLAINTS = EXAMPLES / "complaints"
OUTPUTS = {
    "Service", "Service, L3", "L3", "Warehouse, Packaging", "Warehouse", "Planning, Warehouse", "Planning, Development",
    "Planning, Marketing", "Marketing, Development", "Packaging", "Development", "Service, Development", "Marketing",
    "Planning", "Service, Warehouse",
}  # fmt: skip
TITLE = r"[A-Z0-9]+( [A-Z0-9]+){0,2} \| [a-z0-9' -]+ \| (refund|replace|repair|resend|explain)"
SUMMARY = r"Customer (reports|asks|wants) [^;\n]+; next step: [^;\n]+\."
QUESTIONS = [
    ("Where are the 2 extra sets of sheets that are supposed to come with my order?!", "Warehouse, Packaging"),
    ("I see a 2-door model in your TV ad, but why is that not available?", "Planning, Marketing"),
    (
        'I could not get someone on the phone who could fix my problems! Your so-called "SMEs" are just not helpful.',
        "Service, L3",
    ),
]


def load(path: Path) -> list[Example]:
    rows = read(path)
    assert not rows.problems
    return list(rows.examples)


def counts(name: str) -> Counter[str]:
    return Counter(example.output for example in load(COMPLAINTS / name))


@pytest.mark.parametrize(
    ("name", "warehouse", "packaging", "warehouse_other", "planning", "marketing", "planning_other", "both"),
    [("v1.jsonl", 3, 16, 22, 17, 18, 64, 12), ("v2.jsonl", 8, 5, 10, 16, 3, 18, 10)],
)
def test_the_training_sets_have_the_counts_of_the_lab(
    name: str,
    warehouse: int,
    packaging: int,
    warehouse_other: int,
    planning: int,
    marketing: int,
    planning_other: int,
    both: int,
) -> None:
    found = counts(name)
    with_warehouse = sum(n for output, n in found.items() if "Warehouse" in output.split(", "))
    with_planning = sum(n for output, n in found.items() if "Planning" in output.split(", "))
    assert found.total() == 200
    assert set(found) == OUTPUTS - ({"Service, Warehouse"} if warehouse_other == both else set())
    assert (found["Warehouse"], found["Warehouse, Packaging"]) == (warehouse, packaging)
    assert with_warehouse - warehouse - packaging == warehouse_other
    assert (found["Planning"], found["Planning, Marketing"]) == (planning, marketing)
    assert with_planning - planning - marketing == planning_other
    assert found["Planning, Warehouse"] == both


def test_the_test_set_asks_for_every_output() -> None:
    found = counts("test.jsonl")
    assert found.total() >= 200
    assert set(found) == OUTPUTS
    assert min(found.values()) >= 10


def test_the_questions_of_the_lab() -> None:
    assert [(e.input, e.output) for e in load(COMPLAINTS / "questions.jsonl")] == QUESTIONS


@pytest.mark.parametrize(
    "files",
    [
        ["complaints/v1", "complaints/v2", "complaints/test", "complaints/questions", "complaints/shots"],
        ["ticket_titles/train", "ticket_titles/test"],
        ["call_summaries/train", "call_summaries/test"],
    ],
)
def test_no_row_is_a_near_copy_of_another(files: list[str]) -> None:
    rows = [(name, e.line, e.input) for name in files for e in load(EXAMPLES / f"{name}.jsonl")]
    assert not [text for text, n in Counter(normalise(row[2]) for row in rows).items() if n > 1]
    grams = [four_grams(row[2]) for row in rows]
    homes: defaultdict[int, list[int]] = defaultdict(list)
    for number, own in enumerate(grams):
        for gram in own:
            homes[gram].append(number)
    shared = Counter(pair for group in homes.values() for pair in combinations(group, 2))
    near = [(rows[a], rows[b]) for (a, b), n in shared.items() if n > 0.5 * min(len(grams[a]), len(grams[b]))]
    assert not near


@pytest.mark.parametrize(
    ("folder", "pattern", "task"),
    [("ticket_titles", TITLE, "generation"), ("call_summaries", SUMMARY, "summarization")],
)
def test_free_text_samples_keep_their_format(folder: str, pattern: str, task: str) -> None:
    train, test = load(EXAMPLES / folder / "train.jsonl"), load(EXAMPLES / folder / "test.jsonl")
    assert (len(train), len(test)) == (120, 60)
    assert [e for e in train + test if not re.fullmatch(pattern, e.output)] == []
    assert detect_task(train) == detect_task(test) == task


@pytest.mark.parametrize("train", ["v1", "v2"])
def test_the_complaints_pass_the_check(train: str) -> None:
    report = check(COMPLAINTS / f"{train}.jsonl", test=COMPLAINTS / "test.jsonl")
    assert report.ok
    assert report.task == "multilabel"
    assert not report.leaks
    assert not report.contradictions
