"""Label readouts: features against the library's hidden states, and a fit on letters that tiny models tell apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softprompt.data.records import Example
from softprompt.data.template import Template
from softprompt.engine.backbone import wrap
from softprompt.engine.decoding import Group
from softprompt.engine.packing import Row, pack
from softprompt.engine.readout import PLACES, LabelReadout, features
from softprompt.engine.readout_fit import (
    GAIN,
    RIDGES,
    SHARED,
    TOKENS,
    Fitted,
    Trial,
    best_of,
    fit,
    label_prior,
    layer_choices,
)
from softprompt.engine.readout_states import extract
from softprompt.engine.readout_tokens import counts
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.testing.tiny import tiny_model

TEMPLATE = Template(instruction="Route it.")
TEXTS = ["the box is late", "", "é" * 40, "L3 again, and a long story about it"]
few = settings(max_examples=8, deadline=None)


@cache
def plain(kind: str) -> Any:
    return tiny_model(kind)[0]  # type: ignore[arg-type]


@cache
def backbone(kind: str = "llama") -> Any:
    model, tokenizer = tiny_model(kind)  # type: ignore[arg-type]
    return wrap(model, tokenizer, model_id=f"tiny-{kind}")


def soft_prompt(prefix: int = 3, suffix: int = 2) -> SoftPrompt:
    generator = torch.Generator().manual_seed(4)
    return SoftPrompt(
        prefix=0.15 * torch.randn(prefix, 32, generator=generator) if prefix else None,
        suffix=0.15 * torch.randn(suffix, 32, generator=generator) if suffix else None,
    )


def pairs(*layers: int) -> list[tuple[int, str]]:
    return [(layer, place) for layer in layers for place in PLACES]


def close(actual: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-4)


def single(answer: str) -> tuple[str, ...]:
    return (answer,)


def several(answer: str) -> tuple[str, ...]:
    return tuple(answer.split(", "))


# --- features --------------------------------------------------------------------------------------------------------
def plain_features(kind: str, text: str, prompt: SoftPrompt, limit: int) -> dict[str, Tensor]:
    """Mean and maximum over the input's own tokens and last token of layer 1, from a pass over one row alone."""
    encoder = Encoder(backbone(kind).tokenizer, TEMPLATE, limit)
    row, model = encoder.row(text), plain(kind)
    ids = model.get_input_embeddings()(torch.tensor([*encoder.head, *row.prompt]))
    embeds = torch.cat([part for part in (prompt.prefix, ids, prompt.suffix) if part is not None])
    hidden = model(inputs_embeds=embeds[None], output_hidden_states=True).hidden_states[1][0]
    start = prompt.prefix_length + len(encoder.head)
    length = max(1, len(row.prompt) - len(" Output:"))  # an empty input reads one token of the cue
    own = hidden[start : start + length]
    return {"mean": own.mean(dim=0), "max": own.max(dim=0).values, "last": hidden[-1]}


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("shape", [(0, 0), (3, 2)])
def test_features_are_those_of_a_plain_pass(kind: str, shape: tuple[int, int]) -> None:
    prompt, limit = soft_prompt(*shape), 40
    found = extract(backbone(kind), TEXTS, TEMPLATE, prompt, pairs(1), limit)

    assert sorted(found) == [(1, "last"), (1, "max"), (1, "mean")]
    for place in PLACES:
        wanted = [plain_features(kind, text, prompt, limit)[place] for text in TEXTS]
        close(found[1, place], torch.stack(wanted))


def test_features_stand_in_the_order_of_the_map() -> None:
    encoder, prompt = Encoder(backbone().tokenizer, TEMPLATE), SoftPrompt()
    rows = encoder.rows(TEXTS)
    packed = pack(rows)
    _, tapped = backbone().rows(packed, [(backbone().prefix(prompt, encoder.head), 0, len(rows))], taps=(1, 2))

    both = features(tapped, packed, rows, (2, 1), ("last", "mean"))
    parts = [features(tapped, packed, rows, (layer,), (place,)) for layer in (2, 1) for place in ("last", "mean")]
    assert both.shape == (len(rows), 4 * 32)
    assert torch.equal(both, torch.cat(parts, dim=1))


def test_what_the_template_puts_around_an_input_is_left_out_of_its_mean() -> None:
    rows = [Row((5, 6, 7, 8), input_start=1, input_end=3), Row((5, 6), input_start=1, input_end=1)]
    packed, hidden = pack(rows), torch.arange(6.0)[:, None]

    means = features({1: hidden}, packed, rows, (1,), ("mean",))
    assert means[:, 0].tolist() == [1.5, 5.0]  # an empty input still reads one token
    assert features({1: hidden}, packed, rows, (1,), ("max",))[:, 0].tolist() == [2.0, 5.0]
    assert features({1: hidden}, packed, rows, (1,), ("last",))[:, 0].tolist() == [3.0, 5.0]


def test_layers_above_the_wanted_ones_do_not_change_what_is_read() -> None:
    """Extraction leaves early; serving taps a whole prefill. Both have to read the same."""
    prompt, encoder = soft_prompt(), Encoder(backbone().tokenizer, TEMPLATE, 40)
    early = extract(backbone(), TEXTS, TEMPLATE, prompt, pairs(1), 40)
    rows = encoder.rows(TEXTS)
    group = Group(prompt, backbone().prefix(prompt, encoder.head), len(rows))
    state = backbone().prefill(rows, [group], room=1, taps=(1, 2))

    for place in PLACES:
        close(features(state.tapped, state.packed, rows, (1,), (place,)), early[1, place])


@few
@given(texts=st.lists(st.text(max_size=12), min_size=2, max_size=20))
def test_a_row_has_in_a_batch_the_features_it_has_alone(texts: list[str]) -> None:
    together = extract(backbone(), texts, TEMPLATE, soft_prompt(), pairs(1, 2), 40)
    for number in {0, len(texts) // 2, len(texts) - 1}:
        alone = extract(backbone(), texts[number : number + 1], TEMPLATE, soft_prompt(), pairs(1, 2), 40)
        for key, found in together.items():
            close(found[number : number + 1], alone[key])


# --- the map ---------------------------------------------------------------------------------------------------------
def test_the_map_is_standardise_multiply_add() -> None:
    generator = torch.Generator().manual_seed(0)
    center, scale, weight, bias = (torch.randn(s, generator=generator) for s in [(6,), (6,), (2, 6), (2,)])
    readout = LabelReadout(("a", "b"), (1,), ("mean",), center, scale, weight, bias, TEMPLATE, soft_prompt(suffix=0))

    given_ = torch.randn(3, 6, generator=generator)
    wanted = [
        [float(((row - center) * scale * line).sum() + b) for line, b in zip(weight, bias, strict=True)]
        for row in given_
    ]
    close(readout.logits(given_), torch.tensor(wanted))
    assert sorted(readout.tensors()) == ["bias", "center", "prompt.prefix", "scale", "weight"]


# --- choices ---------------------------------------------------------------------------------------------------------
@given(depth=st.integers(1, 80))
def test_candidate_layers_exist_and_none_is_tried_twice(depth: int) -> None:
    choices = layer_choices(depth)
    assert len(set(choices)) == len(choices) >= 2
    assert all(1 <= layer <= depth for layers, _ in choices for layer in layers)
    assert all(layers == tuple(sorted(set(layers))) for layers, _ in choices)
    assert all(set(places) <= set(PLACES) for _, places in choices)


def test_single_labels_share_nothing() -> None:
    assert torch.equal(label_prior(["a", "b", "c"], single), torch.eye(3))


def test_answers_with_a_common_label_share_weights() -> None:
    prior = label_prior(["a", "a, b", "c"], several)

    assert prior.shape == (3, 3 + 3)
    likeness = prior @ prior.T
    wanted = [[1.0, SHARED, 0.0], [SHARED, 2 * SHARED + 1 - SHARED, 0.0], [0.0, 0.0, 1.0]]
    close(likeness, torch.tensor(wanted))


# --- the fit ---------------------------------------------------------------------------------------------------------
def letters(count: int, seed: int, answers: Sequence[str] = ("early", "late", "never")) -> list[Example]:
    """Rows whose answer lies in the letters they are written with."""
    generator = torch.Generator().manual_seed(seed)

    def draw(of: str, length: int) -> str:
        return "".join(of[int(n)] for n in torch.randint(len(of), (length,), generator=generator))

    lines = ["abcd ", "mnop ", "wxyz "]
    return [
        Example(draw(lines[n % len(answers)], 6 + n % 5) + draw("0123456789", 3), answers[n % len(answers)])
        for n in range(count)
    ]


def fitted(examples: Sequence[Example] | None = None, **options: Any) -> Fitted:
    return fit(backbone(), examples or letters(24, 1), TEMPLATE, options.pop("parts", single), **options)


@cache
def usual() -> Fitted:
    return fitted()


def read(readout: LabelReadout, texts: Sequence[str]) -> Tensor:
    wanted = [(layer, place) for layer in readout.layers for place in readout.places]
    found = extract(backbone(), texts, readout.template, readout.prompt, wanted, 256)
    taken = [found[pair] for pair in wanted]
    if readout.tokens is not None and readout.idf is not None:
        rows = Encoder(backbone().tokenizer, readout.template, 256).rows(texts)
        taken.append(counts(rows, readout.tokens, readout.idf))
    return readout.logits(torch.cat(taken, dim=1))


def right(readout: LabelReadout, examples: Sequence[Example]) -> float:
    said = [readout.labels[int(n)] for n in read(readout, [e.input for e in examples]).argmax(dim=1)]
    return sum(a == e.output for a, e in zip(said, examples, strict=True)) / len(examples)


def test_a_fit_reads_rows_it_never_saw() -> None:
    made = usual()
    assert made.readout.labels == ("early", "late", "never")
    assert made.chosen.exact >= 0.8
    assert right(made.readout, letters(30, 2)) >= 0.8
    counted = 0 if made.readout.tokens is None else len(made.readout.tokens)
    assert made.readout.weight.shape == (3, len(made.readout.layers) * len(made.readout.places) * 32 + counted)


def test_the_best_trial_is_chosen_among_all_that_were_made() -> None:
    made = usual()
    assert len(made.trials) == (len(layer_choices(2)) + len(TOKENS)) * len(RIDGES)
    assert made.chosen in made.trials
    assert made.chosen == best_of(made.trials)
    assert made.chosen.value[0] >= max(trial.value[0] for trial in made.trials) - GAIN
    assert (made.readout.layers, made.readout.places) == (made.chosen.layers, made.chosen.places)
    assert all(0.0 <= trial.exact <= 1.0 and trial.loss > 0.0 for trial in made.trials)


def test_tokens_are_counted_where_that_gains_enough() -> None:
    def trial(exact: float, tokens: float) -> Trial:
        return Trial((1,), ("mean",), 0.1, exact, exact, 1.0, tokens)

    plain = trial(0.7, 0.0)
    assert best_of([plain, trial(0.705, 1.0), trial(0.69, 2.0)]) is plain
    assert best_of([plain, trial(0.705, 1.0), trial(0.73, 2.0)]).tokens == 2.0


def test_answers_that_follow_nothing_are_not_found_by_cross_validation() -> None:
    examples = letters(18, 1)
    turned = [Example(e.input, examples[(n * 7) // 3 % 18].output) for n, e in enumerate(examples)]
    assert fitted(turned).chosen.exact < 0.65


def test_a_fit_is_the_same_every_time() -> None:
    again = fitted()
    assert again.trials == usual().trials
    for name, tensor in usual().readout.tensors().items():
        assert torch.equal(tensor, again.readout.tensors()[name])


def test_a_readout_says_in_a_batch_what_it_says_alone() -> None:
    readout, texts = usual().readout, [example.input for example in letters(7, 3)]
    close(read(readout, texts), torch.cat([read(readout, [text]) for text in texts]))


def test_combinations_are_answers_and_few_rows_are_enough() -> None:
    examples = letters(10, 1, ("a", "a, b", "b"))
    made = fitted(examples, parts=several, prompt=soft_prompt(), seed=5)
    assert made.readout.labels == ("a", "a, b", "b")
    assert made.readout.prompt.virtual_tokens == 5
    assert right(made.readout, examples) >= 0.8
    assert all(getattr(made.readout, f.name).isfinite().all() for f in fields(LabelReadout) if f.type == "Tensor")
