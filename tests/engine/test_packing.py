"""Packing loses nothing: rows come back out, targets sit behind the tokens that predict them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.engine.packing import Packed, Row, pack

few = settings(max_examples=30, deadline=None)
IDS = st.integers(0, 99)
ROWS = st.lists(
    st.builds(
        lambda prompt, target: Row(tuple(prompt), tuple(target)),
        st.lists(IDS, min_size=1, max_size=9),
        st.lists(IDS, max_size=5),
    ),
    min_size=1,
    max_size=6,
)


def read_back(packed: Packed) -> list[list[int]]:
    return [part.tolist() for part in torch.split(packed.tokens, packed.lengths.tolist())]


def expected(row: Row, virtual: list[int]) -> list[int]:
    return [*row.prompt, *virtual, *row.target[:-1]]


@few
@given(rows=ROWS, suffix=st.integers(0, 3))
def test_rows_lie_one_behind_the_other(rows: list[Row], suffix: int) -> None:
    packed = pack(rows, suffix)

    virtual = [-1 - j for j in range(suffix)]
    assert packed.rows == len(rows)
    assert read_back(packed) == [expected(row, virtual) for row in rows]
    assert packed.positions.tolist() == [i for line in read_back(packed) for i in range(len(line))]


@few
@given(rows=ROWS, suffix=st.integers(0, 3))
def test_every_target_is_predicted_by_the_token_in_front_of_it(rows: list[Row], suffix: int) -> None:
    packed = pack(rows, suffix)

    assert packed.targets.tolist() == [token for row in rows for token in row.target]
    assert packed.target_row.tolist() == [n for n, row in enumerate(rows) for _ in row.target]
    starts = (packed.lengths.cumsum(0) - packed.lengths).tolist()
    places = [p - starts[n] for p, n in zip(packed.predict.tolist(), packed.target_row.tolist(), strict=True)]
    assert places == [len(row.prompt) + suffix - 1 + i for row in rows for i in range(len(row.target))]
    for place, number, token in zip(places, packed.target_row.tolist(), packed.targets.tolist(), strict=True):
        whole = [*rows[number].prompt, *range(-suffix, 0), *rows[number].target]
        assert whole[place + 1] == token


@few
@given(rows=ROWS, suffix=st.integers(0, 3))
def test_rectangle_and_back_is_the_same(rows: list[Row], suffix: int) -> None:
    packed = pack(rows, suffix)

    rectangle = packed.tokens[packed.index]
    assert rectangle.shape == (len(rows), int(packed.lengths.max()))
    for number, line in enumerate(read_back(packed)):
        assert rectangle[number, : len(line)].tolist() == line
    flat = rectangle.flatten()
    assert torch.equal(flat if packed.unpad is None else flat[packed.unpad], packed.tokens)


def test_rows_of_one_length_need_no_unpadding() -> None:
    assert pack([Row((1, 2)), Row((3, 4))]).unpad is None
    assert pack([Row((1, 2)), Row((3,))]).unpad is not None


def test_each_row_can_have_vectors_of_its_own() -> None:
    packed = pack([Row((7,)), Row((8,), (5,)), Row((9,), (4, 6))], [range(2), range(0), range(2, 3)])

    assert read_back(packed) == [[7, -1, -2], [8], [9, -3, 4]]
    assert packed.predict.tolist() == [3, 5, 6]


def test_row_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="a row without tokens cannot be packed"):
        pack([Row((1,)), Row(())])


def test_vectors_alone_make_a_row() -> None:
    assert read_back(pack([Row(())], 2)) == [[-1, -2]]
