"""Content of prompt sessions, which any client may write: it is refused in words, or a prompt can be made of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from softprompt.errors import ParameterInvalid
from softprompt.studio import lab, prompt_content, prompt_sessions

WORDS = st.sampled_from(["", "hello", "{x}"])
JSON = st.recursive(st.none() | st.integers() | WORDS, lambda inner: st.lists(inner, max_size=3), max_leaves=5)


def near(shape: Any) -> st.SearchStrategy[Any]:
    """Values of a shape, with something else in some places."""
    if isinstance(shape, dict):
        found: st.SearchStrategy[Any] = st.fixed_dictionaries({}, optional={k: near(v) for k, v in shape.items()})
    elif isinstance(shape, list):
        found = st.lists(near(shape[0]), max_size=2)
    elif isinstance(shape, tuple):
        found = st.one_of(*(near(each) for each in shape))
    elif isinstance(shape, prompt_content.Texts):
        found = st.lists(WORDS, min_size=shape.least, max_size=3)
    else:
        found = WORDS if shape is str else st.dictionaries(WORDS, JSON, max_size=2)
    return st.one_of(found, found, found, JSON)


@given(
    content=near(prompt_content.CONTENT).filter(lambda found: isinstance(found, dict)),
    mode=st.sampled_from(prompt_sessions.MODES),
)
def test_content_is_refused_or_becomes_a_prompt(content: dict[str, Any], mode: str) -> None:
    try:
        prompt_content.check(content)
    except ParameterInvalid:
        return
    prompt_sessions.rendered(content, {"x": "y"})
    page = lab.of_content(content, mode, None)
    assert lab.to_dict(lab.of_dict(lab.to_dict(page))) == lab.to_dict(page)
    prompt_content.check(lab.content(page))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"input": 5}, "content.input: '5' is not a text or a list."),
        ({"input": [[]]}, "content.input: '[[]]' is not a text or a list."),
        ({"input": [None]}, "content.input: '[None]' is not a text or a list."),
        ({"lab": {"tries": [None]}}, "content.lab.tries.0: null is not an object."),
        ({"data": {"examples": [["a"]]}}, "content.data.examples.0: \"['a']\" is not a list of 2 texts."),
        ({"text": 5, "lab": 5}, "content.text: '5' is not a text; content.lab: '5' is not an object."),
        ({"lab": {"tries": [5] * 7}}, "content.lab.tries.4: '5' is not an object; and 2 more."),
    ],
)
def test_what_does_not_fit_is_named(content: dict[str, Any], told: str) -> None:
    with pytest.raises(ParameterInvalid) as error:
        prompt_content.check(content)
    assert str(error.value).endswith(told)
