"""The reader: what it keeps, what it repairs and says, what it refuses."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from softprompt.data.problems import Problem, Rows
from softprompt.data.read import read, read_examples, stream, write_jsonl
from softprompt.data.records import Example
from softprompt.errors import DatasetInvalid, DatasetUnreadable, UsageError

Reader = Callable[[str | bytes], Rows]
GOOD = '{"input": "good", "output": "kept"}'


@pytest.fixture
def rows(tmp_path: Path) -> Reader:
    def write_and_read(content: str | bytes) -> Rows:
        path = tmp_path / "rows.txt"  # never a telling suffix
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read(path)

    return write_and_read


def pairs(found: Rows) -> list[tuple[str, str]]:
    return [(example.input, example.output) for example in found.examples]


def only(found: Rows) -> Problem:
    assert len(found.problems) == 1, found.problems
    return found.problems[0]


@pytest.mark.parametrize(
    "content",
    [
        '{"input": "ä", "output": "b"}\n{"input": "c", "output": "d"}\n',
        '{"input": "ä", "output": "b"}\r\n\r\n{"output": "d", "input": "c"}',
        '{"input": "ä", "output": "b"}\r{"input": "c", "output": "d"}\r',
        '[{"input": "ä", "output": "b"},{"input": "c", "output": "d"}]',
        '[\n  {\n    "input": "ä",\n    "output": "b"\n  },\n  {\n    "input": "c",\n    "output": "d"\n  }\n]\n',
        '{\n "input": "ä",\n "output": "b"\n}\n{\n "input": "c",\n "output": "d"\n}',
        "input,output\nä,b\nc,d\n",
        'output,input\r\nb,"ä"\r\n"d",c\r\n',
    ],
)
def test_every_format_is_told_by_its_content(rows: Reader, content: str) -> None:
    found = rows(content)
    assert pairs(found) == [("ä", "b"), ("c", "d")]
    assert not found.problems


@pytest.mark.parametrize(
    ("content", "kept", "kind", "place", "message"),
    [
        (b"\xef\xbb\xbf" + GOOD.encode(), ("good", "kept"), "bom", (1, 1), "byte order mark"),
        (GOOD.encode("utf-16"), ("good", "kept"), "encoding", (1, 1), "UTF-16 (little endian)"),
        (GOOD.encode("utf-16-be"), ("good", "kept"), "encoding", (1, 1), "UTF-16 (big endian)"),
        ('{"input": "a", "output": "b",}', ("a", "b"), "trailing_comma", (1, 29), "before the closing bracket"),
        (GOOD + ",", ("good", "kept"), "trailing_comma", (1, 36), "outside of the rows"),
        ("{“input”: “a”, “output”: “b”}", ("a", "b"), "smart_quotes", (1, 2), "Smart quotes enclose"),
        ('{"Input": "a", "output": "b"}', ("a", "b"), "key_case", (1, 2), '"Input"; it was read as "input"'),
        ('{"input": "a", "output": 5}', ("a", "5"), "number", (1, 16), 'the number 5; it was read as the text "5"'),
        ('{"input": "a", "output": 1.50}', ("a", "1.50"), "number", (1, 16), "1.50"),
        ('{"input": "a", "output": true}', ("a", "true"), "boolean", (1, 16), "true without quotes"),
        ('{"id": 7, "input": "a", "output": "b"}', ("a", "b"), "extra_key", (1, 2), 'Unknown key "id"; dropped'),
        ('{"input": "a", "input": "a", "output": "b"}', ("a", "b"), "duplicate_key", (1, 2), "same value"),
        ('{"input": "a\tb", "output": "b"}', ("a\tb", "b"), "control_character", (1, 13), "raw inside a string"),
        ('{"input": "a\nb", "output": "b"}', ("a\nb", "b"), "control_character", (1, 13), "line break"),
        ('{"input": "a\\u0000b", "output": "c"}', ("ab", "c"), "nul", (1, 2), "1 NUL character; taken out"),
        ("[" + GOOD, ("good", "kept"), "unclosed_array", (1, 37), "may be cut off"),
        ("{‘input’: ‘it’s, a’, ‘output’: ‘b’}", ("it’s, a", "b"), "smart_quotes", (1, 2), "Smart quotes enclose"),
        ('{“input”: “say "x" [a,]”, “output”: “b”}', ('say "x" [a,]', "b"), "smart_quotes", (1, 2), "Smart quotes"),
        ("input, output\ngood, kept", ("good", "kept"), "blanks", (1, 0), "behind the commas"),
        ('input, output\n"good", "kept"', ("good", "kept"), "blanks", (1, 0), "behind the commas"),
        ('input,output\n"good", "kept"', ("good", "kept"), "blanks", (2, 0), "behind the commas"),
        ("input,output\n" + GOOD, ("good", "kept"), "header", (1, 1), "above rows of JSON"),
        ("input,Output\ngood,kept", ("good", "kept"), "key_case", (1, 7), '"Output"; it was read as "output"'),
        ("input;output\ngood;kept", ("good", "kept"), "delimiter", (1, 1), "semicolons"),
        ("input\toutput\ngood\tkept", ("good", "kept"), "delimiter", (1, 1), "tabs"),
        ("Input,output\ngood,kept", ("good", "kept"), "key_case", (1, 1), '"Input"; it was read as "input"'),
        ("id,input,output\n1,good,kept", ("good", "kept"), "extra_key", (1, 1), 'Unknown column "id"'),
    ],
)
def test_what_has_one_meaning_is_repaired_and_said(
    rows: Reader, content: str | bytes, kept: tuple[str, str], kind: str, place: tuple[int, int], message: str
) -> None:
    found = rows(content)
    problem = only(found)
    assert pairs(found) == [kept]
    assert (problem.kind, problem.line, problem.column, problem.repaired) == (kind, *place, True)
    assert message in problem.message
    assert problem.fix


@pytest.mark.parametrize(
    ("line", "kind", "column", "message"),
    [
        ('{"text": "a", "output": "b"}', "missing_key", 1, '"input" is missing (keys seen: text).'),
        ("{}", "missing_key", 1, '"input" is missing. "output" is missing.'),
        ('{"input": null, "output": "b"}', "null", 2, '"input" is null'),
        ('{"input": "a", "output": ["L3"]}', "nested", 16, '"output" is a list'),
        ('{"input": {"a": "b"}, "output": "c"}', "nested", 2, '"input" is an object'),
        ('{"input": "a", "output": " "}', "empty", 16, '"output" is empty'),
        ('{"input": "\\u0000", "output": "a"}', "empty", 2, '"input" is empty'),
        ('{"input": "a", "output": NaN}', "not_a_number", 16, '"output" is NaN'),
        ('{"input": "a", "input": "b", "output": "c"}', "duplicate_key", 2, "different values"),
        ('{"input": "a", "output": "b', "unterminated_string", 26, "never ends"),
        ('{"input": "a", "output": "b"', "unfinished", 29, "ends too early"),
        ('{"input": "a" "output": "b"}', "json", 15, "expecting ',' delimiter, seen '\"'"),
        ("{'input': 'a', 'output': 'b'}", "json", 2, "Single quotes are no JSON"),
        ('"input": "a", "output": "b"}', "garbage", 1, "does not start with {"),
        ("nonsense", "garbage", 1, "outside of any object"),
        ('{"input": "\\ud800", "output": "b"}', "half_character", 2, "half a character (U+D800)"),
        ('{"a":' * 3000, "nested", 1, "nested too deeply"),
    ],
)
def test_a_refused_row_is_named_and_costs_no_neighbour(
    rows: Reader, line: str, kind: str, column: int, message: str
) -> None:
    found = rows(f"{GOOD}\n{line}\n{GOOD}\n")
    problem = only(found)
    assert [example.line for example in found.examples] == [1, 3]
    assert (problem.kind, problem.line, problem.column, problem.repaired) == (kind, 2, column, False)
    assert message in problem.message


@pytest.mark.parametrize(
    "content",
    [
        '{"input": " a", "output": " A"}\n{"input": "b", "output": "B"}\n{"input": "c", "output": "C\\n"}',
        'input,output\n" a"," A"\nb,B\nc,"C\n"',
    ],
)
def test_blanks_around_outputs_are_taken_off_and_said_once(rows: Reader, content: str) -> None:
    found = rows(content)
    assert pairs(found) == [(" a", "A"), ("b", "B"), ("c", "C")]
    problem = only(found)
    assert (problem.kind, problem.line, problem.repaired) == ("blanks", 0, True)
    assert "around 2 outputs (first: line " in problem.message


def test_bytes_that_are_no_utf8_cost_their_row_only(rows: Reader) -> None:
    found = rows(b'{"input": "caf\xe9", "output": "b"}\n' + GOOD.encode())
    assert pairs(found) == [("good", "kept")]
    assert 'in Windows-1252 that byte is "é"' in only(found).fix
    assert "byte 0xE9 at its character 4" in only(found).message


def test_all_faults_of_a_row_are_in_one_problem(rows: Reader) -> None:
    problem = only(rows('{"text": null, "label": 5}'))
    assert problem.fix == 'Rename "text" to "input". Rename "label" to "output".'


def test_objects_that_share_a_line_are_all_read(rows: Reader) -> None:
    found = rows(f"{GOOD} {GOOD}{GOOD}")
    assert len(found.examples) == 3
    assert [p.kind for p in found.problems] == ["same_line", "same_line"]


def test_commas_after_every_line_are_passed_over(rows: Reader) -> None:
    found = rows(f"{GOOD},\n{GOOD},\n{GOOD}")
    assert len(found.examples) == 3
    assert {(p.kind, p.repaired) for p in found.problems} == {("trailing_comma", True)}


@pytest.mark.parametrize("glue", [",", ",\n", "\n,\n  "])
def test_a_broken_element_in_the_middle_of_an_array_costs_itself_only(rows: Reader, glue: str) -> None:
    elements = [GOOD, '{"input": oops, "output": "b"}', GOOD, '{"input": "a", "output": }', GOOD]
    found = rows("[" + glue.join(elements) + "]")
    assert len(found.examples) == 3
    assert [p.kind for p in found.refused] == ["json", "json"]


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("around", [{}, {"version": 1.5, "name": "x"}])
def test_rows_inside_another_object_are_read_and_said(rows: Reader, indent: int | None, around: Any) -> None:
    for document in (around | {"data": [json.loads(GOOD)] * 3}, {"data": [json.loads(GOOD)] * 3} | around):
        found = rows(json.dumps(document, indent=indent))
        assert len(found.examples) == 3
        assert (only(found).kind, only(found).repaired) == ("envelope", True)
    assert len(rows(json.dumps({"data": [{"input": "a", "output": "word " * 99}] * 30_000})).refused) == 0


def test_a_row_that_is_not_closed_costs_itself_only(rows: Reader) -> None:
    assert len(rows(f'{{"input": "a", "output":\n{GOOD}\n}}\n{GOOD}').examples) == 2


def test_a_row_of_ten_megabytes_is_named_and_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "long.jsonl"
    with path.open("w") as file:
        file.write(GOOD + '\n{"input": "')
        for _ in range(100):
            file.write("word " * 20_000)
        file.write('", "output": "b"}\n' + GOOD)
    tracemalloc.start()
    items = list(stream(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [item.line for item in items] == [1, 2, 3]
    assert isinstance(items[1], Problem)
    assert "longer than 1,048,576 characters" in items[1].message
    assert peak < 9e6


def test_a_long_csv_line_is_named_and_dropped(rows: Reader) -> None:
    found = rows("input,output\na,b\n" + "x" * 3_000_000 + ",c\nd,e")
    assert pairs(found) == [("a", "b"), ("d", "e")]
    assert only(found).kind == "too_long"


@pytest.mark.parametrize("first", ["# input, output", '"input"', "…; output", "input", "notes on input,output"])
def test_an_odd_first_line_costs_no_row_of_json(rows: Reader, first: str) -> None:
    found = rows(f"{first}\n" + f"{GOOD}\n" * 5)
    assert [example.line for example in found.examples] == [2, 3, 4, 5, 6]
    assert only(found).line == 1


def test_rows_of_json_between_those_of_csv_are_read_or_refused(rows: Reader) -> None:
    found = rows('input,output\na,b\n{"input": "c", "output": "d"}\n{"input": "e", "output": oops}\nf,g\nh,i\nj,k')
    assert pairs(found) == [("a", "b"), ("c", "d"), ("f", "g"), ("h", "i"), ("j", "k")]
    assert [(p.line, p.kind, p.repaired) for p in found.problems] == [(3, "json_line", True), (4, "json", False)]


@pytest.mark.parametrize("start", ["\x00", "\ufeff", "[", ",", " \ufeff["])
@pytest.mark.parametrize("row", ['{"input": "a", "output": "b",}', '{"input": "a\x00", "output": "b"}'])
def test_a_row_is_repaired_whatever_the_next_line_starts_with(rows: Reader, row: str, start: str) -> None:
    found = rows(f"{row}\n{start}{GOOD}\n")
    assert pairs(found) == [("a", "b"), ("good", "kept")]
    assert not found.refused


def test_text_inside_strings_is_never_repaired(rows: Reader) -> None:
    found = rows("{“input”: “list a,b,] end {x,}”, “output”: “A ,}”,}")
    assert pairs(found) == [("list a,b,] end {x,}", "A ,}")]
    assert {(p.kind, p.column) for p in found.problems} == {("smart_quotes", 2), ("trailing_comma", 50)}


def test_a_forgotten_quote_in_csv_swallows_no_rows(rows: Reader) -> None:
    found = rows('input,output\n"My chair is broken,Service\nThe bill is wrong,L3\nNo answer,L3\nthe last one",L3\n')
    assert pairs(found) == [("The bill is wrong", "L3"), ("No answer", "L3"), ('the last one"', "L3")]
    assert [(p.line, p.column, p.kind, p.repaired) for p in found.problems] == [
        (2, 1, "quote", False),
        (5, 13, "quote", True),
    ]


def test_a_cell_over_lines_that_may_be_rows_is_pointed_out(rows: Reader) -> None:
    assert not rows('input,output\n"Dear all,\nmy chair, the red one, broke\nbye, Jo",L3').problems
    found = rows('input,output\n"My chair,Service\nthe last one",L3\n')
    assert pairs(found) == [("My chair,Service\nthe last one", "L3")]
    assert "up to line 3" in only(found).message


def test_csv_cells_may_hold_line_breaks_and_quotes(rows: Reader) -> None:
    found = rows('input,output\n"a\nb","c ""d"""\n\ne,f\n')
    assert [(e.input, e.output, e.line) for e in found.examples] == [("a\nb", 'c "d"', 2), ("e", "f", 5)]


def test_csv_rows_that_do_not_fit_are_named_one_by_one(rows: Reader) -> None:
    found = rows('input,output\na,b,c\nd\n"open,e\nf,g\n,h\n')
    assert pairs(found) == [("f", "g")]
    assert [(p.line, p.kind) for p in found.problems] == [(2, "columns"), (3, "columns"), (4, "quote"), (6, "empty")]
    assert "The row has 3 columns, the header has 2." in found.problems[0].message


@pytest.mark.parametrize(
    ("content", "kind", "fix"),
    [
        ("text,label\na,b", "header", 'Rename the column "text" to "input" and rename the column "label" to "output".'),
        ("a,b\nc,d", "header", "Put a first line into the file: input,output"),
        ("input,other\nc,d", "header", "first line"),
        ("just words", "format", "Write one"),
        ("", "empty", "Write one"),
        ("\n \n", "empty", "Write one"),
        ("[]", "empty", "Write one"),
        (b"PK\x03\x04rest", "format", "Export the sheet as CSV"),
        (b"\x1f\x8brest", "format", "gunzip"),
    ],
)
def test_a_file_without_rows_says_why(rows: Reader, content: str | bytes, kind: str, fix: str) -> None:
    problem = only(rows(content))
    assert (problem.kind, problem.repaired) == (kind, False)
    assert fix in problem.fix


def test_read_examples_names_fifty_problems_and_counts_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(GOOD + "\n" + '{"input": "a"}\n' * 70)
    with pytest.raises(DatasetInvalid, match="70 problems beside 1 valid row") as caught:
        read_examples(path)
    message = str(caught.value)
    assert 'line 51, column 1: "output" is missing' in message
    assert "line 52" not in message
    assert "… and 20 more." in message


def test_read_examples_takes_repaired_rows(tmp_path: Path) -> None:
    path = tmp_path / "fine.jsonl"
    path.write_text('{"input": "a", "output": 5}')
    assert read_examples(path) == [Example("a", "5", 1)]


def test_files_that_cannot_be_opened_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "near.jsonl").touch()
    with pytest.raises(DatasetUnreadable, match=r"gone.jsonl does not exist.*near.jsonl"):
        read(tmp_path / "gone.jsonl")
    (tmp_path / "link.jsonl").symlink_to("moved.jsonl")
    with pytest.raises(DatasetUnreadable, match=r"link.jsonl is a link to moved.jsonl, which does not exist"):
        read(tmp_path / "link.jsonl")
    with pytest.raises(DatasetUnreadable, match="is a folder"):
        read(tmp_path)
    with pytest.raises(DatasetUnreadable, match="pipe or a device"):
        read("/dev/null")
    with pytest.raises(DatasetUnreadable, match="null"):
        read("a\0b")


def test_writing_replaces_the_file_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "out.jsonl"
    assert write_jsonl([Example("a", "b")], path) == 1

    def breaking() -> list[Example]:
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write_jsonl((example for _ in range(1) for example in breaking()), path)
    with pytest.raises(DatasetInvalid, match="Row 2 holds half a character"):
        write_jsonl([Example("a", "b"), Example("\ud800", "b")], path)
    with pytest.raises(UsageError, match="cannot be written"):
        write_jsonl([], path / "below-a-file.jsonl")
    assert path.read_text() == '{"input": "a", "output": "b"}\n'
    assert list(path.parent.iterdir()) == [path]


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1).filter(str.strip)
EXAMPLES = st.lists(st.builds(Example, TEXT, TEXT), min_size=1, max_size=5)
relaxed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@relaxed
@given(content=st.one_of(st.binary(max_size=300), st.text(alphabet='{}[]",:\\\n\r\x00“” aeinoputNn0', max_size=120)))
def test_reading_never_raises(tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "any"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    found = read(path)
    assert found.examples or found.refused
    assert all(example.input.strip() and example.output.strip() for example in found.examples)


@relaxed
@given(examples=EXAMPLES)
def test_what_is_written_comes_back(tmp_path: Path, examples: list[Example]) -> None:
    path = tmp_path / "written"
    write_jsonl(examples, path)
    found = read(path)
    assert pairs(found) == [(e.input, e.output.strip()) for e in examples]
    assert {p.kind for p in found.problems} <= {"blanks"}
    assert [e.line for e in found.examples] == list(range(1, len(examples) + 1))


@relaxed
@given(examples=EXAMPLES, indent=st.sampled_from([None, 2]), ascii_only=st.booleans())
def test_arrays_come_back(tmp_path: Path, examples: list[Example], indent: int | None, ascii_only: bool) -> None:
    path = tmp_path / "array"
    items = [{"input": e.input, "output": e.output} for e in examples]
    path.write_text(json.dumps(items, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    found = read(path)
    assert pairs(found) == [(e.input, e.output.strip()) for e in examples]
    assert {p.kind for p in found.problems} <= {"blanks"}


def test_reading_goes_on_over_the_seams_of_the_window(tmp_path: Path) -> None:
    """Rows of every length cross the boundaries of what is read at once."""
    path = tmp_path / "seams"
    examples = [Example(f"{i} " + "é" * (i * 97 % 5000), "x") for i in range(400)]
    write_jsonl(examples, path)
    assert pairs(read(path)) == [(e.input, e.output) for e in examples]
    broken = path.read_text().replace("0 ééé", '0 "ééé')
    path.write_text(broken)
    found = read(path)
    assert len(found.examples) + len(found.refused) == 400


def test_a_comma_that_is_missing_is_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"input": "b" "output": "y"}\n{"input": "say "hi"", "output": "y"}\n', encoding="utf-8")
    first, second = (item for item in stream(file) if isinstance(item, Problem))
    assert first.fix == "Write a comma between the two fields."
    assert second.fix == 'Write a quote inside a string as \\".'
