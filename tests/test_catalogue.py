from __future__ import annotations

from collections import defaultdict

import pytest

from softprompt import catalogue
from softprompt.errors import ModelUnknown


@pytest.mark.parametrize(
    ("name", "model_id"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("smollm2-135m-instruct", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("SmolLM2-135M", "HuggingFaceTB/SmolLM2-135M-Instruct"),
        ("Google/FLAN-T5-XL", "google/flan-t5-xl"),
        ("flan-t5-xl", "google/flan-t5-xl"),
        ("bigscience/T0pp", "bigscience/t0pp"),
        ("meta-llama/llama-2-13b-chat", "meta-llama/llama-2-13b-chat"),
        ("meta-llama/Llama-2-13b-chat-hf", "meta-llama/llama-2-13b-chat"),
        ("  granite-13b-instruct-v2 ", "ibm/granite-13b-instruct-v2"),
    ],
)
def test_a_model_is_found_by_each_of_its_names(name: str, model_id: str) -> None:
    card = catalogue.find(name)
    assert card is not None
    assert card.id == model_id


def test_an_unknown_id_names_the_closest_ones() -> None:
    assert catalogue.find("flan-t5-xlarge") is None
    with pytest.raises(ModelUnknown, match="no foundation model 'flan-t5-xlarge'.*Did you mean google/flan-t5-large"):
        catalogue.get("flan-t5-xlarge")
    with pytest.raises(ModelUnknown, match="'zzzz' in the catalogue. `softprompt models list` shows all"):
        catalogue.get("zzzz")


def test_no_two_models_share_a_name() -> None:
    owners: dict[str, set[str]] = defaultdict(set)
    for card in catalogue.cards():
        for name in (card.id, card.hub, *card.aliases):
            if name:
                owners[name.lower()].add(card.id)
                owners[name.lower().split("/")[-1]].add(card.id)
    assert {name: ids for name, ids in owners.items() if len(ids) > 1} == {}


@pytest.mark.parametrize("card", catalogue.cards(), ids=lambda card: card.id)
def test_every_card_is_whole(card: catalogue.ModelCard) -> None:
    assert card.parameter_count > 1_000_000
    assert card.context >= 512
    assert card.languages
    assert card.short_description.endswith(".")
    assert card.tunable or card.reason
    if card.tunable:
        assert card.hub
        assert card.hidden_size
        assert card.layers
        assert card.model_type in (catalogue.SEQ2SEQ if card.architecture == "seq2seq" else catalogue.CAUSAL)


def test_the_learning_rate_follows_the_model() -> None:
    rate = catalogue.default_learning_rate
    assert rate(catalogue.get("flan-t5-xl"), architecture="seq2seq", embedding_rms=5.0) == 0.3
    assert rate(None, architecture="seq2seq", embedding_rms=5.0) == 0.3
    assert rate(catalogue.get("smollm2"), architecture="causal", embedding_rms=0.136) == pytest.approx(0.03, rel=0.01)
