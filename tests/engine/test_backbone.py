"""The causal backbone against its peers: PEFT on single rows, a plain padded pass of the library's model on batches."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import BertConfig, BertLMHeadModel, DynamicCache, GraniteConfig, GraniteForCausalLM

from softprompt.engine.backbone import CausalBackbone, wrap
from softprompt.engine.decoding import Group
from softprompt.engine.init import Start, initial_prompt
from softprompt.engine.packing import Row, pack
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.errors import ModelUnsupported, ParameterInvalid
from softprompt.testing.tiny import tiny_model

KINDS = ("llama", "gpt2", "qwen2", "mistral", "gemma", "gemma3", "granite")
HIDDEN, LAYERS, WIDTH = 32, 2, 8
few = settings(max_examples=12, deadline=None)

IDS = st.integers(3, 258)
ROWS = st.lists(
    st.builds(
        lambda prompt, target: Row(tuple(prompt), tuple(target)),
        st.lists(IDS, min_size=1, max_size=12),
        st.lists(IDS, min_size=1, max_size=5),
    ),
    min_size=1,
    max_size=5,
)
HEADS = st.lists(IDS, max_size=5)
SHAPES = st.tuples(st.integers(0, 3), st.integers(0, 2))


@st.composite
def prompts(draw: st.DrawFn) -> SoftPrompt:
    """A prompt with vectors in front, behind, at both ends or nowhere."""
    return soft_prompt(draw(st.integers(0, 4)), draw(st.integers(0, 2)), seed=draw(st.integers(0, 99)))


def soft_prompt(prefix: int = 0, suffix: int = 0, deep: int = 0, *, heads: int = 2, seed: int = 0) -> SoftPrompt:
    generator = torch.Generator().manual_seed(seed)
    return SoftPrompt(
        prefix=0.15 * torch.randn(prefix, HIDDEN, generator=generator) if prefix else None,
        suffix=0.15 * torch.randn(suffix, HIDDEN, generator=generator) if suffix else None,
        deep=0.5 * torch.randn(LAYERS, 2, heads, deep, WIDTH, generator=generator) if deep else None,
    )


def fresh(kind: str) -> Any:
    """The library's model, untouched; the same weights at every call."""
    if kind != "granite":
        return tiny_model(kind)[0]  # type: ignore[arg-type]
    torch.manual_seed(0)
    return (
        GraniteForCausalLM(
            GraniteConfig(
                vocab_size=259,
                hidden_size=HIDDEN,
                intermediate_size=64,
                num_hidden_layers=LAYERS,
                num_attention_heads=4,
                num_key_value_heads=2,
                embedding_multiplier=6.0,
                residual_multiplier=0.5,
                attention_multiplier=0.2,
                logits_scaling=4.0,
                initializer_range=0.15,
            )  # fmt: skip
        )
        .eval()
        .requires_grad_(False)
    )


@cache
def plain(kind: str) -> Any:
    return fresh(kind)


@cache
def backbone(kind: str) -> CausalBackbone:
    made = wrap(fresh(kind), tiny_model("llama")[1], model_id=f"tiny-{kind}")
    assert isinstance(made, CausalBackbone)
    return made


def close(actual: Tensor, wanted: Tensor) -> None:
    scale = float(wanted.detach().abs().max())
    torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-4 * scale + 1e-7)


# --- the reference: [prefix][head][prompt][suffix][target], padded behind, positions counted from 0 ------------------
def embedded(model: Any, ids: Sequence[int], prompt: SoftPrompt, behind: Sequence[int] = ()) -> Tensor:
    """`[T, H]` what stands in front of a model for one row."""
    table = model.get_input_embeddings()
    parts = [prompt.prefix, table(torch.tensor(list(ids), dtype=torch.long)), prompt.suffix]
    parts.append(table(torch.tensor(list(behind), dtype=torch.long)))
    return torch.cat([part for part in parts if part is not None])


def padded_losses(model: Any, rows: Sequence[Row], prompt: SoftPrompt, head: Sequence[int]) -> Tensor:
    """`[M]` cross-entropy of the target tokens, all rows in one padded batch."""
    lines = [embedded(model, [*head, *row.prompt], prompt, row.target[:-1]) for row in rows]
    lengths = torch.tensor([len(line) for line in lines])
    embeds = pad_sequence(lines, batch_first=True)
    places = torch.arange(embeds.shape[1]).expand(len(rows), -1)
    mask = (places < lengths[:, None]).long()
    logits = model(inputs_embeds=embeds, attention_mask=mask, position_ids=places).logits
    losses = []
    for number, row in enumerate(rows):
        end = int(lengths[number])
        told = logits[number, end - len(row.target) : end]
        losses.append(F.cross_entropy(told, torch.tensor(row.target), reduction="none"))
    return torch.cat(losses)


def next_logits(model: Any, ids: Sequence[int], prompt: SoftPrompt, answer: Sequence[int]) -> Tensor:
    """`[V]` scores of the next token of one row alone, everything computed anew."""
    past = None
    if prompt.deep is not None:
        past = DynamicCache()
        for number, layer in enumerate(prompt.deep):
            past.update(layer[0][None], layer[1][None], number)
    front = SoftPrompt(prefix=prompt.prefix, suffix=prompt.suffix)
    logits: Tensor = model(
        inputs_embeds=embedded(model, ids, front, answer)[None], past_key_values=past, use_cache=False
    ).logits
    return logits[0, -1]


def gradients(prompt: SoftPrompt) -> dict[str, Tensor]:
    found = {}
    for name, tensor in prompt.tensors().items():
        assert tensor.grad is not None, name
        found[name] = tensor.grad
    return found


# --- against PEFT ----------------------------------------------------------------------------------------------------
def peft_model(kind: str, config_class: str, weight: Tensor) -> Any:
    import peft

    config = getattr(peft, config_class)(task_type="CAUSAL_LM", num_virtual_tokens=weight.shape[0])
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning
        )  # PEFT asks for it
        model = peft.get_peft_model(fresh(kind), config)
    model.prompt_encoder["default"].embedding.weight.data = weight.clone()
    return model.eval()


def peft_loss(model: Any, row: Row) -> tuple[Tensor, Tensor]:
    """Mean loss of one row, and its gradient with respect to the trained table."""
    ids = torch.tensor([[*row.prompt, *row.target]])
    labels = ids.clone()
    labels[:, : len(row.prompt)] = -100
    loss = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=labels).loss
    (gradient,) = torch.autograd.grad(loss, model.prompt_encoder["default"].embedding.weight)
    return loss.detach(), gradient


ROW = Row((9, 50, 77, 200, 31, 4), (88, 130, 2))


@pytest.mark.parametrize("kind", KINDS)
def test_prompt_tuning_has_the_loss_and_gradient_of_peft(kind: str) -> None:
    prompt = soft_prompt(prefix=5).parameters()
    assert prompt.prefix is not None
    wanted, gradient = peft_loss(peft_model(kind, "PromptTuningConfig", prompt.prefix.detach()), ROW)

    total = backbone(kind).add_gradient([[ROW]], prompt, ())

    close(total / len(ROW.target), wanted)
    close(gradients(prompt)["prefix"], gradient)


@pytest.mark.parametrize(("kind", "heads"), [("llama", 2), ("gpt2", 4), ("qwen2", 2), ("mistral", 2), ("gemma", 1)])
@pytest.mark.parametrize("head", [0, 3])
def test_prefix_tuning_has_the_loss_and_gradient_of_peft(kind: str, heads: int, head: int) -> None:
    prompt = soft_prompt(deep=4, heads=heads).parameters()
    assert prompt.deep is not None
    table = prompt.deep.detach().permute(3, 0, 1, 2, 4).reshape(4, -1)
    wanted, gradient = peft_loss(peft_model(kind, "PrefixTuningConfig", table), ROW)

    row = Row(ROW.prompt[head:], ROW.target)
    total = backbone(kind).add_gradient([[row]], prompt, ROW.prompt[:head])

    close(total / len(ROW.target), wanted)
    close(gradients(prompt)["deep"].permute(3, 0, 1, 2, 4).reshape(4, -1), gradient)


# --- against the padded reference ------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@few
@given(rows=ROWS, prompt=prompts(), head=HEADS)
def test_packed_batch_equals_padded_batch(kind: str, rows: list[Row], prompt: SoftPrompt, head: list[int]) -> None:
    ours, theirs = prompt.parameters(), prompt.parameters()
    wanted = padded_losses(plain(kind), rows, theirs, head)

    losses, numbers = backbone(kind).token_losses(rows, ours, head)
    close(losses, wanted)
    assert numbers.tolist() == [n for n, row in enumerate(rows) for _ in row.target]

    if ours.tensors():
        close(backbone(kind).add_gradient([rows], ours, head), wanted.detach().sum())
        wanted.mean().backward()
        for name, gradient in gradients(ours).items():
            close(gradient, gradients(theirs)[name])


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma"])
@few
@given(rows=ROWS, prompt=prompts(), head=HEADS)
def test_a_row_gets_in_a_batch_what_it_gets_alone(
    kind: str, rows: list[Row], prompt: SoftPrompt, head: list[int]
) -> None:
    together, _ = backbone(kind).token_losses(rows, prompt, head)
    alone = torch.cat([backbone(kind).token_losses([row], prompt, head)[0] for row in rows])
    close(together, alone)


@pytest.mark.parametrize("deep", [0, 3])
@few
@given(
    batches=st.lists(ROWS, min_size=2, max_size=3), head=HEADS, shape=st.tuples(st.integers(0, 3), st.integers(0, 2))
)
def test_accumulated_batches_equal_one_big_batch(
    deep: int, batches: list[list[Row]], head: list[int], shape: tuple[int, int]
) -> None:
    prompt = soft_prompt(0 if deep else shape[0] + 1, shape[1], deep)
    parts, whole = prompt.parameters(), prompt.parameters()

    total = backbone("llama").add_gradient(batches, parts, head)
    close(total, backbone("llama").add_gradient([[row for rows in batches for row in rows]], whole, head))
    for name, gradient in gradients(parts).items():
        close(gradient, gradients(whole)[name])


def test_gradients_of_two_updates_add_up() -> None:
    once, twice = soft_prompt(prefix=3).parameters(), soft_prompt(prefix=3).parameters()
    backbone("llama").add_gradient([[ROW]], once, ())
    for _ in range(2):
        backbone("llama").add_gradient([[ROW]], twice, ())
    close(gradients(twice)["prefix"], 2 * gradients(once)["prefix"])


@pytest.mark.parametrize("deep", [0, 3])
@few
@given(rows=ROWS, head=HEADS.filter(bool), suffix=st.integers(0, 2))
def test_shared_head_equals_head_in_every_row(deep: int, rows: list[Row], head: list[int], suffix: int) -> None:
    prompt = soft_prompt(0 if deep else 3, suffix, deep)
    whole = [Row((*head, *row.prompt), row.target) for row in rows]

    shared, _ = backbone("llama").token_losses(rows, prompt, head)
    apart, _ = backbone("llama").token_losses(whole, prompt)
    close(shared, apart)


def test_prefix_at_hand_is_used() -> None:
    prompt = soft_prompt(prefix=3)
    shared = backbone("llama").prefix(prompt, (7, 8))
    given_, _ = backbone("llama").token_losses([ROW], SoftPrompt(), shared=shared)
    close(given_, backbone("llama").token_losses([ROW], prompt, (7, 8))[0])


def test_rows_without_targets_have_no_losses() -> None:
    losses, numbers = backbone("llama").token_losses([Row((5, 6)), ROW], soft_prompt(prefix=2))
    assert numbers.tolist() == [1, 1, 1]
    close(losses, backbone("llama").token_losses([ROW], soft_prompt(prefix=2))[0])


@pytest.mark.parametrize("kind", KINDS)
def test_early_exit_equals_the_tapped_layer(kind: str) -> None:
    made, prompt, head = backbone(kind), soft_prompt(3, 1), (40, 41)
    packed = pack([ROW, Row((8, 9)), Row((30,) * 9)], 1)

    full, tapped = made.rows(packed, [(made.prefix(prompt, head), 0, 3)], suffix=prompt.suffix, taps=(1, 2))
    early, found = made.rows(
        packed, [(made.prefix(prompt, head, depth=1), 0, 3)], suffix=prompt.suffix, depth=1, taps=(1,)
    )

    assert sorted(tapped) == [1, 2]
    close(early, tapped[1])
    close(found[1], tapped[1])
    assert full.shape == tapped[2].shape == (len(packed.tokens), HIDDEN)
    assert not torch.allclose(full, tapped[2])  # the last norm stands between them


# --- decoding --------------------------------------------------------------------------------------------------------
ASKED = st.lists(st.lists(IDS, min_size=1, max_size=12), min_size=1, max_size=3)


@pytest.mark.parametrize(("kind", "heads"), [("llama", 2), ("gpt2", 4), ("qwen2", 2), ("mistral", 2), ("gemma", 1)])
@settings(max_examples=6, deadline=None)
@given(asked=st.tuples(ASKED, ASKED, ASKED), head=HEADS, drop=st.integers(0, 8), when=st.integers(0, 3))
def test_decoding_equals_a_loop_without_cache(
    kind: str, heads: int, asked: tuple[list[list[int]], ...], head: list[int], drop: int, when: int
) -> None:
    made, model = backbone(kind), plain(kind)
    own = [soft_prompt(3, 2, seed=1), soft_prompt(deep=2, heads=heads, seed=2), soft_prompt(suffix=1, seed=3)]
    fronts = [head, [], []]
    rows = [(ids, prompt, front) for part, prompt, front in zip(asked, own, fronts, strict=True) for ids in part]
    groups = [Group(p, made.prefix(p, f), len(part)) for part, p, f in zip(asked, own, fronts, strict=True)]
    answers: list[list[int]] = [[] for _ in rows]

    state = made.prefill([Row(tuple(ids)) for ids, _, _ in rows], groups, room=4)
    left = list(range(len(rows)))
    for turn in range(5):
        for line, number in enumerate(left):
            ids, prompt, front = rows[number]
            close(state.logits[line], next_logits(model, [*front, *ids], prompt, answers[number]))
        if turn == when and len(left) > 1:
            kept = [line for line in range(len(left)) if line != drop % len(left)]
            state.keep(torch.tensor(kept))
            left = [left[line] for line in kept]
        if turn == 4:
            return
        chosen = state.logits.argmax(-1)
        for line, number in enumerate(left):
            answers[number].append(int(chosen[line]))
        state.step(chosen)


@pytest.mark.parametrize(("kind", "heads"), [("llama", 2), ("gpt2", 4)])
def test_a_tree_of_continuations_is_read_without_moving_the_state(kind: str, heads: int) -> None:
    made, model = backbone(kind), plain(kind)
    own = [soft_prompt(3, 2), soft_prompt(deep=2, heads=heads)]
    asked = [(9, 8, 7), (6,), (5, 50, 55, 60, 65)]
    groups = [Group(own[0], made.prefix(own[0], (40,)), 2), Group(own[1], made.prefix(own[1]), 1)]
    state = made.prefill([Row(ids) for ids in asked], groups, room=4)
    paths = [(30,), (30, 31), (30, 31, 32), (33,)]
    visible = torch.tensor([[a == b[: len(a)] for a in paths] for b in paths])

    hidden = state.branch(torch.tensor([p[-1] for p in paths]), torch.tensor([len(p) for p in paths]), visible)

    for number, ids in enumerate(asked):
        prompt, front = (own[0], (40,)) if number < 2 else (own[1], ())
        for node, path in enumerate(paths):
            close(made.logits(hidden[number, node]), next_logits(model, [*front, *ids], prompt, path))
    state.step(torch.tensor([30, 33, 30]))
    close(state.logits[1], next_logits(model, [40, *asked[1]], own[0], (33,)))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_greedy_answer_is_that_of_generate(kind: str) -> None:
    wanted = plain(kind).generate(
        torch.tensor([ROW.prompt]), max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0
    )[0, len(ROW.prompt) :]

    state = backbone(kind).prefill([Row(ROW.prompt)], [Group(SoftPrompt(), None, 1)], room=12)
    answer = []
    for _ in range(12):
        answer.append(int(state.logits.argmax()))
        state.step(torch.tensor(answer[-1:]))
    assert answer == wanted.tolist()


def test_prefill_keeps_tapped_states_for_readouts() -> None:
    made, prompt = backbone("llama"), soft_prompt(3, 1)
    rows = [ROW, Row((8, 9))]
    state = made.prefill(rows, [Group(prompt, made.prefix(prompt), 2)], room=1, taps=(1,))

    bare = [Row(row.prompt, row.target) for row in rows]
    _, wanted = made.rows(pack(bare, 1), [(made.prefix(prompt), 0, 2)], suffix=prompt.suffix, taps=(1,))
    close(state.tapped[1], wanted[1])
    assert state.packed.rows == 2


# --- facts and refusals ----------------------------------------------------------------------------------------------
def test_facts_of_a_model() -> None:
    made = backbone("llama")
    assert (made.kind, made.hidden_size, made.depth, made.context) == ("causal", HIDDEN, LAYERS, 2048)
    assert made.embedding.shape == (259, HIDDEN)
    assert made.embedding_rms == pytest.approx(float(made.embedding.square().mean().sqrt()))
    assert (made.device.type, made.dtype) == ("cpu", torch.float32)
    assert not any(weight.requires_grad for weight in made.model.parameters())
    assert not made.model.training


def test_training_leaves_the_model_alone() -> None:
    made, before = backbone("gpt2"), {n: p.clone() for n, p in plain("gpt2").named_parameters()}
    made.add_gradient([[ROW]], soft_prompt(3, 1).parameters(), (5,))
    for name, weight in made.model.named_parameters():
        assert torch.equal(weight, before[name])
        assert weight.grad is None


def test_bfloat16_models_train_float32_prompts() -> None:
    made = wrap(fresh("llama").to(torch.bfloat16), None)
    prompt = soft_prompt(3, 1).parameters()
    total = made.add_gradient([[ROW]], prompt, (5,))
    wanted = padded_losses(plain("llama"), [ROW], soft_prompt(3, 1), (5,)).sum()
    torch.testing.assert_close(total, wanted, rtol=0.05, atol=0.0)
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients(prompt).values())


def test_too_long_rows_are_refused_with_numbers() -> None:
    with pytest.raises(ParameterInvalid, match=r"2050 tokens .* do not fit into the 2048 of tiny-llama\. Shorten"):
        backbone("llama").token_losses([Row((5,) * 2048, (6,))], soft_prompt(prefix=2))


def windowed(kind: str, **config: Any) -> CausalBackbone:
    """A tiny model whose configuration says otherwise about its windows."""
    model = fresh(kind)
    for name, value in config.items():
        setattr(model.config, name, value)
    made = wrap(model, None, model_id=f"tiny-{kind}")
    assert isinstance(made, CausalBackbone)
    return made


@pytest.mark.parametrize(
    ("kind", "config", "context"),
    [
        ("mistral", {"sliding_window": None}, 2048),
        ("mistral", {"sliding_window": 48}, 48),
        ("mistral", {"sliding_window": 4096}, 2048),
        ("gemma3", {}, 64),
        ("gemma3", {"layer_types": ["full_attention", "full_attention"]}, 2048),
        ("qwen2", {"sliding_window": 48, "layer_types": ["full_attention", "full_attention"]}, 2048),
        ("qwen2", {"sliding_window": 48, "layer_types": ["full_attention", "sliding_attention"]}, 48),
    ],
)
def test_texts_stay_inside_the_shortest_window(kind: str, config: dict[str, Any], context: int) -> None:
    assert windowed(kind, **config).context == context


def test_rows_that_leave_a_sliding_window_are_refused() -> None:
    made = windowed("mistral", sliding_window=48)
    made.token_losses([Row((5,) * 40, (6,))], soft_prompt(prefix=8))
    with pytest.raises(ParameterInvalid, match=r"49 tokens .* do not fit into the 48 of tiny-mistral\."):
        made.token_losses([Row((5,) * 41, (6,))], soft_prompt(prefix=8))


def test_embeddings_that_the_model_scales_count_as_scaled() -> None:
    """Gemma 3 multiplies inside its embedding layer; the size of vectors follows what the layers really get."""
    made, ids = backbone("gemma3"), torch.arange(259)
    assert made.embedding_rms == pytest.approx(float(made.embed(ids).square().mean().sqrt()), rel=1e-5)
    assert made.embedding_rms == pytest.approx(HIDDEN**0.5 * float(made.embedding.square().mean().sqrt()), rel=1e-5)


def test_vectors_that_start_from_text_are_what_the_model_makes_of_it() -> None:
    """A prompt started from a text, and not yet trained, does what the text does."""
    made = backbone("gemma3")
    text = made.tokenizer("Route it.", add_special_tokens=False)["input_ids"]
    start = Start("prompt_tuning", "prefix", "text", "Route it.", (), len(text), 0, 1)
    close(made.token_losses([ROW], initial_prompt(made, start))[0], made.token_losses([ROW], SoftPrompt(), text)[0])


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_rows_grow_beyond_the_room_that_was_made(kind: str) -> None:
    states = [
        backbone(kind).prefill([Row((9, 8, 7)), Row((6,))], [Group(SoftPrompt(), None, 2)], room=room)
        for room in (2, 100)
    ]
    for _ in range(40):
        for state in states:
            state.step(torch.tensor([5, 5]))
    close(states[0].logits, states[1].logits)


def test_a_wrapped_model_cannot_be_called_directly() -> None:
    with pytest.raises(RuntimeError, match="wrapped by Softprompt: call the backbone, or load the model once more"):
        backbone("llama").model(torch.tensor([[5, 6]]))


def test_unknown_architectures_are_refused_by_name() -> None:
    config = BertConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, is_decoder=True)
    with pytest.raises(ModelUnsupported, match="tiny-bert: no list of layers found in BertModel"):
        wrap(BertLMHeadModel(config), None, model_id="tiny-bert")
