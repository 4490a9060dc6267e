"""Where vectors start: the embeddings of the text, the labels or drawn words, or noise of their size."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softprompt.engine.backbone import wrap
from softprompt.engine.init import Start, initial_prompt
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import ModelUnsupported, ParameterInvalid
from softprompt.params import Init
from softprompt.testing.tiny import tiny_model

INITS: tuple[Init, ...] = ("text", "examples", "labels", "vocabulary", "random")
TEXT, LABELS = "Route the complaint.", ("Planning", "L3")
few = settings(max_examples=10, deadline=None)


@cache
def backbone(kind: str = "llama") -> Any:
    model, tokenizer = tiny_model(kind)  # type: ignore[arg-type]
    return wrap(model, tokenizer, model_id=f"tiny-{kind}")


def make(kind: str = "llama", **changes: Any) -> SoftPrompt:
    start: dict[str, Any] = {
        "method": "prompt_tuning", "place": "prefix", "init": "text", "text": TEXT, "labels": LABELS,
        "prefix_length": 5, "suffix_length": 3, "seed": 73,
    }  # fmt: skip
    return initial_prompt(backbone(kind), Start(**{**start, **changes}))


def ids(text: str) -> list[int]:
    return list(backbone().tokenizer(text, add_special_tokens=False)["input_ids"])


def embedded(tokens: list[int], kind: str = "llama") -> Tensor:
    """What the model itself makes of these ids."""
    found: Tensor = backbone(kind).model.get_input_embeddings()(torch.tensor(tokens))
    return found


def from_vocabulary(vectors: Tensor) -> list[int]:
    """The id of each vector; fails if one is no embedding."""
    equal = (vectors[:, None] == backbone().embedding[None]).all(dim=2)
    assert equal.any(dim=1).all()
    return equal.int().argmax(dim=1).tolist()


# --- what they start from --------------------------------------------------------------------------------------------
@few
@given(count=st.integers(1, 60))
def test_of_examples_the_end_stands_next_to_the_question(count: int) -> None:
    tokens = ids(TEXT)
    prefix = make(init="examples", prefix_length=count).prefix
    assert prefix is not None
    assert torch.equal(prefix, embedded((tokens * 60)[-count:]))


@few
@given(count=st.integers(1, 60))
def test_text_is_repeated_until_it_fills_the_vectors(count: int) -> None:
    prefix = make(prefix_length=count).prefix
    assert prefix is not None
    text = ids(TEXT)
    assert torch.equal(prefix, embedded([text[n % len(text)] for n in range(count)]))


@pytest.mark.parametrize("count", [2, 14, 30])
def test_every_label_stands_once_and_drawn_words_fill_the_rest(count: int) -> None:
    prefix = make(init="labels", prefix_length=count).prefix
    assert prefix is not None
    words = ids(" Planning") + ids(" L3")
    assert from_vocabulary(prefix)[: len(words)] == words[:count]
    assert len(prefix) == count


@pytest.mark.parametrize("count", [10, 259, 300])
def test_vocabulary_draws_different_words_until_there_are_no_more(count: int) -> None:
    prefix = make(init="vocabulary", prefix_length=count).prefix
    assert prefix is not None
    assert len(set(from_vocabulary(prefix))) == min(count, 259)
    assert len(prefix) == count


@pytest.mark.parametrize("kind", ["llama", "gemma3", "t5"])
def test_random_vectors_have_the_size_of_the_embeddings(kind: str) -> None:
    prefix = make(kind, init="random", prefix_length=200).prefix
    assert prefix is not None
    size = float(embedded(list(range(259)), kind).square().mean().sqrt())
    assert float(prefix.square().mean().sqrt()) == pytest.approx(size, rel=0.1)


# --- where they stand ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("init", INITS)
@pytest.mark.parametrize("place", ["prefix", "suffix", "both"])
def test_vectors_stand_where_they_are_asked(init: Init, place: str) -> None:
    made = make(init=init, place=place)
    shapes = {name: tuple(tensor.shape) for name, tensor in made.tensors().items()}
    assert shapes == {
        name: shape for name, shape in {"prefix": (5, 32), "suffix": (3, 32)}.items() if place in (name, "both")
    }
    assert all(tensor.dtype == torch.float32 for tensor in made.tensors().values())
    assert not any(tensor.requires_grad for tensor in made.tensors().values())


def test_the_end_of_the_text_stands_after_the_cue() -> None:
    made = make(place="both")
    assert made.suffix is not None
    assert torch.equal(made.suffix, embedded(ids(TEXT)[-3:]))


def test_the_last_label_stands_after_the_cue() -> None:
    made = make(place="suffix", init="labels")
    assert made.suffix is not None
    assert from_vocabulary(made.suffix) == ids(" L3")


def test_both_ends_draw_words_of_their_own() -> None:
    made = make(place="both", init="random", suffix_length=5)
    assert made.prefix is not None
    assert made.suffix is not None
    assert not torch.equal(made.prefix, made.suffix)


# --- deep prompts ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma"])
def test_deep_prompts_start_as_the_cache_of_the_text(kind: str) -> None:
    deep = make(kind, method="prefix_tuning", prefix_length=7).deep
    assert deep is not None

    model = tiny_model(kind)[0]  # type: ignore[arg-type]
    cache_ = model(torch.tensor([ids(TEXT)[:7]]), use_cache=True).past_key_values
    wanted = torch.stack([torch.stack([layer.keys[0], layer.values[0]]) for layer in cache_.layers])
    torch.testing.assert_close(deep, wanted, rtol=1e-4, atol=1e-5)


def test_deep_prompts_of_bfloat16_models_are_float32() -> None:
    model, tokenizer = tiny_model("llama")
    start = Start("prefix_tuning", "prefix", "text", TEXT, (), 4, 0, 1)
    deep = initial_prompt(wrap(model.to(torch.bfloat16), tokenizer), start).deep
    assert deep is not None
    assert deep.dtype == torch.float32


# --- chance ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("method", ["prompt_tuning", "prefix_tuning"])
@pytest.mark.parametrize("init", ["labels", "vocabulary", "random"])
def test_a_seed_fixes_what_is_drawn(init: Init, method: str) -> None:
    one, two, other = (
        next(iter(make(init=init, method=method, prefix_length=30, seed=seed).tensors().values())) for seed in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_a_text_leaves_nothing_to_chance() -> None:
    one, other = make(seed=1).prefix, make(seed=2).prefix
    assert one is not None
    assert other is not None
    assert torch.equal(one, other)


# --- refusals --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("text", ["", "  \n\t"])
def test_an_empty_text_is_refused_with_a_way_out(text: str) -> None:
    with pytest.raises(ParameterInvalid, match='init "text": the text is empty. Give --init-text, or use "vocabulary"'):
        make(text=text)


def test_a_text_that_has_no_tokens_is_refused() -> None:
    model, _ = tiny_model("llama")
    nothing: Any = lambda *_, **__: {"input_ids": []}  # noqa: E731
    start = Start("prompt_tuning", "prefix", "text", "\u200b", (), 4, 0, 1)
    with pytest.raises(ParameterInvalid, match='init "text": the text is empty'):
        initial_prompt(wrap(model, nothing), start)


def test_labels_of_a_task_without_labels_are_refused() -> None:
    with pytest.raises(ParameterInvalid, match='init "labels": this task has no label set. Use "text" or "vocabulary"'):
        make(init="labels", labels=())


@pytest.mark.parametrize("place", ["suffix", "both"])
def test_deep_prompts_stand_in_front_only(place: str) -> None:
    with pytest.raises(ParameterInvalid, match=f"place '{place}': prefix tuning has its keys and values in front only"):
        make(method="prefix_tuning", place=place)


def test_deep_prompts_are_for_decoders() -> None:
    with pytest.raises(ModelUnsupported, match="decoder-only model; use prompt_tuning for encoder-decoders"):
        make("t5", method="prefix_tuning")
