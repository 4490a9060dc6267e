"""Lists that come whole and not from the database: searched, sorted and cut into pages by the words of all lists.

Lists of rows are cut by the database (`storage.rows`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from softprompt.api.studio.shapes import Cut
from softprompt.errors import ParameterInvalid
from softprompt.storage.rows import Page

Item = TypeVar("Item")
Order = Callable[[Item], Any]


@dataclass(frozen=True, slots=True)
class Whole(Generic[Item]):
    """What is to be known of the items.

    Attributes:
        key: tells one item from all others.
        sorts: texts or numbers to sort by, for each word of `sort`. Without a word they stay as they came.
        name: the text that is searched; None: there is no name, or it was looked for before.
    """

    key: Callable[[Item], str]
    sorts: dict[str, Order[Item]] = field(default_factory=dict)
    name: Callable[[Item], str] | None = None

    def page(self, found: Iterable[Item], query: Cut) -> Page[Item]:
        """The page that the query asks for."""
        wanted = list(found)
        if self.name is not None:
            needle, name = getattr(query, "search", "").casefold(), self.name
            wanted = [item for item in wanted if needle in name(item).casefold()]
        word = getattr(query, "sort", None) or ""
        by = self.sorts[word.lstrip("-")] if word else None
        if by is not None:
            wanted.sort(key=lambda item: (by(item), self.key(item)), reverse=word.startswith("-"))
        start = self._behind(wanted, by, word, query.cursor) if query.cursor else 0
        end = start + query.limit
        more = self._cursor(wanted[end - 1], by, end) if end < len(wanted) else None
        return Page(tuple(wanted[start:end]), len(wanted), more)

    def _cursor(self, last: Item, by: Order[Item] | None, place: int) -> str:
        shown = [place if by is None else by(last), self.key(last)]
        return base64.urlsafe_b64encode(json.dumps(shown).encode()).decode().rstrip("=")

    def _behind(self, wanted: Sequence[Item], by: Order[Item] | None, word: str, cursor: str) -> int:
        """How many items come before the page: up to the last one seen, or to where it was if it went meanwhile."""
        try:
            value, key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
            if type(value) not in (str, int, float) or not isinstance(key, str):
                raise TypeError
            for place, item in enumerate(wanted):
                if self.key(item) == key:
                    return place + 1
            if by is None:
                return max(0, min(int(value), len(wanted)))
            if word.startswith("-"):
                return sum((by(item), self.key(item)) > (value, key) for item in wanted)
            return sum((by(item), self.key(item)) < (value, key) for item in wanted)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ParameterInvalid("cursor: this is not one that a page gave out. Start at the first page.") from error
