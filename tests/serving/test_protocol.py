"""What goes over the wire comes back the same; what does not belong there is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.errors import Busy, ParameterInvalid, SoftpromptError, UsageError, WrongBase
from softprompt.params import GenerateConfig
from softprompt.serving.protocol import (
    Done,
    Failed,
    Message,
    Piece,
    Target,
    TokenDetail,
    Tokens,
    Work,
    dump,
    parse_event,
    parse_tokens,
    parse_work,
)

TEXT = st.text(max_size=20)
PAIRS = st.lists(st.tuples(TEXT, st.floats(-50, 1)), max_size=3).map(tuple)
DONE = st.builds(
    Done,
    output=TEXT,
    input_tokens=st.integers(0, 9),
    virtual_tokens=st.integers(0, 9),
    generated_tokens=st.integers(0, 9),
    stop_reason=st.sampled_from(["eos_token", "label", "time_limit"]),
    confidence=st.none() | st.floats(0, 1),
    seed=st.none() | st.integers(0, 2**32 - 1),
    cut=st.booleans(),
    labels=PAIRS,
    tokens=st.lists(st.builds(TokenDetail, TEXT, st.floats(-50, 0), st.integers(1, 9), PAIRS), max_size=3).map(tuple),
    way=st.sampled_from(["text", "readout"]),
)
FAILED = st.builds(Failed, code=TEXT, status=st.integers(400, 599), message=TEXT, retry_after=st.none() | st.just(1.5))
CONFIG = st.builds(
    GenerateConfig, stop=st.lists(st.text(min_size=1), max_size=2).map(tuple), max_new_tokens=st.integers(0, 99)
)
MESSAGES = st.lists(st.builds(Message, st.sampled_from(["user", "system"]), TEXT), min_size=1, max_size=3).map(tuple)


@settings(deadline=None)
@given(event=DONE | FAILED | st.builds(Piece, TEXT))
def test_events_come_back_the_same(event: Done | Failed | Piece) -> None:
    line = dump(event)
    assert line.count(b"\n") == 1
    assert parse_event(line) == event


@settings(deadline=None)
@given(text=TEXT, messages=MESSAGES, config=CONFIG, chat=st.booleans(), limit=st.none() | st.floats(0.5, 9))
def test_work_comes_back_the_same(
    text: str, messages: tuple[Message, ...], config: GenerateConfig, chat: bool, limit: float | None
) -> None:
    asked = {"messages": messages} if chat else {"text": text}
    work = Work(target=Target("m"), config=config, time_limit=limit, tenant="t", details=3, **asked)  # type: ignore[arg-type]
    assert parse_work(dump(work)) == work


def test_tokens_come_back_the_same() -> None:
    tokens = Tokens(count=2, virtual_tokens=3, tokens=("a", " b"))
    assert parse_tokens(dump(tokens)) == tokens


def test_errors_come_back_as_what_they_were() -> None:
    for error in (Busy("full", retry_after=2.5), WrongBase("another model"), ParameterInvalid("top_p")):
        back = parse_event(dump(Failed.of(error)))
        assert isinstance(back, Failed)
        again = back.error()
        assert type(again) is type(error)
        assert (str(again), again.status) == (str(error), error.status)
        assert getattr(again, "retry_after", None) == getattr(error, "retry_after", None)


def test_what_is_not_ours_is_not_shown() -> None:
    event = Failed.of(ValueError("/secret/path"))
    assert (event.code, event.status) == ("internal", 500)
    assert "secret" not in event.message
    assert type(event.error()) is SoftpromptError


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"text": "x"}, "Target is incomplete"),
        ({"target": {"model_id": "m", "size": 1}, "text": "x"}, "Target has no field 'size'"),
        ({"target": {"model_id": "m"}, "text": "x", "messages": [{"role": "user", "content": "y"}]}, "one of the two"),
        ({"target": {"model_id": "m"}, "text": "x", "way": "magic"}, "way: 'magic' is not one of auto, text"),
        ({"target": {"model_id": "m"}, "text": "x", "details": 99}, "details: 99 is not between 0 and 20"),
        ({"target": {"model_id": "m"}, "text": "x", "time_limit": -1}, "time_limit: -1 is not between"),
        ({"target": {"model_id": "m"}, "text": "x", "config": {"top_k": "all"}}, "'all' is not a whole number"),
        (
            {"target": {"model_id": "m", "prompt": "p"}, "messages": [{"role": "system", "content": "y"}]},
            "answers the last user message, and this chat has none",
        ),
    ],
)
def test_requests_that_make_no_sense(content: object, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_work(json.dumps(content))


def test_events_of_an_unknown_kind() -> None:
    with pytest.raises(UsageError, match="An event of the kind 'song' came"):
        parse_event('{"kind": "song"}')
