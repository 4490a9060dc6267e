"""How long the rows of a dataset are, in tokens of a chosen model. Counted once, then kept beside the index of rows.

Needs the model's `tokenizer.json` on this machine and nothing else of it; loads no torch.
"""

from __future__ import annotations

import json
import mmap
import uuid
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from softprompt.data.labels import quantile
from softprompt.data.template import Template
from softprompt.data.wrapper import Wrapper
from softprompt.errors import ModelUnavailable
from softprompt.storage.rows import Rows
from softprompt.studio import foundation_models
from softprompt.studio.datasets_index import RowIndex, digest
from softprompt.studio.foundation_models import Model

AT_ONCE = 2_000
"""Rows up to which tokens are counted without being asked."""
_BATCH = 1000


@dataclass(frozen=True, slots=True)
class Lengths:
    """Rows by their length.

    Attributes:
        counts: length → rows.
        unit: tokens or words.
        per_row: the lengths one by one, as far as they are known.
    """

    counts: Mapping[int, int]
    unit: str
    per_row: memoryview | None = None

    @property
    def longest(self) -> int:
        return max(self.counts, default=0)

    def share_below(self, share: float) -> int:
        """The length below which that share of the rows is."""
        return quantile(Counter(self.counts), share)

    def over(self, limit: int) -> int:
        """Rows that are longer."""
        return sum(rows for length, rows in self.counts.items() if length > limit)

    def bins(self, most: int = 32) -> list[tuple[int, int, int]]:
        """First and last length and the rows of bars of equal width."""
        width = max(1, -(-(self.longest + 1) // most))
        bars: Counter[int] = Counter()
        for length, rows in self.counts.items():
            bars[length // width] += rows
        return [(i * width, (i + 1) * width - 1, bars[i]) for i in range(self.longest // width + 1)]


def models(rows: Rows) -> list[Model]:
    """Models whose tokenizer lies on this machine."""
    found = foundation_models.all_models(rows)
    return [model for model in found if model.path is not None and (model.path / "tokenizer.json").is_file()]


def in_words(index: RowIndex) -> Lengths:
    """What can be said without any model."""
    return Lengths(index.word_counts, "words", index.column("words"))


def counted(index: RowIndex, model: Model) -> Lengths | None:
    """Prompts in tokens, if they were counted before."""
    path = _path(index, model)
    try:
        known = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        with path.open("rb") as file:
            numbers = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)).cast("I")
    except (OSError, ValueError):
        return None
    return Lengths({int(length): rows for length, rows in known.items()}, "tokens", numbers)


def count(index: RowIndex, model: Model, report: Mapping[str, Any]) -> Lengths:
    """Prompts in tokens: each input as the default template renders it, without the wrapper that all share."""
    known = counted(index, model)
    if known is not None or not len(index):
        return known or Lengths({}, "tokens")
    if model.path is None:
        raise ModelUnavailable(f"{model.label} is not on this machine, so its tokens cannot be counted.")
    tokenizer = _tokenizer(str(model.path / "tokenizer.json"))
    numbers = array("I")
    prompts = _prompts(index, report)
    while batch := list(islice(prompts, _BATCH)):
        numbers.extend(len(encoded.ids) for encoded in tokenizer.encode_batch(batch))
    path = _path(index, model)
    partial = path.with_name(f"{uuid.uuid4().hex}.partial")
    with partial.open("wb") as file:
        numbers.tofile(file)
    partial.replace(path)
    partial.write_text(json.dumps(Counter(numbers)), encoding="utf-8")
    partial.replace(path.with_suffix(".json"))
    return counted(index, model) or Lengths(Counter(numbers), "tokens")


def _prompts(index: RowIndex, report: Mapping[str, Any]) -> Iterator[str]:
    wrapper, template = wrapper_of(report), Template()
    return (template.render(wrapper.strip(row.input)) for row in index.rows())


def wrapper_of(report: Mapping[str, Any]) -> Wrapper:
    """What all inputs share, as the report has it."""
    found = report.get("wrapper") or {}
    return Wrapper(found.get("prefix", ""), found.get("suffix", ""))


def _path(index: RowIndex, model: Model) -> Path:
    return index.folder / f"tokens-{digest(f'{model.id} {model.path}'):016x}"


@lru_cache(maxsize=4)
def _tokenizer(path: str) -> Any:
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(path)
    except Exception as error:  # the library raises bare exceptions
        raise ModelUnavailable(f"The tokenizer {path} cannot be read: {error}. Fetch the model again.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
