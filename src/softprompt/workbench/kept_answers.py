"""What an evaluation has answered so far, in a file: another attempt goes on behind it, method by method.

Does not judge answers; does not know where the file goes from here.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from softprompt.engine.generate import MAX_ROWS, Answer

PIECE = 2 * MAX_ROWS
"""Rows between two writes: whole batches, so that they cost nothing."""


class KeptAnswers:
    """The file of one evaluation.

    Args:
        path: written whole or not at all; what is there with another key, or cannot be read, is not continued.
        key: digest of what decides the answers.
        told: called after every write.
    """

    def __init__(self, path: Path, key: str = "", told: Callable[[], None] = lambda: None) -> None:
        self._path, self._key, self._told = path, key, told
        self._methods = self._read()

    @property
    def count(self) -> int:
        """Answers that are there."""
        return sum(len(method["answers"]) for method in self._methods)

    def of(self, number: int, name: str) -> int:
        """How many answers of a method are there."""
        return len(self._method(number, name)["answers"])

    def ask(
        self, number: int, name: str, run: Callable[[Sequence[str]], Sequence[Answer]], texts: Sequence[str]
    ) -> tuple[tuple[Answer, ...], float]:
        """All answers of a method, and the seconds that they took, in whatever attempt.

        Args:
            number: which method of the evaluation; two may have one name.
        """
        method = self._method(number, name)
        while len(method["answers"]) < len(texts):
            done = len(method["answers"])
            began = time.perf_counter()
            found = run(texts[done : done + PIECE])
            method["seconds"] += time.perf_counter() - began
            method["answers"] += [asdict(answer) for answer in found]
            self._write()
        return tuple(_answer(each) for each in method["answers"][: len(texts)]), method["seconds"]

    def _method(self, number: int, name: str) -> dict[str, Any]:
        while len(self._methods) <= number:
            self._methods.append({"name": name, "answers": [], "seconds": 0.0})
        if self._methods[number]["name"] != name:
            self._methods[number] = {"name": name, "answers": [], "seconds": 0.0}
        return self._methods[number]

    def _read(self) -> list[dict[str, Any]]:
        try:
            found = json.loads(self._path.read_text(encoding="utf-8"))
            return list(found["methods"]) if found["progress"]["key"] == self._key else []
        except (OSError, ValueError, KeyError, TypeError):
            return []

    def _write(self) -> None:
        progress = {"key": self._key, "update": self.count}
        fresh = self._path.with_suffix(".tmp")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(json.dumps({"progress": progress, "methods": self._methods}), encoding="utf-8")
        os.replace(fresh, self._path)
        self._told()


def _answer(kept: dict[str, Any]) -> Answer:
    return Answer(**{**kept, "labels": tuple((label, p) for label, p in kept["labels"]), "tokens": ()})
