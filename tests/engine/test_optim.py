"""Steps, learning rate over time and clipping, by their formulas."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softprompt.engine.optim import clip, make_optimizer, rate_at
from softprompt.params import Optimizer

few = settings(max_examples=40, deadline=None)
OPTIMIZERS: tuple[Optimizer, ...] = ("adamw", "adafactor")


def with_gradient(value: Tensor, gradient: Tensor) -> Tensor:
    leaf = value.clone().requires_grad_()
    leaf.grad = gradient.clone()
    return leaf


# --- learning rate ---------------------------------------------------------------------------------------------------
@few
@given(updates=st.integers(1, 200), warmup=st.floats(0.0, 0.9), decay=st.booleans())
def test_rate_rises_then_never_rises_again(updates: int, warmup: float, decay: bool) -> None:
    rates = [rate_at(update, updates, warmup, decay) for update in range(updates)]

    rise = math.ceil(warmup * updates)
    assert rates[:rise] == sorted(rates[:rise])
    assert rates[rise:] == sorted(rates[rise:], reverse=True)
    assert all(0.0 < rate <= 1.0 for rate in rates)


def test_rate_is_a_line_and_a_half_cosine() -> None:
    assert [rate_at(u, 12, 0.25, True) for u in range(4)] == pytest.approx([1 / 3, 2 / 3, 1.0, 1.0])
    assert [rate_at(u, 8, 0.0, True) for u in (0, 2, 4, 6)] == pytest.approx(
        [1.0, 0.5 + 0.5 * math.sqrt(0.5), 0.5, 0.5 - 0.5 * math.sqrt(0.5)]
    )


def test_rate_without_decay_stays() -> None:
    assert [rate_at(u, 10, 0.2, False) for u in range(10)] == [0.5, *[1.0] * 9]


# --- steps -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("scale", [0.01, 10.0])
def test_steps_are_as_large_as_the_learning_rate_whatever_the_vectors_are(name: Optimizer, scale: float) -> None:
    """Learning rates are given in units of the embeddings, so a step must depend on neither vectors nor its number."""
    leaf = with_gradient(torch.full((3, 4), scale), torch.full((3, 4), 0.5))
    optimizer = make_optimizer(name, [leaf], 0.3, 0.0)
    for number in range(1, 31):
        optimizer.step()
        torch.testing.assert_close(leaf.detach(), torch.full((3, 4), scale - 0.3 * number))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weight_decay_pulls_towards_zero(name: Optimizer) -> None:
    leaf = with_gradient(torch.full((2, 2), 4.0), torch.zeros(2, 2))
    make_optimizer(name, [leaf], 0.1, 0.5).step()
    torch.testing.assert_close(leaf.detach(), torch.full((2, 2), 4.0 * (1 - 0.1 * 0.5)))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_bowl_is_descended(name: Optimizer) -> None:
    leaf = torch.full((4, 3), 2.0, requires_grad=True)
    optimizer = make_optimizer(name, [leaf], 0.1, 0.0)
    for _ in range(100):
        optimizer.zero_grad()
        leaf.square().sum().backward()
        optimizer.step()
    assert float(leaf.detach().abs().max()) < 0.3


# --- clipping --------------------------------------------------------------------------------------------------------
@few
@given(gradients=st.lists(st.floats(-100, 100), min_size=2, max_size=6), largest=st.floats(0.1, 10.0))
def test_clipped_gradients_keep_their_direction_and_stay_below_the_limit(
    gradients: list[float], largest: float
) -> None:
    wanted = torch.tensor(gradients)
    leaves = [with_gradient(torch.zeros(1), value[None]) for value in wanted]

    norm = clip(leaves, largest)

    clipped = torch.cat([leaf.grad for leaf in leaves if leaf.grad is not None])
    assert norm == pytest.approx(float(wanted.norm()), rel=1e-5)
    torch.testing.assert_close(clipped, wanted * min(1.0, largest / (norm + 1e-6)))


def test_zero_leaves_gradients_alone() -> None:
    leaf = with_gradient(torch.zeros(2), torch.tensor([300.0, 400.0]))
    assert clip([leaf], 0.0) == pytest.approx(500.0)
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [300.0, 400.0]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_norm_that_is_no_number_is_reported_as_such(bad: float) -> None:
    assert not math.isfinite(clip([with_gradient(torch.zeros(2), torch.tensor([1.0, bad]))], 1.0))
