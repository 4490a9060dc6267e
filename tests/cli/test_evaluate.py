"""`softprompt evaluate`: the table, the document, the report, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

Call = Callable[..., SimpleNamespace]


def test_one_document_with_json(
    call: Call, rows: Path, tuned: Path, tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    report = tmp_path / "reports" / "all.md"
    done = call(
        "evaluate", rows, "--model", tiny_folder(), "--with", "zero-shot", "--with", "2-shot", "--with", "baseline",
        "--with", tuned, "--examples", rows, "--instruction", "Sort it.", "--limit", 9, "--report", report, "--json",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert (found["task"], found["rows"], found["notes"]) == ("classification", 9, [])
    assert [method["name"] for method in found["methods"]] == [
        "zero-shot", "2-shot", "TF-IDF + logistic regression", "complaints · text", "complaints · scored",
        "complaints · readout",
    ]  # fmt: skip
    for method in found["methods"]:
        assert {
            "name", "exact", "micro_f1", "macro_f1", "interval", "per_label", "input_tokens", "virtual_tokens",
            "generated_tokens", "ms_per_row", "answers",
        } <= set(method)  # fmt: skip
        low, high = method["interval"]
        assert low <= method["exact"] <= high
        assert len(method["answers"]) == 9
        assert set(method["per_label"]) == {"Service", "Warehouse", "Marketing"}
    assert found["methods"][3]["virtual_tokens"] == 3
    told = report.read_text()
    assert "## Methods" in told
    assert "| complaints · readout |" in told
    assert "## Answers to the first 9 of 9 rows" in told
    assert "![loss by epoch](all.loss.png)" in told
    assert (tmp_path / "reports" / "all.loss.png").read_bytes().startswith(b"\x89PNG")


def test_a_table_for_people(call: Call, rows: Path, tuned: Path) -> None:
    done = call("evaluate", rows, "--with", tuned, "--guard", "--limit", 4)
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    assert "complaints · guarded text" in done.out
    assert "complaints · readout" in done.out
    assert "4 rows, classification." in done.out


def test_free_text_is_judged_by_rouge_and_pattern(call: Call, tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    test = tmp_path / "test.jsonl"
    test.write_text("".join(json.dumps({"input": f"Text {i}", "output": f"A title for {i}."}) + "\n" for i in range(3)))
    given = (
        "evaluate",
        test,
        "--model",
        tiny_folder(),
        "--with",
        "zero-shot",
        "--pattern",
        "A .*",
        "--max-new-tokens",
        2,
    )
    method = json.loads(call(*given, "--json").out)["methods"][0]
    assert method["rouge_l"] is not None
    assert method["format_kept"] == 0.0
    assert "ROUGE-L" in call(*given).out
    assert "format kept" in call(*given).out


@pytest.mark.parametrize(
    ("given", "code", "words"),
    [
        (("--with", "few-shot"), 2, "'few-shot' is not zero-shot, K-shot (as 3-shot), baseline or the folder of"),
        (("--with", "3-shot"), 2, "3-shot needs 3 solved examples, 0 are there"),
        (("--with", "baseline"), 2, "give --examples FILE"),
        (("--with", "zero-shot", "--pattern", "("), 2, "is no regular expression"),
        (("--with", "zero-shot", "--limit", 0), 2, "Invalid value for '--limit'"),
        ((), 2, "Missing option '--with'"),
        (("--with", "zero-shot", "--examples", "gone"), 1, "gone"),
    ],
)
def test_refusals(
    call: Call, rows: Path, tiny_folder: Callable[..., Path], given: tuple[Any, ...], code: int, words: str
) -> None:
    done = call("evaluate", rows, "--model", tiny_folder(), *given)
    assert (done.code, done.out) == (code, "")
    assert words in done.err


def test_a_prompt_of_another_model_is_refused(
    call: Call, rows: Path, tuned: Path, tiny_folder: Callable[..., Path]
) -> None:
    done = call("evaluate", rows, "--model", tiny_folder("gpt2", 1), "--with", tuned)
    assert done.code == 1
    assert "was made for" in done.err
    assert "--model: name a foundation model" in call("evaluate", rows, "--with", "zero-shot").err
