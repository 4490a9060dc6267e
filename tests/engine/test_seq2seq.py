"""The encoder-decoder backbone against PEFT, the library's own loss, its `generate`, and itself row by row."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import BartConfig, BartForConditionalGeneration, T5Config, T5ForConditionalGeneration

from softprompt.data.template import Template
from softprompt.engine.backbone import wrap
from softprompt.engine.decoding import Group
from softprompt.engine.packing import Row
from softprompt.engine.readout import features
from softprompt.engine.seq2seq import PADDING_LIMIT, Seq2SeqBackbone, buckets
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.errors import ModelUnsupported
from softprompt.testing.tiny import tiny_model

KINDS = ("t5", "mt5", "t5-scaled")
HIDDEN, EOS = 32, 2
few = settings(max_examples=10, deadline=None)

IDS = st.integers(3, 258)
ROWS = st.lists(
    st.builds(
        lambda prompt, target: Row((*prompt, EOS), tuple(target)),
        st.lists(IDS, max_size=30),
        st.lists(IDS, min_size=1, max_size=6),
    ),
    min_size=1,
    max_size=6,
)
HEADS = st.lists(IDS, max_size=4)
ROW = Row((9, 50, 77, 200, 31, 4, EOS), (88, 130, EOS))


def soft_prompt(prefix: int = 0, suffix: int = 0, seed: int = 0) -> SoftPrompt:
    generator = torch.Generator().manual_seed(seed)
    return SoftPrompt(
        prefix=0.15 * torch.randn(prefix, HIDDEN, generator=generator) if prefix else None,
        suffix=0.15 * torch.randn(suffix, HIDDEN, generator=generator) if suffix else None,
    )


PROMPTS = st.builds(soft_prompt, st.integers(0, 4), st.integers(0, 2), st.integers(0, 99))


def fresh(kind: str) -> Any:
    """The library's model, untouched; the same weights at every call. "t5-scaled" is T5 before 1.1 (and T5-small)."""
    model = tiny_model("mt5" if kind == "mt5" else "t5")[0]
    if kind == "t5-scaled":
        model.config.scale_decoder_outputs = True
    return model


@cache
def plain(kind: str) -> Any:
    return fresh(kind)


@cache
def backbone(kind: str) -> Seq2SeqBackbone:
    made = wrap(fresh(kind), tiny_model("t5")[1], model_id=f"tiny-{kind}")
    assert isinstance(made, Seq2SeqBackbone)
    return made


def close(actual: Tensor, wanted: Tensor) -> None:
    scale = float(wanted.detach().abs().max())
    torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-4 * scale + 1e-7)


def embedded(model: Any, ids: Sequence[int], prompt: SoftPrompt) -> Tensor:
    """`[1, E, H]` what the encoder reads: prefix vectors, tokens, suffix vectors."""
    parts = [prompt.prefix, model.get_input_embeddings()(torch.tensor(list(ids))), prompt.suffix]
    return torch.cat([part for part in parts if part is not None])[None]


def plain_loss(model: Any, row: Row, prompt: SoftPrompt, head: Sequence[int] = ()) -> Tensor:
    """Mean loss of one row, as the library computes it from embeddings and labels."""
    loss: Tensor = model(
        inputs_embeds=embedded(model, [*head, *row.prompt], prompt), labels=torch.tensor([row.target])
    ).loss
    return loss


def gradients(prompt: SoftPrompt) -> dict[str, Tensor]:
    found = {}
    for name, tensor in prompt.tensors().items():
        assert tensor.grad is not None, name
        found[name] = tensor.grad
    return found


# --- against PEFT ----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sets", [None, 1])
def test_loss_and_gradient_are_those_of_peft(kind: str, sets: int | None) -> None:
    """PEFT feeds the encoder `[virtual][text]`; unless told, it holds a second set of vectors that it never feeds."""
    import peft

    prompt = soft_prompt(prefix=5).parameters()
    assert prompt.prefix is not None
    config = peft.PromptTuningConfig(task_type="SEQ_2_SEQ_LM", num_virtual_tokens=5, num_transformer_submodules=sets)
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning
        )  # PEFT asks for it
        model = peft.get_peft_model(fresh(kind), config)
    table = model.prompt_encoder["default"].embedding
    assert table.weight.shape[0] == (5 if sets == 1 else 10)
    table.weight.data[:5] = prompt.prefix.detach()
    ids = torch.tensor([ROW.prompt])
    model.eval()
    wanted = model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=torch.tensor([ROW.target])).loss
    wanted.backward()

    total = backbone(kind).add_gradient([[ROW]], prompt, ())

    close(total / len(ROW.target), wanted.detach())
    close(gradients(prompt)["prefix"], table.weight.grad[:5])
    assert not table.weight.grad[5:].any()


# --- against the library, row by row ---------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@few
@given(rows=ROWS, prompt=PROMPTS, head=HEADS)
def test_batch_equals_the_library_row_by_row(kind: str, rows: list[Row], prompt: SoftPrompt, head: list[int]) -> None:
    ours, theirs = prompt.parameters(), prompt.parameters()
    tokens = sum(len(row.target) for row in rows)
    wanted = torch.stack([plain_loss(plain(kind), row, theirs, head) * len(row.target) for row in rows])

    losses, numbers = backbone(kind).token_losses(rows, ours, head)
    assert numbers.tolist() == [n for n, row in enumerate(rows) for _ in row.target]
    close(torch.zeros(len(rows)).index_add(0, numbers, losses), wanted)

    if ours.tensors():
        close(backbone(kind).add_gradient([rows], ours, head), wanted.detach().sum())
        (wanted.sum() / tokens).backward()
        for name, gradient in gradients(ours).items():
            close(gradient, gradients(theirs)[name])


@few
@given(rows=ROWS, prompt=PROMPTS, head=HEADS)
def test_a_row_gets_in_a_batch_what_it_gets_alone(rows: list[Row], prompt: SoftPrompt, head: list[int]) -> None:
    together, _ = backbone("t5").token_losses(rows, prompt, head)
    alone = torch.cat([backbone("t5").token_losses([row], prompt, head)[0] for row in rows])
    close(together, alone)


@few
@given(batches=st.lists(ROWS, min_size=2, max_size=3), shape=st.tuples(st.integers(1, 3), st.integers(0, 2)))
def test_accumulated_batches_equal_one_big_batch(batches: list[list[Row]], shape: tuple[int, int]) -> None:
    parts, whole = soft_prompt(*shape).parameters(), soft_prompt(*shape).parameters()

    total = backbone("t5").add_gradient(batches, parts, ())
    close(total, backbone("t5").add_gradient([[row for rows in batches for row in rows]], whole, ()))
    for name, gradient in gradients(parts).items():
        close(gradient, gradients(whole)[name])


def test_head_stands_between_prefix_and_row() -> None:
    prompt = soft_prompt(3, 1)
    losses, _ = backbone("t5").token_losses([Row(ROW.prompt[2:], ROW.target)], prompt, ROW.prompt[:2])
    close(losses, backbone("t5").token_losses([ROW], prompt)[0])


def test_rows_without_targets_have_no_losses() -> None:
    losses, numbers = backbone("t5").token_losses([Row((5, EOS)), ROW, Row((6, EOS))], soft_prompt(2))
    assert numbers.tolist() == [1, 1, 1]
    close(losses, backbone("t5").token_losses([ROW], soft_prompt(2))[0])
    assert backbone("t5").token_losses([Row((5, EOS))], soft_prompt(2))[0].shape == (0,)


# --- buckets ---------------------------------------------------------------------------------------------------------
@settings(max_examples=50, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 200), st.integers(0, 50)), max_size=20))
def test_buckets_hold_every_row_once_with_little_padding(sizes: list[tuple[int, int]]) -> None:
    lots = buckets(sizes)

    assert sorted(n for lot in lots for n in lot) == list(range(len(sizes)))
    for lot in lots:
        places = len(lot) * (max(sizes[n][0] for n in lot) + max(sizes[n][1] for n in lot))
        assert places <= PADDING_LIMIT * sum(sum(sizes[n]) for n in lot)


def test_rows_of_like_length_share_a_bucket_and_long_ones_do_not() -> None:
    assert buckets([(20, 3), (200, 3), (21, 3), (19, 2)]) == [[3, 0, 2], [1]]


# --- decoding --------------------------------------------------------------------------------------------------------
ASKED = st.lists(st.lists(IDS, max_size=25), min_size=1, max_size=3)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=5, deadline=None)
@given(asked=st.tuples(ASKED, ASKED, ASKED), drop=st.integers(0, 8), when=st.integers(0, 3))
def test_decoding_equals_a_loop_without_cache(
    kind: str, asked: tuple[list[list[int]], ...], drop: int, when: int
) -> None:
    made, model = backbone(kind), plain(kind)
    own = [soft_prompt(3, 2, seed=1), SoftPrompt(), soft_prompt(0, 1, seed=3)]
    rows = [((*ids, EOS), prompt) for part, prompt in zip(asked, own, strict=True) for ids in part]
    groups = [
        Group(p, made.prefix(p), len(part))  # type: ignore[func-returns-value]
        for part, p in zip(asked, own, strict=True)
    ]
    answers: list[list[int]] = [[] for _ in rows]

    state = made.prefill([Row(ids) for ids, _ in rows], groups, room=4)
    left = list(range(len(rows)))
    for turn in range(5):
        for line, number in enumerate(left):
            ids, prompt = rows[number]
            started = torch.tensor([[0, *answers[number]]])
            wanted = model(inputs_embeds=embedded(model, ids, prompt), decoder_input_ids=started, use_cache=False)
            close(state.logits[line], wanted.logits[0, -1])
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


@pytest.mark.parametrize("kind", KINDS)
def test_greedy_answer_is_that_of_generate(kind: str) -> None:
    wanted = plain(kind).generate(
        torch.tensor([ROW.prompt]), max_new_tokens=12, do_sample=False, eos_token_id=None, pad_token_id=0
    )[0, 1:]

    state = backbone(kind).prefill([ROW], [Group(SoftPrompt(), None, 1)], room=12)
    answer: list[int] = []
    for _ in range(12):
        answer.append(int(state.logits.argmax()))
        state.step(torch.tensor(answer[-1:]))
    assert answer == wanted.tolist()


# --- label readouts --------------------------------------------------------------------------------------------------
def test_tapped_states_are_those_of_the_library_and_give_features() -> None:
    made, model, prompt = backbone("t5"), plain("t5"), soft_prompt(3, 1)
    rows = Encoder(made.tokenizer, Template(), share_head=False).rows(["a box", "a late and rather long complaint", ""])
    state = made.prefill(rows, [Group(prompt, None, 3)], room=0, taps=(1, 2))
    found = features(state.tapped, state.packed, rows, (1, 2), ("mean", "last"))

    starts = state.packed.lengths.cumsum(0) - state.packed.lengths
    for number, (row, start) in enumerate(zip(rows, starts.tolist(), strict=True)):
        wanted = model.get_encoder()(inputs_embeds=embedded(model, row.prompt, prompt), output_hidden_states=True)
        first, whole = wanted.hidden_states[1][0], wanted.last_hidden_state[0]
        close(found[number, :HIDDEN], first[3 + row.input_start : 3 + row.input_end].mean(0))
        close(found[number, HIDDEN : 2 * HIDDEN], first[-1])
        second = state.tapped[2][start : start + len(row.prompt) + 1]
        close(model.get_encoder().final_layer_norm(second), whole[3:])
    assert found.shape == (3, 4 * HIDDEN)


def test_readouts_can_send_gradients_to_the_prompt() -> None:
    made, prompt = backbone("t5"), soft_prompt(3, 1).parameters()
    encoded = made.encode([ROW, Row((5, EOS))], [Group(prompt, None, 2)], taps=(1,))
    encoded.tapped[1].square().sum().backward()  # type: ignore[no-untyped-call]
    assert all(gradient.abs().sum() > 0 for gradient in gradients(prompt).values())


def test_padding_is_masked_in_what_the_encoder_returns() -> None:
    encoded = backbone("t5").encode([ROW, Row((5, EOS))], [Group(soft_prompt(3), None, 2)])
    assert encoded.hidden.shape == (2, 10, HIDDEN)
    assert encoded.mask.sum(1).tolist() == [10, 5]


# --- facts and refusals ----------------------------------------------------------------------------------------------
def test_facts_of_a_model() -> None:
    made = backbone("t5")
    assert (made.kind, made.hidden_size, made.depth) == ("seq2seq", HIDDEN, 2)
    assert made.embedding.shape == (259, HIDDEN)
    assert made.embedding_rms == pytest.approx(float(made.embedding.square().mean().sqrt()))
    assert (made.device.type, made.dtype) == ("cpu", torch.float32)
    assert not any(weight.requires_grad for weight in made.model.parameters())


@pytest.mark.parametrize(("stated", "context"), [(int(1e30), 512), (1024, 1024), (None, 512)])
def test_context_is_what_the_tokenizer_says_if_that_makes_sense(stated: int | None, context: int) -> None:
    tokenizer = SimpleNamespace(model_max_length=stated)
    assert Seq2SeqBackbone(plain("t5"), tokenizer).context == context


def test_longer_rows_than_the_context_still_run() -> None:
    losses, _ = backbone("t5").token_losses([Row((5,) * 600, (6,))], soft_prompt(prefix=2))
    assert losses.isfinite().all()


def test_bfloat16_models_train_float32_prompts() -> None:
    made, prompt = wrap(fresh("t5").to(torch.bfloat16), None), soft_prompt(3, 1).parameters()
    total = made.add_gradient([[ROW]], prompt, (5,))
    wanted = plain_loss(plain("t5"), ROW, soft_prompt(3, 1), (5,)) * len(ROW.target)
    torch.testing.assert_close(total, wanted, rtol=0.05, atol=0.0)
    assert all(gradient.dtype == torch.float32 and gradient.isfinite().all() for gradient in gradients(prompt).values())


def test_float16_is_refused() -> None:
    with pytest.raises(ModelUnsupported, match="tiny is loaded in float16, in which T5 models overflow. Load it in bf"):
        wrap(fresh("t5").to(torch.float16), None, model_id="tiny")


def test_other_families_are_refused_by_name() -> None:
    config = BartConfig(
        vocab_size=16, d_model=8, encoder_layers=1, decoder_layers=1, encoder_attention_heads=1,
        decoder_attention_heads=1, encoder_ffn_dim=8, decoder_ffn_dim=8,
    )  # fmt: skip
    with pytest.raises(ModelUnsupported, match=r"family 'bart' are not supported; mt5 and t5 are\."):
        wrap(BartForConditionalGeneration(config), None)


def test_deep_prompts_are_refused_with_a_way_out() -> None:
    deep = SoftPrompt(deep=torch.zeros(2, 2, 4, 7, 8))
    for call in (
        lambda: backbone("t5").prefix(deep),
        lambda: backbone("t5").token_losses([ROW], deep),
        lambda: backbone("t5").prefill([ROW], [Group(deep, None, 1)], 1),
    ):
        with pytest.raises(ModelUnsupported, match=r"\(7 virtual tokens\).* Use the method prompt_tuning\."):
            call()


def test_a_head_that_would_be_lost_is_refused() -> None:
    with pytest.raises(ValueError, match=r"2 head tokens given.*share_head=False"):
        backbone("t5").prefix(SoftPrompt(), (5, 6))


def test_original_t5_scales_its_decoder_and_the_later_ones_do_not() -> None:
    small = T5ForConditionalGeneration(T5Config(d_model=32, d_ff=8, num_layers=1, num_heads=1, d_kv=8, vocab_size=9))
    hidden = torch.ones(1, 32)
    close(wrap(small, None).logits(hidden), small.lm_head(hidden) * 32**-0.5)
    close(backbone("t5").logits(hidden), backbone("t5").model.lm_head(hidden))
