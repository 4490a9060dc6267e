"""One call for every way to answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from softprompt import generate, tune
from softprompt.data.records import Example
from softprompt.errors import ModelUnknown, ParameterInvalid
from softprompt.params import GenerateConfig, TuneConfig
from softprompt.workbench.respond import Responder, Way, open_responder

if TYPE_CHECKING:
    from softprompt.engine.backbone import Backbone

LABELS = {"Service", "Warehouse", "Marketing"}


@pytest.fixture(scope="module")
def responder(backbone: Backbone, examples: list[Example]) -> Responder:
    tuned = tune(
        examples, model=backbone, config=TuneConfig(place="prefix", virtual_tokens=3, epochs=1, batch_size=8)
    ).tuned
    return Responder.of(backbone, tuned)


def test_ways_agree_on_what_they_may_say(responder: Responder, examples: list[Example]) -> None:
    texts = [example.input for example in examples[:4]]
    for way in ("auto", "guard", "score", "readout"):
        answers = generate(responder, texts, way=way)  # type: ignore[arg-type]
        assert [answer.input for answer in answers] == texts
        assert {answer.output for answer in answers} <= LABELS
        assert all(0 < answer.confidence <= 1 for answer in answers)
    assert generate(responder, texts) == generate(responder, texts, way="readout")
    assert generate(responder, texts[0], way="score")[0].generated_tokens == 0


@pytest.mark.parametrize("way", ["text", "guard", "score", "readout"])
def test_every_way_cuts_inputs_where_it_is_told(responder: Responder, way: Way) -> None:
    long, short = "the lamp broke on the way to us, again", "desk"
    cut, whole = generate(responder, [long, short], way=way, config=GenerateConfig(truncate_input_tokens=32))
    assert (cut.cut, cut.input_tokens) == (True, 32)
    assert (whole.cut, whole.output) == (False, generate(responder, short, way=way)[0].output)
    assert not generate(responder, long, way=way)[0].cut


def test_what_stands_around_a_readout_is_computed_once(responder: Responder, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[object] = []
    prefix = type(responder.backbone).prefix
    monkeypatch.setattr(
        type(responder.backbone), "prefix", lambda self, *a, **k: made.append(a) or prefix(self, *a, **k)
    )
    fresh = replace(responder)
    assert fresh.answer(["lamp broke"]) == fresh.answer(["lamp broke"])
    assert len(made) == 1


def test_a_folder_opens_with_its_own_model(
    backbone: Backbone, responder: Responder, examples: list[Example], tmp_path: Path
) -> None:
    assert responder.tuned is not None
    folder = responder.tuned.save(tmp_path / "prompt")
    assert generate(folder, "lamp broke") == generate(responder, "lamp broke")
    assert open_responder(responder) is responder


def test_a_folder_whose_model_the_catalogue_does_not_know_opens_with_the_one_that_is_named(
    backbone: Backbone, responder: Responder, tmp_path: Path
) -> None:
    assert responder.tuned is not None
    base = replace(responder.tuned.base, model_id="acme/own")
    folder = replace(responder.tuned, base=base).save(tmp_path / "prompt")
    with pytest.raises(ModelUnknown, match="made for a model that is not of the catalogue: acme/own. Name the folder"):
        generate(folder, "lamp broke")
    assert generate(folder, "lamp broke", base=backbone.model_id) == generate(responder, "lamp broke")
    with pytest.raises(ModelUnknown, match="^There is no foundation model 'acme/other' in the catalogue"):
        generate(folder, "lamp broke", base="acme/other")


def test_shots_and_instruction_stand_in_the_prompt(backbone: Backbone, examples: list[Example]) -> None:
    told = Responder.prompted(backbone, instruction="Sort it.", shots=examples[:2])
    assert told.name == "2-shot"
    head = told.ready.encoder.template.head
    assert head.startswith("Sort it.\n")
    assert "Input: lamp broke Output: Service" in head
    config = GenerateConfig(max_new_tokens=2)
    assert generate(backbone, "desk", instruction="Sort it.", shots=examples[:2], config=config) == told.answer(
        ["desk"], config
    )


def test_what_a_prompt_cannot_do(backbone: Backbone) -> None:
    bare = Responder.prompted(backbone)
    with pytest.raises(ParameterInvalid, match="zero-shot has no label readout. Ask for text or guard."):
        bare.answer(["x"], way="readout")
    with pytest.raises(ParameterInvalid, match="guard: zero-shot knows no set of answers."):
        bare.answer(["x"], way="guard")
