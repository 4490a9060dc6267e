"""A batch without beginning or end: whoever joins, stays or leaves, each row gets what it gets alone.

Tiny models in double precision, where no two tokens are equally likely by rounding.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.data.template import Template
from softprompt.engine import running as module
from softprompt.engine.backbone import CausalBackbone, wrap
from softprompt.engine.requests import Answer, Ready, Request, make_ready
from softprompt.engine.running import News, Running
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.errors import ModelError, ParameterInvalid
from softprompt.params import GenerateConfig
from softprompt.testing.tiny import tiny_model

LABELS = ("Planning", "Plan", "L3")


@cache
def backbone(kind: str) -> Any:
    model, tokenizer = tiny_model(kind)  # type: ignore[arg-type]
    return wrap(model.double(), tokenizer, model_id=f"tiny-{kind}")


@cache
def readies(kind: str) -> list[Ready]:
    """Prompts of several lengths behind several templates, one of them guarded."""
    made, chance = backbone(kind), torch.Generator().manual_seed(3)
    plain, bare = (
        Encoder(made.tokenizer, Template(t), share_head=kind != "t5") for t in (Template().text, "{{input}}")
    )

    def vectors(count: int) -> torch.Tensor:
        return 0.15 * torch.randn(count, 32, generator=chance)

    return [
        make_ready(made, bare),
        make_ready(made, plain, SoftPrompt(prefix=vectors(3))),
        make_ready(made, plain, SoftPrompt(prefix=vectors(5), suffix=vectors(2))),
        make_ready(made, plain, SoftPrompt(suffix=vectors(1)), LABELS),
    ]


CONFIGS = st.sampled_from(
    [
        GenerateConfig(max_new_tokens=4),
        GenerateConfig(max_new_tokens=0),
        GenerateConfig(max_new_tokens=30),
        GenerateConfig(max_new_tokens=7, repetition_penalty=1.4, min_new_tokens=3),
        GenerateConfig(max_new_tokens=9, decoding="sample", seed=1, temperature=1.5, top_k=0),
        GenerateConfig(max_new_tokens=6, decoding="sample", seed=2, top_p=0.8, stop=("e", "\x1c")),
        GenerateConfig(max_new_tokens=8, pattern="[a-z]+( [0-9]+)?"),
        GenerateConfig(max_new_tokens=8, pattern="(yes|no), .*", decoding="sample", seed=3, temperature=1.5),
    ]
)
ROW = st.tuples(st.text("abé ", min_size=1, max_size=40), st.integers(0, 3), CONFIGS, st.sampled_from([None, 0, 2]))
JOINING = st.lists(st.tuples(st.integers(0, 6), st.lists(ROW, min_size=1, max_size=3)), min_size=1, max_size=5)


def to_the_end(running: Running, tickets: list[int], news: list[News] | None = None) -> dict[int, Answer]:
    answers: dict[int, Answer] = {}
    told = dict.fromkeys(tickets, "")
    for item in news or []:
        told[item.ticket] = told.get(item.ticket, "") + item.piece
        if item.answer:
            answers[item.ticket] = item.answer
    while running:
        for item in running.step():
            assert item.error is None
            told[item.ticket] = told.get(item.ticket, "") + item.piece
            if item.answer is not None:
                answers[item.ticket] = item.answer
    assert {ticket: answer.output for ticket, answer in answers.items()} == {t: told[t] for t in answers}
    return answers


def same(one: Answer, two: Answer) -> None:
    assert replace(one, confidence=0.0, tokens=()) == replace(two, confidence=0.0, tokens=())
    assert one.confidence == pytest.approx(two.confidence, rel=1e-6)
    assert [(t.text, t.rank, [name for name, _ in t.top]) for t in one.tokens] == [
        (t.text, t.rank, [name for name, _ in t.top]) for t in two.tokens
    ]
    assert [t.logprob for t in one.tokens] == pytest.approx([t.logprob for t in two.tokens], rel=1e-6)


def alone(kind: str, request: Request) -> Answer:
    running = Running(backbone(kind))
    (ticket,) = running.admit([request])
    return to_the_end(running, [ticket])[ticket]


@pytest.mark.parametrize("shared_from", [1, 4])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
@settings(max_examples=8, deadline=None)
@given(joining=JOINING, leaving=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), max_size=3))
def test_a_row_gets_what_it_gets_alone_whenever_it_joins(
    kind: str, shared_from: int, joining: list[Any], leaving: list[tuple[int, int]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SHARED_FROM", shared_from)
        running, requests, news, gone = Running(backbone(kind)), {}, [], set()
        for turn in range(13):
            for _, rows in [pair for pair in joining if pair[0] == turn]:
                asked = [Request(t, readies(kind)[n], config, details=d) for t, n, config, d in rows]
                requests.update(zip(running.admit(asked), asked, strict=True))
            for _, number in [pair for pair in leaving if pair[0] == turn]:
                dropped = running.drop(number)
                if dropped is not None:
                    gone.add(number)
            news += running.step()
        answers = to_the_end(running, list(requests), news)
    assert set(answers) == set(requests) - gone
    for ticket, answer in answers.items():
        same(answer, alone(kind, requests[ticket]))


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_whoever_is_taken_out_keeps_the_text_so_far(kind: str) -> None:
    running = Running(backbone(kind))
    request = Request("tell", readies(kind)[0], GenerateConfig(max_new_tokens=50))
    stays, goes = running.admit([request, request])
    news = [item for _ in range(5) for item in running.step()]
    told = "".join(item.piece for item in news if item.ticket == goes)
    dropped = running.drop(goes, "time_limit")
    assert dropped is not None
    assert dropped.answer is not None
    assert dropped.answer.stop_reason == "time_limit"
    assert dropped.answer.generated_tokens == 5
    assert told + dropped.piece == dropped.answer.output
    assert running.drop(goes) is None
    whole = to_the_end(running, [stays], news)
    assert list(whole) == [stays]
    assert whole[stays].generated_tokens == alone(kind, request).generated_tokens


def test_details_are_the_models_own_probabilities() -> None:
    made, ready = backbone("llama"), readies("llama")[0]
    config = GenerateConfig(max_new_tokens=4, decoding="sample", seed=3, temperature=2.0, repetition_penalty=1.5)
    answer = alone("llama", Request("box", ready, config, details=5))
    ids = list(ready.encoder.row("box").prompt)
    model = tiny_model("llama")[0].double()
    for token in answer.tokens:
        logprobs = torch.log_softmax(model(torch.tensor([ids])).logits[0, -1], dim=-1)
        chosen = next(n for n in range(len(logprobs)) if abs(float(logprobs[n]) - token.logprob) < 1e-5)
        assert token.rank == 1 + int((logprobs > logprobs[chosen]).sum())
        assert [value for _, value in token.top] == pytest.approx(logprobs.topk(5).values.tolist(), abs=1e-5)
        assert made.tokenizer.decode([chosen]) == token.text
        ids.append(chosen)
    assert len(answer.tokens) == answer.generated_tokens == 4


def test_other_ends_than_the_tokenizers_end_an_answer() -> None:
    ready = readies("llama")[0]
    config = GenerateConfig(max_new_tokens=12)
    free = alone("llama", Request("box", ready, config, details=0))
    ended = alone("llama", Request("box", replace(ready, ends=frozenset(range(259))), config))
    assert (ended.output, ended.stop_reason, ended.generated_tokens) == ("", "eos_token", 1)
    assert free.generated_tokens > 1


def test_ids_are_taken_as_they_are() -> None:
    ready = readies("llama")[0]
    ids = ready.encoder.row("box").prompt
    config = GenerateConfig(max_new_tokens=5)
    told = alone("llama", Request("", ready, config, ids))
    assert replace(told, input="box") == alone("llama", Request("box", ready, config))


def test_who_does_not_fit_lets_nobody_join() -> None:
    running = Running(backbone("llama"))
    fine, long = (Request(text, readies("llama")[1]) for text in ("x", "x" * 2100))
    with pytest.raises(ParameterInvalid, match="do not fit into the 2048 of tiny-llama"):
        running.admit([fine, long])
    assert not running
    assert len(running) == 0


def test_scores_that_are_no_numbers_end_that_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = readies("llama")[0]
    configs = [GenerateConfig(max_new_tokens=5), GenerateConfig(max_new_tokens=5, decoding="sample", seed=1)]
    wanted = [alone("llama", Request("fine", ready, config)) for config in configs]
    whole = CausalBackbone.logits

    def broken(self: Any, hidden: Any) -> Any:
        out = whole(self, hidden)
        if len(out) == 4:
            out[1], out[3] = torch.nan, torch.nan
        return out

    monkeypatch.setattr(CausalBackbone, "logits", broken)
    running = Running(backbone("llama"))
    tickets = running.admit([Request(t, ready, c) for c in configs for t in ("fine", "bad")])
    news = running.step()
    errors = {item.ticket: item.error for item in news if item.error is not None}
    assert sorted(errors) == [tickets[1], tickets[3]]
    with pytest.raises(ModelError, match=r"tiny-llama gave scores that are no numbers \(NaN\) at token"):
        raise next(iter(errors.values()))
    answers = to_the_end(running, tickets, [item for item in news if item.error is None])
    same(answers[tickets[0]], wanted[0])
    same(answers[tickets[2]], wanted[1])


def test_full_memory_is_met_by_smaller_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    config = GenerateConfig(max_new_tokens=6)
    requests = [Request("x" * n, readies("llama")[n % 3], config) for n in range(1, 8)]
    wanted = [alone("llama", request) for request in requests]
    whole = CausalBackbone.step

    def small(self: Any, tokens: Any, *others: Any) -> Any:
        if len(tokens) > 2:
            raise torch.OutOfMemoryError("no room")
        return whole(self, tokens, *others)

    monkeypatch.setattr(CausalBackbone, "step", small)
    running = Running(backbone("llama"))
    tickets = running.admit(requests)
    answers = to_the_end(running, tickets)
    for ticket, one in zip(tickets, wanted, strict=True):
        same(answers[ticket], one)


def test_memory_is_given_back_when_long_rows_leave() -> None:
    running, ready = Running(backbone("llama")), readies("llama")[0]
    short = Request("x", ready, GenerateConfig(max_new_tokens=200, min_new_tokens=200))
    running.admit([short])
    (long,) = running.admit([Request("x" * 1500, ready, GenerateConfig(max_new_tokens=9))])
    running.step()
    full = running.nbytes()
    running.drop(long)
    running.step()
    assert running.nbytes() < full / 10
