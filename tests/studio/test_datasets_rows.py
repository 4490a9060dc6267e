"""Rows of stored datasets: found, fixed, edited, compared and split, whatever the file looks like."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from softprompt.data.report import check
from softprompt.errors import DatasetInvalid, ParameterInvalid
from softprompt.studio import datasets_edit, datasets_fix, datasets_leaks
from softprompt.studio.datasets_diff import diff, labels_between
from softprompt.studio.datasets_edit import Added, Draft
from softprompt.studio.datasets_find import Wanted, find, groups, problems
from softprompt.studio.datasets_fix import Steps
from softprompt.studio.datasets_index import RowIndex, open_index
from softprompt.studio.datasets_lengths import Lengths, in_words
from softprompt.studio.datasets_split import Shares, parts

Pairs = Sequence[tuple[str, str]]
Make = Callable[..., tuple[RowIndex, dict[str, object]]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Index and report of rows, or of the bytes of a file."""
    made = 0

    def build(rows: Pairs | bytes) -> tuple[RowIndex, dict[str, object]]:
        nonlocal made
        made += 1
        path = tmp_path / f"{made}.jsonl"
        path.write_bytes(rows if isinstance(rows, bytes) else b"".join(datasets_fix.line_of(*row) for row in rows))
        report = json.loads(json.dumps(check(path).to_dict()))
        return open_index(tmp_path / "index", f"{made:064x}", lambda: path), report

    return build


def texts(index: RowIndex, report: dict[str, object], **asked: object) -> list[str]:
    return [row.input for row in find(index, Wanted(**asked), report).rows]  # type: ignore[arg-type]


def written(lines: object) -> list[tuple[str, str]]:
    rows = [json.loads(line) for line in lines]  # type: ignore[attr-defined]
    return [(row["input"], row["output"]) for row in rows]


MANY = [(f"row {n} {'Ärger' if n % 10 == 0 else 'plain'}", ("A", "A, B", "B", "C")[n % 4]) for n in range(80)]


def test_rows_are_found_by_number_text_label_and_output(make: Make) -> None:
    index, report = make(MANY)
    assert texts(index, report, start=78) == ["row 78 plain", "row 79 plain"]
    assert texts(index, report, search=" ROW 77") == ["row 77 plain"]
    assert len(texts(index, report, search="ärger")) == 8, "in any case, in any language"
    both = find(index, Wanted(label="B", limit=3), report)
    assert ([row.number for row in both.rows], both.total) == ([1, 2, 5], 40)
    assert [row.number for row in find(index, Wanted(output="A, B", start=18), report).rows] == [73, 77]
    assert find(index, Wanted(search="nothing like that"), report).rows == []


def test_a_search_with_a_label_keeps_to_both(make: Make) -> None:
    index, report = make(MANY)
    found = find(index, Wanted(search="row 1", label="C"), report)
    assert all("row 1" in row.input and row.output == "C" for row in found.rows)
    assert found.total == sum("row 1" in question and answer == "C" for question, answer in MANY)


def test_rows_that_are_too_long_are_those_with_more_tokens(make: Make) -> None:
    index, report = make(MANY)
    tokens = list(range(80))
    found = find(index, Wanted(finding="long", over=77), report, tokens)
    assert [row.number for row in found.rows] == [78, 79]


def test_refused_rows_stand_where_they_are_in_the_file(make: Make) -> None:
    file = b'{"input":"a","output":"x"}\n{oops\n{"input":"b","output":"y"}\n{"input":"c"}\n'
    index, report = make(file)
    found = find(index, Wanted(), report)
    assert [row.input for row in found.rows] == ["a", "b"]
    assert {place: [mark.problem.line for mark in marks] for place, marks in found.refused.items()} == {1: [2], 2: [4]}


def test_the_place_of_a_problem_is_marked_in_its_line(make: Make) -> None:
    long = b"x" * 5000
    index, _ = make(b'{"input":"' + long + b'","output":"x"}\n{"input":"' + long + b'" oops}\n')
    (mark,), total = problems(index, repaired=False, start=0, limit=10)
    assert total == 1
    assert mark.problem.line == 2
    assert mark.text[mark.at :].startswith("oops}")
    assert mark.cut == (True, False)
    assert len(mark.text) < 400, "a long line is not kept whole"


@pytest.mark.parametrize(
    "file",
    [
        b"", b"\n\n", b"\x00" * 100, b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"PK\x03\x04abc",
        b'{"input":"' + b"x" * 2_000_000,
    ],
    ids=["empty", "blank", "nul", "picture", "archive", "one endless line"],
)  # fmt: skip
def test_any_file_has_an_index(make: Make, file: bytes) -> None:
    index, report = make(file)
    assert len(index) == 0
    assert find(index, Wanted(), report).rows == []
    assert datasets_fix.plan(index, report).counts["duplicates"] == 0


def test_utf16_is_read_with_its_lines(make: Make) -> None:
    index, _ = make('{"input":"é","output":"x"}\n{oops\n'.encode("utf-16"))
    assert index.row(0).input == "é"
    assert [m.text for m in problems(index, repaired=False, start=0, limit=5)[0]] == ["{oops"]


def test_copies_and_contradictions_stand_side_by_side(make: Make) -> None:
    index, report = make([("a", "x"), ("b", "x"), ("a", "x"), ("A ", "y"), ("b", "x")])
    (same, other) = groups(index, "duplicates", report, 0, 10)
    assert [row.number for row in same.rows] == [0, 2]
    assert [row.number for row in other.rows] == [1, 4]
    (clash,) = groups(index, "contradictions", report, 0, 10)
    assert [row.output for row in clash.rows] == ["x", "x", "y"]


def test_copies_on_one_line_are_told_apart(make: Make) -> None:
    index, report = make(b'[{"input":"a","output":"x"},{"input":"a","output":"x"},{"input":"b","output":"x"}]')
    (same,) = groups(index, "duplicates", report, 0, 10)
    assert [row.number for row in same.rows] == [0, 1]


def test_what_is_shown_before_a_fix_is_what_it_does(make: Make) -> None:
    good = [("Say: a long story", "Service"), ("Say: b long story", "Service"), ("Say: c long story", "service")]
    file = b"".join(datasets_fix.line_of(*row) for row in [*good * 3, ("Say: a long story", "Billing")]) + b"{oops\n"
    index, report = make(file + b'{"Input":"Say: d long story","output":7}\n')
    plan = datasets_fix.plan(index, report)
    assert plan.counts == {
        "repaired": 1,
        "refused": 1,
        "spellings": 3,
        "wrapper": 11,
        "duplicates": 6,
        "contradictions": 4,
    }
    (repair,) = plan.examples["repaired"]
    assert len(repair.marks) == 2, "two repairs of one row are one change"
    assert repair.after == ("Say: d long story", "7")
    assert plan.examples["spellings"][0].after == ("Say: c long story", "Service")
    assert len(written(datasets_fix.fixed(index, report, Steps()))) == 11
    steps = Steps.of(["spellings", "duplicates", "contradictions"])
    assert written(datasets_fix.fixed(index, report, steps)) == [
        ("Say: b long story", "Service"),
        ("Say: c long story", "Service"),
        ("Say: d long story", "7"),
    ]


def test_a_fixed_version_has_nothing_left_to_fix(make: Make) -> None:
    index, report = make([("a", "x"), ("a", "x"), ("a", "y"), ("b", "X"), ("c", "x"), ("d", "x")] * 2)
    everything = Steps.of(["spellings", "wrapper", "duplicates", "contradictions"])
    again, told = make(b"".join(datasets_fix.fixed(index, report, everything)))
    assert datasets_fix.plan(again, told).empty


def test_a_draft_changes_adds_and_takes_out(make: Make) -> None:
    index, _ = make([("a", "x"), ("b", "y"), ("c", "z")])
    draft = Draft(
        {1: ("B", "Y")}, frozenset({0}), (Added(-1, "first", "1"), Added(1, "after b", "2"), Added(0, "n", "3"))
    )
    kept = datasets_edit.read(draft.to_json())
    assert kept == draft
    datasets_edit.check(kept, index)
    rows = [("first", "1"), ("n", "3"), ("B", "Y"), ("after b", "2"), ("c", "z")]
    assert written(datasets_edit.edited(index, kept)) == rows


def test_a_draft_is_refused_as_a_whole_with_every_row(make: Make) -> None:
    index, _ = make([("a", "x"), ("b", "y")])
    with pytest.raises(
        DatasetInvalid, match=r"row 1 has no input; the new row after row 2 has no input and no output\. W"
    ):
        datasets_edit.check(Draft({0: (" ", "x")}, added=(Added(1, "", " "),)), index)
    with pytest.raises(DatasetInvalid, match="every row would be gone"):
        datasets_edit.check(Draft(deleted=frozenset({0, 1})), index)
    with pytest.raises(ParameterInvalid, match="there is no row 9; the dataset has 2"):
        datasets_edit.check(Draft({8: ("a", "b")}), index)
    for text in ("", "[]", '{"changed": {}, "deleted": 3, "added": []}', '{"changed": {"x": ["a", "b"]}}'):
        with pytest.raises(ParameterInvalid, match="draft: this is not what the page sends"):
            datasets_edit.read(text)


def test_rows_that_nobody_touched_are_no_change(make: Make) -> None:
    index, _ = make([("two\r\nlines", "x"), ("b", "y")])
    sent = Draft({0: ("two\nlines", "x"), 1: ("b", "other")})
    assert datasets_edit.without_idle(sent, index).changed == {1: ("b", "other")}


def test_two_versions_are_compared_row_by_row(make: Make) -> None:
    old, before = make([("a", "x"), ("b", "x"), ("b", "x"), ("c", "x")])
    new, after = make([("c", "y"), ("a", "x"), ("b", "x"), ("d", "y")])
    found = diff(old, new)
    assert found.same == 2
    assert [old.row(n).input for n in found.removed] == ["b"]
    assert [new.row(n).input for n in found.added] == ["d"]
    assert [(o.output, n.output) for o, n in found.pairs(old, new, 10)] == [("x", "y")]
    assert diff(old, old).empty
    assert labels_between({"labels": {"x": 4, "z": 1}}, {"labels": {"x": 2, "y": 2, "z": 1}}) == [
        ("x", 4, 2),
        ("y", 0, 2),
    ]
    assert (before["rows"], after["rows"]) == (4, 4)


def test_leaks_are_found_once_and_kept(make: Make) -> None:
    index, report = make([("the parcel never came to my house", "x"), ("nothing alike", "x")])
    test, held = make([("The parcel  never came to my house", "x"), ("quite another", "x")])
    assert datasets_leaks.known(index, test) is None
    leaks = datasets_leaks.look(index, report, test, held)
    assert (leaks.count, leaks.pairs[0].row, leaks.pairs[0].test_row, leaks.pairs[0].kind) == (1, 0, 0, "exact")
    assert datasets_leaks.known(index, test) == leaks


def test_lengths_have_bars_and_a_cut(make: Make) -> None:
    index, _ = make([(" ".join(["w"] * n), "x") for n in (1, 2, 2, 9)])
    words = in_words(index)
    assert (words.longest, words.share_below(0.5), words.over(2)) == (9, 2, 1)
    assert sum(rows for _, _, rows in words.bins(5)) == 4
    assert Lengths({}, "tokens").bins() == [(0, 0, 0)]


def test_a_split_keeps_labels_in_proportion_and_loses_no_row(make: Make) -> None:
    index, report = make([(f"row {n}", "AB"[n % 2]) for n in range(100)])
    made = parts(index, report, Shares(validation=10, test=20, seed=5))
    assert {name: len(rows) for name, rows in made.items()} == {"train": 70, "test": 20, "validation": 10}
    assert sorted(row.input for rows in made.values() for row in rows) == sorted(row.input for row in index.rows())
    assert sum(row.output == "A" for row in made["test"]) == 10
    assert parts(index, report, Shares(validation=10, test=20, seed=5)) == made
    with pytest.raises(ParameterInvalid, match="60 and 40 percent leave 0 for training"):
        parts(index, report, Shares(validation=60, test=40))


def test_an_index_is_built_once_and_built_again_if_it_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(datasets_fix.line_of("a", "x"))
    reads: list[Path] = []

    def file() -> Path:
        reads.append(path)
        return path

    first = open_index(tmp_path / "index", "f" * 64, file)
    assert open_index(tmp_path / "index", "f" * 64, file) is first
    assert len(reads) == 1
    for each in first.folder.iterdir():
        each.unlink()
    first.folder.rmdir()
    assert len(open_index(tmp_path / "index", "f" * 64, file)) == 1
    assert len(reads) == 2
