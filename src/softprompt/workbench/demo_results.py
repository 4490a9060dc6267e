"""Answers that were given already, kept in one JSON file so that a second start of the demo asks only what is new.

An entry counts only under the key it was made with: model, rows, method and version in one digest.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from softprompt.engine.generate import Answer
from softprompt.errors import UsageError
from softprompt.workbench.evaluate import Evaluation


@dataclass(frozen=True, slots=True)
class Kept:
    """What a method answered, and how long a row took then."""

    ms_per_row: float
    answers: tuple[Answer, ...]


@dataclass(slots=True)
class Results:
    """All kept answers of one folder.

    Attributes:
        path: the file.
        common: what decides the answers of every method; JSON.
        entries: by method name: key, ms_per_row, answers.
    """

    path: Path
    common: Any
    entries: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, common: Any) -> Results:
        """What the file holds; nothing if there is none or it cannot be read."""
        entries = {}
        with suppress(OSError, ValueError):
            content = json.loads(path.read_text(encoding="utf-8"))
            entries = content if isinstance(content, dict) else {}
        return cls(path, common, entries)

    def find(self, name: str, detail: Any) -> Kept | None:
        """The answers of a method, if they would be the same today."""
        entry = self.entries.get(name)
        if not isinstance(entry, Mapping) or entry.get("key") != self._key(name, detail):
            return None
        try:
            return Kept(float(entry["ms_per_row"]), tuple(map(_answer, entry["answers"])))
        except (KeyError, TypeError, ValueError):
            return None

    def keep(self, name: str, detail: Any, ms_per_row: float, answers: Sequence[Answer]) -> Kept:
        """Write the answers down at once: an interrupted demo loses one method at most."""
        self.entries[name] = {
            "key": self._key(name, detail),
            "ms_per_row": ms_per_row,
            "answers": [asdict(answer) for answer in answers],
        }
        _replace(self.path, json.dumps(self.entries, ensure_ascii=False, indent=1))
        return Kept(ms_per_row, tuple(answers))

    def _key(self, name: str, detail: Any) -> str:
        return hashlib.sha256(json.dumps([self.common, name, detail], sort_keys=True).encode()).hexdigest()


def write_answers(folder: Path, evaluation: Evaluation) -> Path:
    """One JSONL file per method: input, what was expected, what was said, and how."""
    for method in evaluation.methods:
        lines = [
            json.dumps(
                {"expected": row.output, "right": answer.output.split() == row.output.split(), **asdict(answer)},
                ensure_ascii=False,
            )
            for row, answer in zip(evaluation.rows, method.answers, strict=True)
        ]
        _replace(folder / f"{_file_name(method.name)}.jsonl", "".join(f"{line}\n" for line in lines))
    return folder


def _answer(kept: Mapping[str, Any]) -> Answer:
    """As it was, JSON's lists as tuples again. Details of tokens are not asked for here."""
    return Answer(**{**kept, "labels": tuple(map(tuple, kept.get("labels", ()))), "tokens": ()})


def _file_name(name: str) -> str:
    return "-".join("".join(c if c.isalnum() else " " for c in name.lower()).split())


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}. Name another folder with --out.") from error
