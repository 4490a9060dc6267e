"""Lean layers against the transformers library's own: states of every layer, gradients, and what stays untouched."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GraniteConfig, GraniteForCausalLM, LlamaConfig, LlamaForCausalLM

from softprompt.engine import attention, lean, shared_attention
from softprompt.engine.backbone import CausalBackbone, wrap
from softprompt.engine.decoding import Group
from softprompt.engine.packing import Row, pack
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.testing.tiny import tiny_model

HIDDEN = 32
SHAPE: dict[str, Any] = {
    "vocab_size": 259,
    "hidden_size": HIDDEN,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 2048,
    "initializer_range": 0.15,
}


def granite() -> Any:
    config = GraniteConfig(
        **SHAPE, embedding_multiplier=6.0, residual_multiplier=0.5, attention_multiplier=0.2, logits_scaling=4.0
    )
    return GraniteForCausalLM(config)


def biased() -> Any:
    """Llama with a bias in every linear layer, and a scaled rotation."""
    rope = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 512}
    model = LlamaForCausalLM(LlamaConfig(**SHAPE, attention_bias=True, mlp_bias=True, rope_parameters=rope))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            torch.nn.init.normal_(parameter, std=0.3)
    return model


MAKERS: dict[str, Callable[[], Any]] = {
    "llama": lambda: tiny_model("llama")[0],
    "mistral": lambda: tiny_model("mistral")[0],
    "qwen2": lambda: tiny_model("qwen2")[0],
    "granite": granite,
    "llama with biases": biased,
}
KINDS = tuple(MAKERS)


@cache
def plain(kind: str) -> Any:
    """The library's model, untouched."""
    torch.manual_seed(0)
    model = MAKERS[kind]()
    for name, parameter in model.named_parameters():
        if "norm" in name:  # weights of 1 would hide a norm's weight that is forgotten
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    return model.eval().requires_grad_(False)


@cache
def leaned(kind: str) -> CausalBackbone:
    backbone = wrap(copy.deepcopy(plain(kind)), tiny_model("llama")[1])
    assert isinstance(backbone, CausalBackbone)
    assert all(isinstance(layer.forward, lean.LeanLayer) for layer in backbone.model.base_model.layers)
    return backbone


def close(actual: Tensor, wanted: Tensor, tolerance: float = 1e-5) -> None:
    """Equal up to `tolerance` of the largest value."""
    torch.testing.assert_close(actual, wanted, rtol=0, atol=tolerance * float(wanted.detach().abs().max()))


ROWS = [
    Row(tuple(range(5, 5 + n)), tuple(range(40, 40 + m))) for n, m in ((4, 3), (11, 1), (1, 4), (7, 2), (2, 2), (9, 5))
]


def vectors(count: int, seed: int = 3) -> Tensor:
    return 0.15 * torch.randn(count, HIDDEN, generator=torch.Generator().manual_seed(seed))


def reference(model: Any, rows: Sequence[Row], prefix: Tensor, suffix: Tensor) -> tuple[Tensor, Tensor]:
    """`[N, H]` states behind the last layer and its norm, and behind the first, each row alone with all in front."""
    table, last, first = model.get_input_embeddings(), [], []
    for row in rows:
        own = [table(torch.tensor(row.prompt)), suffix, table(torch.tensor(row.target[:-1], dtype=torch.long))]
        states = model.base_model(inputs_embeds=torch.cat([prefix, *own])[None], output_hidden_states=True)
        last.append(states.hidden_states[-1][0, len(prefix) :])
        first.append(states.hidden_states[1][0, len(prefix) :])
    return torch.cat(last), torch.cat(first)


def ours(backbone: CausalBackbone, rows: Sequence[Row], prefix: Tensor, suffix: Tensor) -> tuple[Tensor, Tensor]:
    prompt = SoftPrompt(prefix=prefix, suffix=suffix)
    shared = backbone.prefix(prompt)
    states, tapped = backbone.rows(pack(rows, len(suffix)), [(shared, 0, len(rows))], suffix=suffix, taps=[1])
    return states, tapped[1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("kept", [shared_attention.KEPT, 0], ids=["weights kept", "weights computed again"])
def test_states_and_gradients_are_those_of_the_library(kind: str, kept: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_attention, "KEPT", kept)
    found = []
    for side, model in ((reference, plain(kind)), (ours, leaned(kind))):
        prefix, suffix = vectors(5).requires_grad_(), vectors(2, seed=4).requires_grad_()
        last, first = side(model, ROWS, prefix, suffix)
        weights = torch.linspace(-1, 1, last.numel()).view_as(last)
        (last * weights).sum().backward()  # type: ignore[no-untyped-call]
        found.append((last.detach(), first.detach(), prefix.grad, suffix.grad))
    for wanted, actual in zip(*found, strict=True):
        assert wanted is not None
        assert actual is not None
        close(actual, wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_of_a_whole_update_and_their_gradient_are_those_of_the_library(kind: str) -> None:
    """The way tuning goes: no suffix, so that the rows' first states need no gradient; two batches, one prefix pass."""
    backbone, model, wanted = leaned(kind), plain(kind), vectors(4).requires_grad_()
    losses = []
    for row in ROWS:
        whole = torch.tensor([*row.prompt, *row.target])
        states = torch.cat([wanted, model.get_input_embeddings()(whole[:-1])])
        logits = model(inputs_embeds=states[None]).logits[0, -len(row.target) :]
        losses.append(torch.nn.functional.cross_entropy(logits, whole[-len(row.target) :], reduction="none"))
    torch.cat(losses).mean().backward()  # type: ignore[no-untyped-call]
    prompt = SoftPrompt(prefix=vectors(4)).parameters()
    total = backbone.add_gradient([ROWS[:4], ROWS[4:]], prompt, ())
    close(total, torch.cat(losses).sum())
    assert prompt.prefix is not None
    assert prompt.prefix.grad is not None
    assert wanted.grad is not None
    close(prompt.prefix.grad, wanted.grad)


@pytest.mark.parametrize("kind", KINDS)
def test_without_gradients_the_numbers_are_the_same(kind: str) -> None:
    prefix, suffix = vectors(5), vectors(2, seed=4)
    with torch.no_grad():
        wanted, actual = reference(plain(kind), ROWS, prefix, suffix), ours(leaned(kind), ROWS, prefix, suffix)
    for a, b in zip(actual, wanted, strict=True):
        close(a, b)


@pytest.mark.parametrize("kind", KINDS)
@torch.inference_mode()
def test_decoding_goes_on_as_the_library_would(kind: str) -> None:
    backbone, model, prompt = leaned(kind), plain(kind), SoftPrompt(prefix=vectors(3))
    groups = [Group(prompt, backbone.prefix(prompt), 2), Group(SoftPrompt(), None, 1)]
    rows = [Row((5, 6, 7)), Row((8,)), Row((9, 10))]
    state = backbone.prefill(rows, groups, room=2)
    for token in (41, 42):
        state.step(torch.full((3,), token))
    table = model.get_input_embeddings()
    for number, row in enumerate(rows):
        own = table(torch.tensor([*row.prompt, 41, 42]))
        states = own if number == 2 else torch.cat([vectors(3), own])
        close(state.logits[number], model(inputs_embeds=states[None]).logits[0, -1])


def test_deep_prompts_get_the_librarys_gradient() -> None:
    backbone = leaned("qwen2")
    old = wrap(copy.deepcopy(plain("qwen2")), None)
    assert isinstance(old, CausalBackbone)
    for layer in old.model.base_model.layers:
        del layer.forward
    deep = 0.5 * torch.randn(2, 2, 2, 3, 8, generator=torch.Generator().manual_seed(0))
    gradients = []
    for side in (backbone, old):
        prompt = SoftPrompt(deep=deep).parameters()
        for head in ((), (7, 8)):  # with a head, its own keys are computed behind the deep ones
            side.add_gradient([ROWS], prompt, head)
        assert prompt.deep is not None
        assert prompt.deep.grad is not None
        gradients.append(prompt.deep.grad)
    close(gradients[0], gradients[1])


def test_fewer_layers_are_the_same_layers() -> None:
    backbone, prefix = leaned("llama"), vectors(4)
    shared = backbone.prefix(SoftPrompt(prefix=prefix), depth=1)
    states, _ = backbone.rows(pack(ROWS), [(shared, 0, len(ROWS))], depth=1)
    close(states, reference(plain("llama"), ROWS, prefix, vectors(0))[1])


def test_several_prefixes_in_one_tracked_batch_take_the_librarys_layers() -> None:
    backbone, halves = leaned("llama"), (ROWS[:2], ROWS[2:])
    prefixes = [vectors(3, seed).requires_grad_() for seed in (1, 2)]
    shared = [backbone.prefix(SoftPrompt(prefix=prefix)) for prefix in prefixes]
    states, _ = backbone.rows(pack(ROWS), [(shared[0], 0, 2), (shared[1], 2, len(ROWS))])
    found = torch.autograd.grad(states.square().sum(), prefixes)
    none = vectors(0)
    for number, rows in enumerate(halves):
        last = reference(plain("llama"), rows, prefixes[number], none)[0]
        close(found[number], torch.autograd.grad(last.square().sum(), prefixes[number])[0])


def test_a_graph_that_is_kept_gives_the_same_gradient_again() -> None:
    prefix = vectors(4).requires_grad_()
    states, _ = ours(leaned("granite"), ROWS, prefix, vectors(1))
    loss = states.square().sum()
    first = torch.autograd.grad(loss, prefix, retain_graph=True)[0]
    torch.testing.assert_close(torch.autograd.grad(loss, prefix)[0], first, rtol=0, atol=0)


def test_half_precision_stays_with_the_librarys_layers() -> None:
    model = copy.deepcopy(plain("llama")).to(torch.bfloat16)
    backbone = wrap(copy.deepcopy(model), None)
    assert isinstance(backbone, CausalBackbone)
    prefix, suffix = vectors(4).bfloat16(), vectors(1).bfloat16()
    close(ours(backbone, ROWS, prefix, suffix)[0], reference(model, ROWS, prefix, suffix)[0], tolerance=0.05)


def test_weights_are_shared_not_copied() -> None:
    model = copy.deepcopy(plain("llama"))
    before = {name: tensor.data_ptr() for name, tensor in model.state_dict().items()}
    backbone = wrap(model, None)
    assert {name: tensor.data_ptr() for name, tensor in model.state_dict().items()} == before
    prefix = vectors(2)
    old = ours(backbone, ROWS, prefix, vectors(1))[0]  # type: ignore[arg-type]
    with torch.no_grad():
        model.base_model.layers[1].mlp.up_proj.weight.mul_(1.5)
    assert not torch.allclose(ours(backbone, ROWS, prefix, vectors(1))[0], old)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["gpt2", "gemma", "gemma3"])
def test_other_architectures_are_left_alone(kind: Any) -> None:
    model = tiny_model(kind)[0]
    assert lean.apply(model) == 0
    assert not any("forward" in vars(module) for module in model.modules())


def test_layers_that_are_not_as_the_library_made_them_are_left_alone() -> None:
    model = copy.deepcopy(plain("llama"))
    first, second = model.base_model.layers
    first.mlp.up_proj.weight.requires_grad_(True)
    second.self_attn.q_proj = torch.nn.Sequential(second.self_attn.q_proj)
    assert lean.apply(model) == 0


def test_applying_twice_changes_nothing_more() -> None:
    model = copy.deepcopy(plain("llama"))
    assert [lean.apply(model), lean.apply(model)] == [2, 0]


def test_models_of_the_family_without_lean_layers_use_the_same_attention() -> None:
    """Gemma and GPT-2 reach the buckets through the attention interface; the layouts know when they may."""
    packed = pack(ROWS)
    rows = attention.Rows(packed.index, packed.unpad, torch.zeros(1), ((None, 0, len(ROWS)),))
    assert rows.plan(4, 2, vectors(1)) is rows.plan(4, 2, vectors(1)) is not None
    assert rows.plan(4, 2, vectors(1).bfloat16()) is None
