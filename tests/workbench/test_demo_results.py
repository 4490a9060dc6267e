"""Kept answers count only under the key they were made with."""

from __future__ import annotations

from pathlib import Path

import pytest

from softprompt.engine.generate import Answer
from softprompt.errors import UsageError
from softprompt.workbench.demo import find_samples
from softprompt.workbench.demo_results import Results

ANSWER = Answer("x", "Grün", 5, 0, 1, "eos_token", 0.5)


def test_answers_come_back_for_the_same_question(tmp_path: Path) -> None:
    path = tmp_path / "lab" / "results.json"
    kept = Results.open(path, ["model"]).keep("1-shot", {"shots": 1}, 2.5, [ANSWER])
    again = Results.open(path, ["model"])
    assert again.find("1-shot", {"shots": 1}) == kept
    assert again.find("1-shot", {"shots": 2}) is None
    assert again.find("zero-shot", {"shots": 1}) is None
    assert Results.open(path, ["another model"]).find("1-shot", {"shots": 1}) is None


@pytest.mark.parametrize("content", ["", "[1]", '{"1-shot": 3}', '{"1-shot": {"key": "x"}}', "\ufeff{"])
def test_a_broken_file_is_as_good_as_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "results.json"
    path.write_text(content)
    results = Results.open(path, [])
    assert results.find("1-shot", None) is None
    results.entries["1-shot"] = {"key": results._key("1-shot", None), "answers": [{"odd": 1}], "ms_per_row": 1}
    assert results.find("1-shot", None) is None


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="Name another folder with --out"):
        Results.open(tmp_path / "file" / "results.json", []).keep("x", None, 1.0, [ANSWER])


def test_samples_are_found_from_below(tmp_path: Path) -> None:
    samples = tmp_path / "examples" / "complaints"
    samples.mkdir(parents=True)
    (samples / "v1.jsonl").write_text("")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    assert find_samples(tmp_path / "deep" / "er") == samples
    assert (find_samples() / "test.jsonl").is_file()
