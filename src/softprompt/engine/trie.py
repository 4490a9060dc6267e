"""A tree of known answers as token ids: what may follow (label guard), and all answers scored in one pass.

Knows ids only, no model and no text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trie:
    """Answers as paths from the root.

    Attributes:
        tokens: id of each node, the root (which has none) left out; parents stand before their children.
        parents: node number of each node's parent, -1 for the root.
        depths: distance from the root, from 1.
        paths: for each answer the node numbers from its first to its last token.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    paths: tuple[tuple[int, ...], ...]
    _children: tuple[dict[int, int], ...]

    @classmethod
    def of(cls, answers: Sequence[Sequence[int]]) -> Trie:
        """Build it; each answer ends with the end token, so that none is the beginning of another."""
        tokens: list[int] = []
        parents: list[int] = []
        depths: list[int] = []
        children: list[dict[int, int]] = [{}]
        paths = []
        for answer in answers:
            node, path = -1, []
            for token in answer:
                following = children[node + 1]
                if token not in following:
                    following[token] = len(tokens)
                    tokens.append(token)
                    parents.append(node)
                    depths.append(1 if node < 0 else depths[node] + 1)
                    children.append({})
                node = following[token]
                path.append(node)
            paths.append(tuple(path))
        return cls(tuple(tokens), tuple(parents), tuple(depths), tuple(paths), tuple(children))

    def allowed(self, node: int) -> dict[int, int]:
        """Ids that may follow `node` (-1: at the start) → the node they lead to."""
        return self._children[node + 1]

    def ancestors(self, node: int) -> list[int]:
        """Node numbers from the first token to `node` itself."""
        path = []
        while node >= 0:
            path.append(node)
            node = self.parents[node]
        return path[::-1]
