"""Answers: alone and in any company, what ends them, how they are told piece by piece, and what is counted.

Rules about text are checked on a model that says what a test wants; invariance on tiny models in double precision,
where no two tokens are equally likely by rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from softprompt.data.template import Template
from softprompt.engine.backbone import wrap
from softprompt.engine.generate import Answer, Ready, Request, generate, make_ready
from softprompt.engine.packing import Row
from softprompt.engine.soft_prompt import SoftPrompt
from softprompt.engine.tokens import Encoder
from softprompt.errors import ParameterInvalid
from softprompt.params import GenerateConfig
from softprompt.testing.tiny import byte_tokenizer, tiny_model

SIZE, END = 259, 2
LABELS = ("Planning", "Plan", "L3")
BARE = Template("{{input}}")
few = settings(max_examples=12, deadline=None)


# --- a model that says what it is told -------------------------------------------------------------------------------
def echo(row: Row, turn: int) -> Tensor:
    """The prompt once more, and the end."""
    scores = torch.zeros(SIZE)
    scores[row.prompt[turn] if turn < len(row.prompt) else END] = 50.0
    return scores


class Parrot:
    """Stands for a causal model: the scores of a row's next token are `says(row, number of tokens so far)`."""

    kind, model_id = "causal", "parrot"

    def __init__(self, says: Callable[[Row, int], Tensor] = echo, context: int = 1000) -> None:
        self.says, self.context = says, context
        self.batches: list[int] = []

    def prefix(self, prompt: SoftPrompt, head: Sequence[int]) -> None:
        return None

    def prefill(self, rows: Sequence[Row], groups: Sequence[Any], room: int) -> ParrotState:
        self.batches.append(len(rows))
        return ParrotState(self, rows)


class ParrotState:
    def __init__(self, parrot: Parrot, rows: Sequence[Row]) -> None:
        self._parrot, self._rows, self._turn = parrot, list(rows), 0
        self._score()

    def _score(self) -> None:
        lines = [self._parrot.says(row, self._turn) for row in self._rows]
        self.logits = torch.stack(lines) if lines else torch.zeros(0, SIZE)

    def step(self, tokens: Tensor) -> None:
        assert len(tokens) == len(self._rows)
        self._turn += 1
        self._score()

    def keep(self, rows: Tensor) -> None:
        self._rows = [self._rows[number] for number in rows.tolist()]
        self._score()


@cache
def byte_fallback() -> Any:
    """Bytes that become letters only together, as in vocabularies of Llama 2, Mistral and Gemma."""
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": END, **{f"<0x{n:02X}>": n + 3 for n in range(256)}}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True))
    backend.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", bos_token="<s>", eos_token="</s>")


def said(
    text: str, *, parrot: Parrot | None = None, template: Template = BARE, tokenizer: Any = None, **config: Any
) -> tuple[Answer, list[str]]:
    """The answer of a parrot to one text, and the pieces it was told in."""
    backbone: Any = parrot or Parrot()
    pieces: list[str] = []
    ready = make_ready(backbone, Encoder(tokenizer or byte_tokenizer(), template))
    request = Request(text, ready, GenerateConfig(**{"max_new_tokens": 400, **config}))
    (answer,) = generate(backbone, [request], lambda _, piece: pieces.append(piece))
    return answer, pieces


# --- text ------------------------------------------------------------------------------------------------------------
WORDS = st.text(st.sampled_from("aé€😀 \n"), min_size=1, max_size=12)


@pytest.mark.parametrize("tokenizer", [byte_tokenizer, byte_fallback])
@few
@given(text=WORDS)
def test_whole_letters_are_told_as_they_are_ready(tokenizer: Callable[[], Any], text: str) -> None:
    answer, pieces = said(text, tokenizer=tokenizer())

    assert "".join(pieces) == answer.output == text
    assert all(pieces)
    assert "\ufffd" not in "".join(pieces)
    assert len(pieces) == len(text)  # each letter as soon as its last byte is there
    assert (answer.stop_reason, answer.generated_tokens) == ("eos_token", len(text.encode()) + 1)


@few
@given(text=WORDS, tokens=st.integers(1, 30))
def test_an_answer_that_ends_inside_a_letter_shows_it(text: str, tokens: int) -> None:
    answer, pieces = said(text, max_new_tokens=tokens)
    assert "".join(pieces) == answer.output == text.encode()[:tokens].decode(errors="replace")


def test_half_a_letter_of_fallback_bytes_is_told_at_the_end_only() -> None:
    answer, pieces = said("a€", tokenizer=byte_fallback(), max_new_tokens=3)
    assert pieces[0] == "a"
    assert "".join(pieces) == answer.output
    assert answer.output.startswith("a\ufffd")


def test_the_blank_of_the_template_is_left_off_once() -> None:
    def blanks(_row: Row, turn: int) -> Tensor:
        scores = torch.zeros(SIZE)
        scores[[223, 223, 67, 223, END][turn]] = 50.0  # "  a " and the end
        return scores

    answer, pieces = said("x", parrot=Parrot(blanks), template=Template())
    assert "".join(pieces) == answer.output == " a "
    answer, _ = said("x", parrot=Parrot(blanks), template=Template("{{input}}\n"))
    assert answer.output == "  a "


# --- ends ------------------------------------------------------------------------------------------------------------
@few
@given(
    text=st.text("abc", min_size=1, max_size=14),
    stop=st.lists(st.text("abc", min_size=1, max_size=3), max_size=3),
    least=st.integers(0, 6),
)
def test_the_first_stop_text_ends_the_answer_and_stays(text: str, stop: list[str], least: int) -> None:
    ends = [n for n in range(max(1, least), len(text) + 1) if text[:n].endswith(tuple(stop))]

    answer, pieces = said(text, stop=tuple(stop), min_new_tokens=least, max_new_tokens=14)

    assert "".join(pieces) == answer.output
    if ends:
        assert (answer.output, answer.stop_reason) == (text[: ends[0]], "stop_sequence")
        assert answer.generated_tokens == ends[0]
    elif least <= len(text) < 14:
        assert (answer.output, answer.stop_reason) == (text, "eos_token")


def test_what_a_token_says_behind_a_stop_text_is_left_off() -> None:
    class Words:
        """A vocabulary in which one token says several words."""

        eos_token_id = END

        def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
            return {"input_ids": [7]}

        def decode(self, tokens: list[int], **_: Any) -> str:
            return "".join({7: "one.\nQuestion: "}[token] for token in tokens)

    answer, pieces = said("x", tokenizer=Words(), stop=("\n", "Question"))
    assert "".join(pieces) == answer.output == "one.\n"
    assert answer.stop_reason == "stop_sequence"


def test_a_stop_text_before_the_least_number_of_tokens_is_passed_over() -> None:
    assert said("a.b.c", stop=(".",), min_new_tokens=3)[0].output == "a.b."
    assert said("a.b.c", stop=(".",), min_new_tokens=2)[0].output == "a."
    assert said("a.b.c", stop=("b.c", "."), min_new_tokens=5)[0].output == "a.b.c"


def test_the_end_token_waits_for_the_least_number_of_tokens() -> None:
    answer, _ = said("ab", min_new_tokens=5, max_new_tokens=9)
    assert answer.output.startswith("ab")
    assert answer.generated_tokens == 6
    assert answer.stop_reason == "eos_token"


@pytest.mark.parametrize(("most", "output", "reason"), [(3, "abc", "max_tokens"), (5, "abcde", "max_tokens")])
def test_the_largest_number_of_tokens_ends_the_answer(most: int, output: str, reason: str) -> None:
    answer, _ = said("abcdefgh", max_new_tokens=most)
    assert (answer.output, answer.stop_reason, answer.generated_tokens) == (output, reason, most)


def test_an_end_token_at_the_limit_is_an_end_token() -> None:
    assert said("abc", max_new_tokens=4)[0].stop_reason == "eos_token"
    assert said("abc", max_new_tokens=3)[0].stop_reason == "max_tokens"


@pytest.mark.parametrize(("context", "output"), [(12, "abcd"), (9, "a"), (8, "")])
def test_a_full_context_ends_the_answer(context: int, output: str) -> None:
    answer, _ = said("abcdefgh", parrot=Parrot(context=context))
    assert (answer.output, answer.stop_reason) == (output, "token_limit")


def test_no_tokens_asked_no_tokens_given() -> None:
    answer, pieces = said("abc", max_new_tokens=0)
    assert answer == Answer("abc", "", 3, 0, 0, "max_tokens", 0.0)
    assert pieces == []


def test_confidence_is_the_probability_of_all_tokens() -> None:
    def sure(_row: Row, turn: int) -> Tensor:
        scores = torch.full((SIZE,), -torch.inf)
        scores[[67, END]] = torch.tensor([3.0, 1.0] if turn == 0 else [0.5, 1.0]).log()
        return scores

    answer, _ = said("x", parrot=Parrot(sure))
    assert (answer.output, answer.generated_tokens) == ("a", 2)
    assert answer.confidence == pytest.approx(0.75 * 2 / 3)


# --- many rows -------------------------------------------------------------------------------------------------------
def test_more_rows_than_fit_are_taken_in_turns_and_answered_in_order() -> None:
    parrot: Any = Parrot()
    texts = ["x" * (n * 7 % 11) + str(n) for n in range(70)]
    encoder = Encoder(byte_tokenizer(), BARE)
    readies = [make_ready(parrot, encoder), make_ready(parrot, encoder, SoftPrompt(prefix=torch.zeros(2, 4)))]
    told: dict[int, str] = dict.fromkeys(range(70), "")

    def on_text(number: int, piece: str) -> None:
        told[number] += piece

    answers = generate(parrot, [Request(text, readies[n % 2]) for n, text in enumerate(texts)], on_text)

    assert [answer.input for answer in answers] == [answer.output for answer in answers] == texts
    assert list(told.values()) == texts
    assert [answer.virtual_tokens for answer in answers] == [0, 2] * 35
    assert parrot.batches == [64, 6]


def test_rows_decoded_together_can_be_limited() -> None:
    parrot: Any = Parrot()
    ready = make_ready(parrot, Encoder(byte_tokenizer(), BARE))
    answers = generate(parrot, [Request(text, ready) for text in "abcde"], max_rows=2)
    assert [answer.output for answer in answers] == list("abcde")
    assert parrot.batches == [2, 2, 1]


def test_nothing_asked_nothing_answered() -> None:
    parrot: Any = Parrot()
    assert generate(parrot, []) == []


def test_tokens_that_differ_by_rounding_are_chosen_alike_in_any_company() -> None:
    def close(row: Row, _turn: int) -> Tensor:
        scores = torch.zeros(SIZE)
        scores[70] = 0.01
        scores[80] = torch.nextafter(scores[70], torch.tensor(1.0))  # lost in the logarithm of the probability
        return scores

    parrot: Any = Parrot(close)
    ready = make_ready(parrot, Encoder(byte_tokenizer(), BARE))
    plain = Request("x", ready, GenerateConfig(max_new_tokens=1))
    drawn = Request("y", ready, GenerateConfig(decoding="sample", max_new_tokens=1))
    (alone,) = generate(parrot, [plain])
    assert generate(parrot, [plain, drawn])[0].output == alone.output == byte_tokenizer().decode([80])


# --- tiny models: a row gets in a batch what it gets alone -----------------------------------------------------------
@cache
def backbone(kind: str) -> Any:
    model, tokenizer = tiny_model(kind)  # type: ignore[arg-type]
    return wrap(model.double(), tokenizer, model_id=f"tiny-{kind}")


def soft_prompt(prefix: int = 0, suffix: int = 0, deep: int = 0, heads: int = 2) -> SoftPrompt:
    generator = torch.Generator().manual_seed(3)
    return SoftPrompt(
        prefix=0.15 * torch.randn(prefix, 32, generator=generator) if prefix else None,
        suffix=0.15 * torch.randn(suffix, 32, generator=generator) if suffix else None,
        deep=0.5 * torch.randn(2, 2, heads, deep, 8, generator=generator) if deep else None,
    )


@cache
def readies(kind: str) -> list[Ready]:
    """Prompts of every shape behind several templates, some of them guarded."""
    made, share = backbone(kind), kind != "t5"
    plain = Encoder(made.tokenizer, Template(), share_head=share)
    instructed = Encoder(made.tokenizer, Template(instruction="Route it."), 40, share_head=share)
    bare = Encoder(made.tokenizer, BARE, share_head=share)
    every = [
        make_ready(made, plain),
        make_ready(made, bare, soft_prompt(prefix=3)),
        make_ready(made, plain, soft_prompt(suffix=2)),
        make_ready(made, instructed, soft_prompt(prefix=4, suffix=1)),
        make_ready(made, plain, soft_prompt(prefix=2), LABELS),
    ]
    if share:
        deep = soft_prompt(deep=3, heads=made.model.config.num_key_value_heads if kind == "llama" else 4)
        every += [make_ready(made, instructed, deep), make_ready(made, bare, deep, LABELS)]
    return every


CONFIGS = st.sampled_from(
    [
        GenerateConfig(max_new_tokens=5),
        GenerateConfig(max_new_tokens=0),
        GenerateConfig(max_new_tokens=7, repetition_penalty=1.4, min_new_tokens=3),
        GenerateConfig(max_new_tokens=4, truncate_input_tokens=20),
        GenerateConfig(max_new_tokens=6, decoding="sample", seed=1, temperature=1.5, top_k=0),
        GenerateConfig(max_new_tokens=6, decoding="sample", seed=2, top_p=0.8, stop=("e", "\x1c")),
    ]
)
ASKED = st.lists(st.tuples(st.text("abé ", max_size=25), st.integers(0, 9), CONFIGS), min_size=2, max_size=6)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "t5"])
@settings(max_examples=8, deadline=None)
@given(asked=ASKED)
def test_a_row_gets_in_a_batch_what_it_gets_alone(kind: str, asked: list[tuple[str, int, GenerateConfig]]) -> None:
    every = readies(kind)
    requests = [Request(text, every[number % len(every)], config) for text, number, config in asked]
    pieces = [""] * len(requests)

    def on_text(number: int, piece: str) -> None:
        pieces[number] += piece

    together = generate(backbone(kind), requests, on_text, max_rows=4)

    assert pieces == [answer.output for answer in together]
    for request, answer in zip(requests, together, strict=True):
        (alone,) = generate(backbone(kind), [request])
        assert replace(answer, confidence=0.0) == replace(alone, confidence=0.0)
        assert answer.confidence == pytest.approx(alone.confidence, rel=1e-3)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_greedy_answers_are_those_of_the_library(kind: str) -> None:
    ready, model = readies(kind)[0], tiny_model(kind)[0].double()  # type: ignore[arg-type]
    rendered = [*ready.encoder.head, *ready.encoder.row("the box").prompt]
    wanted = model.generate(torch.tensor([rendered]), max_new_tokens=10, do_sample=False)[0]

    (answer,) = generate(backbone(kind), [Request("the box", ready, GenerateConfig(max_new_tokens=10))])
    ids = wanted[1:] if kind == "t5" else wanted[len(rendered) :]
    text = backbone(kind).tokenizer.decode(ids, skip_special_tokens=True)
    assert answer.output == (text[1:] if kind == "llama" and text.startswith(" ") else text)


@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_seeds_fix_draws_and_rows_without_one_differ(kind: str) -> None:
    def config(seed: int | None) -> GenerateConfig:
        return GenerateConfig(decoding="sample", temperature=2.0, top_k=0, seed=seed, max_new_tokens=12)

    requests = [Request("a", readies(kind)[0], config(seed)) for seed in (1, 1, 2, None, None)]
    outputs = [answer.output for answer in generate(backbone(kind), requests)]
    assert outputs[0] == outputs[1]
    assert len(set(outputs)) == 4


# --- counts ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_tokens_are_counted_as_a_person_sees_them(kind: str) -> None:
    every = readies(kind)
    texts = ["", "the box", "é"]
    answers = generate(backbone(kind), [Request(t, r, GenerateConfig(max_new_tokens=3)) for r in every for t in texts])

    asked = [(ready, text) for ready in every for text in texts]
    for (ready, text), answer in zip(asked, answers, strict=True):
        rendered = len(ready.encoder.tokenizer(ready.encoder.template.render(text))["input_ids"])
        assert answer.input_tokens == max(rendered, 1)
        assert answer.virtual_tokens == ready.prompt.virtual_tokens
        assert answer.input == text
        assert not answer.cut
    assert {answer.virtual_tokens for answer in answers} >= {0, 2, 3, 5}


def test_long_inputs_are_cut_where_asked_and_say_so() -> None:
    ready = readies("llama")[0]  # no limit of its own
    limits = (0, 18, 1000)
    answers = generate(
        backbone("llama"), [Request("x" * 30, ready, GenerateConfig(truncate_input_tokens=limit)) for limit in limits]
    )
    assert [(a.input_tokens, a.cut) for a in answers] == [(45, False), (18, True), (45, False)]

    instructed = readies("llama")[3]  # 40 tokens beside its instruction
    answers = generate(
        backbone("llama"), [Request("x" * 90, instructed, GenerateConfig(truncate_input_tokens=n)) for n in limits]
    )
    instruction = len("Route it.\n")
    assert [a.input_tokens - instruction for a in answers] == [40, 18, 40]
    assert all(a.cut for a in answers)


# --- the guard -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_the_guard_says_known_answers_with_their_probabilities(kind: str) -> None:
    ready = readies(kind)[4]
    draws = [
        Request("the box", ready, GenerateConfig(decoding="sample", temperature=2.0, seed=n, max_new_tokens=1))
        for n in range(40)
    ]
    answers = generate(backbone(kind), draws)

    shares: dict[str, set[float]] = {}
    for answer in answers:
        shares.setdefault(answer.output, set()).add(round(answer.confidence, 5))
        assert answer.stop_reason == "eos_token"
        assert answer.generated_tokens == len(ready.encoder.target(answer.output))
    assert set(shares) == set(LABELS)
    assert all(len(found) == 1 for found in shares.values())
    assert math.fsum(found.pop() for found in shares.values()) == pytest.approx(1.0, abs=1e-4)


@settings(max_examples=8, deadline=None)
@given(text=st.text(max_size=20))
def test_whatever_is_asked_a_known_answer_comes(text: str) -> None:
    (answer,) = generate(backbone("llama"), [Request(text, readies("llama")[4])])
    assert answer.output in LABELS


def test_labels_that_do_not_fit_behind_the_input_are_refused() -> None:
    model, tokenizer = tiny_model("llama")
    model.config.max_position_embeddings = 40
    small: Any = wrap(model, tokenizer, model_id="tiny-llama")
    ready = make_ready(small, Encoder(tokenizer, BARE), soft_prompt(prefix=2), LABELS)
    (answer,) = generate(small, [Request("x" * 29, ready)])
    assert answer.output in LABELS
    message = r"32 tokens of prompt and 9 of the longest label do not fit into the 40 of tiny-llama\. Shorten the input"
    with pytest.raises(ParameterInvalid, match=message):
        generate(small, [Request("x" * 30, ready)])
