"""Text becomes token ids: heads, cues, cuts and the tokens at the seams, on byte, merging and T5-like vocabularies."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from softprompt.data.template import Template
from softprompt.engine.tokens import Encoder
from softprompt.errors import ParameterInvalid
from softprompt.testing.tiny import byte_tokenizer

BOS, EOS = 1, 2
CAUSAL, WITH_BOS, T5 = "causal", "with_bos", "t5"
KINDS = (CAUSAL, WITH_BOS, T5)
TEXTS = st.text(max_size=40)
TEMPLATES = st.sampled_from(
    [
        Template(),
        Template(instruction="Which department: Planning, Warehouse or L3?"),
        Template("{{input}}"),
        Template("Q: {{ input }}\nA:\n"),
        Template("{{input}} => "),
    ]
)
few = settings(max_examples=25, deadline=None)


@cache
def bytes_of(kind: str) -> Any:
    return byte_tokenizer(adds_bos=kind == WITH_BOS, adds_eos=kind == T5)


@cache
def encoder(kind: str, template: Template, limit: int = 0) -> Encoder:
    return Encoder(bytes_of(kind), template, limit, share_head=kind != T5)


@cache
def merging() -> Any:
    """A byte-pair vocabulary in which " Warehouse" and "Input" are one token each."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    texts = ["Input: the box is late Output: Warehouse", "Input: The plan Output: Planning", "A Warehouse :: ..."]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<pad>", "<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    backend.train_from_iterator(texts * 4, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>")


@cache
def t5_like() -> Any:
    """A unigram vocabulary over "▁" words with an end token behind, as T5 has it."""
    words = ["▁Input", ":", "▁Output", "▁the", "▁box", "▁is", "▁late", "▁Ware", "house", "▁"]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((word, -2.0) for word in words)]
    pieces += [(letter, -6.0) for letter in "abcdefghijklmnopqrstuvwxyzT1(W"]
    backend = Tokenizer(models.Unigram(pieces, unk_id=2))
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="<pad>", unk_token="<unk>")


# --- the default template, by number ---------------------------------------------------------------------------------
def test_default_template_has_these_ids() -> None:
    made = encoder(CAUSAL, Template())

    assert made.head == (43, 80, 82, 87, 86, 28, 223)  # "Input: "
    row = made.row("hi é", "Yes")
    assert row.prompt == (74, 75, 223, 130, 105, 223, 49, 87, 86, 82, 87, 86, 28)  # "hi é Output:"
    assert row.target == (223, 59, 71, 85, EOS)  # " Yes" and the end
    assert (row.input_start, row.input_end, row.cut) == (0, 5, False)


INPUT, OUTPUT, YES = (43, 80, 82, 87, 86, 28, 223), (223, 49, 87, 86, 82, 87, 86, 28), (59, 71, 85, EOS)
GOLDEN = [
    # template, ids in front of every input, ids of "hi" and what follows it, whether the target begins with a blank
    (Template(), INPUT, (74, 75, *OUTPUT), True),
    (Template(instruction="Route."), (52, 81, 87, 86, 71, 16, 201, *INPUT), (74, 75, *OUTPUT), True),
    (Template("{{input}}"), (), (74, 75), False),
    (Template("Q: {{ input }}\nA:\n"), (51, 28, 223), (74, 75, 201, 35, 28, 201), False),
    (Template("{{input}} => "), (), (74, 75, 223, 31, 32), True),
    (Template("{{input}}=").with_shots([("a", "b")]), (67, 31, 68, 201, 201), (74, 75, 31), False),
]


@pytest.mark.parametrize(("template", "head", "prompt", "blank"), GOLDEN)
def test_every_kind_of_template_has_these_ids(
    template: Template, head: tuple[int, ...], prompt: tuple[int, ...], blank: bool
) -> None:
    for kind, first in ((CAUSAL, ()), (WITH_BOS, (BOS,))):
        row = encoder(kind, template).row("hi", "Yes")
        assert encoder(kind, template).head == (*first, *head)
        assert (row.prompt, row.target) == (prompt, (223, *YES) if blank else YES)
    row = encoder(T5, template).row("hi", "Yes")
    assert encoder(T5, template).head == ()
    assert (row.prompt, row.target) == ((*head, *prompt, EOS), YES)


def test_beginning_token_belongs_to_the_head() -> None:
    assert encoder(WITH_BOS, Template()).head == (BOS, *encoder(CAUSAL, Template()).head)
    assert encoder(WITH_BOS, Template("{{input}}")).head == (BOS,)


def test_t5_rows_are_whole_and_end_with_the_end_token() -> None:
    made, row = encoder(T5, Template()), encoder(T5, Template()).row("hi é", "Yes")

    assert made.head == ()
    assert row.prompt == (*encoder(CAUSAL, Template()).head, *encoder(CAUSAL, Template()).row("hi é").prompt, EOS)
    assert row.target == (59, 71, 85, EOS)
    assert (row.input_start, row.input_end) == (7, 12)


def instruction_length(template: Template) -> int:
    """Byte tokens of the frozen instruction with its line break, which limits do not count."""
    return len(f"{template.instruction}\n") if template.instruction else 0


# --- properties ------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@few
@given(text=TEXTS, template=TEMPLATES)
def test_head_and_row_are_the_ids_of_the_whole_text(kind: str, text: str, template: Template) -> None:
    made = encoder(kind, template)

    whole = bytes_of(kind)(template.render(text))["input_ids"]
    if not whole or whole == [BOS]:  # a causal row needs something of its own to predict from
        whole.append(EOS)
    assert [*made.head, *made.row(text).prompt] == whole


@pytest.mark.parametrize("kind", KINDS)
@few
@given(text=TEXTS, target=TEXTS, template=TEMPLATES)
def test_at_most_one_beginning_token_and_only_in_front(kind: str, text: str, target: str, template: Template) -> None:
    row = encoder(kind, template).row(text, target)

    ids = [*encoder(kind, template).head, *row.prompt, *row.target]
    assert BOS not in ids[1:]
    assert (ids[0] == BOS) == (kind == WITH_BOS)
    assert row.target[-1] == EOS
    assert EOS not in row.target[:-1]


@pytest.mark.parametrize("kind", KINDS)
@few
@given(text=TEXTS, target=TEXTS.filter(str.strip), template=TEMPLATES)
def test_blank_between_cue_and_answer_stands_in_the_target(
    kind: str, text: str, target: str, template: Template
) -> None:
    made = encoder(kind, template)
    row = made.row(text, target)

    answer = made.tokenizer.decode(row.target, skip_special_tokens=True)
    assert answer == ("" if kind == T5 else template.target_gap) + target
    prompt = made.tokenizer.decode([*made.head, *row.prompt], skip_special_tokens=True)
    assert prompt == template.render(text)
    if template.cue:
        assert not prompt.endswith(" ")


@pytest.mark.parametrize("kind", KINDS)
@few
@given(text=TEXTS.filter(bool), template=TEMPLATES)
def test_span_of_the_input_holds_the_input_and_nothing_else(kind: str, text: str, template: Template) -> None:
    made = encoder(kind, template)
    row = made.row(text)

    assert made.tokenizer.decode(row.prompt[row.input_start : row.input_end]) == text


@pytest.mark.parametrize("kind", KINDS)
@few
@given(text=st.text(max_size=120), template=TEMPLATES, room=st.integers(1, 60))
def test_rows_fit_the_limit_and_cut_rows_keep_the_cue(kind: str, text: str, template: Template, room: int) -> None:
    plain = encoder(kind, template)
    limit = len(bytes_of(kind)(template.render(""))["input_ids"]) + room
    made = encoder(kind, template, limit - instruction_length(template))
    row, whole = made.row(text), plain.row(text)

    assert len(made.head) + len(row.prompt) <= limit
    assert row.cut == (len(made.head) + len(whole.prompt) > limit)
    if not row.cut:
        assert row == whole
        return
    rendered = made.tokenizer.decode([*made.head, *row.prompt], skip_special_tokens=True)
    kept = rendered.removeprefix(template.head).removesuffix(template.cue)
    assert rendered == template.render(kept)
    assert text.startswith(kept)
    unused = limit - len(made.head) - len(row.prompt)
    assert unused < len(text[len(kept)].encode())  # the next character would not have fitted
    assert (row.prompt[-1] == EOS) == (kind == T5 or not rendered)  # a prompt is never empty
    if kept:
        assert made.tokenizer.decode(row.prompt[row.input_start : row.input_end]) == kept


# --- examples --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_empty_input_leaves_head_and_cue(kind: str) -> None:
    made = encoder(kind, Template())

    row = made.row("", "x")
    assert made.tokenizer.decode([*made.head, *row.prompt], skip_special_tokens=True) == "Input:  Output:"
    assert 0 <= row.input_start < row.input_end <= len(row.prompt)


def test_empty_template_and_empty_input_still_give_a_token_to_predict_from() -> None:
    assert encoder(CAUSAL, Template("{{input}}")).row("").prompt == (EOS,)


@pytest.mark.parametrize("kind", KINDS)
def test_very_long_input_is_cut_once_and_marked(kind: str) -> None:
    made = encoder(kind, Template(instruction="Route it."), 64)

    row = made.row("the box is late " * 5_000)
    assert row.cut
    assert len(made.head) + len(row.prompt) == 64 + len("Route it.\n")
    assert made.tokenizer.decode(row.prompt, skip_special_tokens=True).endswith(" Output:")


@pytest.mark.parametrize("kind", KINDS)
@few
@given(text=st.text(max_size=60), words=st.integers(1, 40))
def test_an_instruction_takes_no_room_from_the_input(kind: str, text: str, words: int) -> None:
    without = encoder(kind, Template(), 40)
    behind = encoder(kind, Template(instruction="word " * words), 40)

    one, other = without.row(text), behind.row(text)
    assert one.cut == other.cut
    assert other.prompt[other.input_start : other.input_end] == one.prompt[one.input_start : one.input_end]


@pytest.mark.parametrize("kind", KINDS)
def test_a_template_that_leaves_no_room_is_refused_with_numbers(kind: str) -> None:
    own = len("Input:  Output:") + (kind != CAUSAL)  # with one token for the beginning, or for the end
    template = Template(instruction="Route it.")

    assert encoder(kind, template, own).row("").cut is False
    assert encoder(kind, template, own).row("box").cut
    message = f"The template's own text takes {own} tokens; {own - 1} are allowed .*max_input_tokens"
    with pytest.raises(ParameterInvalid, match=message):
        encoder(kind, template, own - 1).row("box")


def test_no_limit_means_no_cut() -> None:
    row = encoder(CAUSAL, Template(), 0).row("x" * 10_000)
    assert not row.cut
    assert len(row.prompt) == 10_000 + len(" Output:")


def test_characters_are_never_cut_in_two() -> None:
    made = encoder(CAUSAL, Template("{{input}}"), 7)
    row = made.row("😀😀😀")
    assert made.tokenizer.decode(row.prompt) == "😀"


def test_rows_pairs_inputs_with_targets() -> None:
    made = encoder(CAUSAL, Template())
    assert made.rows(["a", "b"], ["x", "y"]) == [made.row("a", "x"), made.row("b", "y")]
    assert made.rows(["a"]) == [made.row("a")]
    assert made.row("a").target == ()


# --- special tokens --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["</s>", "<s>", "<pad>"])
def test_names_of_special_tokens_are_plain_letters(kind: str, name: str) -> None:
    """Neither a customer nor a template ends or begins a text by naming the token that does."""
    made = encoder(kind, Template(f"{name} Q: {{{{input}}}} A:{name} ", instruction=f"Say {name}."))
    row = made.row(f"a{name}b", name)

    ids = [*made.head, *row.prompt]
    bare = ids[kind == WITH_BOS : len(ids) - (kind == T5)]
    assert not {0, BOS, EOS} & {*bare, *row.target[:-1]}
    assert made.tokenizer.decode(bare) == f"Say {name}.\n{name} Q: a{name}b A:{name}"
    assert made.tokenizer.decode(row.target[:-1]).strip() == name
    assert made.tokenizer.decode(row.prompt[row.input_start : row.input_end]) == f"a{name}b"


@pytest.mark.parametrize("kind", KINDS)
def test_names_of_special_tokens_are_cut_as_letters(kind: str) -> None:
    made = encoder(kind, Template(), len("Input:  Output:") + (kind != CAUSAL) + 6)
    row = made.row("ab</s></s></s>")
    assert row.cut
    assert made.tokenizer.decode(row.prompt[row.input_start : row.input_end]) == "ab</s>"


@few
@given(text=TEXTS, template=TEMPLATES)
def test_a_causal_tokenizer_that_ends_texts_does_not_end_prompts(text: str, template: Template) -> None:
    ending, plain = Encoder(bytes_of(T5), template), encoder(CAUSAL, template)
    assert ending.head == plain.head
    assert ending.row(text, "Yes") == plain.row(text, "Yes")
    assert (
        Encoder(bytes_of(T5), template, 40).row(text * 9).prompt == encoder(CAUSAL, template, 40).row(text * 9).prompt
    )


# --- vocabularies that merge -----------------------------------------------------------------------------------------
def test_answer_with_its_blank_is_one_token() -> None:
    made = Encoder(merging(), Template())

    assert len(made.target("Warehouse", end=False)) == 1
    assert merging().decode(made.target("Warehouse", end=False)) == " Warehouse"
    whole = merging()("Input: the box is late Output: Warehouse")["input_ids"]
    assert [*made.head, *made.row("the box is late").prompt, *made.target("Warehouse", end=False)] == whole


@pytest.mark.parametrize("text", ["the box", "The", "", " ", "  two blanks", "\nline", "ünï", "1", "::", "Output:"])
def test_merging_vocabulary_gives_the_ids_of_the_whole_text(text: str) -> None:
    made = Encoder(merging(), Template())
    assert [*made.head, *made.row(text).prompt] == merging()(f"Input: {text} Output:")["input_ids"]


def test_head_stays_whole_where_an_input_would_merge_with_it() -> None:
    made = Encoder(merging(), Template("A:{{input}} Output: "))
    assert merging()("A:: Output:")["input_ids"][: len(made.head)] != list(made.head)  # "::" is one token

    assert merging().decode([*made.head, *made.row(":").prompt]) == "A:: Output:"


@few
@given(words=st.lists(st.sampled_from(["the", "box", "is", "late", "Warehouse"]), min_size=1, max_size=40))
def test_t5_vocabulary_keeps_head_cue_and_end_when_it_cuts(words: list[str]) -> None:
    text, limit = " ".join(words), 16
    made = Encoder(t5_like(), Template(), limit, share_head=False)
    row, whole = made.row(text, "Warehouse"), t5_like()(Template().render(text))["input_ids"]

    cue = t5_like()("a Output:")["input_ids"][-3:]
    assert row.prompt[-3:] == tuple(cue)
    assert row.prompt[:2] == tuple(whole[:2])
    assert t5_like().decode(row.target) == "Warehouse</s>"
    assert row.cut == (len(whole) > limit)
    assert len(row.prompt) <= limit
    kept = t5_like().decode(row.prompt[row.input_start : row.input_end])
    assert text.startswith(kept)
    assert kept == text or row.cut
