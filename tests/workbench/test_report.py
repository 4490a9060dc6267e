"""What stands in a report, cell by cell, and that the picture is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from softprompt.data.records import Example
from softprompt.engine.generate import Answer
from softprompt.errors import UsageError
from softprompt.workbench.curves import Curve, draw_curves
from softprompt.workbench.evaluate import Evaluation, Method, measure
from softprompt.workbench.report import answers, figures, machine, markdown, marked, printable, write_report

ROWS = (Example("lost | found", "Service"), Example("late\nagain <b>", "Warehouse"))


def evaluation(task: str = "classification", rows: tuple[Example, ...] = ROWS) -> Evaluation:
    def always(texts: object) -> list[Answer]:
        return [Answer(row.input, "Service", 12, 3, 2, "eos_token", 0.5) for row in rows]

    def linear(texts: object) -> list[Answer]:
        return [Answer(row.input, row.output, 0, 0, 0, "label", 0.9) for row in rows]

    methods = tuple(
        measure(Method(name, run), rows, task, pattern)  # type: ignore[arg-type]
        for name, run, pattern in (("tuned · text", always, "S.*"), ("linear", linear, None))
    )
    return Evaluation(task, rows, methods, ("a note",))  # type: ignore[arg-type]


def test_the_table_of_methods() -> None:
    table = figures(evaluation())
    assert table.head == (
        "method", "exact", "95 % interval", "micro-F1", "format kept", "input tokens", "virtual tokens",
        "generated tokens", "ms/row",
    )  # fmt: skip
    assert table.rows[0][:8] == ("tuned · text", "0.500", "0.09–0.91", "0.500", "1.000", "12", "3", "2")
    assert table.rows[1][1:8] == ("1.000", "0.34–1.00", "1.000", "–", "–", "–", "–")


def test_free_text_is_led_by_rouge() -> None:
    assert figures(evaluation("generation")).head[1:4] == ("ROUGE-L", "95 % interval", "exact")


def test_answers_stand_beside_the_right_ones() -> None:
    table = answers(evaluation())
    assert table.rows == (
        ("right answer", "Service", "Warehouse"),
        ("tuned · text", "✓ Service", "✗ Service"),
        ("linear", "✓ Service", "✓ Warehouse"),
    )
    assert answers(evaluation(), 1).head == ("method", "1")
    assert marked("", "x") == "✗ (nothing)"
    assert printable("a\x1b[31mb\tc") == "a\ufffd[31mb\tc"


def test_markdown_keeps_its_cells() -> None:
    text = markdown(answers(evaluation()))
    assert text.splitlines()[1] == "| --- | --- | --- |"
    assert markdown(figures(evaluation())).splitlines()[1].startswith("| --- | --: | --: |")


def test_the_report_holds_it_all(tmp_path: Path) -> None:
    picture = draw_curves(tmp_path / "loss.png", [Curve("v1", [{"loss": 2.0}, {"loss": 1.0}])])
    file = write_report(
        tmp_path / "deep" / "report.md",
        evaluation(),
        title="Proof",
        model="tiny",
        questions=evaluation(),
        curves=picture,
    )
    told = file.read_text()
    assert told.startswith("# Proof\n\n2 methods on the same 2 held-out rows, task: classification.")
    for part in (
        "## Methods", "## F1 by label", "| Warehouse | 1 | 0.000 | 1.000 |", "## The questions",
        "1. lost | found → **Service**", "2. late again &lt;b> → **Warehouse**",
        "| tuned · text | ✓ Service | ✗ Service |",
        "![loss by epoch](../loss.png)", "- a note", "## Machine", f"- cores: {machine()['cores']}",
    ):  # fmt: skip
        assert part in told
    sample = write_report(tmp_path / "short.md", evaluation()).read_text()
    assert "## Answers to the first 2 of 2 rows" in sample


def test_pictures_of_every_kind(tmp_path: Path) -> None:
    falling = [{"loss": 3.0 / (i + 1), "validation_loss": 3.1 / (i + 1)} for i in range(5)]
    for name, runs in {
        "many": [Curve(f"run {i}", falling) for i in range(8)],
        "point": [Curve("one epoch", falling[:1])],
        "flat": [Curve("nothing to lose", [{"loss": 0.0}, {"loss": 0.0}])],
        "none": [],
    }.items():
        assert draw_curves(tmp_path / f"{name}.png", runs).read_bytes().startswith(b"\x89PNG")


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written"):
        write_report(tmp_path / "file" / "report.md", evaluation())
    with pytest.raises(UsageError, match="cannot be written"):
        draw_curves(tmp_path / "file" / "loss.png", [])
