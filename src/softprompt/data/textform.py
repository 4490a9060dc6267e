"""Forms of a text for comparison: normalised, as words, as hashed word 4-grams."""

from __future__ import annotations

import re
import zlib

_WORD = re.compile(r"\w+")


def normalise(text: str) -> str:
    """Without differences of case and space."""
    return " ".join(text.casefold().split())


def four_grams(text: str) -> set[int]:
    """Hashes of the word 4-grams; case and punctuation do not count. Equal in every process."""
    ids = [zlib.crc32(word.encode(errors="replace")) for word in _WORD.findall(text.lower())]
    return set(map(hash, zip(ids, ids[1:], ids[2:], ids[3:], strict=False)))  # hashes of int tuples carry no seed
