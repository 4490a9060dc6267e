"""The report: each finding on data made to have it, and silence on data that does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from softprompt.data.labels import unifier
from softprompt.data.leaks import Leak, LeakIndex
from softprompt.data.report import check
from softprompt.data.template import Template
from softprompt.data.textform import normalise
from softprompt.data.wrapper import Wrapper

WORDS = [
    "amber",
    "birch",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "haven",
    "inlet",
    "jetty",
    "knoll",
    "larch",
    "mesa",
    "north",
    "oasis",
    "plume",
]
Rows = list[tuple[str, str]]


def text(number: int, words: int = 9) -> str:
    """Words in an order of its own for every number."""
    return " ".join(WORDS[(number * k + number // 16 + k * k) % 16] + str(number) for k in range(1, words + 1))


def rows(count: int, outputs: tuple[str, ...] = ("yes", "no"), start: int = 0) -> Rows:
    return [(text(start + i), outputs[i % len(outputs)]) for i in range(count)]


def add(index: LeakIndex, row: str, line: int) -> None:
    index.add(row, hash(normalise(row)), line)


def find(index: LeakIndex, row: str) -> Leak | None:
    return index.find(row, hash(normalise(row)), 1)


@pytest.fixture
def save(tmp_path: Path) -> Any:
    def write(data: Rows, name: str = "train") -> Path:
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(json.dumps({"input": q, "output": a}) + "\n" for q, a in data))
        return path

    return write


def one(warnings: tuple[str, ...], part: str) -> str:
    found = [warning for warning in warnings if part in warning]
    assert len(found) == 1, warnings
    return found[0]


def test_sound_data_raises_no_warning(save: Any) -> None:
    report = check(save(rows(60)), test=save(rows(60, start=500), "test"))
    assert report.ok
    assert (report.rows, report.valid, report.refused, report.task) == (60, 60, 0, "classification")
    assert report.labels == report.combinations == {"no": 30, "yes": 30}
    assert report.warnings == ()
    assert report.test is not None
    assert report.test.warnings == ()


def test_the_document_is_json_with_its_promised_keys(save: Any) -> None:
    document = json.loads(json.dumps(check(save(rows(60))).to_dict()))
    promised = (
        "ok rows valid problems labels combinations duplicates contradictions leaks wrapper lengths cut rare_labels "
        "label_spellings task warnings"
    )
    assert set(promised.split()) <= set(document)
    assert document["lengths"]["input"]["words"] == {"shortest": 9, "median": 9, "p95": 9, "longest": 9, "mean": 9.0}


def test_refused_rows_make_it_not_ok(save: Any) -> None:
    path = save(rows(60))
    path.write_text(path.read_text() + '{"input": "x"}\n{"input": "y", "output": 5}\n')
    report = check(path)
    assert not report.ok
    assert (report.rows, report.valid, report.refused) == (62, 61, 1)
    problem = report.to_dict()["problems"][0]
    assert (problem["line"], problem["column"], problem["kind"], problem["repaired"]) == (61, 1, "missing_key", False)
    assert report.problem_kinds == {"missing_key": 1, "number": 1}


def test_a_broken_test_file_makes_it_not_ok(save: Any, tmp_path: Path) -> None:
    (tmp_path / "test").write_text('{"input": "x"}\n')
    assert not check(save(rows(60)), test=tmp_path / "test").ok


@pytest.mark.parametrize("content", [b"", b"\x1f\x8brest", b"a,b\nc,d\n", b"words"])
def test_what_is_wrong_with_the_whole_file_is_no_row(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "none"
    path.write_bytes(content)
    report = check(path)
    assert (report.ok, report.rows, report.refused, len(report.problems)) == (False, 0, 0, 1)


def test_many_problems_are_counted_and_the_first_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "bad"
    path.write_text('{"input": "x"}\n' * 1500)
    report = check(path)
    assert (report.refused, len(report.problems)) == (1500, 1000)
    assert "missing_key 1,500" in one(report.warnings, "500 more problems")


def test_multilabel_outputs_are_counted_by_label_and_by_combination(save: Any) -> None:
    report = check(save(rows(60, ("Service", "Service, L3", "L3"))))
    assert report.task == "multilabel"
    assert report.labels == {"L3": 40, "Service": 40}
    assert report.combinations == {"L3": 20, "Service": 20, "Service, L3": 20}


def test_copies_and_contradictions_are_told_apart(save: Any) -> None:
    data = rows(60)
    report = check(save([*data, (data[0][0].upper() + " ", "yes"), (data[1][0], "YES"), (data[3][0], "No ")]))
    assert [d.lines for d in report.duplicates] == [(1, 61), (4, 63)]
    assert [(c.lines, set(map(str.lower, c.outputs))) for c in report.contradictions] == [((2, 62), {"no", "yes"})]
    assert "lines 2, 62" in one(report.warnings, "different outputs")


def test_spellings_are_no_contradiction(save: Any) -> None:
    report = check(save([*rows(60), ("zeta", "Yes")]), task="classification")
    assert one(report.warnings, "several spellings (case or space)")
    orders = check(save(rows(60, ("A, B", "B, A", "A"))))
    assert one(orders.warnings, "Decide for one order")


def test_the_advised_spelling_is_the_one_that_fix_writes(save: Any) -> None:
    outputs = ("service,L3", "service,L3", "Service, L3", "Service", "Service", "L3")
    report = check(save(rows(60, outputs)))
    assert report.task == "multilabel"
    renamed = unifier(report.combinations, report.task)
    (spelling,) = (s for s in report.label_spellings if len(s.spellings) == 2)
    assert {renamed.get(output, output) for output in spelling.spellings} == {spelling.use} == {"Service, L3"}


def test_ten_classes_are_no_limit_of_multilabel(save: Any) -> None:
    outputs = tuple(f"label {i}, label {(i + 1) % 12}" for i in range(12))
    report = check(save(rows(120, outputs)))
    assert (report.task, len(report.labels)) == ("multilabel", 12)
    assert not [warning for warning in report.warnings if "classes" in warning]


def test_rare_labels_and_majority(save: Any) -> None:
    report = check(save(rows(60, ("yes",)) + [("zeta", "no"), ("eta", "no")]))
    assert [(rare.label, rare.rows) for rare in report.rare_labels] == [("no", 2)]
    assert report.majority is not None
    assert report.majority.output == "yes"
    assert one(report.warnings, "97% of the rows")
    assert one(report.warnings, "no (2)")


def test_more_than_ten_classes_are_warned_of(save: Any) -> None:
    report = check(save(rows(110, tuple(f"class {i}" for i in range(11)))))
    assert one(report.warnings, "11 classes: IBM advises at most 10")


def test_few_rows_are_warned_of(save: Any) -> None:
    assert one(check(save(rows(10))).warnings, "10 rows are few")


def test_tokens_and_cuts_need_a_tokenizer(save: Any) -> None:
    data = [*rows(59), (text(1, 60), "yes")]
    path = save(data)
    assert check(path).cut is None
    report = check(path, count_tokens=lambda prompt: len(prompt.split()), limit=20, template=Template("Q {{input}} A"))
    assert report.cut is not None
    assert (report.cut.rows, report.cut.lines) == (1, (60,))
    tokens = report.lengths["input"].tokens
    assert tokens is not None
    assert (tokens.median, tokens.longest) == (11, 62)
    assert one(report.warnings, "1 rows are longer than 20 tokens")


def test_a_shared_wrapper_is_named(save: Any) -> None:
    report = check(save([(f"Narrative: {q}\nProduct:\n", a) for q, a in rows(60)]))
    assert report.wrapper == Wrapper("Narrative: ", "\nProduct:\n")
    assert report.lengths["input"].words.longest == 9
    assert one(report.warnings, r"Narrative: …\nProduct:\n")


def test_leaks_are_found_through_different_wrappers(save: Any) -> None:
    train, test = rows(60), rows(60, start=500)
    same, near = train[7][0], train[8][0]
    test[3] = (same.upper(), "no")
    test[4] = (f"{near}, and more", "yes")
    report = check(
        save([(f"Narrative: {q}\nProduct:\n", a) for q, a in train]),
        test=save([(f"Pick one of 'yes', 'no'.\nComment: {q}\nProduct:\n", a) for q, a in test], "test"),
    )
    assert report.leaks == (Leak(8, 4, "exact", 1.0), Leak(9, 5, "near", 1.0))
    assert one(report.warnings, "2 training rows stand in the test file")
    assert "accuracy will suffer" in one(report.warnings, "wrapped differently")


def test_labels_that_training_never_shows_are_named(save: Any) -> None:
    report = check(save(rows(60)), test=save(rows(60, ("yes", "no", "maybe"), start=500), "test"))
    assert one(report.warnings, "never shows: maybe")


@pytest.mark.parametrize(
    ("train", "leak"),
    [
        ("one two three four five six seven", None),
        ("a b c d e f g h i j", "exact"),
        ("a b c d e f g h, i!", "near"),
        ("a b c d e f g x y z", "near"),
        ("a b c d e x f g h i", None),
        ("a b c d and now something else entirely", None),
        ("a b c", None),
    ],
)
def test_near_copies_share_more_than_half_of_their_four_grams(train: str, leak: str | None) -> None:
    index = LeakIndex()
    add(index, "a b c d e f g h i j", 1)
    found = find(index, train)
    assert (found.kind if found else None) == leak


def test_a_large_test_set_is_held_as_a_sketch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softprompt.data.leaks._MOST_GRAMS", 20_000)
    index = LeakIndex()
    for number in range(100):
        add(index, text(number, 300), number)
    found = [find(index, text(number, 300) + " more") for number in range(100)]
    assert [leak.test_line for leak in found if leak] == list(range(100))
    assert not any(find(index, text(number, 300)) for number in range(1000, 1050))


def test_an_empty_file_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    report = check(tmp_path / "empty")
    assert not report.ok
    assert report.problems[0].kind == "empty"
    assert report.to_dict()["lengths"] == {}
