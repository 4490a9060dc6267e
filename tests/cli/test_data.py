"""`softprompt data`: exit codes, one JSON document, repaired files, splits."""

from __future__ import annotations

import json
import types
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from softprompt.cli import data
from softprompt.data.read import read
from softprompt.data.records import Example
from softprompt.errors import DatasetInvalid, DatasetUnreadable, ParameterInvalid, UsageError
from softprompt.params import TuneConfig
from softprompt.workbench.tune_rows import read_rows

GOOD = [(f"{i} is {'late' if i % 2 else 'broken'}", ("Service", "Warehouse")[i % 2]) for i in range(60)]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(data.app, [str(a) for a in arguments])


def document(result: Result) -> Any:
    assert result.stderr == ""
    return json.loads(result.stdout)  # fails on anything beside one document


def save(path: Path, rows: list[tuple[Any, Any]], extra: str = "") -> Path:
    path.write_text("".join(json.dumps({"input": q, "output": a}) + "\n" for q, a in rows) + extra)
    return path


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return save(tmp_path / "good.jsonl", GOOD)


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    return save(tmp_path / "bad.jsonl", GOOD, '{"input": "x [y]"}\n{"Input": "y", "output": 5}\n')


def test_sound_data_exits_zero(good: Path) -> None:
    result = run("check", good)
    assert result.exit_code == 0
    assert "60 rows, 60 valid, classification" in result.stdout
    assert "Service" in result.stdout
    assert "All rows can be used." in result.stdout
    assert "\x1b" not in result.stdout


def test_rows_that_cannot_be_used_exit_one_and_are_placed(bad: Path) -> None:
    result = run("check", bad)
    assert result.exit_code == 1
    assert "61:1" in result.stdout
    assert "62:2" in result.stdout
    assert "1 row cannot be used" in result.stdout


def test_json_is_one_document(bad: Path, good: Path) -> None:
    found = document(result := run("check", bad, "--test", good, "--json"))
    assert result.exit_code == 1
    assert (found["ok"], found["rows"], found["valid"], found["leak_count"]) == (False, 62, 61, 60)
    assert found["problems"][0]["line"] == 61
    assert document(run("check", good, "--json"))["ok"] is True


def test_tables_show_leaks_and_many_labels(tmp_path: Path, good: Path) -> None:
    many = save(tmp_path / "many.jsonl", [(f"text number {i} of many", f"label {i % 30}") for i in range(90)] + GOOD)
    result = run("check", many, "--test", good)
    assert result.exit_code == 0
    assert "… 12 more" in result.stdout
    assert "40 more" in result.stdout
    assert "stand in the test file too" in result.stdout


def test_fix_writes_what_can_be_used_and_says_what_changed(tmp_path: Path) -> None:
    rows = [(f"Narrative: {q}\nProduct:\n", a) for q, a in GOOD]
    rows[3] = (rows[3][0], "warehouse")
    path = save(tmp_path / "in.jsonl", rows, '{"input": "x"}\n')
    out = tmp_path / "new" / "out.jsonl"
    found = document(result := run("check", path, "--fix", out, "--json"))
    assert result.exit_code == 1
    assert found["fix"] == {
        "path": str(out),
        "rows": 60,
        "dropped": 1,
        "repaired": {},
        "wrapper": {"prefix": "Narrative: ", "suffix": "\nProduct:\n"},
        "spellings": [{"from": "warehouse", "to": "Warehouse", "rows": 1}],
    }
    assert [(e.input, e.output) for e in read(out).examples] == GOOD
    words = run("check", path, "--fix", out).stdout
    assert "left out: 1 row that cannot be repaired" in words.replace("1 rows", "1 row")
    assert "'warehouse' → 'Warehouse' in 1 row" in words
    assert run("check", out).exit_code == 0


def test_labels_with_blanks_around_them_are_the_same_for_everyone(tmp_path: Path) -> None:
    labels = ("Service", "Service ", "L3", " L3")
    path = save(tmp_path / "in.jsonl", [(q, labels[i % 4]) for i, (q, _) in enumerate(GOOD)])
    found = document(run("check", path, "--fix", tmp_path / "out.jsonl", "--json"))
    assert found["labels"] == {"L3": 30, "Service": 30}
    assert found["problem_kinds"] == found["fix"]["repaired"] == {"blanks": 1}
    assert {e.output for e in read(tmp_path / "out.jsonl").examples} == {"L3", "Service"}
    rows = [Example(q, labels[i % 4]) for i, (q, _) in enumerate(GOOD)]
    for source in (path, rows):
        assert read_rows(source, None, TuneConfig(), lambda _: None).labels == ("L3", "Service")


def test_fix_names_its_repairs(tmp_path: Path, bad: Path) -> None:
    assert "repaired: key_case 1, number 1" in run("check", bad, "--fix", tmp_path / "out.jsonl").stdout


def test_fix_never_overwrites_what_it_reads(good: Path, bad: Path) -> None:
    before = good.read_text()
    for arguments in ((good, "--fix", good), (bad, "--test", good, "--fix", good)):
        result = run("check", *arguments)
        assert isinstance(result.exception, UsageError)
        assert "never overwritten" in str(result.exception)
    assert good.read_text() == before


def test_a_model_counts_the_tokens(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_tokenizer(model: str) -> Any:
        assert model == "tiny"
        return lambda text, **_: {"input_ids": list(text)}

    fake = types.ModuleType("softprompt.engine.loading")
    monkeypatch.setattr(fake, "load_tokenizer", load_tokenizer, raising=False)
    monkeypatch.setitem(__import__("sys").modules, "softprompt.engine.loading", fake)
    found = document(run("check", good, "--model", "tiny", "--json"))
    assert found["cut"] == {"limit": 256, "rows": 0, "lines": []}
    assert found["lengths"]["output"]["tokens"]["longest"] == len("Warehouse")


def test_the_task_can_be_named(good: Path) -> None:
    assert document(run("check", good, "--task", "generation", "--json"))["task"] == "generation"
    result = run("check", good, "--task", "guessing")
    assert isinstance(result.exception, ParameterInvalid)
    assert "'guessing' is not one of auto, classification" in str(result.exception)


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    result = run("check", tmp_path / "gone")
    assert isinstance(result.exception, DatasetUnreadable)


def test_split_writes_both_parts(good: Path, tmp_path: Path) -> None:
    out = tmp_path / "parts"
    found = document(run("split", good, "--test", 0.2, "--out", out, "--seed", 3, "--json"))
    assert (found["task"], found["seed"], found["train"]["rows"], found["test"]["rows"]) == (
        "classification",
        3,
        48,
        12,
    )
    both = [read(out / f"{name}.jsonl").examples for name in ("train", "test")]
    assert {e.input for part in both for e in part} == {q for q, _ in GOOD}
    assert "12 rows" in run("split", good, "--out", out).stdout


def test_split_leaves_no_leaks_and_says_what_that_costs(tmp_path: Path) -> None:
    texts = ["one two three four five six"] * 40 + [f"{i} is another text of words {i * i}" for i in range(9)]
    path = save(tmp_path / "in.jsonl", [(text + "." * (i % 2), "AB"[i % 2]) for i, text in enumerate(texts)])
    result = run("split", path, "--out", tmp_path, "--test", 0.4)
    assert "instead of 20: rows that are copies of each other" in result.stdout
    found = document(run("check", tmp_path / "train.jsonl", "--test", tmp_path / "test.jsonl", "--json"))
    assert found["leak_count"] == 0


def test_warnings_of_the_test_file_are_shown(good: Path, tmp_path: Path) -> None:
    test = save(tmp_path / "test.jsonl", [("a b", "Service"), ("a b", "Service")])
    assert "! test file: 1 group of rows are copies of each other" in run("check", good, "--test", test).stdout


def test_what_was_seen_stands_in_the_table(bad: Path) -> None:
    assert '{"input":' in run("check", bad).stdout


def test_split_refuses_what_it_cannot_use(good: Path, bad: Path, tmp_path: Path) -> None:
    assert isinstance(run("split", bad, "--out", tmp_path).exception, DatasetInvalid)
    assert isinstance(run("split", good, "--out", tmp_path, "--test", 1.5).exception, ParameterInvalid)
    assert "--test: 1.5 is not" in str(run("split", good, "--out", tmp_path, "--test", 1.5).exception)
    assert run("split", good).exit_code == 2
    train = save(tmp_path / "train.jsonl", GOOD)
    assert isinstance(run("split", train, "--out", tmp_path).exception, UsageError)
