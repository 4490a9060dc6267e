"""A tree of answers: everything that was put in comes out, and nothing else can be walked."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from softprompt.engine.trie import Trie

END = 0
few = settings(max_examples=50, deadline=None)
ANSWERS = st.lists(st.lists(st.integers(1, 4), max_size=5).map(lambda ids: [*ids, END]), min_size=1, max_size=6)


def walks(trie: Trie, node: int = -1) -> list[tuple[int, ...]]:
    """Every line of ids from the root to a leaf."""
    following = trie.allowed(node)
    if not following:
        return [()]
    return [(token, *rest) for token, child in following.items() for rest in walks(trie, child)]


@few
@given(answers=ANSWERS)
def test_exactly_the_answers_can_be_walked(answers: list[list[int]]) -> None:
    assert sorted(walks(Trie.of(answers))) == sorted({tuple(answer) for answer in answers})


@few
@given(answers=ANSWERS)
def test_paths_spell_the_answers(answers: list[list[int]]) -> None:
    trie = Trie.of(answers)

    assert [[trie.tokens[node] for node in path] for path in trie.paths] == answers
    for path in trie.paths:
        assert trie.ancestors(path[-1]) == list(path)
        assert [trie.depths[node] for node in path] == list(range(1, len(path) + 1))
        assert [trie.parents[node] for node in path] == [-1, *path[:-1]]


@few
@given(answers=ANSWERS)
def test_shared_beginnings_are_stored_once_and_parents_first(answers: list[list[int]]) -> None:
    trie = Trie.of(answers)

    beginnings = {tuple(answer[: n + 1]) for answer in answers for n in range(len(answer))}
    assert len(trie.tokens) == len(beginnings)
    assert all(parent < node for node, parent in enumerate(trie.parents))


def test_an_answer_that_begins_another_is_told_apart_by_its_end() -> None:
    trie = Trie.of([[5, END], [5, 6, END]])

    assert trie.tokens == (5, END, 6, END)
    assert trie.allowed(-1) == {5: 0}
    assert trie.allowed(0) == {END: 1, 6: 2}
    assert trie.allowed(1) == {}


def test_the_same_answer_twice_has_one_path() -> None:
    trie = Trie.of([[7, END], [7, END]])
    assert trie.paths == ((0, 1), (0, 1))
