"""`softprompt demo` as a command: how it looks, its exit codes, and what it says when it is stopped."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from softprompt.cli.demo_screen import Screen
from softprompt.data.report import check
from softprompt.engine import events

Call = Callable[..., SimpleNamespace]


def test_the_whole_lab_on_a_tiny_model(call: Call, tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    given = ("demo", "--model", tiny_folder(), "--out", tmp_path / "lab", "--quick", "--limit", 24)
    done = call(*given)
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    for words in (
        "1  The foundation model", "2  The data", "3  The plan", "4  Tuning", "5  The proof: 24 held-out rows",
        "6  The questions", "7  What was written", "200 of 200 rows can be used", "measured over 3",
        "TF-IDF + logistic regression", "tuned on v1 · readout", "Where are the 2 extra sets of sheets",
        "Warehouse, Packaging", str(tmp_path / "lab" / "report.md"), "Best: ",
    ):  # fmt: skip
        assert words in done.out
    found = json.loads(call(*given, "--json").out)
    assert {"out", "model", "seconds", "tuned", "reused", "task", "rows", "methods", "questions", "files"} <= set(found)
    assert len(found["reused"]) == 2 + 8
    assert [len(method["answers"]) for method in found["questions"]] == [3] * 8


def test_outside_a_clone_it_says_where_it_looked(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("softprompt.data.sample.PLACES", (tmp_path / "a", tmp_path / "b"))
    done = call("demo")
    assert (done.code, done.out) == (2, "")
    assert f"examples/complaints, is neither in {tmp_path} nor above it" in done.err


def test_wrong_usage_and_interruption(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert call("demo", "--limit", 3).code == 2
    assert call("demo", "--model", "no/such", "--out", tmp_path).code == 1

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("softprompt.workbench.demo.run_demo", stop)
    done = call("demo", "--out", tmp_path)
    assert done.code == 130
    assert "Stopped: the same command goes on where it was." in done.err


def test_a_terminal_gets_bars_with_numbers() -> None:
    told = io.StringIO()
    with Screen(Console(file=told, force_terminal=True, width=120)) as screen:
        screen.step(1, "Tuning")
        with screen.tuning("tuned on v1") as listener:
            listener(events.Started(updates=9, done=0, rows=16, virtual_tokens=3, target_tokens=40))
            listener(events.StepDone(3, 0, 1.25, 0.01, 100.0, 6.0))
        screen.method("zero-shot", 1, 8)
        screen.method("3-shot", 2, 8)
        screen.data({"v1": check(Path(__file__).parents[2] / "examples" / "complaints" / "v1.jsonl")})
    for words in ("tuned on v1", "3/9", "loss 1.250", "asking 3-shot", "1/8", "Planning"):
        assert words in told.getvalue()
