"""The choice of one token, by formula and by many draws."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softprompt.engine.sampling import Sampler
from softprompt.engine.trie import Trie
from softprompt.params import GenerateConfig

END, SIZE = 0, 12
few = settings(max_examples=20, deadline=None)
# Halves make ties likely: among equals the first is the likeliest.
SCORES = st.lists(st.integers(-8, 8).map(lambda n: n / 2), min_size=SIZE, max_size=SIZE).map(torch.tensor)
SEEDS = st.integers(0, 999)


def sampler(prompt: tuple[int, ...] = (), guard: Trie | None = None, **config: Any) -> Sampler:
    return Sampler(GenerateConfig(**config), END, prompt, guard)


def drawn(scores: Tensor, draws: int = 400, **config: Any) -> dict[int, float]:
    """Share of each token over many draws of one stream."""
    made = sampler(decoding="sample", seed=5, **config)
    tokens = [made.choose(scores) for _ in range(draws)]
    return {token: tokens.count(token) / draws for token in set(tokens)}


# --- greedy, and draws that are no draws -----------------------------------------------------------------------------
@pytest.mark.parametrize(
    "config", [{"top_k": 1}, {"top_p": 1e-6, "top_k": 0}, {"temperature": 0.0}, {"temperature": 1e-310}]
)
@few
@given(scores=SCORES, seed=SEEDS)
def test_narrow_draws_are_greedy(config: dict[str, Any], scores: Tensor, seed: int) -> None:
    best = int(scores.argmax())
    if config.get("temperature") == 1e-310:  # tiny, but a draw: equals share
        scores[best] += 0.25
    assert sampler(decoding="sample", seed=seed, **config).choose(scores) == int(scores.argmax()) == best
    assert sampler().choose(scores) == best


@few
@given(lines=st.lists(SCORES, min_size=1, max_size=5), seed=SEEDS, greedy=st.booleans())
def test_logprob_is_the_sum_over_all_choices(lines: list[Tensor], seed: int, greedy: bool) -> None:
    made = sampler(decoding="greedy" if greedy else "sample", temperature=1.7, seed=seed)
    wanted = 0.0
    for scores in lines:
        wanted += float(torch.log_softmax(scores, dim=-1)[made.choose(scores)])
    assert made.logprob == pytest.approx(wanted, abs=1e-5)
    assert len(made.tokens) == len(lines)


def test_scores_are_not_written_to() -> None:
    scores = torch.arange(SIZE).float()
    sampler(prompt=(3, 4), repetition_penalty=1.5, min_new_tokens=2).choose(scores)
    assert scores.tolist() == list(range(SIZE))


def test_a_plain_sampler_says_so() -> None:
    assert sampler().plain
    assert sampler(decoding="sample", temperature=0.0).plain
    assert not sampler(decoding="sample").plain
    assert not sampler(repetition_penalty=1.1).plain
    assert not sampler(guard=Trie.of([[END]])).plain
    early = sampler(min_new_tokens=1)
    assert not early.plain
    assert early.accept(4, -0.5) == 4
    assert early.plain
    assert (early.tokens, early.logprob) == ([4], -0.5)


# --- draws -----------------------------------------------------------------------------------------------------------
@few
@given(lines=st.lists(SCORES, min_size=1, max_size=6), seed=SEEDS)
def test_a_seed_fixes_the_draws(lines: list[Tensor], seed: int) -> None:
    one, two = (sampler(decoding="sample", seed=seed, temperature=2.0, top_k=0) for _ in range(2))
    assert [one.choose(scores) for scores in lines] == [two.choose(scores) for scores in lines]


def test_other_seeds_and_no_seed_draw_otherwise() -> None:
    flat = torch.zeros(SIZE)
    lines = {
        tuple(made.choose(flat) for _ in range(20))
        for made in [sampler(decoding="sample", seed=seed) for seed in (1, 2, 3, None, None)]
    }
    assert len(lines) == 5


def test_draws_follow_the_tempered_probabilities() -> None:
    scores = torch.tensor([math.log(weight) for weight in (1, 4, 16)])

    for temperature, weights in [(1.0, (1, 4, 16)), (2.0, (1, 2, 4)), (0.5, (1, 16, 256))]:
        shares = drawn(scores, temperature=temperature, top_k=0)
        for token, weight in enumerate(weights):
            assert shares.get(token, 0.0) == pytest.approx(weight / sum(weights), abs=0.08)


@few
@given(scores=SCORES, k=st.integers(1, SIZE + 3), seed=SEEDS)
def test_top_k_draws_from_that_many(scores: Tensor, k: int, seed: int) -> None:
    token = sampler(decoding="sample", temperature=2.0, top_k=k, seed=seed).choose(scores)
    assert token in scores.sort(descending=True, stable=True).indices[:k]


@few
@given(scores=SCORES, p=st.floats(0.01, 1.0), seed=SEEDS)
def test_top_p_draws_from_the_likeliest_that_reach_it(scores: Tensor, p: float, seed: int) -> None:
    token = sampler(decoding="sample", temperature=1.0, top_k=0, top_p=p, seed=seed).choose(scores)

    ordered, ids = torch.softmax(scores.double(), dim=-1).sort(descending=True, stable=True)
    before = float(ordered[: ids.tolist().index(token)].sum())
    assert before < p + 1e-9


def test_top_p_keeps_the_token_that_reaches_it() -> None:
    assert set(drawn(torch.tensor([0.5, 0.3, 0.15, 0.05]).log(), top_k=0, top_p=0.6, temperature=1.0)) == {0, 1}


# --- rules -----------------------------------------------------------------------------------------------------------
@few
@given(scores=SCORES, prompt=st.lists(st.integers(0, SIZE - 1), max_size=5), penalty=st.floats(1.0, 2.0))
def test_tokens_of_prompt_and_answer_are_penalised(scores: Tensor, prompt: list[int], penalty: float) -> None:
    made = sampler(tuple(prompt), repetition_penalty=penalty)
    seen = set(prompt)
    for _ in range(3):
        shaped = [
            (x / penalty if x > 0 else x * penalty) if token in seen else x for token, x in enumerate(scores.tolist())
        ]
        wanted = torch.tensor(shaped)
        before = made.logprob
        token = made.choose(scores)
        assert shaped[token] == pytest.approx(max(shaped), abs=1e-5)
        assert made.logprob - before == pytest.approx(float(torch.log_softmax(wanted, dim=-1)[token]), abs=1e-5)
        seen.add(token)


def test_the_end_waits_for_the_least_number_of_tokens() -> None:
    scores = torch.tensor([9.0, 1.0, 5.0])
    made = sampler(min_new_tokens=2)
    assert [made.choose(scores) for _ in range(3)] == [2, 2, END]


@few
@given(
    answers=st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=4), min_size=1, max_size=5),
    lines=st.lists(SCORES, min_size=5, max_size=5),
    seed=SEEDS,
    greedy=st.booleans(),
)
def test_the_guard_lets_only_answers_through(
    answers: list[list[int]], lines: list[Tensor], seed: int, greedy: bool
) -> None:
    guard = Trie.of([[*answer, END] for answer in answers])
    made = sampler(guard=guard, decoding="greedy" if greedy else "sample", temperature=2.0, seed=seed)
    node = -1
    for scores in lines:
        if made.tokens and made.tokens[-1] == END:
            break
        open_ = sorted(guard.allowed(node))
        before = made.logprob
        token = made.choose(scores)
        share = float(torch.log_softmax(scores[open_], dim=-1)[open_.index(token)])
        assert made.logprob - before == pytest.approx(share, abs=1e-5)
        node = guard.allowed(node)[token]
    assert made.tokens[:-1] in answers
