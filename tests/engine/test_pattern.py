"""Answers under a pattern: the beginning of a match, whole where they end, and the model's own choice among those."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Any

import pytest
import regex
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from softprompt import patterns
from softprompt.data.template import Template
from softprompt.engine.backbone import wrap
from softprompt.engine.generate import Answer, Request, generate, make_ready
from softprompt.engine.pattern import PatternGuard
from softprompt.engine.sampling import REFUSALS, Sampler
from softprompt.engine.tokens import Encoder
from softprompt.errors import ParameterInvalid
from softprompt.params import GenerateConfig, TuneConfig
from softprompt.testing.tiny import tiny_model

TITLE = "[A-Z]{1,4} [|] [a-z ]{1,5} [|] (refund|repair)"
FORMS = st.sampled_from(
    [TITLE, "yes|no", "(?:)", "[0-9]{3}(-[0-9]{2})*", "(?i)^the [a-z]+[.]$", r"\s*\d\s*", "[^a-y]*"]
)


@cache
def backbone(kind: str = "llama") -> Any:
    return wrap(*tiny_model(kind))  # type: ignore[arg-type]


def answer(
    held_to: str, kind: str = "llama", template: str = Template().text, text: str = "why", **config: Any
) -> Answer:
    encoder = Encoder(backbone(kind).tokenizer, Template(template), share_head=kind != "t5")
    ready = make_ready(backbone(kind), encoder, pattern=held_to)
    return generate(backbone(kind), [Request(text, ready, GenerateConfig(**config))])[0]


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
@settings(max_examples=25, deadline=None)
@given(form=FORMS, text=st.text("abc ", min_size=1, max_size=9), draw=st.booleans(), most=st.integers(1, 30))
def test_what_is_said_matches_or_could_go_on_to(kind: str, form: str, text: str, draw: bool, most: int) -> None:
    how = {"decoding": "sample", "seed": 1, "temperature": 1.8, "top_k": 0} if draw else {}
    got = answer(form, kind, text=text, max_new_tokens=most, **how)
    assert got.stop_reason in ("eos_token", "max_tokens")
    whole = regex.fullmatch(form, got.output, partial=got.stop_reason == "max_tokens")
    assert whole is not None, got


def test_a_pattern_that_allows_all_changes_nothing() -> None:
    free, held = (answer(form, max_new_tokens=12) for form in ("", "(?s).*"))
    assert free.output.isascii()
    assert free.output == held.output
    assert free.confidence == pytest.approx(held.confidence, rel=1e-5)


def test_a_request_brings_its_own() -> None:
    assert answer("yes|no", max_new_tokens=9, pattern="maybe").output == "maybe"


def test_the_blank_of_the_template_is_not_part_of_the_answer() -> None:
    for template in ("Input: {{input}} Output: ", "Input: {{input}} Output:"):
        said = answer("[a-c]{3}", template=template, max_new_tokens=9)
        assert regex.fullmatch("[a-c]{3}", said.output)
        assert said.stop_reason == "eos_token"


def test_known_answers_go_before_a_pattern() -> None:
    encoder = Encoder(backbone().tokenizer, Template())
    ready = make_ready(backbone(), encoder, labels=["Planning"], pattern="yes|no")
    assert generate(backbone(), [Request("why", ready)])[0].output == "Planning"


# --- the choice of one token -----------------------------------------------------------------------------------------
def sampler(pattern: str, **config: Any) -> Sampler:
    tokenizer = backbone().tokenizer
    encoder = Encoder(tokenizer, Template("{{input}}"))
    guard = PatternGuard(pattern, encoder, [encoder.end])
    return Sampler(GenerateConfig(**config), encoder.end, pattern=guard)


def ids(text: str) -> list[int]:
    return list(backbone().tokenizer(text, add_special_tokens=False)["input_ids"])


def test_draws_follow_the_model_among_what_is_allowed() -> None:
    scores = torch.full((259,), 3.0)  # far more weight on what is refused
    likely = dict(zip(ids("abc"), (0.5, 0.3, 0.2), strict=True))
    scores[list(likely)] = torch.tensor(list(likely.values())).log()
    counts: Counter[int] = Counter()
    for seed in range(600):
        made = sampler("[abc]", decoding="sample", seed=seed, temperature=1.0, top_k=0)
        counts[made.choose(scores)] += 1
    assert set(counts) == set(likely)
    for token, share in likely.items():
        assert counts[token] / 600 == pytest.approx(share, abs=0.07)


@settings(max_examples=30, deadline=None)
@given(above=st.integers(0, 200), seed=st.integers(0, 99))
def test_greedy_takes_the_likeliest_that_is_allowed_however_far_down(above: int, seed: int) -> None:
    scores = torch.rand(259, generator=torch.Generator().manual_seed(seed))
    allowed = ids("xyz")
    others = [token for token in range(259) if token not in allowed]
    scores[others[:above]] += 2
    scores[others[above:]] -= 2
    made = sampler("[xyz]+")
    assert made.choose(scores) == max(allowed, key=lambda token: float(scores[token]))
    assert above < REFUSALS or made.logprob > -2  # all of the vocabulary was looked through


def test_where_nothing_may_follow_the_answer_ends() -> None:
    for form in ("(?:)", "\u4e2d\u6587"):  # characters of several tokens cannot be said
        made = sampler(form)
        scores = torch.zeros(259)
        scores[backbone().tokenizer.eos_token_id] = -50
        assert made.choose(scores) == backbone().tokenizer.eos_token_id
        assert torch.isfinite(torch.tensor(made.logprob))


def test_words_of_a_sentencepiece_vocabulary_keep_their_blanks() -> None:
    words = ["▁two", "▁box", "es", "▁", "s"]
    backend = Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), *((word, -1.0) for word in words)], unk_id=0))
    backend.pre_tokenizer, backend.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", unk_token="<unk>")
    guard = PatternGuard("two boxes", Encoder(tokenizer, Template(), share_head=False), [1])
    two, box, es, _, s = range(2, 7)
    assert [guard.allows(token) for token in (two, box, es, s, 1)] == [True, False, False, False, False]
    for token in (two, box, es):
        assert guard.allows(token)
        guard.take(token)
    assert guard.text == "two boxes"
    assert guard.allows(1)
    assert not guard.allows(s)


# --- what is refused -------------------------------------------------------------------------------------------------
def test_what_is_no_expression_is_refused_where_it_is_given() -> None:
    for config in (GenerateConfig, TuneConfig):
        with pytest.raises(ParameterInvalid, match=r"pattern: '\[a' is no regular expression"):
            config(pattern="[a")
        with pytest.raises(ParameterInvalid, match="it has 1,001 characters; 1,000 are allowed"):
            config(pattern="a" * 1001)
    with pytest.raises(ParameterInvalid, match="no regular expression"):
        make_ready(backbone(), Encoder(backbone().tokenizer, Template()), pattern="(")


def test_an_expression_that_takes_for_ever_ends_its_own_row_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from softprompt.engine.running import Running

    monkeypatch.setattr(patterns, "SECONDS", 0.01)
    ready = make_ready(backbone(), Encoder(backbone().tokenizer, Template("{{input}}")))
    endless = GenerateConfig(pattern="(a|a)*b?c{80}", max_new_tokens=60)
    running = Running(backbone())
    bad, good = running.admit([Request("x", ready, endless), Request("y", ready, GenerateConfig(max_new_tokens=60))])
    guard = running._live[0].sampler._pattern
    assert guard is not None
    guard._raw = guard.text = "a" * 40
    news = [item for _ in range(60) for item in running.step()]
    assert [(item.ticket, str(item.error)[:40]) for item in news if item.error] == [
        (bad, "pattern: '(a|a)*b?c{80}' took longer tha")
    ]
    assert [item.ticket for item in news if item.answer] == [good]
