"""Wrappers: found at whole words, taken off, never mistaken for the text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.data.records import Example
from softprompt.data.wrapper import Wrapper, find_wrapper, strip_examples

TEXTS = ["card declined at the till", "cab fare charged twice", "cancelled the account, still billed"]


@pytest.mark.parametrize(
    ("prefix", "suffix"),
    [
        ("Narrative: ", "\nProduct:\n"),
        ("Choose from 'a', 'b'.\nComment: ", "\nProduct:\n"),
        ("Complaint text:", ""),
        ("", "\nDepartments:"),
        ("<complaint>", "</complaint>"),
    ],
)
def test_the_shared_text_is_found_at_whole_words(prefix: str, suffix: str) -> None:
    wrapper = find_wrapper(prefix + text + suffix for text in TEXTS)  # all texts start with "ca"
    assert wrapper == Wrapper(prefix, suffix)
    assert [wrapper.strip(prefix + text + suffix) for text in TEXTS] == TEXTS


@pytest.mark.parametrize(
    "texts",
    [
        [],
        TEXTS,
        ["the same text every time"] * 5,
        ["Please help", "Please call back", "Please stop"],
        ["Narrative: a\nProduct:\n", "Narrative: b\nProduct:\n"],
    ],
)
def test_chance_is_no_wrapper(texts: list[str]) -> None:
    assert not find_wrapper(texts)


def test_texts_outside_of_the_wrapper_stay_as_they_are() -> None:
    wrapper = Wrapper("Narrative: ", "\nProduct:\n")
    for text in ("Narrative: only half", "Narrative: \nProduct:\n", "bare", "  bare \n"):
        assert wrapper.strip(text) == text


def test_blanks_around_the_whole_do_not_hide_the_wrapper() -> None:
    wrapper = Wrapper("Narrative: ", "\nProduct:\n")
    for text in ("Narrative: torn\nProduct:", "\n Narrative:  torn \nProduct: \n", "Narrative: torn\nProduct:\n"):
        assert wrapper.strip(text) == "torn"


def test_examples_keep_their_outputs_and_lines() -> None:
    wrapped = [Example(f"Narrative: {text}\nProduct:\n", "card", i) for i, text in enumerate(TEXTS)]
    bare, wrapper = strip_examples(wrapped)
    assert bare == [Example(text, "card", i) for i, text in enumerate(TEXTS)]
    assert wrapper == Wrapper("Narrative: ", "\nProduct:\n")
    assert strip_examples(bare) == (bare, None)


@given(st.lists(st.text("abc :\n", min_size=1), min_size=3, max_size=6))
def test_stripping_keeps_what_differs(texts: list[str]) -> None:
    wrapper = find_wrapper(texts)
    for text in texts:
        assert wrapper.strip(text) in text
        assert wrapper.strip(text)
