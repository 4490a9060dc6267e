"""`softprompt tune`: what it prints, what it leaves behind, what it refuses, and how it goes on."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from softprompt.cli.progress import TuneProgress, duration, sentence
from softprompt.engine import events
from softprompt.engine.artifact import TunedPrompt
from softprompt.params import TuneConfig

Call = Callable[..., SimpleNamespace]
SMALL = ("--place", "prefix", "--virtual-tokens", 3, "--epochs", 2, "--batch-size", 8)


def test_one_document_with_json(call: Call, rows: Path, tiny_folder: Callable[..., Path], tmp_path: Path) -> None:
    out = tmp_path / "prompt"
    done = call("tune", rows, "--model", tiny_folder(), "--out", out, *SMALL, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert set(found) == {
        "out", "name", "task", "labels", "updates", "epochs", "seconds", "tokens", "virtual_tokens", "readout", "notes",
    }  # fmt: skip
    assert (found["out"], found["name"], found["task"]) == (str(out), "prompt", "classification")
    assert found["labels"] == ["Marketing", "Service", "Warehouse"]
    assert (found["updates"], found["virtual_tokens"]) == (6, 3)
    assert [record["epoch"] for record in found["epochs"]] == [0, 1]
    assert all(record["loss"] > 0 for record in found["epochs"])
    assert 0 <= found["readout"]["cross_validation"]["exact"] <= 1
    assert any("6 updates" in note for note in found["notes"])
    assert TunedPrompt.load(out).virtual_tokens == 3
    assert not out.with_name("prompt.run").exists()


def test_words_without_a_terminal_are_plain_lines(
    call: Call, rows: Path, tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    told = tmp_path / "log" / "events.jsonl"
    done = call(
        "tune", rows, "--model", tiny_folder(), "--out", tmp_path / "p", *SMALL, "--learning-rate", 0.1,
        "--validation", 0.2, "--readout", "off", "--events", told,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "\x1b" not in done.out
    lines = done.out.splitlines()
    assert any(line.startswith("Learning rate 0.1 = ") for line in lines)
    assert "Task: classification, seen from the outputs." in lines
    epochs = [line for line in lines if line.startswith("epoch")]
    assert len(epochs) == 2
    assert all("loss" in line and "validation loss" in line and "metric" in line for line in epochs)
    assert any("About" in line and "measured over the first 5 updates" in line for line in lines) or "4/4" in done.out
    assert f"in {tmp_path / 'p'}" in done.out
    records = [json.loads(line) for line in told.read_text().splitlines()]
    kinds = [record["event"] for record in records]
    assert kinds.count("StepDone") == records[kinds.index("Started")]["updates"]
    assert kinds.count("EpochDone") == 2
    assert "Finished" in kinds


def test_a_readout_alone_has_no_updates(
    call: Call, rows: Path, tiny_folder: Callable[..., Path], tmp_path: Path
) -> None:
    done = call("tune", rows, "--model", tiny_folder(), "--out", tmp_path / "p", "--readout", "only", "--json")
    found = json.loads(done.out)
    assert (done.code, found["updates"], found["epochs"], found["virtual_tokens"]) == (0, 0, [], 0)
    assert found["readout"] is not None


def test_help_and_ranges_come_from_the_parameters(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    shown = " ".join(call("tune", "--help").out.split())
    for item in dataclasses.fields(TuneConfig):
        assert f"--{item.name.replace('_', '-')}" in shown
        assert " ".join(item.metadata["help"].split())[:40] in shown
    assert "[1 to 1024; default: follows model and data]" in shown
    assert "[0 or more; default: 1]" in shown
    assert "[default: 'Input: {{input}} Output: ']" in shown


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            ("--epochs", 51, "--learning-rate", 2),
            "epochs: 51 is not between 1 and 50; learning_rate: 2.0 is not between",
        ),
        (("--place", "middle"), "place: 'middle' is not one of prefix, suffix, both"),
        (("--method", "lora"), "method: 'lora' is not one of prompt_tuning, prefix_tuning"),
        (("--epochs", "many"), "Invalid value for '--epochs'"),
        (("--template", "no place"), "it needs exactly one"),
        (("--validation", 3), "--validation: 3 is no share between 0 and 1"),
        (("--speed", 3), "No such option"),
    ],
)
def test_bad_values_are_wrong_usage(
    call: Call, rows: Path, tiny_folder: Callable[..., Path], tmp_path: Path, given: tuple[Any, ...], words: str
) -> None:
    done = call("tune", rows, "--model", tiny_folder(), "--out", tmp_path / "p", *given)
    assert (done.code, done.out if "--template" not in given else "") == (2, "")
    assert words in done.err
    document = json.loads(call("tune", rows, "--model", tiny_folder(), "--out", tmp_path / "p", *given, "--json").out)
    assert words in document["error"]["message"]
    assert not (tmp_path / "p").exists()


def test_what_cannot_work_is_said_before_a_model_is_loaded(call: Call, rows: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("years of work")
    done = call("tune", rows, "--model", "no/such", "--out", full)
    assert (done.code, done.out) == (2, "")
    assert "holds files that are no tuned prompt" in done.err
    assert "is a file" in call("tune", rows, "--model", "no/such", "--out", rows).err
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"input": "x"}\n')
    done = call("tune", bad, "--model", "no/such", "--out", tmp_path / "p")
    assert done.code == 1
    assert "1 problem" in done.err
    assert call("tune", tmp_path / "gone", "--model", "no/such", "--out", tmp_path / "p").code == 1
    assert "no/such" in call("tune", rows, "--model", "no/such", "--out", tmp_path / "p").err
    assert call("tune", rows, "--out", tmp_path / "p").code == 2
    done = call("tune", rows, "--model", "no/such", "--out", tmp_path / "p", "--validation", tmp_path / "gone")
    assert done.code == 1


def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    call: Call, rows: Path, tiny_folder: Callable[..., Path]
) -> None:
    done = call("tune", rows, "--model", tiny_folder(), "--out", rows / "p", *SMALL)
    assert done.code == 1
    assert "p.run, where checkpoints go, cannot be made: Not a directory. Name another folder." in done.err
    assert "epoch  1" not in done.out


def test_an_interrupted_run_goes_on_to_the_same_vectors(
    call: Call, rows: Path, tiny_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = (rows, "--model", tiny_folder(), "--readout", "off", *SMALL)
    assert call("tune", *given, "--out", tmp_path / "whole").code == 0
    listen = TuneProgress.__call__

    def stop(self: TuneProgress, event: events.Event) -> None:
        listen(self, event)
        if isinstance(event, events.StepDone) and event.epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(TuneProgress, "__call__", stop)
    done = call("tune", *given, "--out", tmp_path / "parts")
    assert done.code == 130
    assert "Stopped: the same command with --resume goes on." in done.err
    monkeypatch.undo()
    done = call("tune", *given, "--out", tmp_path / "parts", "--epochs", 3, "--resume")
    assert done.code == 1
    assert "leave out --resume to start anew" in done.err
    done = call("tune", *given, "--out", tmp_path / "parts", "--resume")
    assert done.code == 0, done.err
    assert "Goes on behind update 3 of 6." in done.out
    whole, parts = (TunedPrompt.load(tmp_path / name).prompt.prefix for name in ("whole", "parts"))
    assert whole is not None
    assert parts is not None
    assert torch.equal(whole, parts)


def test_a_terminal_shows_loss_and_time_to_go() -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100)
    with TuneProgress(console) as shown:
        shown(events.Note("a choice"))
        shown(events.Started(updates=4, done=0, rows=16, virtual_tokens=3, target_tokens=40))
        for update in (1, 2):
            shown(events.StepDone(update, 0, 3.5 / update, 0.01, 100.0, 65.0))
        shown(events.EpochDone(0, 2.0, None, None, False, 1.0))
        shown(events.Finished("all epochs done", 2))
        shown(events.ReadoutEpochDone(0, 0.8, 0.5, True, 1.0))
    told = screen.getvalue()
    for words in ("A choice.", "2/4", "loss 1.750", "Pass 1 through the readout: loss 0.8000, 0.500 exact"):
        assert words in told
    assert (shown.first, shown.last, shown.update) == (3.5, 1.75, 2)


def test_durations_and_sentences() -> None:
    assert [duration(s) for s in (0, 0.3, 42, 60, 130, 3900)] == [
        "0 s",
        "0.3 s",
        "42 s",
        "1 min",
        "2 min 10 s",
        "1 h 5 min",
    ]
    assert sentence("done, well") == "Done, well."
