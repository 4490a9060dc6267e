"""Scores of known answers: one tree for all of them says what a plain pass over each one says."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import DynamicCache

from softprompt.data.template import Template
from softprompt.engine.backbone import wrap
from softprompt.engine.generate import Ready, Request, generate, make_ready
from softprompt.engine.score import ROWS, calibration, confidence, label_scores
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.errors import ParameterInvalid
from softprompt.testing.tiny import tiny_model

LABELS = ("Plan", "Planning", "L3", "Packaging, Plan", "Plan")
KINDS = ("llama", "gpt2", "t5")
few = settings(max_examples=8, deadline=None)


@cache
def plain(kind: str) -> Any:
    return tiny_model(kind)[0]  # type: ignore[arg-type]


@cache
def backbone(kind: str) -> Any:
    model, tokenizer = tiny_model(kind)  # type: ignore[arg-type]
    return wrap(model, tokenizer, model_id=f"tiny-{kind}")


@cache
def ready(kind: str, shape: str = "both") -> Ready:
    generator = torch.Generator().manual_seed(4)
    prefix, suffix = (0.15 * torch.randn(3, 32, generator=generator) for _ in range(2))
    heads = 4 if kind == "gpt2" else 2
    deep = 0.5 * torch.randn(2, 2, heads, 3, 8, generator=generator)
    prompts = {"none": SoftPrompt(), "both": SoftPrompt(prefix, suffix), "deep": SoftPrompt(deep=deep)}
    encoder = Encoder(backbone(kind).tokenizer, Template(instruction="Route it."), 60, share_head=kind != "t5")
    return make_ready(backbone(kind), encoder, prompts[shape])


def plain_score(kind: str, ready: Ready, text: str, label: str) -> float:
    """Summed log-probability of one label behind one text, by the library's model alone."""
    model, prompt, answer = plain(kind), ready.prompt, ready.encoder.target(label)
    table = model.get_input_embeddings()
    ids = torch.tensor([*ready.encoder.head, *ready.encoder.row(text).prompt])
    front = torch.cat([part for part in (prompt.prefix, table(ids), prompt.suffix) if part is not None])
    if kind == "t5":
        logits = model(inputs_embeds=front[None], labels=torch.tensor([answer])).logits[0]
    else:
        embeds = torch.cat([front, table(torch.tensor(answer[:-1], dtype=torch.long))])
        past = DynamicCache()
        for number, layer in enumerate(() if prompt.deep is None else prompt.deep):
            past.update(layer[0][None], layer[1][None], number)
        logits = model(inputs_embeds=embeds[None], past_key_values=past, use_cache=True).logits[0, -len(answer) :]
    return float(torch.log_softmax(logits, dim=-1)[range(len(answer)), answer].sum())


def close(actual: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(actual, wanted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(kind, shape) for kind in KINDS for shape in ("none", "both", "deep") if (kind, shape) != ("t5", "deep")],
)
def test_scores_are_the_summed_log_probabilities_of_a_plain_pass(kind: str, shape: str) -> None:
    asked, texts = ready(kind, shape), ["the box is late", "", "é" * 60]
    scores = label_scores(backbone(kind), asked, texts, LABELS)
    close(scores, torch.tensor([[plain_score(kind, asked, text, label) for label in LABELS] for text in texts]))


@pytest.mark.parametrize("kind", ["llama", "t5"])
@few
@given(texts=st.lists(st.text(max_size=15), min_size=1, max_size=4))
def test_a_row_scores_in_a_batch_what_it_scores_alone(kind: str, texts: list[str]) -> None:
    together = label_scores(backbone(kind), ready(kind), texts, LABELS)
    alone = torch.cat([label_scores(backbone(kind), ready(kind), [text], LABELS) for text in texts])
    close(together, alone)


@few
@given(labels=st.lists(st.text("ab ", max_size=4), min_size=1, max_size=5))
def test_a_label_scores_the_same_whatever_the_others_are(labels: list[str]) -> None:
    together = label_scores(backbone("llama"), ready("llama"), ["box"], labels)
    alone = [label_scores(backbone("llama"), ready("llama"), ["box"], [label])[0, 0] for label in labels]
    close(together, torch.stack(alone)[None])


def test_more_rows_than_fit_are_taken_in_turns_and_in_order() -> None:
    texts = [f"{'x' * (n % 5)}{n}" for n in range(2 * ROWS + 3)]
    scores = label_scores(backbone("llama"), ready("llama"), texts, ("L3", "Plan"))
    assert scores.shape == (len(texts), 2)
    close(scores[-1:], label_scores(backbone("llama"), ready("llama"), texts[-1:], ("L3", "Plan")))


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_no_texts_have_no_scores(kind: str) -> None:
    assert label_scores(backbone(kind), ready(kind), [], LABELS).shape == (0, len(LABELS))


def test_labels_that_do_not_fit_behind_the_input_are_refused() -> None:
    model, tokenizer = tiny_model("gpt2")
    model.config.n_positions = 30
    small: Any = wrap(model, tokenizer, model_id="tiny-gpt2")
    asked = make_ready(small, Encoder(tokenizer, Template("{{input}}")))
    assert label_scores(small, asked, ["x" * 27], ["L3"]).isfinite().all()
    with pytest.raises(ParameterInvalid, match="28 tokens of prompt and 3 of the longest label .* the 30 of tiny-gpt2"):
        label_scores(small, asked, ["x" * 28], ["L3"])


# --- calibration and confidence --------------------------------------------------------------------------------------
@few
@given(
    lines=st.lists(st.lists(st.floats(-50, 0), min_size=3, max_size=3), min_size=1, max_size=6),
    bias=st.lists(st.floats(-30, 0), min_size=3, max_size=3),
)
def test_calibration_takes_off_what_every_label_scores_on_average(lines: list[list[float]], bias: list[float]) -> None:
    scores = torch.tensor(lines, dtype=torch.float64)
    shifted = scores + torch.tensor(bias, dtype=torch.float64)

    assert calibration(scores).tolist() == pytest.approx(
        [sum(column) / len(lines) for column in zip(*lines, strict=True)]
    )
    torch.testing.assert_close(
        confidence(scores, calibration(scores)), confidence(shifted, calibration(shifted)), rtol=1e-6, atol=1e-9
    )


def test_confidence_is_a_distribution_over_the_labels() -> None:
    scores = torch.tensor([[-1.0, -2.0, -900.0], [-500.0, -500.0, -500.0]])
    shares = confidence(scores)
    assert shares.sum(dim=1).tolist() == pytest.approx([1.0, 1.0])
    assert shares[0, 0] / shares[0, 1] == pytest.approx(torch.e)
    assert shares[1].tolist() == pytest.approx([1 / 3] * 3)
    assert confidence(scores, torch.tensor([0.0, -1.0, 0.0]))[0, :2].tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_scores_and_guard_agree_where_the_first_token_decides(kind: str) -> None:
    labels: Sequence[str] = ("A", "B", "C")  # one token each, so that the guard's path is the whole answer
    made = ready(kind)
    guarded = make_ready(backbone(kind), made.encoder, made.prompt, labels)
    (answer,) = generate(backbone(kind), [Request("the box", guarded)])

    first = {label: plain_first(kind, made, label) for label in labels}
    shares = torch.softmax(torch.tensor(list(first.values())), dim=0)
    assert answer.output == max(first, key=first.__getitem__)
    assert answer.confidence == pytest.approx(float(shares.max()), rel=1e-3)


def plain_first(kind: str, ready: Ready, label: str) -> float:
    """What a label of one letter scores without its end token."""
    with_end = plain_score(kind, ready, "the box", label)
    model, answer = plain(kind), ready.encoder.target(label)
    table = model.get_input_embeddings()
    ids = torch.tensor([*ready.encoder.head, *ready.encoder.row("the box").prompt])
    front = torch.cat([part for part in (ready.prompt.prefix, table(ids), ready.prompt.suffix) if part is not None])
    if kind == "t5":
        logits = model(inputs_embeds=front[None], labels=torch.tensor([answer])).logits[0, -1]
    else:
        logits = model(inputs_embeds=torch.cat([front, table(torch.tensor(answer[:-1]))])[None]).logits[0, -1]
    return with_end - float(torch.log_softmax(logits, dim=-1)[answer[-1]])
