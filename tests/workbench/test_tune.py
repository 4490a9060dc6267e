"""The whole run without a terminal: what it chooses, says, keeps and refuses."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from softprompt import TunedPrompt, generate, load_model, tune
from softprompt.data.records import Example
from softprompt.data.wrapper import Wrapper
from softprompt.engine import events, readout_fit, readout_tune
from softprompt.engine.artifact import READOUT
from softprompt.errors import CheckpointInvalid, DatasetInvalid, LossNotFinite, ModelUnsupported, ParameterInvalid
from softprompt.params import GenerateConfig, Readout, TuneConfig
from softprompt.workbench.respond import Responder
from softprompt.workbench.tune_finished import Run
from softprompt.workbench.tune_records import metrics_record
from softprompt.workbench.tune_rows import content_hash

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone, CausalBackbone
    from softprompt.engine.readout import LabelReadout
    from softprompt.engine.soft_prompt import SoftPrompt

SMALL = TuneConfig(place="prefix", virtual_tokens=3, epochs=1, batch_size=8)


def test_a_run_is_told_and_stored(backbone: Backbone, examples: list[Example], tmp_path: Path) -> None:
    told: list[events.Event] = []
    run = tune(examples, model=backbone, out=tmp_path / "Complaints", config=SMALL, listener=told.append)
    kinds = [type(event).__name__ for event in told]
    assert (kinds.count("StepDone"), kinds.count("EpochDone"), run.updates) == (3, 1, 3)
    assert run.notes == tuple(event.text for event in told if isinstance(event, events.Note))
    assert run.tokens > 0
    back = TunedPrompt.load(tmp_path / "Complaints", backbone=backbone)
    assert (back.name, back.task, back.labels) == (
        "Complaints",
        "classification",
        ("Marketing", "Service", "Warehouse"),
    )
    assert back.recipe["config"] == dataclasses.asdict(SMALL)
    assert back.data == {"sha256": content_hash(examples), "rows": 18, "validation_rows": 0}
    assert back.metrics["epochs"] == list(run.epochs)
    assert back.calibration is not None
    assert back.calibration.shape == (3,)


def test_a_wrapper_around_all_inputs_is_taken_off(backbone: Backbone, examples: list[Example]) -> None:
    wrapped = [Example(f"Narrative: {e.input}\nProduct:\n", e.output) for e in examples]
    run = tune(wrapped, model=backbone, config=dataclasses.replace(SMALL, readout="off"))
    assert run.out is None
    assert run.tuned.readout is None
    assert run.tuned.data["sha256"] == content_hash(examples)
    assert any("wrapped alike" in note for note in run.notes)


@pytest.mark.parametrize("readout", ["off", "only"])
def test_questions_may_come_in_the_wrapper_of_the_training_rows(
    readout: Readout, backbone: Backbone, examples: list[Example], tmp_path: Path
) -> None:
    wrapped = [Example(f"Narrative: {e.input}\nProduct:\n", e.output) for e in examples]
    tune(wrapped, model=backbone, config=dataclasses.replace(SMALL, readout=readout), out=tmp_path / "wrapped")
    tuned = TunedPrompt.load(tmp_path / "wrapped")
    assert tuned.template.wrapper == Wrapper("Narrative: ", "\nProduct:\n")
    forms = ["the box is torn", "Narrative: the box is torn\nProduct:\n", "Narrative: the box is torn\nProduct:"]
    found = [(answer.output, answer.input_tokens) for answer in generate(Responder.of(backbone, tuned), forms)]
    assert found == found[:1] * 3
    (other,) = generate(Responder.of(backbone, tuned), ["Comment: the box is torn"])
    assert other.input_tokens > found[0][1]


def test_held_out_rows_choose_the_epoch(backbone: Backbone, examples: list[Example]) -> None:
    run = tune(examples, model=backbone, config=dataclasses.replace(SMALL, epochs=2), validation=0.25)
    assert run.tuned.data["validation_rows"] >= 3
    assert any(record["best"] for record in run.epochs)
    assert all(record["validation_loss"] > 0 for record in run.epochs)


def test_rows_held_out_for_the_vectors_still_teach_the_readout(
    backbone: Backbone, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is chosen by cross-validation and needs none held out; rows of a file of their own stay apart."""
    seen: list[int] = []
    fit = readout_fit.fit
    monkeypatch.setattr(
        readout_fit, "fit", lambda model, rows, *a, **k: seen.append(len(rows)) or fit(model, rows, *a, **k)
    )
    only = dataclasses.replace(SMALL, readout="only")
    run = tune(examples, model=backbone, config=only, validation=0.25)
    held = run.tuned.data["validation_rows"]
    assert held >= 3
    assert any(f"on the training rows and the {held} held out of them" in note for note in run.notes)
    tune(examples[:15], model=backbone, config=only, validation=examples[15:])
    assert run.tuned.metrics["readout"]["rows"] == 18
    assert seen == [18, 15]


def test_free_text_has_no_labels(backbone: Backbone) -> None:
    rows = [Example(f"text number {i}", f"a title of its own for {i}") for i in range(12)]
    run = tune(rows, model=backbone, config=SMALL)
    assert (run.tuned.task, run.tuned.labels, run.tuned.readout) == ("generation", (), None)
    with pytest.raises(ParameterInvalid, match="no label set to read"):
        tune(rows, model=backbone, config=dataclasses.replace(SMALL, readout="only"))


def test_answers_keep_the_pattern_of_their_tuned_prompt(backbone: Backbone, tmp_path: Path) -> None:
    rows = [Example(f"text number {i}", f"T{i} | a title") for i in range(12)]
    form = "T[0-9]{1,3} [|] a [a-z]{1,9}"
    tuned = tune(
        rows, model=backbone, config=dataclasses.replace(SMALL, pattern=form), validation=0.25, out=tmp_path / "titles"
    ).tuned
    assert tuned.pattern == TunedPrompt.load(tmp_path / "titles").pattern == form
    free = dataclasses.replace(tuned, recipe={})
    config = GenerateConfig(max_new_tokens=24)
    held, loose = (
        [a.output for a in generate(Responder.of(backbone, t), ["a text"], config=config)] for t in (tuned, free)
    )
    assert re.fullmatch(form, held[0])
    assert not re.fullmatch(form, loose[0])
    own = generate(Responder.of(backbone, tuned), ["a text"], config=GenerateConfig(pattern="yes|no"))
    assert own[0].output in ("yes", "no")


def test_rows_that_do_not_keep_the_pattern_are_named(backbone: Backbone) -> None:
    rows = [Example(f"text {i}", answer) for i, answer in enumerate(["T1 | a", "t2", "T3 | b", "T4"] * 3)]
    with pytest.raises(DatasetInvalid, match=r"6 of 12 outputs do not keep the pattern 'T.*': 't2', 'T4', 't2' …"):
        tune(rows, model=backbone, config=dataclasses.replace(SMALL, pattern="T[0-9] [|] [a-z]"))


@pytest.mark.parametrize("config", [None, {"pattern": 7, "max_input_tokens": "x"}, "text"])
def test_a_recipe_of_a_stranger_decides_nothing_that_it_cannot(
    backbone: Backbone, examples: list[Example], config: Any
) -> None:
    tuned = dataclasses.replace(tune(examples, model=backbone, config=SMALL).tuned, recipe={"config": config})
    assert (tuned.pattern, tuned.max_input_tokens) == ("", 0)
    assert generate(Responder.of(backbone, tuned), "lamp broke")


def test_encoder_decoder_models_tune_without_a_readout(
    tiny_folder: Callable[..., Path], examples: list[Example]
) -> None:
    model = load_model(tiny_folder("t5"))
    run = tune(examples, model=model, config=SMALL)
    assert run.tuned.readout is None
    assert "no label readout: it needs a decoder-only model" in run.notes
    with pytest.raises(ModelUnsupported, match="use readout off"):
        tune(examples, model=model, config=dataclasses.replace(SMALL, readout="only"))


def test_a_checkpoint_of_another_run_is_refused(backbone: Backbone, examples: list[Example], tmp_path: Path) -> None:
    def stop(event: events.Event) -> None:
        if isinstance(event, events.Saved):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(examples, model=backbone, out=tmp_path / "p", config=SMALL, listener=stop)
    assert (tmp_path / "p.run").is_dir()
    with pytest.raises(CheckpointInvalid, match="other data, model or parameters"):
        tune(examples[1:], model=backbone, out=tmp_path / "p", config=SMALL, resume=True)
    assert tune(examples, model=backbone, out=tmp_path / "p", config=SMALL, resume=True).updates == 3


def test_vectors_of_a_readout_start_from_words_and_those_of_the_text_from_solved_rows(
    backbone: Backbone, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    train = readout_tune.train

    def watched(
        model: CausalBackbone, readout: LabelReadout, start: SoftPrompt, *rest: Any, **named: Any
    ) -> readout_tune.Moved:
        lengths.append(start.prefix_length)
        return train(model, readout, start, *rest, **named)

    monkeypatch.setattr(readout_tune, "train", watched)
    run = tune(examples, model=backbone, config=TuneConfig(epochs=1, readout_epochs=1))
    assert set(lengths) == {20}
    assert run.tuned.prompt.prefix_length > 20
    assert any(f"solved training rows: {run.tuned.prompt.prefix_length} virtual tokens" in note for note in run.notes)
    assert any("vectors trained through the readout" in note for note in run.notes)


def test_a_run_may_start_from_a_tuned_prompt(backbone: Backbone, examples: list[Example], tmp_path: Path) -> None:
    first = tune(examples, model=backbone, out=tmp_path / "first", config=dataclasses.replace(SMALL, readout="off"))
    config = TuneConfig(
        init="prompt", init_prompt=str(tmp_path / "first"), epochs=1, batch_size=8, learning_rate=1e-5, readout="off"
    )
    second = tune(examples, model=backbone, config=config).tuned
    old, new = first.tuned.prompt.prefix, second.prompt.prefix
    assert old is not None
    assert new is not None
    assert new.shape == old.shape
    assert 0 < float((new - old).abs().max()) < 1e-3, "it goes on from there, in the small steps that were asked for"
    assert second.recipe["config"]["init_prompt"] == "first", "not where it lies"
    with pytest.raises(ParameterInvalid, match="name the tuned prompt to start from"):
        tune(examples, model=backbone, config=TuneConfig(init="prompt"))


def test_a_finished_readout_is_not_fitted_again(backbone: Backbone, examples: list[Example], tmp_path: Path) -> None:
    """The process ends right behind it; the next attempt neither trains nor fits, and finds the same bits."""
    config = TuneConfig(virtual_tokens=3, epochs=2, readout_epochs=1)
    told: list[events.Event] = []

    def die(event: events.Event) -> None:
        if event == events.Kept("readout"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(examples, model=backbone, out=tmp_path / "a", config=config, listener=die)
    again = tune(examples, model=backbone, out=tmp_path / "a", config=config, listener=told.append, resume=True)
    whole = tune(examples, model=backbone, out=tmp_path / "b", config=config)
    assert not [event for event in told if isinstance(event, events.StepDone | events.EpochDone | events.Kept)]
    assert again.notes == whole.notes
    for name in ("prompt.safetensors", "readout.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not (tmp_path / "a.run").exists()


def test_passes_through_the_readout_go_on_where_they_were(
    backbone: Backbone, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends at each pass, on held-out rows and then on all; it does none twice and comes to the same bits."""
    config = TuneConfig(readout="only", readout_epochs=1)
    told: list[events.Event] = []
    scores = itertools.cycle((0.1, 0.2))
    monkeypatch.setattr(readout_tune, "_accuracy", lambda *given: next(scores))  # so that the pass is taken

    def die(event: events.Event) -> None:
        told.append(event)
        if event == events.Kept("passes"):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tune(examples, model=backbone, out=tmp_path / "a", config=config, listener=die, resume=True)
    again = tune(examples, model=backbone, out=tmp_path / "a", config=config, listener=die, resume=True)
    assert len([event for event in told if isinstance(event, events.ReadoutEpochDone)]) == 1
    whole = tune(examples, model=backbone, out=tmp_path / "b", config=config)
    assert again.notes == whole.notes
    for name in ("prompt.safetensors", "readout.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_run_that_is_over_is_not_done_again(backbone: Backbone, examples: list[Example], tmp_path: Path) -> None:
    first = tune(examples, model=backbone, out=tmp_path / "a", config=SMALL, validation=0.25)
    files = {path: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    told: list[events.Event] = []

    def again(**changed: Any) -> Run:
        told.clear()
        given = {"config": SMALL, "validation": 0.25, **changed}
        return tune(examples, model=backbone, out=tmp_path / "a", resume=True, listener=told.append, **given)

    over = again()
    assert (over.updates, over.epochs, over.out) == (first.updates, first.epochs, first.out)
    assert over.notes[-1] == f"the same run made {tmp_path / 'a'} already: nothing is left to do"
    assert not [event for event in told if isinstance(event, events.StepDone | events.Kept)]
    assert {path: path.read_bytes() for path in (tmp_path / "a").iterdir()} == files
    for other in ({"config": dataclasses.replace(SMALL, seed=2)}, {"validation": examples[:6]}):
        again(**other)
        assert [event for event in told if isinstance(event, events.StepDone)]


def test_a_readout_goes_on_behind_the_rows_that_were_read(
    backbone: Backbone, examples: list[Example], tmp_path: Path
) -> None:
    config = TuneConfig(readout="only", checkpoint_seconds=0.0)
    rows = examples + [Example(f"{e.input} once more", e.output) for e in examples]

    def attempt(name: str, dies: bool = False) -> list[events.Event]:
        told: list[events.Event] = []

        def hear(event: events.Event) -> None:
            told.append(event)
            if dies and event == events.Kept("states"):
                raise KeyboardInterrupt

        tune(rows, model=backbone, out=tmp_path / name, config=config, listener=hear, resume=True)
        return told

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            attempt("a", dies=True)
    last, calm = attempt("a"), attempt("b")
    assert (last.count(events.Kept("states")), calm.count(events.Kept("states"))) == (1, 3)
    assert (tmp_path / "a" / READOUT).read_bytes() == (tmp_path / "b" / READOUT).read_bytes()


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("readout_epochs", [0, 1])
def test_too_few_rows_for_a_readout_are_said(
    count: int, readout_epochs: int, backbone: Backbone, tmp_path: Path
) -> None:
    rows = [Example(f"the {'lamp' if i % 2 else 'box'} came late {'again ' * i}", "late") for i in range(count)]
    config = dataclasses.replace(SMALL, task="classification", readout_epochs=readout_epochs)
    run = tune(rows, model=backbone, config=config, out=tmp_path / "few")
    assert f"no label readout: 5-fold cross-validation needs at least 5 rows, {count} are there" in run.notes
    assert TunedPrompt.load(tmp_path / "few").readout is None
    with pytest.raises(DatasetInvalid, match=f'readout "only": .* {count} are there. Give more rows'):
        tune(rows, model=backbone, config=dataclasses.replace(config, readout="only"))


def test_rows_that_a_split_leaves_too_few_of_train_no_vectors_through_the_readout(
    backbone: Backbone, examples: list[Example]
) -> None:
    config = dataclasses.replace(SMALL, readout="only", readout_epochs=1, task="classification")
    run = tune(examples[:6], model=backbone, config=config, validation=0.5)
    assert run.notes[-1].startswith("no vectors trained through the readout: 5-fold cross-validation needs")
    assert run.tuned.readout is not None
    alone = [Example(f"thing {i}", f"answer {i}") for i in range(6)]
    run = tune(alone, model=backbone, config=dataclasses.replace(SMALL, task="classification"))
    assert any("each of the 6 rows has an answer of its own" in note for note in run.notes)


def test_no_rows_are_refused_before_a_model_is_looked_for(examples: list[Example]) -> None:
    with pytest.raises(DatasetInvalid, match="There are no training rows"):
        tune([], model="no/such/model")
    for share in (1, True, 0):
        with pytest.raises(ParameterInvalid, match=f"validation: {share} is no share between 0 and 1"):
            tune(examples, model="no/such/model", validation=share)


def test_a_number_that_is_none_is_not_written() -> None:
    history = [{"epoch": 0, "loss": 1.5, "validation_loss": float("nan"), "metric": None}]
    record = metrics_record(history, None)
    assert record == {"epochs": [{"epoch": 0, "loss": 1.5, "validation_loss": None, "metric": None}]}


def test_what_was_cut_and_held_out_is_said(backbone: Backbone, examples: list[Example]) -> None:
    config = dataclasses.replace(SMALL, max_input_tokens=32, max_output_tokens=8, patience=2)
    long = [dataclasses.replace(example, input=" ".join([example.input] * 4)) for example in examples]
    off = tune(long, model=backbone, config=dataclasses.replace(config, readout="off"), validation=0.25).notes
    held = next(note for note in off if "held out" in note)
    assert re.fullmatch(r"\d rows are held out for validation, 1\d are for training", held)
    assert any(re.match(r"\d+ of 1\d answers are longer than 8 tokens, .*; --max-output-tokens", note) for note in off)
    only = tune(long, model=backbone, config=dataclasses.replace(config, readout="only")).notes
    assert "patience 2 does nothing: no rows are held out for validation" in only
    assert "18 of 18 inputs are longer than 32 tokens and were cut" in only
    assert not any("answers are longer" in note for note in only), "a readout writes none"


def test_passes_through_the_readout_are_told_apart_and_stop_when_asked(
    backbone: Backbone, examples: list[Example]
) -> None:
    told: list[events.Event] = []
    config = dataclasses.replace(SMALL, readout_epochs=2)
    tune(examples, model=backbone, config=config, listener=told.append)
    assert [event.epoch for event in told if isinstance(event, events.EpochDone)] == [0]
    passes = [event for event in told if isinstance(event, events.ReadoutEpochDone)]
    assert [event.epoch for event in passes] == [0, 1]
    assert 0 < passes[0].seconds < passes[1].seconds
    asked: list[int] = []
    only = dataclasses.replace(config, readout="only")
    run = tune(examples, model=backbone, config=only, should_stop=lambda: asked.append(1) or len(asked) == 2)  # type: ignore[func-returns-value]
    assert len(asked) == 2
    assert run.notes[-1].endswith("stopped on request; the readout is as it was fitted")
    assert run.tuned.readout is not None
    assert run.tuned.readout.prompt.virtual_tokens == 0


def test_a_loss_through_the_readout_that_is_no_number_is_told_with_advice(
    backbone: Backbone, examples: list[Example], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readout_tune, "_weights", lambda answers, classes: torch.full((classes,), float("inf")))
    config = dataclasses.replace(SMALL, readout="only", readout_epochs=1)
    with pytest.raises(LossNotFinite, match=r"became (nan|inf) at update 1 of 2 \(pass 1\).*\(readout_epochs 0\)"):
        tune(examples, model=backbone, config=config)
