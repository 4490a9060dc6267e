"""Tokens of texts and of whole datasets, counted by the model's own tokenizer in this process.

Reads `tokenizer.json` with the tokenizers library: no torch, no model. Counts are those of `engine.tokens`, which cuts;
long files are counted by a sample. Knows no database.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from softprompt.data.read import read_examples
from softprompt.data.records import Example
from softprompt.data.split import split
from softprompt.data.template import Template
from softprompt.data.textform import normalise
from softprompt.data.wrapper import strip_examples
from softprompt.errors import DataError
from softprompt.params import Task

MOST_ROWS = 5000
"""Rows of a file that are counted; of longer ones so many, evenly over the whole file."""
MOST_BYTES = 8 * 2**20
"""Files beyond are not read for a page."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of rows as a template writes them.

    Attributes:
        prompts, targets: of each counted row, nothing cut.
        rows: how many rows there are; more than were counted in long files.
    """

    prompts: array[int]
    targets: array[int]
    rows: int

    @property
    def sampled(self) -> bool:
        return len(self.prompts) < self.rows

    @property
    def longest(self) -> int:
        return max(self.prompts, default=0)

    def cut(self, limit: int) -> int:
        """Rows whose prompt is longer; in a sample, the share of all."""
        return round(sum(length > limit for length in self.prompts) * self.scale)

    def tokens(self, limit: int, longest_answer: int) -> float:
        """Tokens of all rows once, when inputs and answers are cut."""
        prompts = sum(min(length, limit) for length in self.prompts)
        return (prompts + sum(min(length, longest_answer) for length in self.targets)) * self.scale

    @property
    def scale(self) -> float:
        return self.rows / len(self.prompts) if self.prompts else 0.0


def tokens_of(model: Path, text: str) -> list[str] | None:
    """A text in the model's tokens, as people can read them; None without a tokenizer file."""
    tokenizer = _tokenizer(model)
    if tokenizer is None:
        return None
    found = tokenizer.encode(text, add_special_tokens=False)
    return [text[start:end] or token for (start, end), token in zip(found.offsets, found.tokens, strict=True)]


def count(model: Path, text: str) -> int | None:
    tokenizer = _tokenizer(model)
    return None if tokenizer is None else len(tokenizer.encode(text, add_special_tokens=False).ids)


def rows_of(path: Path, share: float | None, seed: int, task: Task) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    """Training rows and those a share holds out, without what is wrapped around all of them, as a run has them.

    Raises:
        DataError: the file cannot be read any more.
    """
    if path.stat().st_size > MOST_BYTES:
        raise DataError(f"The file has more than {MOST_BYTES // 2**20} MiB: its rows are counted when the run starts.")
    return _rows_of(path, path.stat().st_mtime_ns, share, seed, task)


@lru_cache(maxsize=8)
def _rows_of(
    path: Path, _changed: int, share: float | None, seed: int, task: Task
) -> tuple[tuple[Example, ...], tuple[Example, ...]]:
    examples, _ = strip_examples(read_examples(path))
    if share is None:
        return tuple(examples), ()
    train, held = split(examples, share, seed, task=task)
    return tuple(train), tuple(held)


@lru_cache(maxsize=16)
def lengths(model: Path, rows: tuple[Example, ...], template: str, causal: bool) -> Lengths | None:
    """How long rows are; the frozen instruction is not counted, since no limit counts it."""
    tokenizer = _tokenizer(model)
    if tokenizer is None or not rows:
        return None
    step = max(1, -(-len(rows) // MOST_ROWS))
    taken, form = rows[::step], Template(template)
    prompts = tokenizer.encode_batch_fast([form.render(row.input) for row in taken])
    gap = form.target_gap if causal else ""
    targets = tokenizer.encode_batch_fast([gap + row.output for row in taken], add_special_tokens=False)
    return Lengths(array("l", map(len, prompts)), array("l", (len(each) + 1 for each in targets)), len(rows))


@lru_cache(maxsize=16)
def shared(train: tuple[Example, ...], test: tuple[Example, ...]) -> int:
    """Training rows whose input stands in the test rows too, case and space apart."""
    known = {normalise(row.input) for row in test}
    return sum(normalise(row.input) in known for row in train)


def _tokenizer(model: Path) -> Tokenizer | None:
    file = model / "tokenizer.json"
    try:
        return _opened(file, file.stat().st_mtime_ns)
    except OSError:
        return None


@lru_cache(maxsize=3)
def _opened(file: Path, _changed: int) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.encode_special_tokens = True  # their names in a person's text are plain letters
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
