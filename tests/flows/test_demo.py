"""The demo from end to end, shortened: on a tiny model with an interruption, and on the real one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from softprompt.engine import events
from softprompt.engine.artifact import TunedPrompt
from softprompt.params import LAB_INSTRUCTION, TuneConfig
from softprompt.workbench.demo import BASELINE, Audience, Outcome, Plan, find_samples, run_demo

NAMES = [
    "zero-shot", "1-shot", "3-shot", BASELINE, "tuned on v1 · text", "tuned on v1 · readout", "tuned on v2 · text",
    "tuned on v2 · readout",
]  # fmt: skip
QUICK = TuneConfig(init_text=LAB_INSTRUCTION, epochs=1, place="prefix", virtual_tokens=4)


class Diary(Audience):
    """Remembers what it was told; may interrupt."""

    def __init__(self, stop_at: str = "") -> None:
        self.steps: list[str] = []
        self.asked: list[str] = []
        self.said: list[str] = []
        self.stop_at = stop_at

    def step(self, number: int, title: str) -> None:
        assert number == len(self.steps) + 1
        self.steps.append(title)

    def say(self, text: str) -> None:
        self.said.append(text)

    def method(self, name: str, number: int, count: int) -> None:
        if name == self.stop_at:
            raise KeyboardInterrupt
        self.asked.append(name)


def test_steps_files_and_reuse(tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    plan = Plan(out=tmp_path / "lab", samples=find_samples(), model=str(tiny_folder()), config=QUICK, limit=24)
    first = Diary(stop_at="tuned on v1 · text")
    with pytest.raises(KeyboardInterrupt):
        run_demo(plan, first)
    assert first.asked == NAMES[:4]
    second = Diary()
    found = run_demo(plan, second)
    assert second.asked == NAMES[4:]
    assert found.reused == ("tuned on v1", "tuned on v2", *NAMES[:4])
    assert len(second.steps) == 7
    check_outcome(found)
    third = Diary()
    again = run_demo(plan, third)
    assert third.asked == []
    assert any("used again" in sentence for sentence in third.said)
    assert [m.answers for m in again.evaluation.methods] == [m.answers for m in found.evaluation.methods]
    other = Diary()
    changed = run_demo(replace(plan, config=replace(QUICK, seed=7)), other)
    assert changed.reused == tuple(NAMES[:4])
    assert other.asked == NAMES[4:]


def test_an_interrupted_run_goes_on(tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    class Impatient(Diary):
        def tuning(self, name: str):  # type: ignore[no-untyped-def]
            from contextlib import nullcontext

            def stop(event: events.Event) -> None:
                if isinstance(event, events.Saved):
                    raise KeyboardInterrupt

            return nullcontext(stop)

    plan = Plan(out=tmp_path / "lab", samples=find_samples(), model=str(tiny_folder()), config=QUICK, limit=24)
    with pytest.raises(KeyboardInterrupt):
        run_demo(plan, Impatient())
    assert (tmp_path / "lab" / "tuned-v1.run").is_dir()
    fresh = replace(plan, config=replace(QUICK, seed=7))  # a checkpoint of another recipe is no obstacle
    check_outcome(run_demo(fresh))
    assert not (tmp_path / "lab" / "tuned-v1.run").exists()


@pytest.mark.model
def test_the_demo_on_the_real_model(smollm2: Path, tmp_path: Path) -> None:
    plan = Plan(
        out=tmp_path / "lab",
        samples=find_samples(),
        model=str(smollm2),
        config=replace(QUICK, epochs=2, batch_size=8),
        limit=12,
    )
    found = run_demo(plan)
    check_outcome(found, 12)
    for tuned in found.tuned:
        losses = [record["loss"] for record in tuned.metrics["epochs"]]
        assert losses[-1] < losses[0]
        assert tuned.readout is not None


def check_outcome(found: Outcome, rows: int = 24) -> None:
    """The table, the questions and the files are whole."""
    assert [method.name for method in found.evaluation.methods] == NAMES
    assert [method.name for method in found.questions.methods] == NAMES
    assert (len(found.evaluation.rows), len(found.questions.rows)) == (rows, 3)
    assert all(len(method.answers) == rows for method in found.evaluation.methods)
    assert set(found.files) == {"tuned on v1", "tuned on v2", "loss curves", "report", "answers"}
    assert TunedPrompt.load(found.files["tuned on v2"]).name == "tuned on v2"
    assert found.files["loss curves"].read_bytes().startswith(b"\x89PNG")
    report = found.files["report"].read_text()
    assert all(f"| {name} |" in report for name in NAMES)
    lines = (found.files["answers"] / "3-shot.jsonl").read_text().splitlines()
    assert len(lines) == rows
    assert {"input", "expected", "output", "right"} <= set(json.loads(lines[0]))
    assert json.loads(json.dumps(found.to_dict()))["methods"][0]["name"] == "zero-shot"
