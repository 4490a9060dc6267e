"""The quick walk says what htpy says, whatever the tree."""

from __future__ import annotations

from typing import Any

import htpy as h
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import Markup

from softprompt.ui import rendering

ELEMENTS = (h.div, h.p("#one.card.small"), h.a(href='/?a=1&b="2"', hidden=True), h.html(lang="en"))
leaves = st.one_of(
    st.text(max_size=8),
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([Markup("<b>safe</b>"), h.input(name="x", disabled=False), h.br, h.comment("a -- b")]),
)


def _branches(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    many = st.lists(children, max_size=3)
    return st.one_of(
        many,
        many.map(tuple),
        many.map(lambda each: h.fragment[each]),
        many.map(lambda each: lambda: h.em[each]),
        st.tuples(st.sampled_from(ELEMENTS), many).map(lambda pair: pair[0][pair[1]]),
    )


@given(st.recursive(leaves, _branches, max_leaves=12))
def test_a_page_is_what_htpy_makes_of_it(node: Any) -> None:
    page = h.body[node]
    assert rendering.text(page) == str(page)


def test_a_generator_is_read_once() -> None:
    assert rendering.text(h.ul[(h.li[n] for n in range(3))]) == "<ul><li>0</li><li>1</li><li>2</li></ul>"
